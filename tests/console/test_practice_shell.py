"""What answers on practice hosts, as the command line chooses it and tells it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import pytest

from remote.lab.shell import why_not
from tests.console.conftest import LONGARM, Console


def status(console: Console) -> tuple[object, ...]:
    (row,) = console("lab", "status", "--json").json()
    return row["state"], row["hosts"], row["shell"], row["why"]


def doctor(console: Console, *words: str) -> tuple[str, str]:
    (row,) = (row for row in console("doctor", "--json", *words).json() if row["what"] == "practice hosts")
    return row["state"], row["detail"]


def test_captured_answers_where_they_are_asked_for(practice: Callable[..., Console]) -> None:
    console = practice("--shell", "answers", "--hosts", "1")
    assert status(console) == ("running", 1, "answers", "")
    assert doctor(console) == ("ok", "captured answers speak for them")
    assert console("lab", "down").code == 0
    assert status(console) == ("down", 0, "", "")


@pytest.mark.skipif(bool(why_not()), reason=f"no real shell on this machine: {why_not()}")
def test_a_real_shell_where_it_works(practice: Callable[..., Console]) -> None:
    console = practice("--hosts", "1")
    assert status(console) == ("running", 1, "real", "")
    assert doctor(console, "--lang", "ru") == ("ok", "на них отвечает настоящая оболочка, отгороженная от этой машины")


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare of util-linux")
def test_a_machine_that_refuses_namespaces_is_told_in_its_own_words(console: Console) -> None:
    def without_namespaces(words: str) -> subprocess.CompletedProcess[str]:
        script = f"echo 0 >/proc/sys/user/max_user_namespaces && exec {LONGARM} {words}"
        return subprocess.run(
            ["unshare", "-Ur", "sh", "-c", script], env=console.environ, capture_output=True, text=True, timeout=60, check=False
        )

    why = "no namespaces for a practice host: unshare: No space left on device"
    refused = without_namespaces("lab up --shell real --hosts 1")
    assert refused.returncode == 7
    assert f"this machine gives practice hosts no real shell: {why}" in refused.stderr
    assert "longarm lab up --shell answers" in refused.stderr
    started = without_namespaces("lab up --hosts 1")
    assert started.returncode == 0, started.stderr
    assert f"captured answers speak for them: this machine gives them no real shell: {why}" in started.stderr
    assert status(console) == ("running", 1, "answers", why)
    assert doctor(console)[0] == "note"
    assert console("lab", "down").code == 0
