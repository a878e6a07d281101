"""The marks of scripts with several sources, in real shells, and the strict little parsers."""

import contextlib
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.library.linux.services import SECRETS
from diagnostics.parsing import ASKING, decimal, integer, numbered, read_sources, text_of
from diagnostics.probe import NothingThere, ParseError, SourceFailed
from remote.answer import Answer, answered

SHELLS = [["dash"], ["bash"], ["bash", "--posix"], ["busybox", "ash"]]
MARK = "0a1b2c3d-0000-4000-8000-00000000000f"


def ran(shell: list[str], script: str) -> Answer:
    done = subprocess.run([*shell, "-c", ASKING + script], capture_output=True, check=False, timeout=20)
    return Answer(ended=answered(b"").ended, exit_status=done.returncode, stdout=done.stdout, stderr=done.stderr)


@pytest.fixture(params=SHELLS, ids=" ".join)
def shell(request: pytest.FixtureRequest) -> list[str]:
    words: list[str] = request.param
    return words


def test_each_source_tells_what_it_printed_and_how_it_ended(shell: list[str]) -> None:
    script = """
    two() { echo one; echo two; echo careful >&2; return 3; }
    ask_file loadavg /proc/loadavg
    ask_file nothing /nonexistent/file
    ask_tool tool longarm-no-such-tool --flag
    ask two two
    ask silent true
    ask bare printf 'no newline'
    ask blank printf 'a\\n\\n'
    absent journal "no journal here"
    """
    sources = read_sources("t.t", ran(shell, script))
    assert list(sources) == ["loadavg", "nothing", "tool", "two", "silent", "bare", "blank", "journal"]
    assert [line.text for line in sources["two"].lines] == ["one", "two"]
    assert (sources["two"].status, sources["two"].stderr) == (3, b"careful\n")
    assert (sources["silent"].lines, sources["silent"].status) == ((), 0)
    assert sources["bare"].data == b"no newline\n"
    assert sources["blank"].data == b"a\n\n"
    assert (sources["nothing"].status, sources["nothing"].missing) == (None, "/nonexistent/file")
    assert sources["tool"].missing == "longarm-no-such-tool"
    assert sources["journal"].missing == "no journal here"
    assert sources["loadavg"].at == {"question": "t.t", "stream": "stdout", "first": 3, "last": 3}


def test_usable_raises_for_what_is_missing_and_for_what_failed(shell: list[str]) -> None:
    sources = read_sources("t.t", ran(shell, "ask_file a /nonexistent; ask b cat /nonexistent; ask c sh -c 'exit 3'"))
    with pytest.raises(NothingThere):
        sources["a"].usable()
    with pytest.raises(SourceFailed, match=r"No such file|can't open"):
        sources["b"].usable()
    assert sources["c"].usable(3).status == 3
    with pytest.raises(ParseError, match="source d is missing"):
        sources["d"]


def test_a_source_cannot_forge_a_mark(shell: list[str]) -> None:
    forged = f"@longarm {MARK}\\n@{MARK} end 0\\n@{MARK} source disk\\n"
    sources = read_sources("t.t", ran(shell, f"ask evil printf '{forged}'; ask after true"))
    assert list(sources) == ["evil", "after"]
    assert len(sources["evil"].lines) == 3


def test_a_source_does_not_eat_the_script(shell: list[str]) -> None:
    assert list(read_sources("t.t", ran(shell, "ask a cat; ask b cat"))) == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no head\n",
        f"@longarm {MARK}\n@{MARK} source a\nlost its end\n",
        f"@longarm {MARK}\n@{MARK} source a\n@{MARK} source b\n\n@{MARK} end 0\n",
        f"@longarm {MARK}\nstray\n",
        f"@longarm {MARK}\n@{MARK} source a\n\n@{MARK} end 0\n@{MARK} source a\n\n@{MARK} end 0\n",
        f"@longarm {MARK}\n@{MARK} source a\n\n@{MARK} end zero\n",
        f"@longarm {MARK}\n@{MARK} end 0\n",
    ],
)
def test_marks_that_do_not_add_up_are_not_understood(text: str) -> None:
    with pytest.raises(ParseError):
        read_sources("t.t", answered(text.encode()))


@given(st.binary(max_size=300))
def test_any_content_comes_back_whole(content: bytes) -> None:
    text = b"@longarm %b\n@%b source a\n%b\n@%b end 0\n@%b absent b what\n" % (
        (MARK.encode(),) * 2 + (content,) + (MARK.encode(),) * 2
    )
    sources = read_sources("t.t", answered(text))
    assert sources["a"].data == (content if not content or content.endswith(b"\n") else content + b"\n")
    assert sources["b"].status is None


@given(st.binary(max_size=300))
def test_any_text_is_read_or_refused(text: bytes) -> None:
    with contextlib.suppress(ParseError):
        read_sources("t.t", answered(b"@longarm %b\n" % MARK.encode() + text))


@given(st.binary(max_size=100))
def test_numbered_lines_lose_nothing(data: bytes) -> None:
    joined = b"\n".join(line.data for line in numbered(data))
    assert data in (joined, joined + b"\n")


@pytest.mark.parametrize("text", ["", "1_0", " 1", "+1", "0x1", "9223372036854775808", "١", "1\n"])
def test_integer_is_strict(text: str) -> None:
    with pytest.raises(ParseError):
        integer("t.t", text)


@pytest.mark.parametrize("text", ["", "nan", "inf", "1e5", "1,5", ".5", "1.", "1\n"])
def test_decimal_is_strict(text: str) -> None:
    with pytest.raises(ParseError):
        decimal("t.t", text)


@given(st.integers(-(2**63), 2**63 - 1))
def test_integer_reads_all_of_int64(number: int) -> None:
    assert integer("t.t", str(number)) == number


@given(st.binary())
def test_text_is_always_utf8(data: bytes) -> None:
    text_of(data).encode()


def test_redaction_of_addresses_follows_each_beginning_only_so_far() -> None:
    """Each of 20,000 beginnings followed to the end of the answer would take a minute."""
    data = b"a://b:" * 20_000
    for rule in SECRETS:
        assert rule.pattern.sub(b"", data) == data
    found = SECRETS[1].pattern.search(b"see postgres://app:hunter2/x@db/x")
    assert found and found["secret"] == b"hunter2/x"
