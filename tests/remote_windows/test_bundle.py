"""The bundle for Windows: what it is made of, what comes back of it, and the way to a practice host through pywinrm."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
import tree_sitter
import tree_sitter_pwsh
from hypothesis import given
from hypothesis import strategies as st
from winrm.protocol import Protocol

from inventory.errors import UsageError
from inventory.host import Platform
from inventory.secret import Secret
from remote.answer import Answer, Ended
from remote.command import Command, Value
from remote.detached import DetachedCommand
from remote.files.extracts import Extract, moment, trouble
from remote.lab.windows.host import WindowsHost
from remote.lab.windows.login import Doors
from remote.lab.windows.replies import Captured
from remote.question import Question
from remote.windows import detached as asking
from remote.windows.bundle import (
    LARGEST_IN_VARIABLE,
    SHELL,
    VARIABLE,
    command_line,
    in_runspace,
    pack,
    quote,
    read_head,
    read_work,
    unpack,
    write_command,
    write_script,
    write_work,
)
from remote.windows.bundle import given as given_to
from remote.windows.clixml import errors_in
from remote.windows.lines import LineReader, write_lines
from tests.remote_lab.windows_hosts import PASSWORD, USER, listening, ntlm_accounts
from tests.remote_windows.clixml_shapes import SHAPES

NONCE = "0123456789abcdef" * 2
__all__ = ["ntlm_accounts"]


def asked(name: str, script: str = "Write-Json @(1)", **more: object) -> Question:
    return Question(id=name, script=script, shell=SHELL, **more)  # type: ignore[arg-type]


def answer(stdout: bytes, *, ended: Ended = Ended.EXITED, status: int | None = 0, stderr: bytes = b"") -> Answer:
    return Answer(ended=ended, exit_status=status, stdout=stdout, stderr=stderr, duration_ms=12, as_root=True)


def mistakes(text: str) -> Iterator[str]:
    """Yield each place where a text is no PowerShell."""
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_pwsh.language()))

    def walk(node: tree_sitter.Node) -> Iterator[str]:
        if node.type == "ERROR" or node.is_missing:
            yield f"{node.start_point}: {text.splitlines()[node.start_point[0]][:100]}"
        for child in node.children:
            yield from walk(child)

    yield from walk(parser.parse(text.encode()).root_node)


def test_what_is_sent_is_powershell() -> None:
    questions = [asked("os.id", "Write-Json @{ a = 1 }"), asked("odd", "'it''s'", variables=(("name", "‘a’ 'b'\n$c"),))]
    assert list(mistakes(write_script(questions, NONCE))) == []
    command = Command(script="Get-Date", variables={"text": "it's ‘a’\n", "yes": True, "number": -5}, stdin=b"\0\xff")
    assert list(mistakes(write_command(command, NONCE))) == []
    values: dict[str, Value] = {"LaPath": "C:\\a b", "LaPart": "C:\\x", "LaAt": 0, "LaSize": 5, "LaDigest": "0", "LaMost": 9}
    for work in ("put", "get", "arrived", "forget"):
        text = write_work(work, {**values, "LaNeedsAdmin": True}, NONCE, piped=work == "get")
        assert list(mistakes(text)) == []
        assert read_work(text)[:2] == (NONCE, work)
        assert read_work(text)[2].items() >= values.items()
    detached = DetachedCommand(id="detached-command", token=5, command=command)
    job, child = asking.supervisor(detached), write_command(command, NONCE, detached=True)
    assert list(mistakes(job)) == list(mistakes(child)) == []
    assert (read_work(job)[1], read_work(child)[1]) == ("supervise", "detached")
    for work in ("start", "collect", "drop"):
        text = write_work(work, {"LaId": "x", "LaJob": job, "LaForget": "a b", "LaAge": -1}, NONCE)
        assert (list(mistakes(text)), read_work(text)[1], read_work(text)[2]["LaJob"]) == ([], work, job)
        assert len(pack(text)) < LARGEST_IN_VARIABLE
    for on_stdin in (False, True):
        line = command_line(on_stdin=on_stdin)
        assert len(line) < 8191, "cmd.exe takes no longer line"
        assert list(mistakes(base64.b64decode(line.rsplit(" ", 1)[1]).decode("utf-16-le"))) == []
    assert list(mistakes(in_runspace())) == []
    assert list(mistakes("if (1) { 'a")), "what is none is told"


def test_no_script_holds_a_secret_since_windows_writes_scripts_down() -> None:
    """CVE-2018-16859: script block logging (event 4104) keeps what is in the text of a script."""
    word = "canary-Ж"
    command = Command(script="$word; $stdin", variables={"word": Secret(word), "name": "x"}, stdin=word.encode())
    script = write_command(command, NONCE)
    for hidden in (word, base64.b64encode(word.encode()).decode(), word.encode("utf-16-le").hex(), word.encode().hex()):
        assert hidden not in script
    assert "canary" not in script
    assert [base64.b64decode(line) for line in b"".join(given_to(command)).split(b"\n.\n")[:-1]] == [word.encode()] * 2
    with pytest.raises(TypeError, match="secret"):
        write_work("get", {"LaPath": Secret(word)}, NONCE)


def test_a_part_of_a_file_is_asked_for_in_powershell() -> None:
    extract = Extract(path="C:/Logs/it's.log", last=5, pattern="a'b", platform=Platform.WINDOWS)
    assert list(mistakes(write_script(extract.questions(), NONCE))) == []
    assert {question.shell for question in extract.questions()} == {SHELL}
    assert dict(extract.questions()[1].variables)["path"] == "C:\\Logs\\it's.log"
    for path in ("/etc/passwd", "C:\\con", "C:\\a:b", "relative"):
        with pytest.raises(ValueError, match="path"):
            Extract(path=path, platform=Platform.WINDOWS)
    with pytest.raises(UsageError):
        Extract(path="C:\\a", since=moment("2h"), platform=Platform.WINDOWS)


@pytest.mark.parametrize(
    ("stderr", "told"),
    [
        (b"LaFile 0x80070002 0x80131501 OperationStopped: LaFile 0x80070002", "there is no such file"),
        (b"LaFile 0x80070005 0x80131501 OperationStopped: LaFile 0x80070005", "no permission"),
        (b"LaFile 0x80070010 0x80131501 OperationStopped: LaFile 0x80070010", "that is a directory"),
        (b"LaFile 0x80070020 0x80131501 OperationStopped: LaFile 0x80070020", "the host could not: 0x80070020"),
        (b"LaPattern 0x80131501 OperationStopped: LaPattern", "the host does not understand the pattern"),
    ],
)
def test_what_stands_in_the_way_of_a_file_is_told_by_its_number(stderr: bytes, told: str) -> None:
    assert str(trouble(answer(b"", status=1, stderr=stderr))) == told


def test_thirty_questions_of_some_length_fit_into_the_variable() -> None:
    script = "Write-Json @(Get-CimInstance Win32_LogicalDisk -Filter 'DriveType=3' | ForEach-Object { @{ Id = $_.DeviceID } })"
    packed = pack(write_script([asked(f"q{number}", f"{script} # {number}" * 4) for number in range(30)], NONCE))
    assert len(packed) < LARGEST_IN_VARIABLE


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_value_is_one_literal_whatever_is_in_it(value: str) -> None:
    written = quote(value)
    closing = "'\u2018\u2019\u201a\u201b"
    inner = written[1:-1]
    for letter in closing:
        inner = inner.replace(letter * 2, "\0" + letter)  # as the tokenizer reads it: two of one kind are one
    assert not any(inner[at] in closing and inner[at - 1 : at] != "\0" for at in range(len(inner)))
    assert inner.replace("\0", "") == value


def test_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        quote("a\0b")


def test_a_script_is_packed_and_its_head_read_back() -> None:
    script = write_script([asked("a.b"), asked("c")], NONCE)
    assert read_head(unpack(pack(script))) == (NONCE, ("a.b", "c"))
    for text in ("", "# longarm-windows/1\n# nonce ab\n", script[:-3]):
        with pytest.raises(ValueError, match="not a script of ours"):
            read_head(text)


QUESTIONS = (asked("a"), asked("b"), asked("c", max_bytes=100))
ANSWERS = {
    "a": answer('{"name":"Спулер"}'.encode()),
    "b": answer(b"", ended=Ended.TIMED_OUT, status=None),
    "c": answer(b"x" * 100, stderr=b"y" * 50),
}


def whole() -> bytes:
    return write_lines([question.id for question in QUESTIONS], NONCE, ANSWERS, version="5.1.1", admin=True)


@given(st.lists(st.integers(0, 2000), max_size=8), st.booleans())
def test_answers_come_back_in_whatever_pieces(cuts: list[int], noise: bool) -> None:
    data = (b"Welcome to the profile of somebody\r\n" if noise else b"") + whole()
    reader = LineReader(QUESTIONS, NONCE)
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        reader.feed(data[begin:end])
    assert reader.finish("") == ANSWERS
    assert (reader.done, reader.admin, reader.version) == (True, True, "5.1.1")


@given(st.integers(0, len(whole()) - 1), st.integers(1, 255))
def test_a_flipped_byte_never_makes_another_answer(at: int, flip: int) -> None:
    data = bytearray(whole())
    data[at] ^= flip
    reader = LineReader(QUESTIONS, NONCE)
    reader.feed(bytes(data))
    for name, got in reader.finish("torn").items():
        if got.ended is Ended.EXITED:
            told = (got.stdout, got.stderr)
            assert told == (ANSWERS[name].stdout, ANSWERS[name].stderr)


@given(st.integers(0, len(whole())))
def test_what_is_cut_off_is_lost_and_the_rest_is_kept(at: int) -> None:
    reader = LineReader(QUESTIONS, NONCE)
    reader.feed(whole()[:at])
    got = reader.finish("the line broke")
    assert all(got[name] == ANSWERS[name] or got[name].ended in {Ended.LOST, Ended.NOT_RUN} for name in ANSWERS)
    assert reader.done == (at == len(whole()))


def test_a_line_that_is_missing_or_comes_from_elsewhere_is_not_believed() -> None:
    lines = whole().split(b"\n\n")
    reader = LineReader(QUESTIONS, NONCE)
    reader.feed(b"\n\n".join([lines[0], *lines[2:]]))
    assert {got.ended for got in reader.finish("").values()} == {Ended.LOST}
    stranger = LineReader(QUESTIONS, "f" * 32)
    stranger.feed(whole())
    assert {got.ended for got in stranger.finish("").values()} == {Ended.NOT_RUN}


def test_more_than_was_asked_for_and_what_unpacks_to_more_is_lost() -> None:
    greedy = write_lines(["c"], NONCE, {"c": answer(b"x" * 101)}, version="7.4", admin=False)
    reader = LineReader((asked("c", max_bytes=100),), NONCE)
    reader.feed(greedy)
    assert reader.finish("")["c"].why == "it said more than it was asked for"
    bomb = greedy.replace(b" 101 0 ", b" 010 0 ")  # as long as it was
    reader = LineReader((asked("c", max_bytes=100),), NONCE)
    reader.feed(bomb)
    assert reader.finish("")["c"].why == "its digest does not hold"


@pytest.mark.parametrize("on_stdin", [False, True])
@pytest.mark.usefixtures("ntlm_accounts")
def test_a_bundle_goes_to_a_practice_host_in_few_messages(on_stdin: bool) -> None:
    host = WindowsHost(Captured(answers=ANSWERS), doors=Doors())
    packed = pack(write_script(QUESTIONS, NONCE))
    with listening(host) as port:
        told = {"transport": "ntlm", "username": USER, "password": PASSWORD, "proxy": None, "ca_trust_path": None}
        protocol = Protocol(f"http://127.0.0.1:{port}/wsman", **told)  # type: ignore[arg-type]
        shell = protocol.open_shell(codepage=65001, env_vars=None if on_stdin else {VARIABLE: packed})
        command = protocol.run_command(shell, command_line(on_stdin=on_stdin), console_mode_stdin=not on_stdin)
        if on_stdin:
            protocol.send_command_input(shell, command, packed.encode(), end=True)
        stdout, stderr, status = protocol.get_command_output(shell, command)
        protocol.close_shell(shell)
    reader = LineReader(QUESTIONS, NONCE)
    reader.feed(stdout)
    assert (reader.finish(""), reader.done, stderr, status) == (ANSWERS, True, b"", 0)
    assert host.seen.messages == ["Create", "Command", *(["Send"] if on_stdin else []), "Receive", "Delete"]


@pytest.mark.parametrize("name", SHAPES)
def test_the_errors_in_clixml_are_read_in_each_of_its_shapes(name: str) -> None:
    written, said = SHAPES[name]
    assert errors_in(written.encode()).decode() == said
