"""The files of an Ansible inventory: YAML, INI and programs, in folders too; `group_vars` and `host_vars` beside them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from inventory.documents import FOREIGN, read_guarded
from inventory.errors import InvalidFile, Place, Problem, Text
from inventory.fields import is_empty
from inventory.names import shown
from inventory.nodes import ListNode, MapNode, Node, ScalarNode
from inventory.sources.ansible_ini import is_ini, read_ini
from inventory.sources.ansible_model import AnsibleGroup, AnsibleHost, AnsibleInventory, Given, Variables
from inventory.sources.ansible_program import MOST_ASKED
from inventory.sources.ansible_vaulted import Sealed, unquoted
from inventory.sources.ansible_yaml import VAULT_HEADER, AnsibleDocument, is_vaulted, parse_ansible, value_of
from inventory.stamps import Looked

MAX_FILES = 20_000
_IGNORED = re.compile(
    r"^\.|^(host_vars|group_vars|vars_plugins)$|(\.pyc|\.pyo|\.swp|\.bak|~|\.rpm|\.md|\.txt|\.rst|\.orig|\.cfg|\.retry)$"
)
"""What Ansible passes over in a folder (INVENTORY_IGNORE_EXTS of ansible-core 2.19)."""
_YAML = (".yml", ".yaml", ".json")
_SECTIONS = ("vars", "children", "hosts")


class AnsibleFiles:
    """Reads what a path stands for into an inventory; `run` gives what a program prints, None where none may be run."""

    def __init__(self, inventory: AnsibleInventory, files: Looked, run: Callable[[Path], bytes] | None) -> None:
        self.inventory, self.files, self.run = inventory, files, run
        self._opened: dict[Path, bytes] = {}
        """Files of variables that were encrypted, decrypted once for all whom they are for."""

    def read(self, path: Path) -> None:
        """Take up a file or folder of sources, then the variables beside it. Raises InvalidFile for what cannot be read."""
        folder = path if path.is_dir() else path.parent
        self._source(path)
        self._read_variables(folder)

    def _looked_at(self, path: Path) -> None:
        self.files.add(path)
        if len(self.files) > MAX_FILES:
            raise InvalidFile([Problem(place=Place(str(path), 1, 1), text=Text("more than {limit} files", limit=MAX_FILES))])

    def _source(self, path: Path, depth: int = 0) -> None:
        self._looked_at(path)
        if not path.is_dir():
            self._file(path)
            return
        if depth > 16:
            raise InvalidFile([Problem(place=Place(str(path), 1, 1), text=Text("nested deeper than {limit} levels", limit=16))])
        for inner in sorted(path.iterdir()):
            if not _IGNORED.search(inner.name):
                self._source(inner, depth + 1)

    def _file(self, path: Path) -> None:
        data = read_guarded(path, FOREIGN.bytes)
        if path.suffix == ".toml":
            self._cannot(path, Text("inventories in TOML are not read"), Text("write it as YAML or INI"))
        elif os.access(path, os.X_OK) and (data.startswith(b"#!") or b"\0" in data):  # a script, or compiled
            self._program(path)
        elif data.startswith(VAULT_HEADER):
            self._encrypted(path, data)
        else:
            self._plain(path, data)

    def _plain(self, path: Path, data: bytes, *, sealed: bool = False) -> None:
        document = None if path.suffix and path.suffix not in _YAML else _mapping(data, path, sealed=sealed)
        if document is not None:
            self._yaml(document, path)
        elif path.suffix in _YAML and not is_ini(data, str(path), self.inventory.groups):
            self._yaml(_document(data, path, sealed=sealed), path)
        else:
            read_ini(data, str(path), self.inventory, sealed=sealed)

    def _encrypted(self, path: Path, data: bytes) -> None:
        """Take up a file of sources that is encrypted as a whole; what is wrong in it is told without its words."""
        if self.inventory.vaults is None:
            self._cannot(path, Text("the file is encrypted by ansible-vault"), _NAME_PASSWORD)
            return
        before = len(self.inventory.problems)
        try:
            self._plain(path, self.inventory.vaults.opened(data, path), sealed=True)
        finally:
            self.inventory.problems[before:] = unquoted(InvalidFile(self.inventory.problems[before:])).problems

    def _cannot(self, path: Path, text: Text, hint: Text) -> None:
        self.inventory.problem(Place(str(path), 1, 1), text, hint)

    def _program(self, path: Path) -> None:
        if self.run is None:
            self._cannot(
                path, Text("this is a program, and programs of this source are not run"), Text("allow it: programs: true")
            )
            return
        read_list(parse_ansible(self.run(path), f"program {path}"), self.inventory)

    def _yaml(self, document: AnsibleDocument, path: Path) -> None:
        self.inventory.notes += document.notes
        root = document.root
        if not isinstance(root, MapNode):
            self.inventory.problem(root.place, Text("{what} must be a mapping, that is lines of “key: value”", what=path.name))
        elif plugin := root.get("plugin"):
            text = Text("inventory plugins of Ansible are not run")
            self.inventory.problem(plugin.place, text, Text("name a program that prints what ansible-inventory --list prints"))
        else:
            stack: list[tuple[ScalarNode, Node, AnsibleGroup | None, int]]
            stack = [(key, value, None, 0) for key, value in reversed(root.entries)]
            while stack:
                stack += reversed(self._group(*stack.pop(), document))

    def _group(
        self, key: ScalarNode, node: Node, parent: AnsibleGroup | None, depth: int, document: AnsibleDocument
    ) -> list[tuple[ScalarNode, Node, AnsibleGroup | None, int]]:
        """Take up a group and return its children with what is said of them."""
        if not isinstance(node, MapNode) and not is_empty(node):
            self.inventory.note(node.place, Text("“{name}” is left out: it is no group", name=shown(key.text)))
            return []
        group = self.inventory.group(key.text, key.place)
        if parent is not None:
            parent.children.setdefault(group.name, key.place)
        below: list[tuple[ScalarNode, Node, AnsibleGroup | None, int]] = []
        for section, value in node.entries if isinstance(node, MapNode) else ():
            entries = self._entries(section, value)
            if section.text == "vars":
                for name, given in variables_in(entries, document).items():
                    self.inventory.set_on_group(group, name, given)
            elif section.text == "children":
                below += [(child, inner, group, depth + 1) for child, inner in entries]
            elif section.text == "hosts":
                for host, inner in entries:
                    own = inner.entries if isinstance(inner, MapNode) else ()
                    if not isinstance(inner, MapNode) and not is_empty(inner):
                        self.inventory.problem(inner.place, Text("“{key}” must be a mapping", key=shown(host.text)))
                    self.inventory.add_hosts(host.text, host.place, group, variables_in(own, document))
            else:
                hint = Text("it knows {keys}", keys=", ".join(_SECTIONS))
                self.inventory.note(section.place, Text("“{name}” is left out", name=shown(section.text)), hint)
        return below

    def _entries(self, section: ScalarNode, node: Node) -> tuple[tuple[ScalarNode, Node], ...]:
        if isinstance(node, MapNode):
            return node.entries
        if section.text in _SECTIONS and isinstance(node, ScalarNode) and isinstance(node.value, str):
            return ((node, ScalarNode(node.place, None, node.style, "")),)
        if section.text in _SECTIONS and not is_empty(node):
            self.inventory.problem(node.place, Text("“{key}” must be a mapping", key=section.text))
        return ()

    def _read_variables(self, folder: Path) -> None:
        for kind, owners in (("group_vars", self.inventory.groups), ("host_vars", self.inventory.hosts)):
            place = folder / kind
            self._looked_at(folder)
            if not place.is_dir():
                continue
            self._looked_at(place)
            present = {path.name for path in place.iterdir()}
            for name, owner in owners.items():
                for path in self._variable_files(place, name, present):
                    self._variables(path, owner)

    def _variable_files(self, folder: Path, name: str, present: set[str]) -> Iterator[Path]:
        """Yield the files of one host or group: the first of folder or file `name`, `name.yml`, `name.yaml`, `name.json`."""
        if "/" in name:
            return
        found = next((name + suffix for suffix in ("", *_YAML) if name + suffix in present), None)
        if found is None:
            return
        if (folder / found).is_dir():
            yield from self._in_folder(folder / found)
        else:
            yield folder / found

    def _in_folder(self, folder: Path, depth: int = 0) -> Iterator[Path]:
        self._looked_at(folder)
        for path in sorted(folder.iterdir()) if depth < 16 else ():
            if path.name.startswith(".") or path.name.endswith("~"):
                continue
            if path.is_dir() and not path.suffix:
                yield from self._in_folder(path, depth + 1)
            elif path.is_file() and path.suffix in ("", *_YAML):
                yield path

    def _variables(self, path: Path, owner: AnsibleGroup | AnsibleHost) -> None:
        self._looked_at(path)
        data = read_guarded(path, FOREIGN.bytes)
        sealed = data.startswith(VAULT_HEADER)
        if sealed:
            if self.inventory.vaults is None:
                text = Text("left out: the file is encrypted by ansible-vault")
                self.inventory.note(Place(str(path), 1, 1), text, _NAME_PASSWORD)
                return
            if path not in self._opened:
                self._opened[path] = self.inventory.vaults.opened(data, path)
            data = self._opened[path]
        document = _document(data, path, sealed=sealed)
        self.inventory.notes += document.notes
        if isinstance(document.root, MapNode):
            owner.files.update(variables_in(document.root.entries, document))
        elif not is_empty(document.root):
            text = Text("{what} must be a mapping, that is lines of “key: value”", what=path.name)
            self.inventory.problem(document.root.place, text)


_NAME_PASSWORD = Text("say where its password is kept: {example}", example="vault: {prompt: vault password}")


def _document(data: bytes, path: Path, *, sealed: bool) -> AnsibleDocument:
    """Return the document of a file; raises InvalidFile, without its words where it was encrypted."""
    try:
        document = parse_ansible(data, str(path))
    except InvalidFile as error:
        if sealed:
            raise unquoted(error) from None
        raise
    document.sealed = sealed
    return document


def _mapping(data: bytes, path: Path, *, sealed: bool) -> AnsibleDocument | None:
    """Return the document of a file if it is a YAML mapping, None if it must be something else."""
    try:
        document = _document(data, path, sealed=sealed)
    except InvalidFile:
        return None
    return document if isinstance(document.root, MapNode) else None


def variables_in(entries: Iterable[tuple[ScalarNode, Node]], document: AnsibleDocument) -> Variables:
    """Return variables with the places of their keys."""
    return {key.text: _given(key, value, document) for key, value in entries}


def _given(key: ScalarNode, value: Node, document: AnsibleDocument) -> Given:
    node = None if isinstance(value, ScalarNode) else value
    if document.sealed:
        sealed = Sealed(document.file, document.pointer(value))
        return Given(key.place, value_of(value), vaulted=True, sealed=sealed, node=node)
    if not is_vaulted(value, document):
        return Given(key.place, value_of(value), node=node)
    sealed = Sealed(document.file, document.pointer(value), value, document.vaulted)
    return Given(key.place, None, vaulted=True, sealed=sealed, node=node)


def read_list(document: AnsibleDocument, inventory: AnsibleInventory) -> None:
    """Take up what a program printed for `--list`: groups with hosts, variables and children, `_meta` with those of hosts."""
    root = document.root
    if not isinstance(root, MapNode):
        inventory.problem(root.place, Text("{what} must be a mapping, that is lines of “key: value”", what="--list"))
        return
    for key, node in root.entries:
        if key.text != "_meta":
            _read_listed(key, node, document, inventory)
    meta = root.get("_meta")
    hostvars = meta.get("hostvars") if isinstance(meta, MapNode) else None
    if not isinstance(hostvars, MapNode):
        hint = Text("of more than {limit} hosts it has to print them at once: “_meta” with “hostvars”", limit=MOST_ASKED)
        inventory.problem(root.place, Text("“_meta” is missing"), hint)
        return
    for key, node in hostvars.entries:
        if key.text in inventory.hosts and isinstance(node, MapNode):  # as in Ansible, variables alone make no host
            inventory.hosts[key.text].variables.update(variables_in(node.entries, document))


def _read_listed(key: ScalarNode, node: Node, document: AnsibleDocument, inventory: AnsibleInventory) -> None:
    group = inventory.group(key.text, key.place)
    parts: Mapping[str, Node] = {"hosts": node}
    if isinstance(node, MapNode):
        parts = {name.text: value for name, value in node.entries}
    for name in ("hosts", "children"):
        part = parts.get(name)
        for item in part.items if isinstance(part, ListNode) else ():
            if not isinstance(item, ScalarNode):
                inventory.problem(item.place, Text("a name is expected here"))
            elif name == "hosts":
                inventory.add_hosts(item.text, item.place, group, {})
            else:
                inventory.group(item.text, item.place)
                group.children.setdefault(item.text, item.place)
        if part is not None and not isinstance(part, ListNode):
            inventory.problem(part.place, Text("“{key}” must be a list", key=name))
    variables = parts.get("vars")
    for variable, given in variables_in(variables.entries if isinstance(variables, MapNode) else (), document).items():
        inventory.set_on_group(group, variable, given)
