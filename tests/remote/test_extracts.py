"""Parts of files, chosen on hosts of different tools: the last lines, spans of time, patterns; capped, and told where from."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from inventory.errors import UsageError
from remote.answer import Answer
from remote.command import EXTRACT, ORIGIN
from remote.files.extracts import Extract, Moment, moment, trouble
from remote.local import open_local
from remote.session import Session
from runner.output import origin_of
from tests.remote.shells import HERE

LINES = "".join(f"line {number}\n" for number in range(1, 1001))
AT = 1_795_942_800  # 2026-11-29 09:00:00 UTC
SPAN = {"since": Moment(kind="utc", seconds=AT), "until": Moment(kind="utc", seconds=AT + 3600)}


@pytest.fixture(
    params=[
        "local",
        pytest.param("openssh", marks=pytest.mark.server),
        pytest.param("dropbear", marks=pytest.mark.server),
    ]
)
def session(request: pytest.FixtureRequest) -> Session:
    found: Session = request.getfixturevalue(f"{request.param}_session")
    return found


async def extracted(session: Session, path: Path | str, **more: Any) -> Answer:
    extract = Extract(path=str(path), **more)
    return extract.kept(await session.ask(extract.questions(), deadline_s=60))[EXTRACT]


async def test_the_whole_the_last_lines_those_that_match_and_both(session: Session, tmp_path: Path) -> None:
    log = tmp_path / "it's a $log"
    log.write_text(LINES)
    assert (await extracted(session, log)).stdout.decode() == LINES
    assert (await extracted(session, log, last=2)).stdout == b"line 999\nline 1000\n"
    assert (await extracted(session, log, pattern="^line (7|8)$")).stdout == b"line 7\nline 8\n"
    assert (await extracted(session, log, pattern="0$", last=1)).stdout == b"line 1000\n"
    none = await extracted(session, log, pattern="nothing like that")
    assert (none.stdout, trouble(none)) == (b"", None)


async def test_more_than_the_cap_keeps_the_end_from_a_whole_line_on_and_says_so(session: Session, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(LINES)
    answer = await extracted(session, log, max_bytes=25)
    assert (answer.stdout, answer.stdout_cut) == (b"line 999\nline 1000\n", -1)
    exact = await extracted(session, log, max_bytes=len(LINES))
    assert (exact.stdout.decode(), exact.stdout_cut) == (LINES, 0)


async def test_sparse_and_endless_files_cost_no_more_than_the_cap(session: Session, tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as sparse:
        sparse.truncate(2**40)
        sparse.seek(2**40)
        sparse.write(b"\nthe end\n")
    assert (await extracted(session, tmp_path / "sparse", last=1, max_bytes=100)).stdout == b"the end\n"
    os.mkfifo(tmp_path / "pipe")
    for path, why in (("/dev/zero", "no regular file"), (tmp_path / "pipe", "no regular file"), (tmp_path, "directory")):
        assert why in str(trouble(await extracted(session, path)))
    assert "no such file" in str(trouble(await extracted(session, tmp_path / "none")))


async def test_a_pattern_that_is_none_is_said(session: Session, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(LINES)
    said = trouble(await extracted(session, tmp_path / "log", pattern="(unclosed"))
    assert said is not None and "does not understand the pattern" in str(said)


async def test_where_it_is_from_is_told(session: Session, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(LINES)
    (tmp_path / "link").symlink_to("log")
    extract = Extract(path=str(tmp_path / "link"), last=1)
    origin = dict(origin_of(await session.ask(extract.questions(), deadline_s=60)))
    assert (origin["path"], origin["size"]) == (str(tmp_path / "log"), str(len(LINES)))
    assert len(origin["sha256"]) == 64 and origin["clock"] and abs(int(origin["modified"]) - time.time()) < 3600


FORMATS = {
    "iso": "%Y-%m-%dT%H:%M:%S.123456+00:00 host app: {}",
    "zone": None,
    "python": "%Y-%m-%d %H:%M:%S,123 INFO {}",
    "nginx": "%Y/%m/%d %H:%M:%S [error] {}",
    "apache": '10.0.0.1 - - [%d/%b/%Y:%H:%M:%S +0000] "GET /{}"',
    "syslog": "%b %e %H:%M:%S host app: {}",
    "epoch": "%s.123    17 TCP_MISS {}",
    "z": "%Y-%m-%dT%H:%M:%SZ {}",
    "apache error": "[%a %b %d %H:%M:%S.976125 %Y] [core:error] [pid 17] {}",
    "dmesg -T": "[%a %b %e %H:%M:%S %Y] usb 1-1: {}",
    "date": "%a %b %e %H:%M:%S UTC %Y {}",
    "date of 12 hours": "%a %b %e %I:%M:%S %p UTC %Y {}",
    "cisco": "%b %d %Y %H:%M:%S: %%ASA-6-302013: {}",
    "day first": "%d.%m.%Y %H:%M:%S {}",
    "milliseconds": "%s123 {}",
}


def written(style: str, at: int, what: str) -> str:
    if style == "zone":
        local = datetime.fromtimestamp(at, UTC) + timedelta(hours=5, minutes=30)
        return local.strftime(f"%Y-%m-%d %H:%M:%S+05:30 {what}\n")
    return time.strftime(str(FORMATS[style]), time.gmtime(at)).replace("%s", str(at)).replace("{}", what) + "\n"


@pytest.mark.parametrize("style", FORMATS)
async def test_a_span_of_time_in_every_style_of_log(session: Session, style: str, tmp_path: Path) -> None:
    moments = {"before": -1, "first": 0, "middle": 1800, "last": 3599, "after": 3600}
    now = int(time.time()) // 3600 * 3600 - 7200  # syslog writes no year: it must be of late
    text = "".join(written(style, now + offset, name) + f"\tmore of {name}\n" for name, offset in moments.items())
    (tmp_path / "log").write_text("what has no time yet\n" + text)
    span = {"since": Moment(kind="utc", seconds=now), "until": Moment(kind="utc", seconds=now + 3600)}
    lines = (await extracted(session, tmp_path / "log", **span)).stdout.decode().splitlines()
    assert [line.split()[-1].lstrip("/").rstrip('"').removeprefix("GET /") for line in lines] == [
        name for name in ("first", "middle", "last") for _ in (1, 2)
    ]


@pytest.mark.parametrize("tool", ["mawk", "gawk", "busybox awk"])
async def test_the_awks_agree(tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = tool.split()
    if not shutil.which(words[0]):
        pytest.skip(f"server: not installed: {words[0]}")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "awk").write_text(f'#!/bin/sh\nexec {shutil.which(words[0])} {" ".join(words[1:])} "$@"\n')
    (tmp_path / "bin" / "awk").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    text = "".join(
        written(style, AT + offset, f"{style}{offset}")
        for style in FORMATS
        for offset in (-1, 0, 3599, 3600)
        if style != "syslog"
    )
    (tmp_path / "log").write_text(text)
    async with open_local(HERE) as session:
        answer = await extracted(session, tmp_path / "log", **SPAN)
    assert trouble(answer) is None
    assert answer.stdout.decode().count("\n") == 2 * (len(FORMATS) - 1)


@pytest.mark.parametrize(("year", "days"), [(2024, 59), (2024, 60), (2023, 59), (2000, 366), (2100, 365), (1999, 1)])
def test_days_are_counted_as_the_calendar_does(year: int, days: int) -> None:
    at = datetime(year, 1, 1, 12, tzinfo=UTC) + timedelta(days=days - 1)
    program = (Path(__file__).parent.parent.parent / "remote" / "files" / "times.awk").read_text()
    line = at.strftime("%Y-%m-%dT%H:%M:%SZ x\n")
    for since, expected in ((int(at.timestamp()), line), (int(at.timestamp()) + 1, "")):
        words = ["awk", "-v", f"since={since}", "-v", "until=", "-v", "zone=0", "-v", "year=2026", "-v", "now=0", program]
        assert subprocess.run(words, input=line, capture_output=True, text=True, check=True).stdout == expected


@pytest.mark.parametrize("style", [style for style in FORMATS if style not in ("zone", "syslog")])
async def test_a_year_that_is_written_counts(style: str, tmp_path: Path) -> None:
    """The times of syslog have none, those of Apache's errors, dmesg and date have one behind them."""
    (tmp_path / "log").write_text("".join(written(style, AT - days * 86400, f"{days}") for days in (4380, 365, 0)))
    async with open_local(HERE) as session:
        lines = (await extracted(session, tmp_path / "log", **SPAN)).stdout.decode().splitlines()
    assert len(lines) == 1 and "365" not in lines[0]


