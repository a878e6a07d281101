"""The bundle in real shells: what each kind of question comes to, and that it harms no other and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remote.answer import Ended
from remote.bundle import BundleExchange
from remote.bundle.script import is_calm_script, is_plain_script, quote
from remote.local import LocalSession
from remote.question import Question
from tests.remote.shells import DEADLINE_S, FIRST, LAST, ask, ask_between, calm, marking

SOAK = bool(os.environ.get("LONGARM_SOAK"))

# --- what comes back is what was said ------------------------------------------------------------------------------


@given(data=st.lists(st.binary(max_size=80), min_size=1, max_size=8).map(lambda pieces: b"\n".join(pieces)))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_answers_are_binary_safe(session: LocalSession, data: bytes) -> None:
    octal = "".join(f"\\{byte:03o}" for byte in data)
    questions = [
        Question(id="out", script=f"printf '{octal}'"),
        Question(id="err", script=f"printf '{octal}' >&2; exit 7"),
        Question(id="both", script=f"printf '{octal}'; printf '{octal}' >&2"),
    ]
    answers = await ask(session, *questions)
    assert [(answers[q.id].ended, answers[q.id].exit_status) for q in questions] == [
        (Ended.EXITED, 0),
        (Ended.EXITED, 7),
        (Ended.EXITED, 0),
    ]
    assert [(answers[q.id].stdout, answers[q.id].stderr) for q in questions] == [(data, b""), (b"", data), (data, data)]


@given(value=st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_variable_is_a_value_and_never_text(session: LocalSession, value: str) -> None:
    question = Question(id="q", script='printf %s "$value"', variables=(("value", value),))
    other = Question(id="other", script='printf %s "${value-unset}"')
    answers = await ask(session, question, other)
    assert answers["q"].stdout == value.encode()
    assert answers["other"].stdout == b"unset"


SMALL = {
    "exit_3": ("exit 3", (Ended.EXITED, 3, b"", b"")),
    "return_4": ("return 4", (Ended.EXITED, 4, b"", b"")),
    "exec": ("exec printf replaced", (Ended.EXITED, 0, b"replaced", b"")),
    "stdin": ("cat; read -r line; echo $?", (Ended.EXITED, 0, b"1\n", b"")),
    "own_trap": ("trap 'echo trapped' EXIT; exit 5", None),  # ash 1.35 forgets the trap of a subshell
    "unset_and_errexit": ("set -eu; false; echo not reached", (Ended.EXITED, 1, b"", b"")),
    "break": ("break; echo on", None),
    "here_document_in_quotes": ("printf '%s' 'a\nEOF\n}'", (Ended.EXITED, 0, b"a\nEOF\n}", b"")),
    "closes_stdout": ("exec >&-; exit 6", (Ended.EXITED, 6, b"", b"")),
    "closes_stderr": ("exec 2>&-; echo out; exit 6", (Ended.EXITED, 6, b"out\n", b"")),
    "closes_all": ("exec <&- >&- 2>&-; exit 9", (Ended.EXITED, 9, b"", b"")),
    "stopped_early_by_a_pipe": ("yes | head -n 1", (Ended.EXITED, 0, b"y\n", b"")),
    "kills_itself": ("sh -c 'kill -TERM $$'", (Ended.EXITED, 143, b"", None)),
    "knows_no_nonce": ("set | grep -c '^la_n='; env | grep -c la_n", (Ended.EXITED, 1, b"0\n0\n", b"")),
    "knows_no_mark": ("set | grep -cE '(^|[^0-9a-f])[0-9a-f]{32} [0-9]'", (Ended.EXITED, 1, b"0\n", b"")),
    "has_only_its_three_files": ("ls /proc/self/fd | wc -l", (Ended.EXITED, 0, b"4\n", b"")),
    "environment": (
        "echo $LC_ALL; umask; case :$PATH: in *:/usr/sbin:/sbin:*) pwd ;; esac",
        (Ended.EXITED, 0, b"C\n0077\n/\n", b""),
    ),
}


@pytest.mark.parametrize("name", SMALL)
async def test_small_scripts(session: LocalSession, name: str) -> None:
    script, expected = SMALL[name]
    answer = (await ask_between(session, Question(id="q", script=script)))["q"]
    assert answer.ended is Ended.EXITED
    if expected:
        told = (answer.ended, answer.exit_status, answer.stdout, answer.stderr if expected[3] is not None else None)
        assert told == expected


@pytest.mark.parametrize("script", ["if (", "'", '"', "}", ")", "case x in", "$(", "`", "for", "{ echo;", "\\"])
async def test_a_syntax_error_hurts_nobody_else(session: LocalSession, script: str) -> None:
    answer = (await ask_between(session, Question(id="q", script=script)))["q"]
    assert answer.ended is Ended.EXITED
    assert answer.exit_status != 0 or script == "\\"


WORDS = (
    "true",
    "df",
    "-P",
    "sh -c 'exit 3'",
    "'a b'",
    "if",
    "exec",
    "exit",
    "{",
    "}",
    "!",
    "x=1",
    "$x",
    "'",
    "in",
    "set",
    ":",
    "cd",
)
JOINTS = (" ", " ", "|", "||", "&&", ";", "\n", "&", " >/dev/null", " 2>/dev/null", " 2>&1", "(", "#", "<", "\\")


def test_every_shell_survives_a_plain_script(applets: Path) -> None:
    """Those run without a subshell of their own: none may end, stop or change the shell that tells the status."""
    chance = random.Random(12)
    made = ("".join(chance.choice(WORDS + JOINTS) for _ in range(chance.randint(1, 9))) for _ in range(40_000))
    plain = list(dict.fromkeys(text for text in made if is_plain_script(text)))[:120]
    assert len(plain) > 60
    lines = [f"eval {quote(text)} </dev/null >/dev/null\necho $# {at}" for at, text in enumerate(plain)]
    for shell in (("dash",), ("bash",), ("bash", "--posix"), (str(applets / "sh"),)):
        done = subprocess.run(shell, input="\n".join(lines), capture_output=True, text=True, check=False)
        assert done.stdout.splitlines() == [f"0 {at}" for at in range(len(plain))], done.stderr
        assert "yntax" not in done.stderr


@pytest.mark.parametrize(
    "script",
    ["exit 3", "exec df", "df &", "df; set -e", "df $x", "x=1 df", "df >file", "if true", "df `w`", "{ df", "df 'x", "", "la_q",
     "df | read x", "df;; df", "df \\", "! df", "df #x", ". x", ": x", "df\r", "df | | df", "df 2>/dev/nullx", "kill 1"],
)  # fmt: skip
def test_what_may_end_a_shell_is_not_plain(script: str) -> None:
    assert not is_plain_script(script)


async def test_questions_of_another_shell_are_not_run(session: LocalSession) -> None:
    answer = (await ask_between(session, Question(id="q", script="Get-Date", shell="powershell")))["q"]
    assert answer.ended is Ended.NOT_RUN
    assert "powershell" in answer.why


async def test_no_questions_at_all(session: LocalSession) -> None:
    assert await ask(session) == {}


async def test_time_is_told_in_steps_of_the_uptime(session: LocalSession) -> None:
    answer = (await ask(session, Question(id="q", script="sleep 0.3")))["q"]
    assert answer.duration_ms >= 290
    assert answer.duration_ms % 10 == 0


# --- hung questions ------------------------------------------------------------------------------------------------

HUNG = {
    "sleeps": "echo before; sleep 1000",
    "with_children": "echo before; sh -c 'sleep 1000 & sleep 1000'; :",
    "ignores_term": "echo before; trap '' TERM HUP INT; while :; do sleep 1000; done",
    "daemon": "echo before; setsid sleep 1000; :",
    "daemon_in_background": "echo before; setsid sleep 1000 & wait",
    "double_fork": "echo before; (setsid sh -c 'sleep 1000 & sleep 1000' &); sleep 1000",
    "orphan_that_is_only_a_shell": "echo before; ( (while :; do sleep 1000; done) & ); exit 0",
    "busy": "echo before; while :; do :; done",
    "stopped": "echo before; sh -c 'kill -STOP $$'; :",
    "daemon_keeps_stdout_after_exit": "echo before; setsid sleep 1000 & exit 0",
    "named_like_a_trap": "echo before; cp $(command -v sleep) ./'a) S 1 (b' 2>/dev/null; exec sh -c 'sleep 1000'",
}


async def test_a_hung_question_is_killed_with_all_it_started(session: LocalSession, mark: str) -> None:
    async def check(name: str, script: str) -> None:
        hung = Question(id="hung", script=marking(mark, script), deadline_s=1)
        answer = (await ask_between(session, hung))["hung"]
        assert (answer.ended, answer.exit_status, answer.stdout) == (Ended.TIMED_OUT, None, b"before\n"), name
        assert (answer.unkillable, answer.why) == ((), ""), name
        assert answer.duration_ms >= 1000, name

    async with asyncio.TaskGroup() as group:  # mostly waiting: all at once
        for name, script in HUNG.items():
            group.create_task(check(name, script))


async def test_a_leftover_of_a_good_question_does_not_stay(session: LocalSession, mark: str) -> None:
    daemon = "setsid sh -c 'sleep 1000 & sleep 1000' </dev/null >/dev/null 2>&1 & echo started"
    answer = (await ask_between(session, Question(id="q", script=marking(mark, daemon))))["q"]
    assert (answer.ended, answer.exit_status, answer.stdout) == (Ended.EXITED, 0, b"started\n")


async def test_a_leftover_that_keeps_only_stderr_holds_up_nobody(session: LocalSession, mark: str) -> None:
    daemon = "setsid sleep 1000 </dev/null >/dev/null & echo started"
    answer = (await ask_between(session, Question(id="q", script=marking(mark, daemon))))["q"]
    assert (answer.ended, answer.exit_status, answer.stdout) == (Ended.EXITED, 0, b"started\n")


# --- floods --------------------------------------------------------------------------------------------------------


async def test_a_flood_on_stdout_is_cut_at_the_cap(session: LocalSession, mark: str) -> None:
    flood = Question(id="q", script=marking(mark, "yes longarm"), max_bytes=100_000, deadline_s=30)
    answer = (await ask_between(session, flood))["q"]
    assert (answer.ended, len(answer.stdout), answer.stdout_cut) == (Ended.CAPPED, 100_000, -1)
    assert answer.stdout == (b"longarm\n" * 12_501)[:100_000]


@pytest.mark.parametrize("over", [-1, 0, 1, 60, 127, 128, 129, 200])
async def test_the_cap_is_exact(session: LocalSession, over: int) -> None:
    size = 10_000 + over
    question = Question(id="q", script=f"head -c {size} /dev/zero | tr '\\0' x", max_bytes=10_000)
    answer = (await ask_between(session, question))["q"]
    assert answer.ended is (Ended.CAPPED if over > 0 else Ended.EXITED)
    assert answer.stdout == b"x" * min(size, 10_000)
    assert answer.stdout_cut in ((over, -1) if over > 0 else (0,))


async def test_a_flood_on_stderr_ends_its_question_only(session: LocalSession, mark: str) -> None:
    flood = Question(id="q", script=marking(mark, "echo out; yes longarm >&2"), deadline_s=30)
    answer = (await ask_between(session, flood))["q"]
    assert (answer.ended, answer.stdout, len(answer.stderr)) == (Ended.CAPPED, b"out\n", 65536)
    assert answer.stderr.startswith(b"longarm\n" * 100)
    assert answer.stderr_cut != 0


async def test_floods_on_both_streams_one_after_another(session: LocalSession, mark: str) -> None:
    script = marking(mark, "yes out & yes err >&2")
    answers = await ask_between(
        session,
        *(Question(id=f"q{number}", script=script, max_bytes=5000, deadline_s=20) for number in range(2)),
        Question(id="quiet", script="echo quiet"),
    )
    assert [answers[name].ended for name in ("q0", "q1", "quiet")] == [Ended.CAPPED, Ended.CAPPED, Ended.EXITED]
    assert answers["q1"].stdout == (b"out\n" * 1250)
    assert answers["quiet"].stdout == b"quiet\n"


async def test_a_flood_that_ignores_a_closed_pipe_does_not_run_until_its_deadline(session: LocalSession, mark: str) -> None:
    script = marking(mark, "trap '' PIPE; while :; do echo longarm 2>/dev/null; done")
    answer = (await ask_between(session, Question(id="q", script=script, max_bytes=1000, deadline_s=60)))["q"]
    assert (answer.ended, len(answer.stdout)) == (Ended.CAPPED, 1000)


async def test_stderr_within_its_limit_is_whole(session: LocalSession) -> None:
    script = "head -c 65536 /dev/zero | tr '\\0' x >&2"
    answer = (await ask_between(session, Question(id="q", script=script)))["q"]
    assert (answer.ended, answer.stderr, answer.stderr_cut) == (Ended.EXITED, b"x" * 65536, 0)


# --- calm questions share a filter ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status_of_the_last", ["true", "false"])
async def test_a_calm_flood_is_cut_at_its_cap_and_the_last_ones_are_asked_again(
    session: LocalSession, status_of_the_last: str
) -> None:
    answers = await ask_between(session, calm("q", "cat /dev/zero"), calm("quiet", status_of_the_last))
    assert (answers["q"].ended, answers["q"].stdout, answers["q"].stdout_cut) == (Ended.CAPPED, bytes(100_000), -1)
    assert (answers["quiet"].ended, answers["quiet"].exit_status) == (Ended.EXITED, int(status_of_the_last == "false"))


async def test_a_calm_flood_as_the_last_question_and_as_the_only_one(session: LocalSession) -> None:
    flood = calm("q", "cat /dev/zero")
    for asked in ([flood], [FIRST, flood], [flood, flood_too := calm("too", "cat /dev/zero")]):
        answers = await ask(session, *asked)
        assert (answers["q"].ended, answers["q"].stdout) == (Ended.CAPPED, bytes(100_000))
    assert (answers[flood_too.id].ended, answers[flood_too.id].stdout) == (Ended.CAPPED, bytes(100_000))


async def test_a_calm_question_over_its_cap_within_the_shared_filter_keeps_its_status(
    session: LocalSession, tmp_path: Path
) -> None:
    (tmp_path / "big").write_bytes(b"a" * 150_000 + b"z" * 50_000)
    answer = (await ask_between(session, calm("q", f"cat {tmp_path}/big")))["q"]
    assert (answer.ended, answer.exit_status, len(answer.stdout), answer.stdout_cut) == (Ended.CAPPED, 0, 100_000, 100_000)
    assert answer.stdout == b"a" * 50_000 + b"z" * 50_000


@pytest.mark.parametrize("seed", range(4))
async def test_questions_that_overfill_the_shared_filter_together_lose_nothing(
    session: LocalSession, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    asked, said = [], {}
    for number in range(16):
        name, size = f"q{number}", chance.choice([0, 1, 5000, 70_000, 131_000, 300_000])
        said[name] = chance.randbytes(size)
        (tmp_path / name).write_bytes(said[name])
        script = f"cat {tmp_path}/{name}"
        asked.append(
            calm(name, script, 400_000)
            if chance.random() < 0.7
            else Question(id=name, script=f"({script})", max_bytes=400_000, deadline_s=30)
        )
    answers = await ask_between(session, *asked)
    assert {name: answers[name].ended for name in said} == dict.fromkeys(said, Ended.EXITED)
    assert {name: answers[name].stdout for name in said} == said


async def test_a_program_that_writes_line_by_line_is_asked_again_with_a_filter_of_its_own(
    session: LocalSession, tmp_path: Path
) -> None:
    (tmp_path / "lines").write_text("".join(f"{number}\n" for number in range(5000)))
    script = f"grep --line-buffered '' {tmp_path}/lines" if "applets" not in os.environ["PATH"] else f"cat {tmp_path}/lines"
    answers = await ask_between(session, *(calm(f"q{number}", script) for number in range(3)))
    assert {answers[f"q{number}"].stdout for number in range(3)} == {(tmp_path / "lines").read_bytes()}


async def test_a_script_may_be_said_to_be_calm_and_keeps_status_streams_and_variables(session: LocalSession) -> None:
    """It needs no shell of its own either: what it changes is for itself, and its status is what its function returns."""
    script = (
        'set -f; IFS=:; la() { return 3; }; said=$given; set -- a:b; for one in $*; do echo "$said $one"; done; echo x >&2; la'
    )
    asked = Question(id="q", script=script, variables=(("given", "it"),), calm=True)
    assert not is_calm_script(script)
    answers = await ask(session, FIRST, asked, replace(asked, id="again"), LAST)
    assert answers["again"] == replace(answers["q"], duration_ms=answers["again"].duration_ms)
    assert (answers["q"].exit_status, answers["q"].stdout, answers["q"].stderr) == (3, b"it a\nit b\n", b"x\n")
    assert (answers[LAST.id].ended, answers[LAST.id].exit_status) == (Ended.EXITED, 0)


async def test_a_script_said_to_be_calm_that_floods_hurts_only_itself(session: LocalSession) -> None:
    flood = Question(id="q", script="tell() { cat /dev/zero; }; tell", max_bytes=100_000, deadline_s=30, calm=True)
    answers = await ask_between(session, flood, calm("quiet", "true"))
    assert (answers["q"].ended, answers["q"].stdout, answers["q"].stdout_cut) == (Ended.CAPPED, bytes(100_000), -1)
    assert (answers["quiet"].ended, answers["quiet"].exit_status) == (Ended.EXITED, 0)


async def test_a_filter_that_is_broken_is_no_success(
    session: LocalSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dd").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "dd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    wild = Question(id="wild", script="sh -c 'echo wild'")  # from here on with filters
    answers = await ask(session, wild, FIRST, calm("q", "uname"), LAST)
    broken = "applets" not in os.environ["PATH"]  # busybox prefers its own dd to that of PATH
    assert {answer.ended for answer in answers.values()} <= ({Ended.LOST, Ended.NOT_RUN} if broken else {Ended.EXITED})
    assert all((answer.exit_status is None and bool(answer.why)) is broken for answer in answers.values())


# --- violence ------------------------------------------------------------------------------------------------------


async def test_a_question_that_kills_its_own_shell_has_no_status(session: LocalSession) -> None:
    script = "echo before; read -r me rest </proc/self/stat; kill -KILL $me; echo not reached"
    answer = (await ask_between(session, Question(id="q", script=script)))["q"]
    assert (answer.ended, answer.exit_status, answer.stdout) == (Ended.EXITED, 137, b"before\n")


VIOLENCE = {
    "asker": "read -r a b c asker rest </proc/self/stat; kill -KILL $asker",
    "lane": ("read -r a b c asker rest </proc/self/stat; read -r a b c lane rest </proc/$asker/stat; kill -KILL $lane"),
    "main": "kill -KILL $$; sleep 0.5; echo after",
    "group": "kill -KILL 0",
}


@pytest.mark.parametrize("name", VIOLENCE)
async def test_a_question_that_kills_the_runner_is_no_success(session: LocalSession, name: str, mark: str) -> None:
    question = Question(id="q", script=marking(mark, VIOLENCE[name]), deadline_s=5)
    answers = await ask(session, FIRST, question, LAST)
    if answers["first"].ended not in (Ended.LOST, Ended.NOT_RUN):  # what was on its way through the filter dies with it
        assert (answers["first"].ended, answers["first"].stdout) == (Ended.EXITED, b"first\n")
    assert answers["last"].ended is Ended.NOT_RUN or answers["last"].stdout == b"last\n"
    if name != "main":  # killing main alone leaves the lane, which can still prove its answers
        assert answers["q"].ended is Ended.LOST or (name == "group" and answers["q"].ended is Ended.NOT_RUN)
        assert answers["q"].exit_status is None
        assert answers["q"].why
    if answers["last"].ended is Ended.NOT_RUN:
        assert answers["last"].why


async def test_a_question_that_kills_the_lane_and_hangs_is_ended_by_our_own_watch(session: LocalSession, mark: str) -> None:
    question = Question(id="q", script=marking(mark, f"{VIOLENCE['lane']}; sleep 1000"), deadline_s=1)
    answers = await ask(session, FIRST, question, LAST)
    assert [answer.ended for answer in answers.values()] == [Ended.EXITED, Ended.TIMED_OUT, Ended.NOT_RUN]
    assert "q was past its deadline" in answers["last"].why


# --- the end of a bundle -------------------------------------------------------------------------------------------


def test_no_shell_stays_behind_when_we_leave_at_its_last_word(applets: Path) -> None:
    """Once 6 of 1,500: the guard saw stdin end and stopped main, which in the same moment killed the guard."""

    def bundle(shell: tuple[str, ...]) -> None:
        exchange = BundleExchange([Question(id="q", script="true")])
        with subprocess.Popen(
            shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        ) as process:
            assert process.stdin
            assert process.stdout
            process.stdin.write(exchange.script)
            process.stdin.flush()
            said = b""
            while b" done - " not in said:
                said += os.read(process.stdout.fileno(), 65536)
            process.stdin.close()
            try:
                process.wait(timeout=DEADLINE_S)
            finally:
                process.kill()

    for shell in (("dash",), ("bash",), (str(applets / "sh"),)):
        for _ in range(1500 if SOAK else 100):
            bundle(shell)
