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
from diagnostics.parsing import ASKING, AWK, Source, at, integer, read_sources, unseen
from diagnostics.probe import Facts, ParseError, Probe
from remote.answer import Answer
from remote.question import Privilege, Question

_SCRIPT = (
    ASKING
    + AWK
    + "nl='\n'\n"
    + r"""
uptime() { read -r up _idle </proc/uptime && printf '%s\n' "$up"; }
readable() { # a user who may not read the system's journal is shown an empty one
  for file in /run/log/journal/*/system.journal /var/log/journal/*/system.journal; do
    [ ! -r "$file" ] || return 0
  done
  return 1
}
recorded() { # the last $1 of SD_MESSAGE_UNIT_RESTART_SCHEDULED, by systemd itself: others that may write there do not count
  journalctl -q -b -o json --no-pager -n "$1" --output-fields=UNIT,N_RESTARTS MESSAGE_ID=5eb03494b6584870a536b337290809b3 _PID=1
}
long_ago() { # whether the record $1 is of more than an hour ago
  moment=${1#*'"__MONOTONIC_TIMESTAMP":"'}
  moment=${moment%%'"'*}
  case $moment in '' | *[!0-9]*) return 1 ;; esac
  [ "$((${up%%.*} - moment / 1000000))" -gt 3600 ]
}
crowded() { # whether there are sixty, and all of the last hour: there may be more, and of others
  set -f
  IFS=$nl
  # shellcheck disable=SC2086  # line by line
  set -- $log
  unset IFS
  set +f
  [ "$#" -ge 60 ] && ! long_ago "$1"
}
# shellcheck disable=SC2016  # a program of awk
of_each='# of the last hour the last 60 of each service, of 20 services; whether there are more of either
  { unit = moment = $0
    sub(/.*"UNIT":"/, "", unit)
    sub(/".*/, "", unit)
    sub(/.*"__MONOTONIC_TIMESTAMP":"/, "", moment)
    sub(/".*/, "", moment)
    if (NR == 1) oldest = moment }
  moment + 0 && up - moment / 1000000 > 3600 { next }
  !(unit in many) && ++others > 20 { left++; next }
  { place = unit SUBSEP many[unit]++ % 60
    if (place in at) delete line[at[place]]
    at[place] = NR
    line[NR] = "{\"UNIT\":\"" unit "\",\"__MONOTONIC_TIMESTAMP\":\"" moment "\"}" }
  END {
    for (i = 1; i <= NR; i++) if (i in line) print line[i]
    if (left) print "left out " left
    if (NR >= 4000 && up - oldest / 1000000 < 3600) print "cut"
  }'
restarts() {
  readable || { echo 'no system journal that may be read' >&2; return 1; }
  log=$(recorded 60) || return
  if crowded; then log=$(recorded 4000 | "$awk" -v up="$up" "$of_each") || return; fi
  printf '%s\n' "$log"
}
named() { # the services that are named there for the last hour, each once, at most twenty of them: into $units
  units='' count=0 IFS=$nl
  for line in $log; do
    rest=${line#*'"UNIT":"'}
    rest=${rest%%'"'*}
    case $rest in *.service) ;; *) continue ;; esac
    unit=''
    while :; do # JSON has each backslash twice
      case $rest in *\\\\*) ;; *) break ;; esac
      unit=$unit${rest%%\\\\*}\\
      rest=${rest#*\\\\}
    done
    unit=$unit$rest
    case " $units " in *" $unit "*) continue ;; esac
    ! long_ago "$line" || continue
    [ "$count" -lt 20 ] || break
    units="$units $unit" count=$((count + 1))
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
    count=0
    for unit in $units; do # to ask the journal costs 4 ms each time
      [ "$count" -lt 10 ] || break
      count=$((count + 1))
      ask "log $unit" journalctl -q -b -n 20 -o cat --no-pager -u "$unit"
    done
    ask mountinfo cat /proc/self/mountinfo
  fi
fi
"""
)
_HOUR_S, _MINUTES_S = 3600, 300
_CUT, _LEFT = b"cut", b"left out "


@dataclass(frozen=True, slots=True, kw_only=True)
class _Restart:
    unit: str
    since_boot_s: float
    line: int


def parse_restarts(answer: Answer) -> Facts:
    r"""Return the services that were started again by systemd in the last hour, how often, and how each stands now.

    Beside what is told of a failed service: `last_hour` and `last_5_min` count restarts (of more than 60 in an hour, the
    last 60), `last_age_s` is the time since the last one, `state` and `sub_state` are those of now. `unseen` stands for
    services beyond the first 20, and for what was before the last 4,000 restarts.

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
    blocks = list(unit_blocks(sources["units"].usable())) if restarts and "units" in sources else []
    mounts = read_mountinfo(sources["mountinfo"]) if blocks else ()
    services: list[dict[str, Any]] = []
    for block in blocks:
        own = [one for one in restarts if one.unit in block["Names"].split()]
        if own and block["LoadState"] == "loaded":
            services.append({**unit_fact(block, sources, mounts, uptime_s), **_counted(own, uptime_s), **_state(block)})
    asked = {name for block in blocks for name in block["Names"].split()}
    others = {one.unit for one in restarts if one.unit.endswith(".service")} - asked
    return {"services": [*services, *({"unit": "", **one} for one in _not_seen(recorded, others))]}


def _not_seen(source: Source, others: set[str]) -> Iterator[dict[str, Any]]:
    """Yield what stands for services that were not asked for, and for restarts that the script left out."""
    if others:
        yield unseen(source, f"more services were started again: {' '.join(sorted(others))}")
    for line in source.lines:
        if line.data == _CUT:
            yield unseen(source, "the last 4,000 restarts do not reach back an hour", line.number)
        elif line.data.startswith(_LEFT):
            yield unseen(source, "more than 20 services were started again", line.number)


def _restarts(source: Source) -> Iterator[_Restart]:
    for line in source.lines:
        if not line.data or line.data == _CUT or line.data.startswith(_LEFT):
            continue  # nothing was recorded, or not all is told
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
                    "unseen": "str?",
                }
            ]
        },
    ),
)
