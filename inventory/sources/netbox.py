"""NetBox as a source: its devices and virtual machines over REST, page by page, whole or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from inventory.copies import Keeping
from inventory.egress import Egress, EgressFailed, Origin, origin_of
from inventory.errors import Place, SourceUnavailable, Text
from inventory.fields import Fields
from inventory.host import Platform, SecretReference
from inventory.kept import HOW, read_secret
from inventory.names import BadName, group_name, host_name, label, shown
from inventory.settings import Leaf
from inventory.sources.declared import keeping_of, path_from
from inventory.sources.found import Found, FoundHost, Reading
from inventory.sources.ssh_said import SSH_WORDS, put_ssh
from inventory.yaml_scalars import storable

LISTS = {"devices": "/api/dcim/devices/", "virtual-machines": "/api/virtualization/virtual-machines/"}
_PAGES = {"devices": "/dcim/devices", "virtual-machines": "/virtualization/virtual-machines"}
PAGE = 500
MAX_HOSTS = 200_000
_KEPT = Keeping()
_NAMED = ("role", "device_role", "status", "rack", "cluster", "location")
_MAPPED = ("credential", *SSH_WORDS)
"""What a custom field may hold besides the way: `fields` names it."""
_READ = ("id", "name", "primary_ip", "site", "tenant", "platform", "tags", "custom_fields", *_NAMED)
"""What is kept of each thing: a fifth of what NetBox says of a device."""
_MOST_BYTES = 512 * 1024 * 1024
_MOST_DEADLINES = 100
"""Of all pages together: how big they may be, and how many times as long they may take as one of them may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetBoxSource:
    """A declared NetBox."""

    origin: Origin
    place: Place
    token: SecretReference
    lists: tuple[str, ...] = tuple(LISTS)
    filter: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    via: str = "via"
    """The name of the custom field that holds the host that others are reached through."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """The name of the custom field that holds a setting of ours."""
    ca: Path | None = None
    deadline_s: float = 30.0
    keeping: Keeping = _KEPT

    @property
    def title(self) -> str:
        """Return what it is called in messages."""
        return f"netbox {self.origin}"

    def read(self, reading: Reading) -> Found:
        """Return its hosts; raises SourceUnavailable where it cannot be asked and no copy stands in."""
        query = {name: list(values) for name, values in self.filter.items()}
        token = [self.token.kind, self.token.value]  # where it is kept: another one may be shown other hosts
        identity = json.dumps(["netbox", str(self.origin), self.lists, query, token], sort_keys=True)
        data = reading.copies.get(self.title, identity, self.place, self.keeping, reading.now, lambda: self._ask(reading))
        found, nameless = Found(), 0
        for kind, things in json.loads(data).items():
            for thing in things:
                if thing.get("name"):
                    self._add(kind, thing, found)
                else:
                    nameless += 1
        if nameless:
            hint = Text("a filter leaves out what is no host: filter: {example}", example="{role: server}")
            found.note(self.place, Text("without a name, and left out: {count}", count=nameless), hint)
        return found

    def _ask(self, reading: Reading) -> bytes:
        token = reading.secret(self.token, self.place).reveal().strip()
        if not token.isprintable() or not token.isascii():
            raise SourceUnavailable(self.place, Text("what {where} holds is no token", where=self.token))
        scheme = "Bearer" if token.startswith("nbt_") else "Token"  # tokens of version 2, since NetBox 4.5
        egress = Egress(
            origin=self.origin, headers={"Authorization": f"{scheme} {token}"}, ca=self.ca, deadline_s=self.deadline_s
        )
        until = time.monotonic() + _MOST_DEADLINES * self.deadline_s
        pages = _Pages(egress=egress, until=until, left_bytes=_MOST_BYTES)
        try:
            return json.dumps({kind: list(self._listed(pages, kind)) for kind in self.lists}).encode()
        except EgressFailed as error:
            raise SourceUnavailable(self.place, error.text, error.hint) from error

    def _listed(self, pages: _Pages, kind: str) -> Iterator[Mapping[str, Any]]:
        """Yield everything in a list; pages are counted by us, since where `next` leads is for the server to say."""
        seen: set[int] = set()
        offset, count = 0, None
        while count is None or offset < count:
            query = {**self.filter, "limit": str(PAGE), "offset": str(offset), "ordering": "id"}
            page = self._page(pages.get(f"{LISTS[kind]}?{urlencode(query, doseq=True)}"))
            count = page["count"] if count is None else count
            if page["count"] != count or (not page["results"] and offset < count):
                hint = Text("ask again: somebody is working in it")
                raise SourceUnavailable(self.place, Text("{source} changed while it was read", source=self.title), hint)
            if count > MAX_HOSTS:
                raise SourceUnavailable(self.place, Text("more than {limit} hosts", limit=MAX_HOSTS), Text("name a filter"))
            for thing in page["results"]:
                if thing["id"] not in seen:
                    seen.add(thing["id"])
                    yield {key: thing[key] for key in _READ if key in thing}
            offset += len(page["results"])
        if len(seen) != count:
            hint = Text("ask again: somebody is working in it")
            raise SourceUnavailable(self.place, Text("{source} changed while it was read", source=self.title), hint)

    def _page(self, body: bytes) -> Mapping[str, Any]:
        try:
            page = json.loads(body)
            right = isinstance(page["count"], int) and page["count"] >= 0 and isinstance(page["results"], list)
            if right and all(isinstance(thing["id"], int) and isinstance(thing, dict) for thing in page["results"]):
                return dict(page)
        except (ValueError, LookupError, TypeError, RecursionError):
            pass
        text = Text("{source} does not answer as NetBox does", source=self.title)
        raise SourceUnavailable(self.place, text, Text("is the address that of NetBox itself, without /api?"))

    def _add(self, kind: str, thing: Mapping[str, Any], found: Found) -> None:
        place = Place(f"{self.origin}{_PAGES[kind]}/{thing['id']}/", 0, 0)
        name = str(thing["name"])
        if known := found.hosts.get(name.lower()):
            text = Text("the host {name} is declared twice, first at {place}", name=shown(name), place=known.place)
            found.problem(place, text, Text("a filter leaves out what is no host: filter: {example}", example="{role: server}"))
            return
        if (host := found.host(name, place)) is None:
            return
        address = _text(thing.get("primary_ip"), "address")
        if address is not None:
            found.put_address(host, address.partition("/")[0], place)
        for setting, key in (("site", "site"), ("customer", "tenant")):
            value = _text(thing.get(key), "name")
            if value is not None and (right := found.checked(value, place, label)) is not None:
                host.put(setting, right, place)
        custom = thing.get("custom_fields")
        fields = dict(custom) if isinstance(custom, dict) else {}
        if isinstance(way := fields.pop(self.via, None), str | dict):  # a text, or the field points at a device
            jump = way if isinstance(way, str) else _text(way, "name")
            if jump and (right := found.checked(jump, place, host_name)) is not None:
                host.put("via", right, place)
        for setting, field_name in self.fields.items():
            if (said := _said(fields.pop(field_name, None))) is None:
                continue
            if setting in SSH_WORDS:
                put_ssh(found, host, setting, said, place)
            elif (right := found.checked(said, place, group_name)) is not None:
                host.put(setting, right, place)
        _describe(host, thing, fields, found, place)


@dataclass(slots=True, kw_only=True)
class _Pages:
    """Gets one page after the other, within bounds for all of them: how many there are is for the server to say."""

    egress: Egress
    until: float
    left_bytes: int

    def get(self, path: str) -> bytes:
        """Return the body of a page; raises EgressFailed."""
        host = self.egress.origin.host
        if time.monotonic() >= self.until:
            seconds = f"{_MOST_DEADLINES * self.egress.deadline_s:g}"
            text = Text("{host} gave no whole answer within {seconds} s", host=host, seconds=seconds)
            raise EgressFailed(text, Text("ask for less: name a filter"))
        body = self.egress.get(path)
        self.left_bytes -= len(body)
        if self.left_bytes < 0:
            text = Text("{host} answers with more than {limit} bytes", host=host, limit=_MOST_BYTES)
            raise EgressFailed(text, Text("ask for less: name a filter"))
        return body


def _describe(host: FoundHost, thing: Mapping[str, Any], custom: Mapping[str, Any], found: Found, place: Place) -> None:
    """Give a host its platform, tags and variables."""
    if "windows" in (_text(thing.get("platform"), "slug") or ""):
        host.put("platform", Platform.WINDOWS.value, place)
    tags = thing.get("tags")
    slugs = [slug for tag in tags if (slug := _text(tag, "slug")) is not None] if isinstance(tags, list) else []
    host.tag({right: place for slug in slugs if (right := found.checked(slug, place, group_name)) is not None})
    names: dict[str, str] = {}
    for key in _NAMED:
        if value := next((text for part in ("slug", "value", "name") if (text := _text(thing.get(key), part))), None):
            names.setdefault(key.removeprefix("device_"), value)
    for key, value in {**names, **{f"cf.{key}": value for key, value in custom.items()}}.items():
        if not isinstance(value, str | int | float) or value == "" or found.withhold(key, value, place):
            continue
        try:
            host.put_variable(group_name(key), Leaf(place, storable(value)))
        except BadName as error:
            found.note(place, Text("the variable is left out: {reason}", reason=error.text), error.hint)


def _said(value: object) -> str | None:
    """Return what a custom field says: a text, what was chosen, or the name of the object that it points at."""
    if isinstance(value, dict):
        return next((text for part in ("value", "name") if (text := _text(value, part))), None)
    return value if isinstance(value, str) and value else None


def _text(value: object, key: str) -> str | None:
    inner = value.get(key) if isinstance(value, dict) else None
    return inner if isinstance(inner, str) and inner else None


_DECLARED: Final = Text(
    "declare it in a file of ours: {example}", example="sources: [{netbox: https://NAME/, token: {secret: NAME}}]"
)
"""For one that was named on the command line, where no key has a place."""


def declare(fields: Fields, value: str, folder: Path) -> NetBoxSource | None:
    """Return the NetBox that a declaration means."""
    token, deadline, ca = read_secret(fields, "token"), fields.duration("deadline"), fields.text("ca")
    if not fields.has("token"):
        what = Text("{what} needs the key “{key}”", what="the source", key="token")
        fields.problem(fields.place(), what, HOW if fields.place().line else _DECLARED)
    lists = fields.texts("lists") or tuple(LISTS)
    for name in lists:
        if name not in LISTS:
            hint = Text("one of {choices}", choices=", ".join(LISTS))
            fields.problem(fields.place("lists"), Text("“{key}” cannot be “{value}”", key="lists", value=shown(name)), hint)
    filters = fields.fields("filter")
    names = filters.keys()
    wanted = {name: filters.texts(name) for name in names}
    for name in set(names) & {"limit", "offset", "ordering", "format", "brief", "fields"}:
        fields.problem(filters.key_place(name), Text("“{key}” is no filter", key=name))
    custom = fields.fields("fields")
    mapped = {setting: title for setting in _MAPPED if (title := custom.text(setting)) is not None}
    custom.done()
    keeping = keeping_of(fields, _KEPT)
    try:
        origin = origin_of(value)
    except EgressFailed as error:
        fields.problem(fields.place("netbox"), error.text, error.hint)
        return None
    if token is None or any(name not in LISTS for name in lists):
        return None
    return NetBoxSource(
        origin=origin,
        place=fields.place("netbox"),
        token=token,
        lists=lists,
        filter=wanted,
        via=fields.text("via") or "via",
        fields=mapped,
        ca=None if ca is None else path_from(ca, folder),
        deadline_s=30.0 if deadline is None else deadline,
        keeping=keeping,
    )
