"""How old the lists of Debian packages are: what no list says, no update round installs."""

from __future__ import annotations

from diagnostics.parsing import ASKING, Source, integer, read_sources
from diagnostics.probe import Facts, ParseError, Probe
from remote.answer import Answer
from remote.question import Question

_SCRIPT = (
    ASKING
    + r"""
# apt writes to partial/ whenever it asks; a list gets a new inode where the server had a newer one (its mtime is the server's)
if [ ! -d /var/lib/apt/lists ]; then absent fetched /var/lib/apt/lists
else
  set -- /var/lib/apt/lists/*Release
  [ -e "$1" ] || shift
  ask lists echo "$#"
  [ ! -d /var/lib/apt/lists/partial ] || set -- "$@" /var/lib/apt/lists/partial
  # the first is the clock: what /proc shows of a process was made when it was first looked at, now
  if [ "$#" = 0 ]; then absent fetched 'a list of packages'; else ask fetched stat -c '%Z' /proc/self/ "$@"; fi
fi
"""
)


def parse_lists(answer: Answer) -> Facts:
    """Return how many package lists there are (their Release files), and the seconds since apt last asked for any.

    Raises NothingThere on a host without apt.
    """
    sources = read_sources("pkg.lists", answer)
    if "lists" not in sources:
        sources["fetched"].usable()
    count, fetched = _one(sources["lists"]), sources["fetched"]
    times = [] if fetched.status is None else [integer("pkg.lists", line.data) for line in fetched.usable().lines]
    if fetched.status is not None and not times:
        raise ParseError("pkg.lists", fetched.data)
    # answers of before 25 November 2026 have the clock apart
    clock_s, *changed = [_one(sources["clock"]), *times] if "clock" in sources else times or [0]
    return {
        "lists": count,
        **({"age_s": max(0, clock_s - max(changed))} if changed and count else {}),
        "at": fetched.at if changed else sources["lists"].at,
    }


def _one(source: Source) -> int:
    if len(lines := source.usable().lines) != 1:
        raise ParseError(source.question, source.data)
    return integer(source.question, lines[0].data)


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(id="pkg.lists", script=_SCRIPT, deadline_s=5, calm=True),
        parse=parse_lists,
        summary="How old the lists of Debian packages are",
        shape={"lists": "int", "age_s": "int? seconds", "at": "at"},
    ),
)
