"""What practice Windows hosts answer in the contract: questions and commands with what they bring back."""

from __future__ import annotations

from inventory.secret import Secret
from remote.answer import Answer, Ended
from remote.command import Command, CommandResult
from remote.lab.windows.works import Played, Ran, assigned
from remote.question import Question
from remote.windows.bundle import SHELL
from tests.remote_windows.clixml_shapes import SHAPES

WORDS = "Служба печати — ‘Spooler’ 🎵"


def asked(name: str, **more: object) -> Question:
    return Question(id=name, script=f"Write-Json '{name}'", shell=SHELL, **more)  # type: ignore[arg-type]


def exited(status: int, stdout: bytes = b"", stderr: bytes = b"") -> Answer:
    return Answer(ended=Ended.EXITED, exit_status=status, stdout=stdout, stderr=stderr, as_root=True)


CASES: dict[Question, Answer] = {
    asked("status.zero"): exited(0),
    asked("status.one"): exited(1, b"", b"CommandNotFoundException 0x80131501 ObjectNotFound: x"),
    asked("words"): exited(0, WORDS.encode(), WORDS.encode()),
    asked("bytes.odd"): exited(0, bytes(range(256))),
    asked("much", max_bytes=2**20): exited(0, bytes(range(256)) * 4000),
}
HUNG = asked("hung", deadline_s=1)
CAPPED = asked("capped", max_bytes=100)
ANSWERS = {question.id: answer for question, answer in CASES.items()} | {
    HUNG.id: Answer(ended=Ended.TIMED_OUT, exit_status=None, stdout=b"before"),
    "ping": exited(0),
    "file.origin": exited(0, b"path=C:\\Logs\\app.log\nsize=900\nclock=2026-11-29 08:00:00 +0300"),
    "file.extract": exited(0, f"one\n{WORDS}\n".encode()),
    "doctor.nothing": exited(0, b"ok"),
    "doctor.shell": exited(0, b'{"Version":"5.1.20348.2849","System":"10.0.20348.0","Mode":"FullLanguage"}'),
    CAPPED.id: Answer(ended=Ended.CAPPED, exit_status=None, stdout=b"x" * 100, stdout_cut=900),
}


def ended(status: int, stdout: str = "", stderr: str = "") -> CommandResult:
    return CommandResult(ended=Ended.EXITED, exit_status=status, stdout=stdout.encode(), stderr=stderr.encode())


def _variables(script: str) -> Ran:
    return Ran(stdout="|".join(f"{name}={value}" for name, value in assigned(script).items()) + "\n")


RESULTS: dict[Command, CommandResult] = {
    Command(script="'out'"): ended(0, "out\n"),
    Command(script="exit 3"): ended(3),
    Command(script="exit -1073741510"): ended(-1073741510),
    Command(script="cmd /c exit 7"): ended(7),
    Command(script="Write-Error no; 'words'"): ended(0, f"{WORDS}\n", f"WriteErrorException {WORDS}\n"),
    Command(script="throw 'no'"): ended(1, "", "no\n"),
    Command(script="$text", variables={"text": "it's ‘a’", "yes": True, "number": -5}): ended(
        0, "text='it''s ‘‘a’’'|yes=$true|number=-5\n"
    ),
    Command(script="$text", variables={"text": Secret("пароль’"), "name": "a", "other": Secret("")}): ended(
        0, "text='пароль’’'|other=''|name='a'\n"
    ),
    Command(script="$stdin.Length", stdin=b"\0\xff" * 100_000): ended(0, "read\n"),
}
HANGS = Command(script="'before'; Start-Sleep 3600", deadline_s=1)
FLOODS = Command(script="while (1) { 'longarm' }", max_bytes=10_000, deadline_s=20)
DIES = Command(script="Stop-Process -Id $PID")
UNKNOWN = Command(script="Not-Known")
SPEAKS_CLIXML = {name: Command(script=f"# {name}\nStop-Process -Id $PID -Force") for name in SHAPES}
"""Scripts whose powershell.exe ends early, and says why in each shape of CLIXML."""
COMMANDS: dict[str, Played] = {
    "'out'": Ran(stdout="out\n"),
    "exit 3": Ran(exit_status=3, by_exit=True),
    "exit -1073741510": Ran(exit_status=-1073741510, by_exit=True),
    "cmd /c exit 7": Ran(exit_status=7),
    "Write-Error no; 'words'": Ran(stdout=f"{WORDS}\n", stderr=f"WriteErrorException {WORDS}\n"),
    "throw 'no'": Ran(exit_status=1, stderr="no\n"),
    "\n$text": _variables,
    "$stdin.Length": lambda script: Ran(
        stdout="read\n" if "$stdin = [Convert]::FromBase64String('AP8A/w" in script else "no\n"
    ),
    HANGS.script: Ran(stdout="before\n", hangs=True),
    FLOODS.script: Ran(stdout="longarm\n" * 500, floods=True),
    DIES.script: Ran(stdout="before\n", dies=True, exit_status=-1),
    **{one.script: Ran(dies=True, raw_stderr=SHAPES[name][0].encode()) for name, one in SPEAKS_CLIXML.items()},
}
