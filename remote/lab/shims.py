"""Commands of a practice host: small scripts that say what a real host said to the same arguments, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from remote.bundle.script import quote

NOT_TAUGHT = 127
"""How a command ends that this host has, with arguments that nobody captured."""
ANSWERS = "/.scenario/answers"
OWN = "/.scenario/own"
"""Where the machine's own programs are that a command of the scenario stands before."""
MOUNTS = "/.scenario/mountinfo"

CAT = f"""#!/bin/sh
# What the kernel shows to each process is its own: of the mounts this host shows those of its scenario.
for file; do
  shift
  case $file in /proc/self/mountinfo) file={MOUNTS} ;; esac
  set -- "$@" "$file"
done
exec {OWN}/cat "$@"
"""
LS = f"""#!/bin/sh
# What a scenario put here is a hole on the machine that it plays on; this host counts it as if it were all there.
[ "$1" = -sk ] || exec {OWN}/ls "$@"
shift
for file; do
  echo "$(($({OWN}/stat -c %s "$file") / 1024)) $file"
done
"""
SUDO_REFUSES = """#!/bin/sh
echo 'sudo: a password is required' >&2
exit 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripted:
    """What a command says to some arguments."""

    command: str
    arguments: tuple[str, ...]
    more: bool = False
    """Whether any further arguments may follow: names of units, say, of which the captured ones are told."""
    stdout: str = ""
    stderr: str = ""
    exit_status: int = 0
    once_gone: tuple[str, ...] = ()
    """It says so once all of these files are gone."""


def commands(scripted: Iterable[Scripted], *, own: Iterable[str], silent: Iterable[str]) -> dict[str, Any]:
    """Return the files of the scenario that make its commands.

    A command in `own` hands what nobody captured to the machine's own program; those in `silent` are on the host and were
    never asked.
    """
    by_name: dict[str, list[Scripted]] = {name: [] for name in silent}
    for one in scripted:
        by_name.setdefault(one.command, []).append(one)
    files: dict[str, Any] = {}
    for name, answers in by_name.items():
        files[f"/usr/bin/{name}"] = {"text": _script(name, answers, own=name in own), "mode": 0o755}
        for number, one in enumerate(answers):
            files |= {f"{ANSWERS}/{name}.{number}.{way}": {"text": text} for way, text in _ways(one).items()}
    return files


def _ways(one: Scripted) -> Mapping[str, str]:
    return {way: text for way, text in (("out", one.stdout), ("err", one.stderr)) if text}


def _script(name: str, answers: list[Scripted], *, own: bool) -> str:
    cases = "\n".join(line for number, one in enumerate(answers) if not one.once_gone for line in _case(name, number, one))
    later = [line for number, one in enumerate(answers) if one.once_gone for line in _later(name, number, one)]
    last = (
        f'exec {OWN}/{name} "$@"'
        if own
        else f"""printf 'practice host: not captured: {name} %s\\n' "$*" >&2\nexit {NOT_TAUGHT}"""
    )
    asked = f'case "$#:$*" in\n{cases}\nesac\n' if cases else ""
    return "".join(("#!/bin/sh\n", *later, asked, last, "\n"))


def _later(name: str, number: int, one: Scripted) -> Iterator[str]:
    gone = " && ".join(f"[ ! -e {quote(path)} ]" for path in one.once_gone)
    yield from (f'{gone} && case "$#:$*" in\n', *(f"{line}\n" for line in _case(name, number, one)), "esac\n")


def _case(name: str, number: int, one: Scripted) -> Iterator[str]:
    words = " ".join(one.arguments)
    pattern = f"*:{quote(words + ' ' if words else '')}*" if one.more else quote(f"{len(one.arguments)}:{words}")
    said = [f"{OWN}/cat {ANSWERS}/{name}.{number}.{way}{' >&2' if way == 'err' else ''}; " for way in _ways(one)]
    yield f"{pattern}) {''.join(said)}exit {one.exit_status} ;;"
