"""Logins over SSH: those that failed, and what the server would let in."""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime
from typing import Any

from diagnostics.parsing import ASKING, AWK, Line, Source, at, integer, read_sources, text_of, unseen
from diagnostics.probe import Facts, ParseError, Probe
from remote.answer import Answer
from remote.question import Privilege, Question

_AUTH_SCRIPT = (
    ASKING
    + AWK
    + "nl='\n'\n"
    + r"""
# Names stay on the host (people type passwords there): only addresses, hours and how often.
# shellcheck disable=SC2016  # a program of awk
told='END { for (group in count) print count[group], group }'
clock() { # and of each record when it was last written to, and how much it holds
  # shellcheck disable=SC2086  # names without blanks
  seen=$(stat -c '%Z %Y %s %n' /proc/self/ $records) || return
  now=${seen%% *}
  printf '%s\n' "$now"
}
late() { # the records into which something was written in the last day, the latest at the end: in $late, which hold $bytes
  late='' bytes=0 IFS=$nl
  for line in ${seen#*"$nl"}; do
    IFS=' '
    # shellcheck disable=SC2086  # CHANGED WRITTEN BYTES NAME
    set -- $line
    [ "$2" -gt "$((now - 86400))" ] || continue
    case $4 in
      *.[a-z]*) echo "packed $4" ;;
      *) late="$4 $late" bytes=$((bytes + $3)) ;;
    esac
  done
  unset IFS
}
record() { # their last 2,000 entries, of 384 or 400 bytes (utmp(5)); times are UTC
  late
  [ -n "$late" ] || return 0
  # shellcheck disable=SC2086  # as above
  set -- $late
  for file; do
    [ -r "$file" ] || { echo '/var/log/btmp may not be read' >&2; return 1; }
  done
  if [ "$bytes" -gt 768000 ]; then
    echo cut
    dumped=$(tail -q -c 768000 "$@" | tail -c 768000 | utmpdump) || return
  elif [ "$#" = 1 ]; then dumped=$(utmpdump <"$1") || return
  else dumped=$(cat "$@" | utmpdump) || return
  fi
  # shellcheck disable=SC2016  # as above
  [ -z "$dumped" ] || printf '%s\n' "$dumped" | "$awk" '
    /^\[[67]\] / && match($0, /\[[0-9a-fA-F.:]* *\] \[....-..-..T..:[^]]*\]$/) {
      address = hour = substr($0, RSTART + 1)
      sub(/ *\] .*/, "", address)
      sub(/.* \[/, "", hour)
      count[substr(hour, 1, 13) " " address]++
    }'"$told"
}
journal() { # who may not read the system's journal is shown his own, and told nothing
  seen=no
  for file in /var/log/journal/*/system.journal /run/log/journal/*/system.journal; do
    [ ! -r "$file" ] || seen=yes
  done
  [ "$seen" = yes ] || { echo "the system's journal may not be read" >&2; return 1; }
  said=$(journalctl -q --no-pager -o cat -n 2000 --since=-24h -t sshd -t sshd-session -g '^Failed [a-z/-]+ for ') || {
    ended=$?
    [ "$ended" = 1 ] || return "$ended" # 1: nothing matches (journalctl(1), systemd 237)
  }
  # shellcheck disable=SC2016  # as above
  [ -z "$said" ] || printf '%s\n' "$said" | "$awk" '
    /^Failed / && match($0, / from [^ ]* port [0-9]* ssh2$/) {
      split(substr($0, RSTART + 1), word, " ")
      count["last-24-hours " word[2]]++
    }
    END { if (NR >= 2000) print "cut" }'"$told"
}
# btmp that was never written may belong to a server that keeps its own log only
records=''
for file in /var/log/btmp /var/log/btmp[.-][0-9]*; do
  [ ! -s "$file" ] || records="$records $file"
done
if [ -n "$records" ] && command -v utmpdump >/dev/null; then
  ask clock clock
  ask record record
  absent journal 'no need: failed logins are recorded in /var/log/btmp'
else
  absent record 'failed logins in /var/log/btmp, or utmpdump'
  if command -v journalctl >/dev/null; then ask journal journal; else absent journal journalctl; fi
fi
"""
)
_GROUP = re.compile(rb" *(?P<count>\d{1,7}) (?P<hour>last-24-hours|\d{4}-\d\d-\d\dT\d\d) (?P<address>[0-9a-fA-F.:]+)")
_CUT, _PACKED = b"cut", b"packed "
_DAY_S = 24 * 3600


