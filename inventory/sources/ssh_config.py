"""ssh_config(5) as a source: the hosts that its Host lines name, reached as ssh would reach them."""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from inventory.errors import InvalidFile, Place, Text
from inventory.fields import Fields
from inventory.host import METHODS
from inventory.jumps import MOST_JUMPS
from inventory.names import shown
from inventory.sources.declared import path_from
from inventory.sources.found import Access, Found, FoundHost, Reading, methods_in
from inventory.sources.proxy_commands import meaning
from inventory.sources.ssh_blocks import Asked, Block, BlockReader, Setting, fits_match
from inventory.sources.ssh_words import fits_host, is_pattern, lower_case
from inventory.stamps import Looked

MAX_HOSTS = 50_000
_LOGIN = frozenset({"gssapiauthentication", "identitiesonly", "preferredauthentications"})
_SINGLE = frozenset({"hostname", "port", "user", "hostkeyalias"}) | _LOGIN
_MANY = frozenset({"identityfile", "certificatefile"})
_PROXY = frozenset({"proxyjump", "proxycommand"})
_TOKEN = re.compile(r"%(.?)")
_NOTHING: Mapping[str, Setting] = MappingProxyType({})


@dataclass(slots=True)
class Effective:
    """What holds for one name: the first value of each keyword, all of those that add up."""

    single: dict[str, Setting] = field(default_factory=dict)
    many: dict[str, list[Setting]] = field(default_factory=dict)
    wants_final: bool = False

    def text(self, keyword: str) -> str | None:
        """Return the value of a keyword that has one, None without it."""
        return self.single[keyword].arguments[0] if keyword in self.single else None


class SshConfig:
    """A configuration that is asked for names; nothing of it is run."""

    def __init__(self, path: Path, files: Looked) -> None:
        self.reader = BlockReader(files)
        self.local_user, self.place = getpass.getuser(), Place(str(path), 1, 1)
        try:
            self.blocks = self.reader.read(path)
        except InvalidFile as error:
            self.blocks = []
            self.reader.problems += error.problems
        self._indexes: dict[int, _Index] = {}

    def names(self) -> dict[str, Place]:
        """Return the names on Host lines that are no patterns, with their places, in their order."""
        names: dict[str, Place] = {}
        for block in self._all(self.blocks):
            for word in block.hosts or ():
                if not is_pattern(word):
                    names.setdefault(word, block.place)
        return names

    def _all(self, blocks: list[Block]) -> Iterator[Block]:
        for block in blocks:
            yield block
            for item in block.items:
                if isinstance(item, list):
                    yield from self._all(item)

    def effective(self, name: str, given: Mapping[str, Setting] = _NOTHING) -> Effective:
        """Return what holds for a name, as `ssh -G` shows it; a second reading serves `Match final`.

        What is `given` holds first, as on ssh's command line.
        """
        found = Effective(single=dict(given))
        self._apply(self.blocks, name, found, None)
        if found.wants_final:  # the second reading asks Host lines for the host that the first one led to
            known = found.single.get("hostname")
            host = lower_case(filled(known.arguments[0], {"h": name}) or known.arguments[0] if known else name)
            place = known.place if known else self.place
            found.single["hostname"] = Setting(place, "hostname", (host.replace("%", "%%"),))
            self._apply(self.blocks, name, found, host)
        return found

    def _apply(self, blocks: list[Block], name: str, found: Effective, final: str | None) -> None:
        index = self._indexes.get(id(blocks)) or self._indexes.setdefault(id(blocks), _Index(blocks))
        for block, named in index.candidates(final or name, name, lambda: self._reached(name, found)):
            if not (named or self._fits(block, name, found, final)):
                continue
            for item in block.items:
                if isinstance(item, list):
                    self._apply(item, name, found, final)
                else:
                    _take(item, found)

    def _reached(self, name: str, found: Effective) -> str:
        """Return the host that would be connected to, as far as is known by now."""
        return filled(found.text("hostname") or name, {"h": name}) or name

    def _fits(self, block: Block, name: str, found: Effective, final: str | None) -> bool:
        if block.hosts is not None:
            return fits_host(final or name, block.hosts)
        if block.criteria is None:
            return True
        found.wants_final |= any(one.name == "final" for one in block.criteria)
        asked = Asked(
            original=name,
            host=self._reached(name, found),
            user=found.text("user") or self.local_user,
            local_user=self.local_user,
            final=final is not None,
        )
        return fits_match(block.criteria, asked)


_PRECISE = frozenset({"host", "originalhost", "user", "localuser", "all"})