@pytest.mark.parametrize(
    "told", ["31.12.2030 08:00:00", "2031-01-01 00:00:00", "[01/Jan/2031:00:00:00 +0000]", "2001-01-01T00:00:00Z"]
)
@pytest.mark.parametrize("style", FORMATS)
async def test_the_time_of_a_line_is_its_first(style: str, told: str, tmp_path: Path) -> None:
    now = int(time.time()) - 60
    (tmp_path / "log").write_text(written(style, now, f"certificate until {told}"))
    async with open_local(HERE) as session:
        answer = await extracted(session, tmp_path / "log", since=moment("1h"), until=Moment(kind="ago", seconds=0))
    assert b"until" in answer.stdout


async def test_an_offset_behind_the_year_counts(tmp_path: Path) -> None:
    """As git log writes it."""
    at = time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(AT - 5 * 3600))
    (tmp_path / "log").write_text(f"Date: {at} -0500 here\nDate: {at} +0000 there\n")
    async with open_local(HERE) as session:
        answer = await extracted(session, tmp_path / "log", **SPAN)
    assert answer.stdout.split()[-1:] == [b"here"] and b"there" not in answer.stdout


@pytest.mark.parametrize("host", ["10.0.0.1", "1024host", "2026-a", "2026.example"])
async def test_a_host_that_begins_with_digits_is_no_year(host: str, tmp_path: Path) -> None:
    now = int(time.time())
    (tmp_path / "log").write_text(time.strftime("%b %e %H:%M:%S ", time.gmtime(now - 60)) + f"{host} app: here\n")
    async with open_local(HERE) as session:
        assert b"here" in (await extracted(session, tmp_path / "log", since=moment("2h"))).stdout


