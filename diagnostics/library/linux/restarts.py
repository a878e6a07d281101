"""Services that systemd starts again and again, by the journal's own records of the last hour.

NRestarts counts since somebody last started the service by hand, which may be a year ago; and asking every service for it
costs the host 15 ms. The record of each restart (v236 and later) has a time, and an index leads to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from diagnostics.library.linux.mountinfo import read_mountinfo
from diagnostics.library.linux.services import SECRETS, UNIT_SHAPE, UnitBlock, unit_blocks, unit_fact, uptime_of
from diagnostics.parsing import ASKING, Source, at, integer, read_sources
from diagnostics.probe import Facts, ParseError, Probe
from remote.answer import Answer
from remote.question import Privilege, Question

_SCRIPT = (
    ASKING
    + "nl='\n'\n"
    + r"""
uptime() { read -r up _idle </proc/uptime && printf '%s\n' "$up"; }
readable() { # a user who may not read the system's journal is shown an empty one
  for file in /run/log/journal/*/system.journal /var/log/journal/*/system.journal; do
    [ ! -r "$file" ] || return 0
  done
  return 1
}
restarts() { # SD_MESSAGE_UNIT_RESTART_SCHEDULED, by systemd itself: of those who may write to the journal none other counts
  readable || { echo 'no system journal that may be read' >&2; return 1; }
  log=$(journalctl -q -b -o json --no-pager -n 60 --output-fields=UNIT,N_RESTARTS \
    MESSAGE_ID=5eb03494b6584870a536b337290809b3 _PID=1) && printf '%s\n' "$log"
}
named() { # the services that are named there, each once, at most ten of them: into $units
  units='' count=0 IFS=$nl
  for line in $log; do
    line=${line#*'"UNIT":"'}
    line=${line%%'"'*}
    case $line in *.service) ;; *) continue ;; esac
    case " $units " in *" $line "*) continue ;; esac
    [ "$count" -lt 10 ] || break
    units="$units $line" count=$((count + 1))
  done
  unset IFS
}
shown() {
  # shellcheck disable=SC2086  # names of services, split on purpose
  systemctl show --no-pager -p Id -p Names -p LoadState -p ActiveState -p SubState -p Result -p ExecMainCode -p ExecMainStatus \
    -p NRestarts -p RequiresMountsFor -p StateChangeTimestampMonotonic -- $units
}
if ! [ -d /run/systemd/system ]; then absent restarts 'systemd as PID 1'
elif ! command -v journalctl >/dev/null; then absent restarts journalctl
else
  log=''
  ask uptime uptime
  ask restarts restarts
  set -f
  named
  if [ "$units" ]; then
    ask units shown
    for unit in $units; do ask "log $unit" journalctl -q -b -n 20 -o cat --no-pager -u "$unit"; done
    ask mountinfo cat /proc/self/mountinfo
  fi
fi
"""
)
_HOUR_S, _MINUTES_S = 3600, 300


@dataclass(frozen=True, slots=True, kw_only=True)
class _Restart:
    unit: str
    since_boot_s: float
    line: int


def parse_restarts(answer: Answer) -> Facts:
    r"""Return the services that were started again by systemd in the last hour, how often, and how each stands now.

    Beside what is told of a failed service: `last_hour` and `last_5_min` count restarts (of more than 60 in an hour, the
    last 60), `last_age_s` is the time since the last one, `state` and `sub_state` are those of now.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_restarts(answered(f'''@longarm {mark[1:]}
    ... {mark} source uptime
    ... 330.51
    ...
    ... {mark} end 0
    ... {mark} source restarts
    ... {{"UNIT":"price-sync.service","N_RESTARTS":"1","__MONOTONIC_TIMESTAMP":"20510000"}}
    ... {{"UNIT":"price-sync.service","N_RESTARTS":"2","__MONOTONIC_TIMESTAMP":"320510000"}}
    ...
    ... {mark} end 0
    ... {mark} source units
    ... Id=price-sync.service
    ... Names=price-sync.service
    ... LoadState=loaded
    ... ActiveState=activating
    ... SubState=auto-restart
    ... Result=exit-code
    ... ExecMainCode=1
    ... ExecMainStatus=3
    ... NRestarts=2
    ... RequiresMountsFor=
    ... StateChangeTimestampMonotonic=320510000
    ...
    ... {mark} end 0
    ... {mark} source log price-sync.service
    ... cannot read /etc/price-sync.conf: No such file or directory
    ...
    ... {mark} end 0
    ... {mark} source mountinfo
    ... 28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> [(one["unit"], one["last_hour"], one["last_5_min"], one["last_age_s"], one["exit_status"]) for one in facts["services"]]
    [('price-sync.service', 2, 1, 10, 3)]
    """
    sources = read_sources("svc.restarts", answer)
    recorded = sources["restarts"].usable()
    uptime_s = uptime_of(sources["uptime"])
    restarts = [one for one in _restarts(recorded) if 0 <= uptime_s - one.since_boot_s <= _HOUR_S]
    if not restarts or "units" not in sources:
        return {"services": []}
    mounts = read_mountinfo(sources["mountinfo"])
    services = []
    for block in unit_blocks(sources["units"].usable()):
        own = [one for one in restarts if one.unit in block["Names"].split()]
        if own and block["LoadState"] == "loaded":
            services.append({**unit_fact(block, sources, mounts, uptime_s), **_counted(own, uptime_s), **_state(block)})
    return {"services": services}


def _restarts(source: Source) -> Iterator[_Restart]:
    for line in source.lines:
        if not line.data:
            continue  # nothing was recorded
        try:
            entry: Any = json.loads(line.data)
            unit, moment = entry["UNIT"], entry["__MONOTONIC_TIMESTAMP"]
        except (ValueError, RecursionError, TypeError, LookupError):
            raise ParseError(source.question, line.data) from None
        if not isinstance(unit, str) or not isinstance(moment, str):
            raise ParseError(source.question, line.data)
        yield _Restart(unit=unit, since_boot_s=integer(source.question, moment) / 1e6, line=line.number)


def _counted(restarts: list[_Restart], uptime_s: float) -> dict[str, Any]:
    """Return how often, and where the last restart stands."""
    ages = [uptime_s - one.since_boot_s for one in restarts]
    last = max(restarts, key=lambda one: one.since_boot_s)
    return {
        "last_hour": len(ages),
        "last_5_min": sum(age <= _MINUTES_S for age in ages),
        "last_age_s": int(min(ages)),
        "first_age_s": int(max(ages)),
        "restarted_at": at("svc.restarts", last.line),
    }


def _state(block: UnitBlock) -> dict[str, Any]:
    return {"state": block["ActiveState"], "sub_state": block["SubState"]}


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="svc.restarts", script=_SCRIPT, deadline_s=15, privilege=Privilege.PREFER_ROOT, calm=True),
        parse=parse_restarts,
        redact=SECRETS,
        summary="Which services systemd had to start again in the last hour, and what they said last",
        shape={
            "services": [
                {
                    **UNIT_SHAPE,
                    "last_hour": "int",
                    "last_5_min": "int",
                    "last_age_s": "int seconds",
                    "first_age_s": "int seconds",
                    "restarted_at": "at",
                    "state": "str",
                    "sub_state": "str",
                }
            ]
        },
    ),
)