class _Index:
    """Blocks by the names of their Host or Match line: of 10,000 hosts each would else be asked for by 10,000 lines."""

    def __init__(self, blocks: list[Block]) -> None:
        self._blocks = blocks
        self._any: list[int] = []
        """Those that may fit any name, by their place among all."""
        self._named: dict[str, list[int]] = {}
        self._original: dict[str, list[int]] = {}
        self._reached: dict[str, list[int]] = {}
        """Of Match host, which is about the HostName by then."""
        for at, block in enumerate(blocks):
            where, names = self._narrow(block)
            if where is None:
                self._any.append(at)
                continue
            for name in dict.fromkeys(names):
                where.setdefault(name, []).append(at)

    def _narrow(self, block: Block) -> tuple[dict[str, list[int]] | None, tuple[str, ...]]:
        """Return where a block stands that is for some names alone, and for which."""
        if block.hosts is not None:
            return (None, ()) if any(map(is_pattern, block.hosts)) else (self._named, block.hosts)
        criteria = block.criteria or ()
        if not {one.name for one in criteria} <= _PRECISE:  # a reading that meets “final” is followed by another
            return None, ()
        for one in criteria:
            names = tuple(one.argument.split(","))
            if one.name in ("host", "originalhost") and not one.negated and not any(map(is_pattern, names)):
                return self._reached if one.name == "host" else self._original, names
        return None, ()

    def candidates(self, name: str, original: str, reached: Callable[[], str]) -> Iterator[tuple[Block, bool]]:
        """Yield the blocks that may fit a name, in their order, and whether they name it.

        `reached` is asked again after each of them: it may have set the HostName.
        """
        named = {*self._named.get(name, ())}
        host = reached()
        waiting = sorted({*self._any, *named, *self._original.get(original, ()), *self._reached.get(host, ())})
        while waiting:
            for seen, at in enumerate(waiting, start=1):
                yield self._blocks[at], at in named
                if (now := reached()) != host:
                    host = now
                    more = {later for later in self._reached.get(host, ()) if later > at}
                    waiting = sorted({*waiting[seen:], *more})
                    break
            else:
                return


def _take(setting: Setting, found: Effective) -> None:
    if setting.keyword in _MANY:
        known = found.many.setdefault(setting.keyword, [])
        if all(setting.arguments[0] != one.arguments[0] for one in known):
            known.append(setting)
    elif setting.keyword in _PROXY:  # whichever comes first
        if not _PROXY & found.single.keys():
            found.single[setting.keyword] = setting
    elif setting.keyword in _SINGLE:
        found.single.setdefault(setting.keyword, setting)


def filled(text: str, tokens: dict[str, str]) -> str | None:
    """Return a text with its tokens filled in; None if it holds one that is not known here.

    >>> filled("%h.example.net", {"h": "web1"}), filled("100%%", {}), filled("%C", {})
    ('web1.example.net', '100%', None)
    """
    known = {"%": "%", **tokens}
    if any(match[1] not in known for match in _TOKEN.finditer(text)):
        return None
    return _TOKEN.sub(lambda match: known[match[1]], text)


@dataclass(frozen=True, slots=True, kw_only=True)
class SshConfigSource:
    """A declared ssh_config."""

    path: Path
    place: Place

    @property
    def title(self) -> str:
        """Return what it is called in messages."""
        return f"ssh_config {self.path}"

    def read(self, reading: Reading) -> Found:
        """Return the hosts that it names."""
        config = SshConfig(self.path, reading.files)
        found = Found(problems=config.reader.problems, notes=config.reader.notes)
        names = {} if found.problems else config.names()
        if len(names) > MAX_HOSTS:
            found.problem(next(iter(names.values())), Text("more than {limit} hosts", limit=MAX_HOSTS))
            return found
        writer = _Writer(config, found, frozenset(map(str.lower, names)))
        for name, place in names.items():
            if (host := found.host(name, place)) is not None:
                writer.describe(host, name)
        return found


@dataclass(frozen=True, slots=True)
class _Writer:
    config: SshConfig
    found: Found
    named: frozenset[str]
    """The names on Host lines, in lower case."""

    def describe(self, host: FoundHost, name: str, given: Mapping[str, Setting] = _NOTHING, jumps: int = 0) -> None:
        """Give a host what ssh would connect to, as whom and through whom; hops that are no host are described too."""
        effective = self.config.effective(name, given)
        tokens = _describe(host, name, effective, self.config, self.found)
        _give_access(host, effective, tokens, self.config, self.found)
        if (jump := effective.single.get("proxyjump")) and jumps <= MOST_JUMPS:
            self._give_way(host, jump, tokens, jumps)
        if (command := effective.single.get("proxycommand")) and jumps <= MOST_JUMPS:
            self._give_proxy(host, command, tokens, jumps)

    def _give_proxy(self, host: FoundHost, command: Setting, tokens: dict[str, str], jumps: int) -> None:
        """Set the proxy or the host that a command really means; one that is a program of its own is said to be left out."""
        text = command.arguments[0]
        if text.lower() == "none":
            return
        if (means := meaning(text)) is None:
            hint = Text("no command of others is run: allow the program and name it in a file of yours, as proxy_command")
            _leave_out(command, "ProxyCommand", self.found, hint)
            return
        if means.left:
            _leave_out(Setting(command.place, command.keyword, (means.left,)), "ProxyCommand", self.found, _SAID_OF_THE_HOP)
        if means.via:
            self._give_way(host, Setting(command.place, "proxyjump", (means.via,)), tokens, jumps)
        else:
            self.found.put_proxy(host, means.proxy, command.place)

    def _give_way(self, host: FoundHost, jump: Setting, tokens: dict[str, str], jumps: int) -> None:
        if (text := filled(jump.arguments[0], {key: tokens[key] for key in "hnpr"})) is None:
            _leave_out(jump, "ProxyJump", self.found, Text("only %h, %n, %p and %r are filled in"))
            return
        for hop, new in self.found.put_way(host, text, jump.place).items():
            if lower_case(hop.name) in self.named:
                continue
            parts = {"user": hop.user, "port": hop.port}
            given = {key: Setting(jump.place, key, (str(value),)) for key, value in parts.items() if value is not None}
            self.describe(new, hop.name, given, jumps + 1)


