"""`python -m bench.questions`: what each question of the standard playbook costs the host that is asked, on this machine.

CPU, user and system, of the shell and of all that it started, orphans included: alone (the question's script and nothing
else), and inside a bundle (what it adds to a bundle that asks one question which costs nothing). Medians of rounds in which
all questions take turns, so that a busy moment of the machine meets none of them alone. What a question makes others do
(systemd behind D-Bus, the kernel's own threads) is not in it.

Given a folder with another version of longarm, its questions take turns with ours, each column twice.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import selectors
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from diagnostics.library import load_library
from inventory.host import Expectations
from playbooks.load import find_playbook
from playbooks.model import DEFAULT_PLAYBOOK
from remote.bundle.exchange import BundleExchange
from remote.bundle.script import quote
from remote.question import Privilege, Question

SHELLS = {"dash": ("dash",), "ash": ("busybox", "ash"), "bash": ("bash",)}
NOTHING = Question(id="nothing", script="true")
WHOLE = "all in one bundle"
_PR_SET_CHILD_SUBREAPER = 36
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The questions of one version of longarm, in the order in which it asks them."""

    name: str
    questions: tuple[Question, ...]


@dataclass(slots=True)
class Costs:
    """Milliseconds of CPU, round by round, by what was asked: for each question alone, and added to a bundle."""

    alone: dict[str, list[float]] = field(default_factory=dict)
    added: dict[str, list[float]] = field(default_factory=dict)


def standard_questions() -> tuple[Question, ...]:
    """Return what `diagnose` asks of a Linux host without expectations."""
    return load_library().questions(find_playbook(DEFAULT_PLAYBOOK).checks, "linux", Expectations())


def questions_of(folder: Path) -> tuple[Question, ...]:
    """Return what the version in `folder` asks, told by that version itself."""
    text = (
        "import json; from bench.canned import standard_questions as all; "
        "print(json.dumps([[q.id, q.script, q.deadline_s, q.max_bytes, q.privilege, q.variables, getattr(q, 'calm', False), "
        "getattr(q, 'sleeps', False)] for q in all()]))"
    )
    said = subprocess.run([sys.executable, "-c", text], cwd=folder, check=True, capture_output=True).stdout
    return tuple(
        Question(
            id=name,
            script=script,
            deadline_s=deadline_s,
            max_bytes=max_bytes,
            privilege=Privilege(privilege),
            variables=tuple((key, value) for key, value in variables),
            calm=calm,
            sleeps=sleeps,
        )
        for name, script, deadline_s, max_bytes, privilege, variables, calm, sleeps in json.loads(said)
    )


def cpu_ms(run: Callable[[], None]) -> float:
    """Return the milliseconds of CPU of all processes that `run` starts; those that it leaves behind come to us."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def alone(shell: Sequence[str], question: Question) -> None:
    """Run the script of a question, and nothing else."""
    given = "".join(f"{name}={quote(value)}\n" for name, value in question.variables)
    subprocess.run([*shell, "-s"], input=(given + question.script).encode(), capture_output=True, check=False, env=_ENVIRONMENT)


def bundled(shell: Sequence[str], questions: Sequence[Question]) -> None:
    """Ask questions as a session asks them; each must have ended by itself."""
    exchange = BundleExchange(questions)
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(shell, stdin=pipe, stdout=pipe, stderr=pipe, env=_ENVIRONMENT, start_new_session=True) as process,
        selectors.DefaultSelector() as streams,
    ):
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(exchange.script)
        process.stdin.flush()
        streams.register(process.stdout, selectors.EVENT_READ, exchange.feed_stdout)
        streams.register(process.stderr, selectors.EVENT_READ, exchange.feed_stderr)
        while streams.get_map() and not exchange.complete:
            for key, _ in streams.select(5):
                if data := os.read(key.fd, 65536):
                    key.data(data)
                else:
                    streams.unregister(key.fileobj)
    lost = [name for name, answer in exchange.finish("the shell ended").items() if answer.exit_status is None]
    if lost:
        sys.exit(f"bench: not answered: {', '.join(lost)}")


def one_round(shell: Sequence[str], version: Version, costs: Costs) -> None:
    """Ask everything once more, each way."""
    empty = cpu_ms(lambda: bundled(shell, [NOTHING]))
    for question in version.questions:
        costs.alone.setdefault(question.id, []).append(cpu_ms(partial(alone, shell, question)))
        costs.added.setdefault(question.id, []).append(cpu_ms(partial(bundled, shell, [NOTHING, question])) - empty)
    costs.added.setdefault(WHOLE, []).append(cpu_ms(partial(bundled, shell, [NOTHING, *version.questions])) - empty)


def table(costs: Mapping[tuple[str, str], Costs]) -> str:
    """Return the medians, the dearest question first; by shell and version, alone and added to a bundle."""
    figures: dict[str, dict[str, float]] = {}
    for (shell, version), found in costs.items():
        for way, rows in (("alone", found.alone), ("added", found.added)):
            column = f"{shell} {version} {way}".replace("  ", " ")
            figures[column] = {name: statistics.median(values) for name, values in rows.items()}
    dearest = list(figures.values())[1]
    names = sorted(
        dict.fromkeys(name for column in figures.values() for name in column), key=lambda name: -dearest.get(name, 0)
    )
    lines = ["{:20}".format("ms of CPU, medians") + "".join(f"{column:>18}" for column in figures)]
    lines += [
        f"{name:20}" + "".join(f"{column[name]:18.1f}" if name in column else f"{'':18}" for column in figures.values())
        for name in names
    ]
    return "\n".join(line.rstrip() for line in lines)


def main() -> None:
    """Measure in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--shell", choices=SHELLS, action="append", help="all three, unless one is named")
    parser.add_argument("--beside", type=Path, help="folder of another version, whose questions take turns with ours")
    parser.add_argument("--only", default="", help="ids separated by commas, for a quick look")
    asked = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: needs root, as the questions that look at everything do")
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    shells = [name for name in asked.shell or SHELLS if shutil.which(SHELLS[name][0])]
    versions = [Version(name="", questions=standard_questions())]
    if asked.beside:
        versions.insert(0, Version(name="other", questions=questions_of(asked.beside)))
    if wanted := set(filter(None, asked.only.split(","))):
        versions = [replace(one, questions=tuple(q for q in one.questions if q.id in wanted)) for one in versions]
    costs = {(shell, version.name): Costs() for shell in shells for version in versions}
    for _ in range(asked.rounds):
        for shell in shells:
            for version in versions:
                one_round(SHELLS[shell], version, costs[shell, version.name])
    print(table(costs))


if __name__ == "__main__":
    main()