def parse_auth(answer: Answer) -> Facts:
    r"""Return from which addresses logins with a password failed in the last 24 hours (whole hours), and how often.

    The record of failed logins (/var/log/btmp and what was made of it by rotation, the last 2,000) comes first, else sshd's
    words in the journal. The figure is of records: OpenSSH 9.2 writes two for a try with a name that the host does not
    know. The address is empty where somebody failed at the console. `most`: from one address; `cut`: there were more than
    2,000 in these 24 hours, an item that is `unseen` stands for the others, as for a record that was packed.
    Raises NothingThere where a host keeps neither.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_auth(answered(f'''@longarm {mark[1:]}
    ... {mark} source clock
    ... 1795622400
    ...
    ... {mark} end 0
    ... {mark} source record
    ...     131 2026-11-25T11 203.0.113.7
    ...      12 2026-11-25T10 203.0.113.7
    ...       4 2026-11-20T10 198.51.100.2
    ...
    ... {mark} end 0
    ... {mark} absent journal no need
    ... '''.encode()))
    >>> [(item["address"], item["failures"]) for item in facts["sources"]], facts["failures"]
    ([('203.0.113.7', 143)], 143)
    """
    sources = read_sources("sec.auth", answer)
    record, journal = sources["record"], sources["journal"]
    source = journal if record.status is None else record
    since_s = 0 if record.status is None else _clock_s(sources["clock"]) - _DAY_S
    by_address: dict[str, list[tuple[int, int]]] = {}
    lines = [line for line in source.usable().lines if line.data]
    packed = [line for line in lines if line.data.startswith(_PACKED)]
    groups = [(line, *_group(line)) for line in lines if line.data != _CUT and line not in packed]
    reaches_back = any(hour_s is not None and hour_s <= since_s for _, _, _, hour_s in groups)
    cut = [line for line in lines if line.data == _CUT and not reaches_back]
    for line, address, count, hour_s in groups:
        if hour_s is None or hour_s + 3600 > since_s:
            by_address.setdefault(address, []).append((count, line.number))
    seen = [{"address": address, **_summed(own)} for address, own in by_address.items()]
    return {
        "failures": sum(one["failures"] for one in seen),
        "most": max((one["failures"] for one in seen), default=0),
        "cut": bool(cut),
        "sources": [
            *seen,
            *(unseen(source, "the last 2,000 failures do not reach back a day", line.number) for line in cut),
            *(unseen(source, f"{line.text.removeprefix('packed ')} is packed", line.number) for line in packed),
        ],
    }


def _summed(groups: list[tuple[int, int]]) -> dict[str, Any]:
    return {"failures": sum(count for count, _ in groups), "at": at("sec.auth", max(groups)[1])}


def _clock_s(source: Source) -> int:
    if len(lines := source.usable().lines) != 1:
        raise ParseError(source.question, source.data)
    return integer(source.question, lines[0].data)


def _group(line: Line) -> tuple[str, int, int | None]:
    """Return address (empty: the console), count, and the hour in seconds since 1970; None: the last 24 hours."""
    if not (match := _GROUP.fullmatch(line.data)):
        raise ParseError("sec.auth", line.data)
    try:
        address = ipaddress.ip_address(match["address"].decode())
        hour = None if match["hour"] == b"last-24-hours" else datetime.fromisoformat(match["hour"].decode() + ":00+00:00")
    except ValueError:
        raise ParseError("sec.auth", line.data) from None
    shown = "" if address.is_unspecified else str(getattr(address, "ipv4_mapped", None) or address)
    return shown, integer("sec.auth", match["count"]), None if hour is None else int(hour.timestamp())