def _describe(host: FoundHost, name: str, effective: Effective, config: SshConfig, found: Found) -> dict[str, str]:
    """Give a host its address and port, and return what tokens stand for on it."""
    address = name
    if setting := effective.single.get("hostname"):
        address = filled(setting.arguments[0], {"h": name}) or setting.arguments[0]
        found.put_address(host, lower_case(address), setting.place)
    if setting := effective.single.get("port"):
        text = setting.arguments[0]
        if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 65535:
            host.put("port", int(text), setting.place)
        else:
            what = Text("“{key}” must be a whole number from {minimum} to {maximum}", key="Port", minimum=1, maximum=65535)
            found.problem(setting.place, what)
    if setting := effective.single.get("hostkeyalias"):
        found.put_alias(host, filled(setting.arguments[0], {"h": address, "n": name}) or setting.arguments[0], setting.place)
    return {
        "h": address,
        "n": name,
        "p": effective.text("port") or "22",
        "r": effective.text("user") or config.local_user,
        "u": config.local_user,
        "d": str(Path.home()),
    }


def _give_access(host: FoundHost, effective: Effective, tokens: dict[str, str], config: SshConfig, found: Found) -> None:
    keys = [one for one in effective.many.get("identityfile", ()) if one.arguments[0].lower() != "none"]
    usable = [(path, one) for one in keys if (path := filled(one.arguments[0], tokens)) and "${" not in path]
    for one in keys:
        if one not in [setting for _, setting in usable[:1]]:
            _leave_out(one, "IdentityFile", found, _ONE_KEY)
    certificate = _certificate(effective, usable, tokens, found)
    told = [effective.single[keyword] for keyword in sorted(_LOGIN) if keyword in effective.single]
    methods = methods_in(effective.text("preferredauthentications") or "")
    if not methods and "preferredauthentications" in effective.single:
        hint = Text("one of {choices}", choices=", ".join(METHODS))
        _leave_out(effective.single["preferredauthentications"], "PreferredAuthentications", found, hint)
    access = Access(
        user=effective.text("user") or config.local_user,
        key=usable[0][0] if usable else None,
        certificate=certificate,
        only_named=_yes(effective, "identitiesonly"),
        methods=methods,
        tickets=_yes(effective, "gssapiauthentication"),
    )
    said = [effective.single["user"]] if "user" in effective.single else [one for _, one in usable[:1]]
    if said or access.rest:
        found.put_access(host, "ssh", access, (said or told)[0].place)


def _yes(effective: Effective, keyword: str) -> bool:
    return (effective.text(keyword) or "").lower() in ("yes", "true")


def _certificate(effective: Effective, usable: list[tuple[str, Setting]], tokens: dict[str, str], found: Found) -> str | None:
    """Return the certificate of the key; None for the one that lies beside it, and where there is no key for it."""
    files = effective.many.get("certificatefile", [])
    paths = [(path, one) for one in files if usable and (path := filled(one.arguments[0], tokens)) and "${" not in path]
    for one in files:
        if one not in [setting for _, setting in paths[:1]]:
            _leave_out(one, "CertificateFile", found, Text("one certificate for each key"))
    return paths[0][0] if paths and paths[0][0] != f"{usable[0][0]}-cert.pub" else None


def _leave_out(setting: Setting, key: str, found: Found, hint: Text) -> None:
    found.note(setting.place, Text("“{key}” is left out: {text}", key=key, text=shown(setting.arguments[0])), hint)


_SAID_OF_THE_HOP = Text("what is said of the host in between belongs to that host")
_ONE_KEY = Text("one key for each host: name more in a credential of your own, or use the agent")


def declare(fields: Fields, value: str, folder: Path) -> SshConfigSource:
    """Return the configuration that a declaration means."""
    return SshConfigSource(path=path_from(value, folder), place=fields.place("ssh_config"))
