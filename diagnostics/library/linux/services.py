"""Services under systemd: the failed ones with their last words, and those that the inventory expects.

One call for both (`systemctl show` with a state filter for the pattern; names given in full are always shown): asking
for all services instead costs the host a D-Bus call for each of its hundred units.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from diagnostics.library.linux.mountinfo import Mount, mount_point_of, read_mountinfo
from diagnostics.parsing import ASKING, Line, Source, Sources, at, decimal, integer, read_sources
from diagnostics.probe import Facts, ParseError, Probe, Redaction
from remote.answer import Answer
from remote.question import Privilege, Question

_SCRIPT = (
    ASKING
    + "nl='\n'\n"
    + r"""
expected=
set -f
for service in $services; do # a service may also be started by its socket, at the first connection
  case $service in *.*) expected="$expected $service" ;; *) expected="$expected $service.service $service.socket" ;; esac
done
uptime() { read -r up _idle </proc/uptime && printf '%s\n' "$up"; }
expected() {
  # shellcheck disable=SC2086  # names of services, split on purpose
  [ -z "$services" ] || printf '%s\n' $services
}
units() {
  # shellcheck disable=SC2086  # as above
  shown=$(systemctl show --no-pager --state=failed -p Id -p Names -p LoadState -p ActiveState -p SubState -p Type -p Result \
    -p ExecMainCode -p ExecMainStatus -p NRestarts -p UnitFileState -p RequiresMountsFor -p StateChangeTimestampMonotonic \
    '*.service' $expected) && printf '%s\n' "$shown"
}
last_words() { # of at most ten failed services
  count=0 unit='' asked=' '
  IFS=$nl
  for line in $shown; do # a unit's Id stands before its ActiveState
    case $line in Id=*) unit=${line#Id=} ;; esac
    case $line$unit in ActiveState=failed*.service) ;; *) continue ;; esac
    case $asked in *" $unit "*) continue ;; esac # an expected one is shown again
    case $count in 10) break ;; esac
    count=$((count + 1)) asked="$asked$unit "
    ask "log $unit" journalctl -q -b -n 20 -o cat --no-pager -u "$unit"
  done
  unset IFS
}
if [ -d /run/systemd/system ]; then
  ask uptime uptime
  ask expected expected
  ask units units
  case $nl$shown in *"${nl}ActiveState=failed"*)
    if command -v journalctl >/dev/null; then last_words; fi
    ask mountinfo cat /proc/self/mountinfo ;;
  esac
else
  absent units 'systemd as PID 1'
fi
"""
)

_SAYS: dict[str, re.Pattern[str]] = {
    "no_space": re.compile(r"No space left on device|ENOSPC|Disk quota exceeded"),
    "read_only": re.compile(r"Read-only file ?system|EROFS", re.IGNORECASE),
    "no_memory": re.compile(r"Cannot allocate memory|Out of memory|ENOMEM|OOM killer", re.IGNORECASE),
    "no_name": re.compile(
        r"Temporary failure in name resolution|Name or service not known|[Cc]ould not resolve|EAI_AGAIN|host not found in "
    ),
}
"""What a service's last words say of their cause, as libc and most programs put it (strerror(3), gai_strerror(3))."""
_PATH = re.compile(r"(?<![\w./])/[\w.@:+-]+(?:/[\w.@:+-]+)*")
_FRAME = re.compile(
    r"(Starting|Started|Stopping|Stopped|Failed to start|Finished) "
    r"|\S+\.service: (Scheduled restart|Start request|Consumed|Failed with)"
)
_COMPLAINT = re.compile(
    r"\b(fatal|panic|error|failed|cannot|can't|could not|denied|refused|invalid|unable|no such)\b", re.IGNORECASE
)
_WORDS_OF_SYSTEMD = re.compile(_FRAME.pattern + r"|\S+\.service: ")
_USUAL_PORTS = {
    "apache2": ("tcp/80", "tcp/443"),
    "bind9": ("tcp/53", "udp/53"),
    "chrony": ("udp/123",),
    "chronyd": ("udp/123",),
    "dnsmasq": ("tcp/53", "udp/53"),
    "dovecot": ("tcp/143", "tcp/993"),
    "haproxy": ("tcp/80", "tcp/443"),
    "httpd": ("tcp/80", "tcp/443"),
    "mariadb": ("tcp/3306",),
    "mongod": ("tcp/27017",),
    "mysql": ("tcp/3306",),
    "named": ("tcp/53", "udp/53"),
    "nginx": ("tcp/80", "tcp/443"),
    "postfix": ("tcp/25",),
    "postgresql": ("tcp/5432",),
    "rabbitmq-server": ("tcp/5672",),
    "redis": ("tcp/6379",),
    "redis-server": ("tcp/6379",),
    "slapd": ("tcp/389", "tcp/636"),
    "smbd": ("tcp/445",),
    "ssh": ("tcp/22",),
    "sshd": ("tcp/22",),
    "unbound": ("tcp/53", "udp/53"),
}
"""Where services listen by default (IANA's service names and the packages' own defaults): a hint for causes, no proof."""
_RUNNING = frozenset({"active", "reloading", "refreshing"})
SECRETS = (
    Redaction(pattern=re.compile(rb"(?i)(?:password|passwd|pwd|secret|token|api[_-]?key)[\"']?\s*[=:]\s*(?P<secret>[^\s,;]+)")),
    # a length, or each of many such beginnings would be followed to the end of the answer: 24 KB took 2.7 s
    Redaction(pattern=re.compile(rb"://[^\s:/@]*:(?P<secret>[^\s@]{1,500})@")),
)


