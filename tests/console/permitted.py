"""A longarm that carries command lines out as the service does for its clients, one after the other; forked by test_permits.py.

A module of it may be a mutant: its functions then do what the mutant's do.
"""

from __future__ import annotations

import inspect
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NoReturn

import console.framework
import console.served
from console.main import leave, run
from console.served import enter
from runner import callers
from runner.callers import act_for
from runner.desk import keep_desk
from runner.service.call import Call
from runner.service.peers import Peer
from runner.service.request import Request, Stream

PHRASES = (
    "the service does not carry this out",
    "the service knows the inventory of its home, and no other",
    "only an admin of the desk may do this",
    "probes of one's own run as commands",
    "would have the rights of the service",
    "is closed to you",
    "mistakes in it: 1",
    "none of the service's playbooks",
    "is asked for, not read from elsewhere",
    "that only an admin of the desk may use",
)
"""How each of the permits says no."""
STUMBLED = "stumbled: "


@dataclass(frozen=True)
class Case:
    """A command line, who gives it, and how it ends; `guards` are the functions of ours on which that depends."""

    guards: str
    uid: int | None
    words: str
    refused: str | None = None
    """The phrase with which; None: not by any permit."""
    code: int | None = None
    shows: str = ""
    hides: str = "Traceback"

    def fits(self, code: int, out: str, err: str) -> bool:
        told = next((phrase for phrase in PHRASES if phrase in err), None)
        right = told == self.refused and self.code in (None, code) and not stumbled(code, err)
        return right and self.shows in out + err and self.hides not in out + err


def stumbled(code: int, err: str) -> bool:
    """Tell whether a command line ended by a fault of ours, which is no answer to whether it is permitted."""
    return code < 0 or "Error(" in err or "Traceback" in err


def main() -> NoReturn:
    """Carry out what was ordered, and write what ended otherwise than it should to stdout; of a mutant the first of it.

    What it stumbled over before is there too, and marked.
    """
    order: dict[str, Any] = json.loads(os.environ.pop("PERMITTED"))
    if order["mutant"]:
        become(order["module"], Path(order["mutant"]).read_text())
    home, folder, wrong = Path(os.environ["LONGARM_HOME"]), Path(order["folder"]), []
    with keep_desk(home):
        for case in (Case(**values) for values in order["cases"]):
            ended = carried_out(home, folder, case.uid, case.words.split(" "))
            if not case.fits(*ended):
                fault = stumbled(ended[0], ended[2])
                wrong.append(f"{STUMBLED if fault else ''}{case}: {ended}")
                if order["mutant"] and not fault:
                    break
    sys.stdout.write(json.dumps(wrong))
    leave(0)


class Seat(io.TextIOWrapper):
    """A stream at which somebody seems to sit: a shell is opened for nobody else."""

    def isatty(self) -> bool:
        return True


def carried_out(home: Path, folder: Path, uid: int | None, words: list[str]) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of a command line of a user; without one, of who keeps the home, in process."""
    console.served._CALLS.clear()
    callers._FOR.clear()
    os.chdir(folder)
    if uid is not None:
        enter(Call(request=request(words), peer=Peer(pid=1, uid=uid, gid=uid), home=home, spool=folder / "spool", wanting=2))
        act_for(uid)
    stream = Seat if words[:2] == ["host", "shell"] else io.TextIOWrapper
    out, err, sys.stdin = (stream(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(3))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = run(words)
        except Exception as error:  # noqa: BLE001 - a fault of ours, or of a mutant's
            code = -1
            err.write(repr(error))
    said, complained = (one.buffer.getvalue().decode() for one in (out, err))  # type: ignore[attr-defined]
    return code, said, complained


def request(words: list[str]) -> Request:
    return Request(
        arguments=tuple(words),
        folder="/",
        environ={},
        stdin=Stream.NONE,
        stdout=Stream.OTHER,
        stderr=Stream.OTHER,
        terminal=False,
        columns=80,
        rows=24,
        reads=(),
        writes=(),
    )


def become(name: str, source: str) -> None:
    """Let the functions of a module do what those of a mutant do, wherever they are known by now."""
    mutant, module = ModuleType(f"{name}_mutant"), sys.modules[name]
    mutant.__file__ = module.__file__
    sys.modules[mutant.__name__] = mutant
    exec(compile(source, str(module.__file__), "exec"), mutant.__dict__)
    theirs = dict(functions(mutant))
    for known, function in functions(module):
        function.__code__ = theirs[known].__code__


def functions(module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    """Yield the functions that a module defines, those of its commands and context managers too."""
    for name, found in vars(module).items():
        function = found.body if isinstance(found, console.framework.Command) else inspect.unwrap(found)
        if isinstance(function, FunctionType) and function.__module__ == module.__name__ and not function.__code__.co_freevars:
            yield name, function
