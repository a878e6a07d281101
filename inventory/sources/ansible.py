"""An Ansible inventory as a source: read as Ansible reads it, told in our words (docs/inventory-sources.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from inventory.copies import ALWAYS_ASKED, Keeping
from inventory.documents import FOREIGN
from inventory.errors import InvalidFile, Place, Text
from inventory.fields import Fields
from inventory.sources.ansible_files import AnsibleFiles
from inventory.sources.ansible_model import ALL, UNGROUPED, AnsibleInventory
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
        words = Words(found, self.site, self.customer)
        for host, variables in theirs.walk():
            words.host(host, variables, theirs.groups_of(host.name))
        return found

    def inventory(self, reading: Reading) -> AnsibleInventory:
        """Return Ansible's own picture of it, with all that is wrong in its `problems`."""

        def run(path: Path) -> bytes:
            def ask() -> bytes:
                return run_program(path, ("--list",), self.place, deadline_s=self.deadline_s, max_bytes=FOREIGN.bytes)

            identity = json.dumps(["ansible", str(path)])
            return reading.copies.get(f"program {path}", identity, self.place, self.keeping, reading.now, ask)

        inventory = AnsibleInventory(Place(str(self.path), 1, 1))
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
    )
