"""An Ansible inventory as a source: read as Ansible reads it, told in our words (docs/inventory-sources.md)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inventory.copies import ALWAYS_ASKED, Keeping
from inventory.documents import FOREIGN
from inventory.errors import InvalidFile, Place, SourceUnavailable, Text
from inventory.fields import Fields
from inventory.host import SecretReference
from inventory.secret_stores import vault_passwords
from inventory.sources.ansible_files import AnsibleFiles
from inventory.sources.ansible_model import ALL, UNGROUPED, AnsibleInventory
from inventory.sources.ansible_program import with_host_variables
from inventory.sources.ansible_vaulted import Vaults
from inventory.sources.ansible_words import Words
from inventory.sources.declared import keeping_of, path_from
from inventory.sources.found import Found, Reading
from inventory.sources.program import run_program

_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsibleSource:
    """A declared Ansible inventory: a file, or a folder of sources."""

    path: Path
    place: Place
    programs: bool = False
    deadline_s: float = _DEADLINE_S
    site: str = "site"
    customer: str = "customer"
    keeping: Keeping = ALWAYS_ASKED
    passwords: tuple[tuple[str, SecretReference], ...] = ()
    """Those of ansible-vault, by vault id."""
    reveal: tuple[str, ...] = ()
    """Variables that are encrypted and may be shown all the same."""

    @property
    def title(self) -> str:
        """Return what it is called in messages."""
        return f"ansible {self.path}"

    def read(self, reading: Reading) -> Found:
        """Return its hosts and groups; raises InvalidFile, SourceUnavailable for a program of it."""
        theirs = self.inventory(reading)
        found = Found(problems=theirs.problems, notes=theirs.notes)
        if theirs.problems:
            return found
        for name, group in theirs.groups.items():
            if name not in (ALL, UNGROUPED):
                found.group(name, group.place)
        for name, ours in found.groups.items():
            ours.children = {child: at for child, at in theirs.groups[name].children.items() if child in found.groups}
        words = Words(found, theirs.vaults, site=self.site, customer=self.customer, reveal=self.reveal)
        for host, variables in theirs.walk():
            words.host(host, variables, theirs.groups_of(host.name))
        reading.opened.extend(words.opened)
        if theirs.vaults is not None:
            found.stores.update(theirs.vaults.stores)
        return found

    def inventory(self, reading: Reading) -> AnsibleInventory:
        """Return Ansible's own picture of it, with all that is wrong in its `problems`."""

        def run(path: Path) -> bytes:
            identity = json.dumps(["ansible", str(path)])
            return reading.copies.get(
                f"program {path}", identity, self.place, self.keeping, reading.now, lambda: self._asked(path)
            )

        inventory = AnsibleInventory(Place(str(self.path), 1, 1), self._vaults(reading))
        try:
            AnsibleFiles(inventory, reading.files, run if self.programs else None).read(self.path)
        except InvalidFile as error:
            inventory.problems += error.problems
        except OSError as error:
            reason = error.strerror or str(error)
            inventory.problem(Place(str(error.filename or self.path), 1, 1), Text("cannot be read: {reason}", reason=reason))
        if not inventory.problems:
            inventory.settle()
        return inventory

    def _vaults(self, reading: Reading) -> Vaults | None:
        """Return what opens encrypted values; None without a password, and where nobody is asked for one."""
        if not self.passwords:
            return None
        if reading.copies.offline:
            reading.opened.append(self.place)  # what is found without them is not what holds
            return None
        return Vaults(self.passwords, lambda reference: reading.secret(reference, self.place), self.place)

    def _asked(self, path: Path) -> bytes:
        """Return what a program prints for all hosts, and for each of them if that is not in it."""
        until = time.monotonic() + self.deadline_s

        def run(*arguments: str) -> bytes:
            left_s = max(0.1, until - time.monotonic())
            return run_program(path, arguments, self.place, deadline_s=left_s, max_bytes=FOREIGN.bytes)

        def variables(host: str) -> Mapping[str, Any]:
            try:
                found = json.loads(run("--host", host) or b"{}")
            except (ValueError, RecursionError):
                found = None
            if isinstance(found, dict):
                return found
            raise SourceUnavailable(self.place, Text("{program} --host {host} prints no JSON object", program=path, host=host))

        return with_host_variables(run("--list"), variables)


def declare(fields: Fields, value: str, folder: Path) -> AnsibleSource:
    """Return the inventory that a declaration means."""
    deadline = fields.duration("deadline")
    return AnsibleSource(
        path=path_from(value, folder),
        place=fields.place("ansible"),
        programs=fields.boolean("programs") or False,
        deadline_s=_DEADLINE_S if deadline is None else deadline,
        site=fields.text("site") or "site",
        customer=fields.text("customer") or "customer",
        keeping=keeping_of(fields, ALWAYS_ASKED),
        passwords=vault_passwords(fields, "vault"),
        reveal=fields.texts("reveal"),
    )