def parse_units(answer: Answer) -> Facts:
    r"""Return the failed services with why and where they keep their files, and how each expected service stands.

    The properties are those of systemctl(1) show; `mounts` are the mount points under the paths that systemd says the
    unit needs (RequiresMountsFor, which holds its working, state, log and cache directories) or that stand in a line
    of its log about a full or read-only filesystem. What the log says (`no_space` and the like) is left out where no log
    could be read. Expected are the names that the question was given.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_units(answered(f'''@longarm {mark[1:]}
    ... {mark} source uptime
    ... 90.51
    ...
    ... {mark} end 0
    ... {mark} source expected
    ... ssh
    ...
    ... {mark} end 0
    ... {mark} source units
    ... Type=notify
    ... Result=success
    ... NRestarts=0
    ... ExecMainCode=0
    ... ExecMainStatus=0
    ... Id=ssh.service
    ... Names=ssh.service sshd.service
    ... RequiresMountsFor=/run/sshd
    ... LoadState=loaded
    ... ActiveState=active
    ... SubState=running
    ... UnitFileState=enabled
    ... StateChangeTimestampMonotonic=26845950
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> facts["failed"], [(item["service"], item["running"], item["enabled"]) for item in facts["expected"]]
    ([], [('ssh', True, True)])
    """
    sources = read_sources("svc.units", answer)
    units = sources["units"].usable()
    uptime_s = uptime_of(sources["uptime"])
    blocks = list(unit_blocks(units))
    failed = [block for block in blocks if _is_failed(block)]
    mounts = read_mountinfo(sources["mountinfo"]) if failed else ()
    names = [line.text for line in sources["expected"].usable().lines]
    return {
        "failed": [unit_fact(block, sources, mounts, uptime_s) for block in failed],
        "expected": [_expected_fact(name, blocks) for name in names],
    }


def uptime_of(source: Source) -> float:
    """Return the seconds since the boot that a source printed as its only line."""
    if len(lines := source.usable().lines) != 1:
        raise ParseError(source.question, source.data)
    return decimal(source.question, lines[0].data)


class UnitBlock(dict[str, str]):
    """The properties of one unit and the lines they stand on."""

    first: int
    last: int


def unit_blocks(source: Source) -> Iterator[UnitBlock]:
    """Yield the properties of each unit, once; units are apart by an empty line."""
    seen: set[str] = set()
    lines: list[Line] = []
    for line in (*source.lines, Line(0, b"")):
        if line.data:
            lines.append(line)
        elif lines:
            block = _block(source.question, lines)
            lines = []
            if block["Id"] not in seen:
                seen.add(block["Id"])
                yield block


def _block(question: str, lines: list[Line]) -> UnitBlock:
    block = UnitBlock()
    block.first, block.last = lines[0].number, lines[-1].number
    for line in lines:
        name, equals, value = line.text.partition("=")
        if not equals or name in block:
            raise ParseError(question, line.data)
        block[name] = value
    for name in ("Id", "Names", "LoadState", "ActiveState", "SubState"):
        if not block.get(name):
            raise ParseError(question, lines[0].data)
    return block


def _is_failed(block: UnitBlock) -> bool:
    """Return whether this is a service that failed; a unit whose file is gone (not-found) has nothing left to repair."""
    return block["Id"].endswith(".service") and block["ActiveState"] == "failed" and block["LoadState"] == "loaded"


