"""What `longarm secret` does: keep, list, remove and try secrets, without ever showing one."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping

from console.examination import OK, PROBLEM, Row, row
from console.faults import FAULT
from console.inventories import known_inventory
from console.served import awaiting
from console.settings import Settings
from console.terminal import confirmed, printable, tell
from console.wiring import secrets_of
from console.words import say
from inventory.errors import Text, UsageError
from inventory.fields import did_you_mean
from inventory.host import SecretReference
from inventory.inventory import Inventory
from inventory.kept import KINDS
from inventory.names import group_name, shown
from inventory.references import secrets_of as named_by
from inventory.secret import Secret
from inventory.secret_stores import linked
from inventory.secrets.in_file import LARGEST, private_text
from inventory.secrets.store import WritableStore
from inventory.secrets.unusable import Unusable
from remote.secrets.in_sealed import SealedStore
from remote.secrets.locks import AgentLock

DECLINED = 5


def reference_named(text: str, known: Inventory | None = None) -> SecretReference:
    """Return the reference that a command line means: `NAME` of the encrypted file, `KIND:ENTRY` of anything else.

    Raises UsageError for a kind that is neither ours nor that of a store in the inventory.
    """
    kind, colon, entry = text.partition(":")
    if not colon:
        return SecretReference(kind="secret", value=group_name(text))
    stores = known.secret_stores if known else {}
    reference = linked(SecretReference(kind=kind, value=entry), stores)
    if reference is None or not entry:
        hint = did_you_mean(kind, (*KINDS, *stores)) or Text("longarm secret list")
        raise UsageError(Text("“{text}” names no secret", text=shown(text)), hint)
    return reference


def keep(settings: Settings, name: str, with_key: str | None) -> None:
    """Keep a secret that is typed twice, or read from stdin; tell where."""
    reference, store = _writable(settings, name)
    value = _given(settings, reference)
    if isinstance(store, SealedStore):
        settings.writable_home()
        store.put(reference.value, value, (lambda: AgentLock.new(with_key)) if with_key else None)
    elif with_key is not None:
        raise UsageError(
            Text("only the encrypted file is opened by a key: {name}", name="--with-key"), Text("longarm secret set NAME")
        )
    else:
        store.put(reference.value, value)
    tell(settings, Text("kept: {secret}", secret=reference))


def rekey(settings: Settings, with_key: str | None) -> None:
    """Seal the encrypted file anew, opened by a new passphrase or by a key of the agent; tell what that does not undo."""
    store = secrets_of(settings, piped=True).store(SecretReference(kind="secret", value="any"))
    assert isinstance(store, SealedStore)
    store.rekey((lambda: AgentLock.new(with_key)) if with_key else None)
    tell(settings, Text("{path} is sealed anew; what opened it before opens it no more", path=str(store.path)))
    tell(
        settings, Text("older copies of it still open as before: change the secrets themselves where one may be in wrong hands")
    )


def _writable(settings: Settings, name: str) -> tuple[SecretReference, WritableStore]:
    reference = reference_named(name)
    store = secrets_of(settings, piped=True).store(reference)
    if not isinstance(store, WritableStore):
        hint = Text("longarm secret set NAME, or keyring:SERVICE/USER")
        raise UsageError(Text("what “{kind}” holds is not written by longarm", kind=reference.kind), hint)
    return reference, store


def _given(settings: Settings, reference: SecretReference) -> Secret:
    """Return a secret from the terminal, without echo, or all of stdin if that is none; never from an argument."""
    if not sys.stdin.isatty():
        with awaiting("all"):
            return Secret(private_text(sys.stdin.buffer.read(LARGEST + 1), "stdin"))
    if settings.no_input:
        raise UsageError(Text("the secret has to be typed, or come on stdin"), Text("longarm secret set NAME < FILE"))
    first = _typed(Text("Secret {secret}", secret=reference))
    if not first:
        raise UsageError(Text("nothing was typed"), Text("longarm secret set NAME < FILE"))
    if _typed(Text("The same again")) != first:
        raise UsageError(Text("these are two different secrets"), Text("longarm secret set NAME < FILE"))
    return Secret(first)


def _typed(what: Text) -> str:
    with awaiting("secret"):
        return getpass.getpass(printable(say(what)) + ": ")


def secret_rows(settings: Settings) -> list[Mapping[str, object]]:
    """Return a row for each secret that is kept in the file or that a credential refers to.

    Behind the wall of one customer only those that its credentials refer to.
    """
    used = _used(settings)
    kept = {f"secret:{name}": at for name, at in SealedStore(settings.home).names().items()}
    names = sorted(used if settings.wall else {*kept, *used})
    return [{"secret": name, "set_at": kept.get(name), "used_by": used.get(name, [])} for name in names]


def _used(settings: Settings) -> dict[str, list[str]]:
    used: dict[str, list[str]] = {}
    for reference, user in named_by(known_inventory(settings).credentials.values()) if settings.has_inventory else ():
        used.setdefault(str(reference), []).append(user)
    return used


def forget(settings: Settings, name: str) -> int:
    """Remove a secret once the user agrees; return the exit code."""
    reference, store = _writable(settings, name)
    if isinstance(store, SealedStore):
        store.known(reference.value)
    if users := _used(settings).get(str(reference)):
        tell(settings, Text("{secret} is used by {names}", secret=reference, names=", ".join(users)), level=-1)
    if not confirmed(settings, Text("remove {secret} for good?", secret=reference)):
        return DECLINED
    store.remove(reference.value)
    tell(settings, Text("removed: {secret}", secret=reference))
    return 0


def tried(settings: Settings, name: str, host: str | None) -> tuple[list[Row], int]:
    """Return a row for each step, and the exit code: can the secret be had, and does it let us in to a host."""
    known = known_inventory(settings) if settings.has_inventory else None
    reference = reference_named(name, known)
    if host is not None:
        _refuse_stranger(settings, reference, host)
    try:
        secrets_of(settings).get(reference)
    except Unusable as unusable:
        return [row("secret", PROBLEM, say(unusable.text), unusable.hint)], FAULT
    rows = [row("secret", OK, say(Text("{secret} can be had", secret=reference)))]
    if host is None:
        return rows, 0
    from console.host_examination import examine_host

    more, code = examine_host(settings, host)
    return [*rows, *more], code


def _refuse_stranger(settings: Settings, reference: SecretReference, host: str) -> None:
    """Raise UsageError for a host that is not logged in to with this secret: what it says would prove nothing."""
    (credential,) = {one.credential for one in known_inventory(settings).select(host).hosts} or {None}
    if credential is None or reference not in [one for one, _ in named_by([credential])]:
        name = credential.name if credential else "-"
        text = Text(
            "the credential of {host} ({credential}) does not refer to {secret}", host=host, credential=name, secret=reference
        )
        raise UsageError(text, Text("longarm secret list"))
