"""What stands in a customer's edition in place of names: stable pseudonyms, and marks for what is left out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from runner.record import HostRecord, RunRecord

SHORTEST: Final = 8
"""Hexadecimal digits of a pseudonym; more where two hosts of a run would have the same."""
LEFT_OUT: Final = "[…]"
_ATOM: Final = re.compile(r"[^\W_]+")
_PATTERNS: Final = (
    re.compile(r"[\w.+-]+@(?![\w.-]*\.(?:service|socket|timer|mount|target|slice)\b)[\w-]+(?:\.[\w-]+)*"),  # no unit of systemd
    re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\w)"),
    re.compile(r"(?<![\w:])(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?![\w:])", re.IGNORECASE),
    re.compile(r"(?<![\w:])(?=[0-9a-f:]*::|(?:[0-9a-f]{1,4}:){4})[0-9a-f:]{2,39}(?:%\w+)?(?![\w:])", re.IGNORECASE),
    re.compile(r"(?<=/home/)[^/\s]+|(?<=\\Users\\)[^\\\s]+", re.IGNORECASE),
)
"""What tells of people and networks whatever it is called: mailboxes, addresses of all three kinds, homes."""


def pseudonyms(hosts: Iterable[HostRecord]) -> dict[str, str]:
    """Return what each host is called in a customer's edition: the same in every run, and no two alike."""
    digests = {host.host: _digest(host) for host in hosts}
    length = next(many for many in range(SHORTEST, 65) if len({one[:many] for one in digests.values()}) == len(digests))
    return {host: f"host-{digest[:length]}" for host, digest in digests.items()}


def _digest(host: HostRecord) -> str:
    name = f"{(host.customer or '').casefold()}\0{host.host}"
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


class Names:
    """The names that a run knows, and what a customer reads in their place; those of digits alone are left: so are figures."""

    def __init__(self, record: RunRecord) -> None:
        self.hosts = pseudonyms(record.hosts)
        marks = {name.casefold(): mark for name, mark in _marks(record, self.hosts)}
        self._marks = {name: mark for name, mark in marks.items() if _ATOM.search(name) and not name.isdecimal()}
        self._most = max((len(_ATOM.findall(name)) for name in self._marks), default=0)

    def text(self, text: str) -> str:
        """Return `text` with pseudonyms for hosts, and marks for people and addresses."""
        kept, at = [], 0
        for start, end, name in self._found(text):
            kept += [text[at:start], self._marks[name]]
            at = end
        text = "".join(kept) + text[at:]
        for pattern in _PATTERNS:
            text = pattern.sub(LEFT_OUT, text)
        return text

    def told(self, text: str) -> set[str]:
        """Return the names that stand in `text`, in lower case."""
        return {name for _, _, name in self._found(text)}

    def _found(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Yield where which name stands, the longest at each place; a name counts as whole words only."""
        words = [match.span() for match in _ATOM.finditer(text)]
        position = 0
        while position < len(words):
            start = words[position][0]
            for last in range(min(position + self._most, len(words)) - 1, position - 1, -1):
                if (name := text[start : words[last][1]].casefold()) in self._marks:
                    yield start, words[last][1], name
                    position = last
                    break
            position += 1


def _marks(record: RunRecord, hosts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each name that is not for customers, trimmed to the words it begins and ends with, and what stands for it."""
    for person in _people(record):
        yield _trimmed(person), LEFT_OUT
    for host in record.hosts:
        for hop in (host.session.get("via", ""), host.session.get("proxy", "")):
            yield _trimmed(hop), LEFT_OUT
        mark = hosts[host.host]
        for name in (host.address, host.host):
            match _address(name):
                case None:
                    yield from ((_trimmed(part), mark) for part in (name.partition(".")[0], name))
                case address if not address.is_loopback:  # every machine has that
                    yield _trimmed(name), LEFT_OUT


def _people(record: RunRecord) -> Iterator[str]:
    yield record.actor
    yield from (host.session.get("user", "") for host in record.hosts)
    if record.repair is not None and (agreed := record.repair.agreed) is not None:
        yield from (agreed.asked_by, agreed.approved_by)
    if record.repair is not None and (row := record.repair.approval) is not None:
        yield from (row.asked_by, row.decided_by)


def _trimmed(name: str) -> str:
    words = [match.span() for match in _ATOM.finditer(name)]
    return name[words[0][0] : words[-1][1]] if words else ""


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None