def unit_fact(block: UnitBlock, sources: Sources, mounts: tuple[Mount, ...], uptime_s: float) -> dict[str, Any]:
    """Return how a unit ended last and since when, where it keeps its files, and what its log says of that."""
    seen = _log(sources, block["Id"])
    log = seen or []
    says = {name: [line for line in log if pattern.search(line.text)] for name, pattern in _SAYS.items()}
    telling = says["no_space"] + says["read_only"]
    paths = [*_paths(block.get("RequiresMountsFor", "")), *(path for line in telling for path in _PATH.findall(line.text))]
    own = [line for line in log if not _WORDS_OF_SYSTEMD.match(line.text)]
    complaints = [line for line in own if _COMPLAINT.search(line.text)]
    reasons = [line for line in log if not _FRAME.match(line.text)]
    decisive = next((lines[-1] for lines in (*says.values(), complaints, own, reasons, log) if lines), None)
    place = at(sources.question, block.first, block.last)
    return {
        "unit": block["Id"],
        "result": block.get("Result", ""),
        **_ended(sources.question, block),
        **({"restarts": integer(sources.question, block["NRestarts"])} if "NRestarts" in block else {}),
        "age_s": max(0, int(uptime_s - integer(sources.question, block.get("StateChangeTimestampMonotonic", "")) / 1e6)),
        "mounts": sorted({mount_point_of(path, mounts) for path in paths}),
        **({} if seen is None else {name: bool(lines) for name, lines in says.items()}),
        "usual_ports": _usual_ports(block["Id"]),
        "last_words": decisive.text[:300] if decisive else "",
        "words_at": at(sources.question, decisive.number) if decisive else place,
        "at": place,
    }


def _ended(question: str, block: UnitBlock) -> dict[str, int]:
    """Return how the main process ended (waitid(2): 1 exited, 2 killed, 3 dumped core), nothing where it never ran."""
    code, status = block.get("ExecMainCode", "0"), block.get("ExecMainStatus", "0")
    match code:
        case "1":
            return {"exit_status": integer(question, status)}
        case "2" | "3":
            return {"signal": integer(question, status)}
    return {}


def _log(sources: Sources, unit: str) -> list[Line] | None:
    """Return the last lines of a unit's journal; None where there is no journal, or nothing in it that this user may read.

    A service that failed in this boot has at least systemd's own words there: an empty journal is one that was not seen.
    """
    source = sources.found.get(f"log {unit}")
    lines = [line for line in source.lines if line.data.strip()] if source is not None and source.status == 0 else []
    return lines or None


def _paths(value: str) -> list[str]:
    """Return the absolute paths of a property; one with blanks is quoted.

    >>> _paths('/var/lib/postgresql/15/main "/srv/my data"')
    ['/var/lib/postgresql/15/main', '/srv/my data']
    """
    return [path for pair in re.findall(r'"([^"]*)"|(\S+)', value) if (path := "".join(pair)).startswith("/")]


def _usual_ports(unit: str) -> list[str]:
    """Return the ports of a service or of an instance of it.

    >>> _usual_ports("postgresql@15-main.service")
    ['tcp/5432']
    """
    return list(_USUAL_PORTS.get(unit.removesuffix(".service").partition("@")[0], ()))


def _expected_fact(service: str, blocks: list[UnitBlock]) -> dict[str, Any]:
    """Return how an expected service stands; its socket may stand in for it."""
    unit = service if "." in service else f"{service}.service"
    found = next((block for block in blocks if unit in block["Names"].split()), None)
    if found is None:
        raise ParseError("svc.units", f"{unit} was asked for and is not there".encode())
    socket = next((block for block in blocks if f"{service}.socket" in block["Names"].split()), None)
    by_socket = socket is not None and socket["ActiveState"] == "active"
    block = socket if socket is not None and by_socket and found["ActiveState"] not in _RUNNING else found
    return {
        "service": service,
        "unit": found["Id"],
        "installed": found["LoadState"] != "not-found",
        "state": found["ActiveState"],
        "sub_state": found["SubState"],
        "running": found["ActiveState"] in _RUNNING or by_socket,
        "usual_ports": _usual_ports(found["Id"]),
        "unit_file": block.get("UnitFileState", ""),
        "enabled": block.get("UnitFileState", "") not in ("disabled", "masked", "masked-runtime"),
        "at": at("svc.units", block.first, block.last),
    }


UNIT_SHAPE = {
    "unit": "str",
    "result": "str",
    "exit_status": "int?",
    "signal": "int?",
    "restarts": "int?",
    "age_s": "int seconds",
    "mounts": ["str"],
    "no_space": "bool?",
    "read_only": "bool?",
    "no_memory": "bool?",
    "no_name": "bool?",
    "usual_ports": ["str"],
    "last_words": "str",
    "words_at": "at",
    "at": "at",
}
"""What `unit_fact` returns."""

PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(
            id="svc.units",
            script=_SCRIPT,
            deadline_s=15,
            privilege=Privilege.PREFER_ROOT,
            variables=(("services", ""),),
            calm=True,
        ),
        parse=parse_units,
        redact=SECRETS,
        summary="Which services failed and what they said last, and whether the expected ones run",
        shape={
            "failed": [UNIT_SHAPE],
            "expected": [
                {
                    "service": "str",
                    "unit": "str",
                    "installed": "bool",
                    "state": "str",
                    "sub_state": "str",
                    "running": "bool",
                    "usual_ports": ["str"],
                    "unit_file": "str",
                    "enabled": "bool",
                    "at": "at",
                }
            ],
        },
    ),
)
