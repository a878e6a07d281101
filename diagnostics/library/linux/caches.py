"""Caches that programs go by and that lack what they were made from."""

from __future__ import annotations

import re
from typing import Any

from diagnostics.parsing import ASKING, Line, Source, at, integer, read_sources
from diagnostics.probe import Facts, NothingThere, ParseError, Probe
from remote.answer import Answer
from remote.question import Privilege, Question

_SCRIPT = (
    ASKING
    + r"""
made() { if [ -e "$1" ]; then stat -c %Y "$1"; else echo -; fi; }
newest() { # of these folders and what lies in them: the seconds of the last change
  find "$@" -maxdepth 2 -type d -exec stat -c %Y {} + | sort -rn | head -n 1
}
libraries() { # those in ldconfig's folders that it does not know by name: their count, and the first ones
  known=$(ldconfig -p) || return
  missing='' count=0
  for file in /etc/ld.so.conf /etc/ld.so.conf.d/*.conf; do
    [ -f "$file" ] || continue
    while read -r folder; do
      case $folder in /*) ;; *) continue ;; esac
      for library in "$folder"/lib*.so.[0-9] "$folder"/lib*.so.[0-9][0-9]; do
        [ -f "$library" ] || continue
        name=${library##*/}
        case "$known $missing " in *"	$name ("* | *" $name "*) continue ;; esac
        real=$(readlink -f "$library")
        same=$(printf '%s\n' "$known" | sed -n "s/^	${name%%.so.*}[.]so[.].* => //p" | while read -r path; do
          [ "$(readlink -f "$path")" != "$real" ] || echo yes
        done)
        [ -z "$same" ] || continue # it is known by the name that it has itself
        count=$((count + 1))
        [ "$count" -gt 10 ] || missing="$missing $name"
      done
    done <"$file"
  done
  printf 'libraries %s%s\n' "$count" "$missing"
}
dated() { # name, when it was made (- where it is not there), when its sources last changed
  if command -v fc-cache >/dev/null && [ -d /usr/share/fonts ]; then
    made=$(made /var/cache/fontconfig)
    printf 'fonts %s %s\n' "$made" "$(newest /usr/share/fonts)"
  fi
  if command -v update-desktop-database >/dev/null && [ -d /usr/share/applications ]; then
    made=$(made /usr/share/applications/mimeinfo.cache)
    newest=$(find /usr/share/applications -name '*.desktop' -exec stat -c %Y {} + | sort -rn | head -n 1)
    printf 'applications %s %s\n' "$made" "${newest:-0}"
  fi
  if command -v gtk-update-icon-cache >/dev/null && [ -d /usr/share/icons/hicolor ]; then
    made=$(made /usr/share/icons/hicolor/icon-theme.cache)
    printf 'icons %s %s\n' "$made" "$(newest /usr/share/icons/hicolor)"
  fi
}
if command -v ldconfig >/dev/null && [ -f /etc/ld.so.conf ]; then ask libraries libraries; else absent libraries ldconfig; fi
ask times dated
"""
)
_LIBRARIES = re.compile(r"libraries (\d+)((?: \S+)*)")
_TIMES = re.compile(rb"(fonts|applications|icons) (\d+|-) (\d+)")


def parse_caches(answer: Answer) -> Facts:
    r"""Return the caches of this host with whether they lack what they were made from, or were never made.

    That of the libraries is compared by name (`missing`): times say nothing where a host was copied. The others are stale
    where a folder or file has changed since. Raises NothingThere where the host makes none.

    >>> from remote.answer import answered
    >>> mark = "@0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"
    >>> facts = parse_caches(answered(f'''@longarm {mark[1:]}
    ... {mark} source libraries
    ... libraries 1 libshop.so.1
    ...
    ... {mark} end 0
    ... {mark} source times
    ... fonts - 1796010000
    ...
    ... {mark} end 0
    ... '''.encode()))
    >>> [(one["cache"], one["stale"], one["missing"]) for one in facts["caches"]]
    [('libraries', True, 'libshop.so.1'), ('fonts', True, '')]
    """
    sources = read_sources("cache.age", answer)
    caches = [_cache(line) for line in sources["times"].usable().lines]
    if sources["libraries"].status is not None:
        caches.insert(0, _libraries(sources["libraries"].usable()))
    if not caches:
        raise NothingThere("cache.age", "ldconfig, fc-cache, update-desktop-database or gtk-update-icon-cache")
    return {"caches": caches}


def _libraries(source: Source) -> dict[str, Any]:
    if len(source.lines) != 1 or not (match := _LIBRARIES.fullmatch(source.lines[0].text)):
        raise ParseError(source.question, source.data)
    missing, count = match[2].split(), integer(source.question, match[1].encode())
    return {
        "cache": "libraries",
        "there": True,
        "stale": count > 0,
        "missing": ", ".join(missing) + (", …" if count > len(missing) else ""),
        "behind_s": 0,
        "at": source.at,
    }


def _cache(line: Line) -> dict[str, Any]:
    if not (match := _TIMES.fullmatch(line.data)):
        raise ParseError("cache.age", line.data)
    sources_s = integer("cache.age", match[3])
    made_s = None if match[2] == b"-" else integer("cache.age", match[2])
    return {
        "cache": match[1].decode(),
        "there": made_s is not None,
        "stale": made_s is None or made_s < sources_s,
        "missing": "",
        "behind_s": 0 if made_s is None else max(0, sources_s - made_s),
        "at": at("cache.age", line.number),
    }


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="cache.age", script=_SCRIPT, deadline_s=10, privilege=Privilege.PREFER_ROOT, calm=True),
        parse=parse_caches,
        summary="Whether the caches of libraries, fonts, applications and icons lack what they were made from",
        shape={
            "caches": [
                {"cache": "str", "there": "bool", "stale": "bool", "missing": "str", "behind_s": "int seconds", "at": "at"}
            ]
        },
    ),
)
