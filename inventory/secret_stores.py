"""The `secret_stores:` section of an inventory: where else secrets are kept, by a name that references then use.

    secret_stores:
      desk: {askpass: /usr/local/bin/our-askpass}
    credentials:
      ops: {user: ops, password: {desk: ops}}

A store says how it is opened, never with what: its own secrets are references to the kinds that need no store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from inventory.errors import Place, Problem, Text
from inventory.fields import Fields, did_you_mean
from inventory.host import CredentialReference, SecretReference, Value
from inventory.kept import HOW, KINDS, read_secret
from inventory.names import BadName, group_name, shown
from inventory.nodes import MapNode, ScalarNode
from inventory.sources.declared import path_from

if TYPE_CHECKING:
    from inventory.egress import Origin

MAX_ARGUMENTS = 64
_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AskpassProgram:
    """A program that prints the secret whose name is its last argument."""

    name: str
    path: Path
    arguments: tuple[str, ...] = ()
    deadline_s: float = _DEADLINE_S
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsibleVaultFile:
    """A file of variables that ansible-vault encrypted, whole or value by value."""

    name: str
    path: Path
    passwords: tuple[tuple[str, SecretReference], ...]
    """By vault id; `default` for one that has none."""
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultServer:
    """A HashiCorp Vault (or OpenBao), whose secrets are in a KV engine."""

    name: str
    origin: Origin
    mount: str = "secret"
    version: int = 2
    namespace: str | None = None
    token: SecretReference | None = None
    role_id: str | None = None
    secret_id: SecretReference | None = None
    login: str = "approle"
    """Where the login of applications is mounted."""
    ca: Path | None = None
    deadline_s: float = _DEADLINE_S
    place: Place = field(compare=False)


DeclaredStore: TypeAlias = AskpassProgram | AnsibleVaultFile | VaultServer


def read_stores(node: MapNode | None, problems: list[Problem]) -> dict[str, DeclaredStore]:
    """Return the stores of one file by name; mistakes are noted."""
    stores = {}
    for key, value in node.entries if node else ():
        if key.text in KINDS:
            problems.append(Problem(place=key.place, text=Text("“{name}” is a kind of secret already", name=key.text)))
        try:
            group_name(key.text)
        except BadName as error:
            problems.append(Problem(place=key.place, text=error.text, hint=error.hint))
        fields = Fields(value, problems, Text("the store {name}", name=shown(key.text)))
        if (store := _store(key, fields)) is not None:
            stores[key.text] = store
    return stores


def _store(name: ScalarNode, fields: Fields) -> DeclaredStore | None:
    kinds = [kind for kind in _READERS if kind in (*fields.keys(),)]
    if len(kinds) != 1:
        near = did_you_mean(next(iter(fields.keys()), ""), _READERS)
        fields.problem(name.place, Text("a store is exactly one of {kinds}", kinds=", ".join(_READERS)), near)
        return None
    folder = Path(name.place.file).parent
    before = len(fields.problems)
    store = _READERS[kinds[0]](fields, name, folder)
    fields.done()
    return store if len(fields.problems) == before else None


def _askpass(fields: Fields, name: ScalarNode, folder: Path) -> AskpassProgram:
    arguments, deadline = fields.texts("arguments"), fields.duration("deadline")
    if len(arguments) > MAX_ARGUMENTS:
        fields.problem(fields.place("arguments"), Text("more than {limit} arguments", limit=MAX_ARGUMENTS))
    return AskpassProgram(
        name=name.text,
        path=path_from(fields.text("askpass", required=True), folder),
        arguments=arguments,
        deadline_s=_DEADLINE_S if deadline is None else deadline,
        place=fields.place("askpass"),
    )


def _ansible_vault(fields: Fields, name: ScalarNode, folder: Path) -> AnsibleVaultFile:
    path, passwords = fields.text("ansible_vault", required=True), vault_passwords(fields, "password")
    if not fields.has("password"):
        what = Text("{what} needs the key “{key}”", what=fields.what, key="password")
        fields.problem(fields.place(), what, HOW)
    return AnsibleVaultFile(
        name=name.text, path=path_from(path, folder), passwords=passwords, place=fields.place("ansible_vault")
    )


def vault_passwords(fields: Fields, key: str) -> tuple[tuple[str, SecretReference], ...]:
    """Return the references to passwords of ansible-vault by vault id: one reference, or several by their ids."""
    node = fields.node(key)
    several = isinstance(node, MapNode) and node.entries and all(isinstance(value, MapNode) for _, value in node.entries)
    if several:
        inner = fields.fields(key)
        names = inner.keys()
        found = {name: plain_secret(inner, name) for name in names}
        return tuple((name, reference) for name, reference in found.items() if reference is not None)
    reference = plain_secret(fields, key)
    return () if reference is None else (("default", reference),)


def plain_secret(fields: Fields, key: str) -> SecretReference | None:
    """Return a reference to a secret of a kind that needs no store; another kind is noted."""
    reference = read_secret(fields, key)
    if reference is not None and reference.kind not in KINDS:
        _note_unknown(reference, KINDS, fields.problems)
        return None
    return reference


def _vault(fields: Fields, name: ScalarNode, folder: Path) -> VaultServer | None:
    from inventory.egress import EgressFailed, origin_of  # a TLS library that only who declares a server pays for

    ca, deadline = fields.text("ca"), fields.duration("deadline")
    token, role, secret = plain_secret(fields, "token"), fields.text("role_id"), plain_secret(fields, "secret_id")
    by_token, by_role = fields.has("token"), fields.has("role_id") or fields.has("secret_id")
    if by_token == by_role or (by_role and not (fields.has("role_id") and fields.has("secret_id"))):
        text = Text("a vault is opened by a token, or by role_id and secret_id")
        fields.problem(name.place, text, Text("say where it is kept: {example}", example="token: {env: VAULT_TOKEN}"))
    mount = _path(fields, "mount", "secret")
    login = _path(fields, "login", "approle")
    namespace = _path(fields, "namespace", "") or None
    version = fields.integer("version", minimum=1, maximum=2)
    try:
        origin = origin_of(fields.text("vault", required=True))
    except EgressFailed as error:
        fields.problem(fields.place("vault"), error.text, error.hint)
        return None
    return VaultServer(
        name=name.text,
        origin=origin,
        mount=mount,
        version=version or 2,
        namespace=namespace,
        token=token,
        role_id=role,
        secret_id=secret,
        login=login,
        ca=None if ca is None else path_from(ca, folder),
        deadline_s=_DEADLINE_S if deadline is None else deadline,
        place=fields.place("vault"),
    )


def _path(fields: Fields, key: str, default: str) -> str:
    text = fields.text(key)
    if text is None:
        return default
    path = text.strip("/")
    if not path or not is_plain_path(path):
        fields.problem(fields.place(key), Text("“{key}” must be a path such as {example}", key=key, example="team/secret"))
    return path


def is_plain_path(path: str) -> bool:
    """Tell whether each part of a path is one that leads no elsewhere: no `..`, no signs that a URL has."""
    return all(part not in ("", ".", "..") and not set(part) & set("?#%\\") and part.isprintable() for part in path.split("/"))


_READERS: Mapping[str, Callable[[Fields, ScalarNode, Path], DeclaredStore | None]] = {
    "askpass": _askpass,
    "ansible_vault": _ansible_vault,
    "vault": _vault,
}


def declaration(store: DeclaredStore) -> Mapping[str, Value]:
    """Return what declares a store, to be read again as it is."""
    told: dict[str, Value]
    match store:
        case AskpassProgram():
            told = {"askpass": str(store.path), "arguments": store.arguments or None}
        case AnsibleVaultFile():
            given = {name: {one.kind: one.value} for name, one in store.passwords}
            alone = given["default"] if list(given) == ["default"] else given
            return {"ansible_vault": str(store.path), "password": alone}
        case VaultServer():
            told = {
                "vault": str(store.origin),
                "mount": store.mount,
                "version": store.version,
                "namespace": store.namespace,
                "token": {store.token.kind: store.token.value} if store.token else None,
                "role_id": store.role_id,
                "secret_id": {store.secret_id.kind: store.secret_id.value} if store.secret_id else None,
                "login": store.login,
                "ca": str(store.ca) if store.ca else None,
            }
    told["deadline"] = f"{store.deadline_s:g}s"
    return {key: value for key, value in told.items() if value is not None}


def linked(reference: SecretReference, stores: Mapping[str, DeclaredStore]) -> SecretReference | None:
    """Return a reference with the store that it names; None where nothing of that name is declared."""
    if reference.kind in KINDS or reference.store is not None:
        return reference
    store = stores.get(reference.kind)
    return None if store is None else replace(reference, store=store)


def link(
    credentials: Mapping[str, CredentialReference], stores: Mapping[str, DeclaredStore], problems: list[Problem]
) -> dict[str, CredentialReference]:
    """Return credentials whose references know their stores; what names none is noted."""

    def known(reference: SecretReference | None) -> SecretReference | None:
        found = None if reference is None else linked(reference, stores)
        if reference is not None and found is None:
            _note_unknown(reference, (*KINDS, *stores), problems)
        return found

    return {
        name: replace(
            one,
            passphrase=known(one.passphrase),
            password=known(one.password),
            become_password=known(one.become_password),
            otp=one.otp and replace(one.otp, secret=known(one.otp.secret)),
            kerberos=one.kerberos and replace(one.kerberos, password=known(one.kerberos.password)),
        )
        for name, one in credentials.items()
    }


def _note_unknown(reference: SecretReference, known: Iterable[str], problems: list[Problem]) -> None:
    assert reference.place is not None  # it was read from a file
    text = Text("a secret cannot be kept in “{kind}”", kind=shown(reference.kind))
    problems.append(Problem(place=reference.place, text=text, hint=did_you_mean(reference.kind, known) or HOW))