@pytest.mark.parametrize("line", ["10:00:00.123 [main] ERROR boom", "12/01/2026 02:00:00 error", "a word"])
async def test_a_file_whose_times_are_not_understood_is_no_quiet_one(session: Session, line: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"{line}\n" * 3)
    answer = await extracted(session, tmp_path / "log", since=moment("2h"), pattern="ERROR")
    assert (answer.stdout, "no line of it has a time" in str(trouble(answer))) == (b"", True)
    (tmp_path / "log").write_text("")
    answer = await extracted(session, tmp_path / "log", since=moment("2h"))
    assert (answer.stdout, trouble(answer)) == (b"", None)


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("2026-11-02", "2026-11-01"),
        ("2026-11-02", "2026-11-02"),
        ("1h", "2h"),
        ("2026-11-02T00:00Z", "2026-11-02T01:00:00+02:00"),
    ],
)
def test_a_span_that_ends_before_it_begins_is_refused(since: str, until: str) -> None:
    with pytest.raises(UsageError, match="ends before it begins"):
        Extract(path="/log", since=moment(since), until=moment(until))


async def test_a_host_without_awk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("sh", "tail", "cat", "date", "grep"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    (tmp_path / "log").write_text(LINES)
    async with open_local(HERE) as session:
        said = trouble(await extracted(session, tmp_path / "log", since=moment("1h")))
    assert "no awk" in str(said)


async def test_of_different_clocks_the_host_tells_which_comes_first(session: Session, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(LINES)
    said = trouble(await extracted(session, tmp_path / "log", since=moment("1h"), until=moment("2001-01-01")))
    assert "ends before it begins" in str(said)


async def test_moments_are_by_the_hosts_clock(tmp_path: Path) -> None:
    now = int(time.time())
    (tmp_path / "log").write_text(written("iso", now - 7300, "old") + written("iso", now - 60, "new"))
    async with open_local(HERE) as session:
        assert b"old" not in (await extracted(session, tmp_path / "log", since=moment("2h"))).stdout
        assert b"old" in (await extracted(session, tmp_path / "log", since=moment("3h"))).stdout


@pytest.mark.parametrize("text", ["", "yesterday", "25:00", "2026-13-01", "-1h", "1y"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a moment"):
        moment(text)


def test_only_absolute_paths_are_taken() -> None:
    with pytest.raises(ValueError, match="absolute path"):
        Extract(path="log")


def test_the_ids_are_those_of_the_record() -> None:
    assert [question.id for question in Extract(path="/log").questions()] == [ORIGIN, EXTRACT]
