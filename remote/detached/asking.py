"""What a session asks its host about detached commands, and what its words amount to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from remote.answer import Ended
from remote.bundle.script import function, without_comments
from remote.command import Command, CommandResult, Value
from remote.detached.standing import START, DetachedCommand, Offset, Reason, Standing, State, check_id
from remote.files.steps import Runs
from remote.question import Privilege

PIECE: Final = 1024 * 1024
"""Bytes of stdout that one answer holds at the most."""
HEADING: Final = 16 * 1024
"""Bytes of what stands before it."""
ASKING_S: Final = 20
"""How long the host may take to answer, beside what it is told to wait."""
_LAUNCHED: Final = b"launched"
_NUMBER = re.compile(rb"[0-9]{1,18}")
_TAIL: Final = 64 * 1024
MOST_STDERR: Final = 64 * 1024
"""Bytes of stderr that are kept in all (supervise.sh)."""
_MOST_WHY: Final = 400


async def start(session: Runs, detached: DetachedCommand, *, wait_s: int, deadline_s: float) -> Standing:
    """Return how a command stands that was started detached, as the `Session` protocol says."""
    most, tail = caps_of(detached.command)
    asked = _Asked(
        script="start",
        privilege=detached.command.privilege,
        wait_s=wait_s,
        variables={
            "id": detached.id,
            "token": detached.token,
            "job": supervisor(detached),
            "caps": f"{most} {tail}",
            "forget": " ".join(detached.forget),
            **_from(START),
        },
    )
    return told(detached.id, START, await asked.of(session, deadline_s))


async def collect(
    session: Runs,
    name: str,
    offset: Offset,
    *,
    privilege: Privilege,
    sent_s_ago: float | None,
    wait_s: int,
    deadline_s: float,
) -> Standing:
    """Return how a command stands, as the `Session` protocol says."""
    check_id(name)
    asked = _Asked(
        script="collect",
        privilege=privilege,
        wait_s=wait_s + ASKING_S,
        variables={
            "id": name,
            "wait": wait_s,
            "age": "" if sent_s_ago is None else max(0, int(sent_s_ago)) + 1,
            **_from(offset),
        },
    )
    return told(name, offset, await asked.of(session, deadline_s))


async def forget(session: Runs, names: Sequence[str], *, privilege: Privilege, deadline_s: float) -> frozenset[str]:
    """Return the ids of which nothing is left, as the `Session` protocol says."""
    for name in names:
        check_id(name)
    asked = _Asked(script="forget", privilege=privilege, wait_s=ASKING_S, variables={"forget": " ".join(names)})
    result = await asked.of(session, deadline_s)
    return frozenset(result.stdout.decode(errors="replace").split()) & frozenset(names)


def caps_of(command: Command) -> tuple[int, int]:
    """Return the bytes of stdout that are kept in all, and how many of these are the last ones where it says more."""
    return command.max_bytes, min(_TAIL, command.max_bytes // 2)


def supervisor(detached: DetachedCommand) -> str:
    """Return the text that supervises a command on its host: one compound command, so that half of it is none."""
    question, (most, tail) = detached.command.question(), caps_of(detached.command)
    lines = (
        "{",
        f"la_id={detached.id} la_deadline={question.deadline_s} la_most={most} la_tail={tail}",
        _supervising(),
        function(0, question),
        "la_supervise",
        "}",
    )
    return "\n".join(lines)


class _Asked:
    """One of the scripts of this folder on its way to a host."""

    def __init__(self, *, script: str, privilege: Privilege, wait_s: int, variables: Mapping[str, Value]) -> None:
        self._script, self._privilege, self._wait_s, self._variables = script, privilege, wait_s, variables

    async def of(self, session: Runs, deadline_s: float) -> CommandResult:
        """Return what it brought back."""
        command = Command(
            script=text(self._script),
            variables=self._variables,
            deadline_s=max(1, min(self._wait_s, int(deadline_s))),
            max_bytes=HEADING + PIECE,
            privilege=self._privilege,
        )
        return await session.run(command, deadline_s=deadline_s)


def told(name: str, offset: Offset, result: CommandResult) -> Standing:
    """Return how a command stands, given what one of the scripts brought back."""
    if result.denied and result.ended is Ended.NOT_RUN:
        return Standing(id=name, state=State.FAILED, reason=Reason.DENIED, why=result.denied, whole=True)
    said = result.stdout.removeprefix(_LAUNCHED + b"\n")
    heading, end, stdout = said.partition(b"\n\n")
    if result.ended is Ended.TIMED_OUT and result.stdout.startswith(_LAUNCHED):
        return Standing(id=name, state=State.RUNNING, as_root=result.as_root)
    if result.ended is not Ended.EXITED or not end:
        return Standing(id=name, state=State.UNANSWERED, why=result.why)
    try:
        return _understood(name, offset, _fields(heading), stdout, result)
    except (ValueError, KeyError):
        why = heading.decode(errors="replace")[:200]
        return Standing(id=name, state=State.UNKNOWN, reason=Reason.GARBLED, why=why, whole=True)


def _understood(name: str, offset: Offset, said: Mapping[str, str], stdout: bytes, result: CommandResult) -> Standing:
    """Return what a heading says; raises ValueError or KeyError where it says nothing of the kind."""
    state = State(said["state"])
    reason = Reason.LATE if said["reason"] == "late" else None if said["reason"] == "-" else Reason(said["reason"])
    pids = tuple(int(pid) for pid in said.get("pids", "").split())
    reached = Offset(stdout=offset.stdout + len(stdout), stderr=offset.stderr + len(result.stderr))
    sizes = tuple(int(size) for size in said["sizes"].split()) if "sizes" in said else (reached.stdout, reached.stderr)
    out_cut, err_cut = (int(cut) for cut in said["cuts"].split())
    final = state not in (State.RUNNING, State.UNANSWERED)
    whole = final and sizes == (reached.stdout, reached.stderr)
    if (state is State.DONE) != (said["status"] != "-") or (state is State.DONE and reason is not None):
        raise ValueError(said["status"])
    return Standing(
        id=name,
        state=state,
        exit_status=int(said["status"]) if state is State.DONE else None,
        reason=reason,
        why=said.get("why", "")[:_MOST_WHY],
        stdout=stdout,
        stderr=result.stderr,
        offset=reached,
        whole=whole,
        digest=said.get("sum", ""),
        stdout_cut=out_cut,
        stderr_cut=err_cut,
        duration_ms=int(said["ms"]),
        as_root=result.as_root,
        boot_id="" if said["boot"] == "-" else said["boot"],
        place="" if said["place"] == "-" else said["place"],
        unkillable=pids if reason is Reason.LATE else (),
        left=() if reason is Reason.LATE else pids,
    )


def _fields(heading: bytes) -> Mapping[str, str]:
    """Return what a heading says, by name; raises ValueError where it says one thing twice."""
    pairs = [line.partition(" ")[::2] for line in heading.decode(errors="replace").split("\n")]
    said = {key: value.strip() for key, value in pairs}
    if len(said) != len(pairs):
        raise ValueError(heading)
    return said


def _from(offset: Offset) -> Mapping[str, Value]:
    return {"out_from": offset.stdout, "err_from": offset.stderr, "piece": PIECE}


@cache
def text(name: str) -> str:
    """Return one of the scripts of this folder with all that stands before it."""
    folder = Path(__file__).parent
    answering = "" if name == "forget" else without_comments("digest.sh", folder=folder.parent / "files")
    names = ("places.sh", f"{name}.sh") if name == "forget" else ("places.sh", "answer.sh", f"{name}.sh")
    return "\n".join((without_comments("processes.sh"), answering, without_comments(*names, folder=folder)))


@cache
def _supervising() -> str:
    folder = Path(__file__).parent
    return without_comments("processes.sh", "reaper.sh") + "\n" + without_comments("supervise.sh", folder=folder)
