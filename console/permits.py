"""What a client may give to the service: which commands, and what of its own content; everything else is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from console.own_playbooks import FOLDER, kept_playbook
from console.served import is_apart, is_keeper, served
from console.whereabouts import WHERE, Where
from inventory.errors import InvalidFile, LongarmError, Text, UsageError
from inventory.host import Host, Transport


class NotForClients(LongarmError):
    """The service does this for nobody but who keeps it, or for nobody at all."""


class InventoryUnsound(LongarmError):
    """The inventory of the service cannot be read, and what is wrong with it is not for whoever called."""


def refuse_unpermitted(command: str, options: Mapping[str, object]) -> None:
    """Raise what says that the service, in which this is asked, does not carry a command out for its client."""
    where = WHERE.get(command, Where.HERE)
    if where is Where.HERE:
        text = Text("the service does not carry this out: {command}", command=command)
        raise NotForClients(text, Text("longarm {command} --help", command=command))
    if options.get("inventory"):
        raise UsageError(Text("the service knows the inventory of its home, and no other"), Text("leave --inventory out"))
    if is_keeper():
        return
    if where is Where.KEEPER:
        raise NotForClients(
            Text("only an admin of the desk may do this: {command}", command=command), Text("longarm config show")
        )
    if options.get("probes"):
        text = Text("probes of one's own run as commands on hosts: the service asks only those of its library")
        raise NotForClients(text, Text("leave --probes out"))


def refuse_this_machine(hosts: Iterable[Host]) -> None:
    """Raise NotForClients for a host that is reached without a login: what is done there has the rights of the service."""
    local = next((host for host in hosts if host.transport is Transport.LOCAL), None)
    if local is not None and not is_keeper():
        text = Text("{host} is this machine: a command there would have the rights of the service", host=local.name)
        raise NotForClients(text, Text("reach it by ssh: then it has those of the login"))


def refuse_closed_page(run: str) -> None:
    """Raise NotForClients where the page of a run would lie in a home that is closed to whoever called."""
    if is_apart():
        text = Text("the page lies in the home of the service, which is closed to you")
        raise NotForClients(text, Text("longarm report render {run} --to {run}.html", run=run))


@contextmanager
def told_to_keepers() -> Iterator[None]:
    """Tell mistakes of the inventory, which name anybody's hosts, to who keeps the desk; to others that there are some."""
    try:
        yield
    except InvalidFile as error:
        if is_keeper():
            raise
        text = Text("the desk's inventory cannot be read; mistakes in it: {count}", count=len(error.problems))
        raise InventoryUnsound(text, Text("an admin sees them by: longarm inventory check")) from None


def own_playbook(home: Path, name: str) -> Path:
    """Return the file of a playbook that does not ship: the desk's, or one's own; behind a service only the desk's.

    Raises NotForClients for any other there: it would be read with the rights of the service.
    """
    kept = kept_playbook(home, name)
    if kept is None and served() is not None:
        text = Text("{name} is none of the service's playbooks: it takes those that ship, and those in its home", name=name)
        raise NotForClients(text, Text("an admin puts it into {folder}", folder=home / FOLDER))
    return Path(name) if kept is None else kept


def refuse_own_secret(kind: str, name: str) -> None:
    """Raise NotForClients for a secret that would be read from the files or the environment of the service."""
    if not is_keeper() and kind != "prompt":
        text = Text("-p {name}=…: through the service a secret parameter is asked for, not read from elsewhere", name=name)
        raise NotForClients(text, Text("-p {name}=prompt:", name=name))


def refuse_others_secret(kind: str, name: str, run: str) -> None:
    """Raise NotForClients for a secret that who began a run could have read from elsewhere, and who goes on with it cannot."""
    if not is_keeper() and kind != "prompt":
        text = Text("run {run} was begun with a secret ({name}) that only an admin of the desk may use", run=run, name=name)
        raise NotForClients(text, Text("an admin goes on with it"))
