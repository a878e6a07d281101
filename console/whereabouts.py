"""Where each command is carried out when a service keeps the desk: here or there; what is not in the table is refused."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Where(StrEnum):
    """Where a command is carried out."""

    HERE = "here"  # it needs no home, or makes one
    THERE = "there"
    NAMED = "named"  # there, if it names a playbook that only the desk knows, else here
    KEEPER = "keeper"  # there, for an admin of the whole desk


WHERE: Final = {
    "approve": Where.THERE,
    "case deliver": Where.THERE,
    "case list": Where.THERE,
    "case show": Where.THERE,
    "check list": Where.HERE,
    "check show": Where.HERE,
    "completion": Where.HERE,
    "config show": Where.THERE,
    "diagnose": Where.THERE,
    "doctor": Where.THERE,
    "freeze": Where.THERE,
    "hold add": Where.THERE,
    "hold list": Where.THERE,
    "hold remove": Where.THERE,
    "host enrol": Where.KEEPER,
    "host facts": Where.THERE,
    "host get": Where.THERE,
    "host ping": Where.THERE,
    "host run": Where.THERE,
    "host shell": Where.THERE,
    "inventory check": Where.THERE,
    "inventory graph": Where.THERE,
    "inventory import": Where.THERE,
    "inventory list": Where.THERE,
    "inventory show": Where.THERE,
    "lab down": Where.KEEPER,
    "lab list": Where.THERE,
    "lab status": Where.THERE,
    "lab up": Where.KEEPER,
    "library sign": Where.HERE,
    "library verify": Where.HERE,
    "playbook graph": Where.NAMED,
    "playbook lint": Where.HERE,
    "playbook list": Where.THERE,
    "playbook new": Where.HERE,
    "playbook schema": Where.HERE,
    "playbook show": Where.NAMED,
    "playbook test": Where.HERE,
    "probe list": Where.HERE,
    "probe show": Where.HERE,
    "repair": Where.THERE,
    "report list": Where.THERE,
    "report open": Where.THERE,
    "report render": Where.THERE,
    "run export": Where.THERE,
    "run leases": Where.THERE,
    "run list": Where.THERE,
    "run resume": Where.THERE,
    "run retry": Where.THERE,
    "run rollback": Where.THERE,
    "run show": Where.THERE,
    "run start": Where.THERE,
    "run unmute": Where.THERE,
    "run watch": Where.THERE,
    "secret list": Where.KEEPER,
    "secret rekey": Where.KEEPER,
    "secret remove": Where.KEEPER,
    "secret set": Where.KEEPER,
    "secret test": Where.KEEPER,
    "serve": Where.HERE,
    "store audit": Where.THERE,
    "store backup": Where.THERE,
    "store erase": Where.THERE,
    "store prune": Where.THERE,
    "store restore": Where.KEEPER,
    "store verify": Where.THERE,
    "unfreeze": Where.THERE,
    "version": Where.HERE,
}
"""By the words of a command. Who may do what on hosts and in the store is a matter of roles; this table stands before them."""