_SSHD_SCRIPT = (
    ASKING
    + r"""
# as root from an address of nobody's (RFC 5737) would find it, Match blocks included; only what is judged comes back
settings() {
  said=$(sshd -T -C user=root,host=longarm.invalid,addr=203.0.113.1) || return
  printf '%s\n' "$said" |
    sed -n '/^permitrootlogin /p; /^passwordauthentication /p; /^kbdinteractiveauthentication /p
/^challengeresponseauthentication /p; /^permitemptypasswords /p'
}
# of the password only whether there is one: set, locked or empty
root_password() {
  while IFS=: read -r name password _rest; do
    [ "$name" = root ] || continue
    case $password in '') echo empty ;; '!'* | '*'*) echo locked ;; *) echo set ;; esac
    return
  done </etc/shadow
  return 1
}
if command -v sshd >/dev/null; then ask settings settings; else absent settings sshd; fi
if [ -e /etc/shadow ]; then ask root_password root_password; else absent root_password /etc/shadow; fi
"""
)
_SETTING = re.compile(rb"([a-z]+) ([a-z-]+)")


def parse_sshd(answer: Answer) -> Facts:
    r"""Return what OpenSSH's server lets in, as it reads its own configuration (sshd -T), for root from anywhere.

    `root_password_login`: root may log in with a password, as far as the server is concerned. `root_password` is `set`,
    `locked` or `empty`, and left out where it may not be seen. Raises NothingThere without OpenSSH's server.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_sshd(answered(f'''@longarm {mark[1:]}
    ... {mark} source settings
    ... permitrootlogin yes
    ... passwordauthentication yes
    ... kbdinteractiveauthentication no
    ... permitemptypasswords no
    ...
    ... {mark} end 0
    ... {mark} source root_password
    ... set
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> facts["root_password_login"], facts["root_password"], facts["empty_passwords"]
    (True, 'set', False)
    """
    sources = read_sources("sec.sshd", answer)
    source = sources["settings"].usable()
    said: dict[str, str] = {}
    for line in source.lines:
        if not (match := _SETTING.fullmatch(line.data)):
            raise ParseError("sec.sshd", line.data)
        said[match[1].decode()] = match[2].decode()
    if not {"permitrootlogin", "passwordauthentication", "permitemptypasswords"} <= set(said):
        raise ParseError("sec.sshd", source.data)
    asks = said.get("kbdinteractiveauthentication", said.get("challengeresponseauthentication", "no"))
    passwords = "yes" in (said["passwordauthentication"], asks)
    return {
        "root_login": said["permitrootlogin"],
        "passwords": passwords,
        "root_password_login": said["permitrootlogin"] == "yes" and passwords,
        "empty_passwords": said["permitemptypasswords"] == "yes" and passwords,
        **_root_password(sources["root_password"]),
        "at": source.at,
    }


def _root_password(source: Source) -> dict[str, str]:
    if source.status != 0:
        return {}
    if source.data.strip() not in (b"set", b"locked", b"empty"):
        raise ParseError(source.question, source.data)
    return {"root_password": text_of(source.data.strip())}


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="sec.auth", script=_AUTH_SCRIPT, deadline_s=15, privilege=Privilege.PREFER_ROOT, calm=True),
        parse=parse_auth,
        summary="From which addresses logins with a password failed in the last 24 hours",
        shape={
            "failures": "int",
            "most": "int",
            "cut": "bool",
            "sources": [{"address": "str", "failures": "int", "unseen": "str?", "at": "at"}],
        },
    ),
    Probe(
        question=Question(id="sec.sshd", script=_SSHD_SCRIPT, deadline_s=10, privilege=Privilege.PREFER_ROOT, calm=True),
        parse=parse_sshd,
        summary="What the SSH server lets in: root with a password, empty passwords",
        shape={
            "root_login": "str",
            "passwords": "bool",
            "root_password_login": "bool",
            "empty_passwords": "bool",
            "root_password": "str?",
            "at": "at",
        },
    ),
)
