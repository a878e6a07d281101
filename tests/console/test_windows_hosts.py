"""Windows hosts on the command line: enrolled, pinged, examined, diagnosed and commanded, on practice hosts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from remote.lab.windows.host import WindowsHost
from remote.lab.windows.login import Rights
from remote.lab.windows.mishaps import Mishaps
from tests.console.conftest import Console
from tests.remote_lab.windows_hosts import PASSWORD, USER, listening, ntlm_accounts
from tests.remote_windows.certificates import Authority
from tests.remote_windows.conftest import practice

__all__ = ["ntlm_accounts"]
pytestmark = pytest.mark.usefixtures("ntlm_accounts")
WORD = {"LONGARM_TEST_WORD": PASSWORD}
HEAD = f"credentials: {{ops: {{user: {USER}, password: {{env: LONGARM_TEST_WORD}}}}}}\n"


@dataclass(frozen=True)
class Fleet:
    console: Console
    hosts: dict[str, WindowsHost]


@pytest.fixture
def fleet(console: Console, tmp_path: Path) -> Iterator[Fleet]:
    """Let two practice hosts listen, one by HTTPS and one by HTTP, and name them in the inventory."""
    authority = Authority.made(tmp_path)
    paper = authority.certified("win", "win1", "127.0.0.1")
    hosts = {"win1": practice(certificate=paper.der), "win2": practice(Mishaps(clock_ahead_s=900))}
    with ExitStack() as stack:
        first = stack.enter_context(listening(hosts["win1"], authority.server_context(paper)))
        second = stack.enter_context(listening(hosts["win2"]))
        console.inventory(
            HEAD + "groups: {windows: {transport: winrm, credential: ops, hosts: [win1, win2]}}\nhosts:\n"
            f"  win1: {{address: 127.0.0.1, port: {first}}}\n"
            f"  win2: {{address: 127.0.0.1, port: {second}, winrm: {{scheme: http}}}}\n"
            "  off: {address: 127.0.0.1, port: 1, transport: winrm, credential: ops, winrm: {scheme: http}}\n"
        )
        yield Fleet(console, hosts)


def test_a_certificate_is_enrolled_before_anything_is_sent(fleet: Fleet) -> None:
    console = fleet.console
    refused = console("host", "ping", "win1", "--json", environ=WORD)
    assert (refused.code, refused.json()[0]["outcome"]) == (4, "refused")
    assert fleet.hosts["win1"].seen.calls == 0
    enrolled = console("host", "enrol", "windows", "--yes", "--json")
    (row,) = enrolled.json()
    assert (enrolled.code, row["host"], row["state"], row["type"]) == (0, "win1", "new", "x509-certificate")
    assert console("host", "ping", "windows", "--json", environ=WORD).code == 0
    again = console("host", "enrol", "win1", "--json")
    assert (again.code, again.json()[0]["state"]) == (0, "known")
    other = console("host", "enrol", "win1", "--fingerprint", "win1=SHA256:abc", "--json")
    assert (other.code, other.json()[0]["state"]) == (4, "not the expected one")
    assert console("host", "enrol", "win2").code == 0, "over HTTP there is nothing to enrol"
    known, calls = console.home / "known_hosts", fleet.hosts["win1"].seen.calls
    known.write_text(f"{known.read_text()}@revoked win* {known.read_text().split(maxsplit=1)[1]}")
    revoked = console("host", "enrol", "windows", "--yes", "--replace", "--json")
    assert (revoked.code, revoked.json()[0]["state"]) == (4, "revoked")
    assert console("host", "ping", "win1", environ=WORD).code == 4
    assert fleet.hosts["win1"].seen.calls == calls
    assert console("doctor", "--host", "win1", environ=WORD).code == 4


def test_the_doctor_goes_the_way_step_by_step(fleet: Fleet) -> None:
    console = fleet.console

    def steps(host: str, environ: dict[str, str] = WORD) -> tuple[int, dict[str, dict[str, str]]]:
        done = console("doctor", "--host", host, "--json", environ=environ)
        assert done.out, done.err
        return done.code, {row["what"]: row for row in done.json()}

    code, rows = steps("win1")
    assert code == 4 and rows["certificate"]["next"] == "longarm host enrol win1"
    assert console("host", "enrol", "win1", "--yes").code == 0
    code, rows = steps("win1")
    assert [*rows] == ["name", "connection", "certificate", "login", "algorithms", "shell", "administrator", "round trip"]
    assert rows["shell"]["detail"] == "PowerShell 5.1.20348.2849, Windows 10.0.20348.0, FullLanguage"
    assert "Negotiate" in rows["connection"]["detail"] and rows["algorithms"]["detail"].startswith("TLSv1")
    code, rows = steps("win2")
    assert rows["connection"]["state"] == "note" and rows["connection"]["next"] == "on the host: w32tm /resync /rediscover"
    assert rows["login"]["detail"] == f"{USER} (ops): ntlm"
    code, rows = steps("win2", {"LONGARM_TEST_WORD": "wrong"})
    assert code == 4 and "LocalAccountTokenFilterPolicy" in rows["login"]["next"]
    code, rows = steps("off")
    assert code == 3 and rows["connection"]["next"] == "on the host: Enable-PSRemoting -Force"
    for rights, state, told in ((Rights.REMOTE, "note", "transport: psrp"), (Rights.NONE, "problem", "S-1-5-32-580")):
        fleet.hosts["win2"].service.doors = practice(rights={USER: rights}).service.doors
        code, rows = steps("win2")
        assert rows["shell"]["state"] == state and told in rows["shell"]["next"]


def test_the_doctor_tells_of_a_host_that_would_not_seal(fleet: Fleet) -> None:
    def steps() -> dict[str, dict[str, str]]:
        done = fleet.console("doctor", "--host", "win2", "--json", environ=WORD)
        return {row["what"]: row for row in done.json()}

    assert (steps()["sealing"]["state"], steps()["sealing"]["detail"]) == ("ok", "Negotiate, Kerberos")
    with pytest.MonkeyPatch.context() as patched:
        clear = "application/soap+xml;charset=UTF-8"
        patched.setattr("remote.lab.windows.login.Login.seal", lambda self, data, *, like: (clear, data))
        fleet.hosts["win2"].service.doors = practice(allow_unencrypted=True).service.doors
        shell = steps()["shell"]
    assert shell["state"] == "problem" and "without a seal" in shell["detail"]
    assert shell["next"] == r"on the host: Set-Item WSMan:\localhost\Service\AllowUnencrypted $false"
    fleet.hosts["win2"].service.doors = practice(schemes=("basic",)).service.doors
    asked = [*fleet.hosts["win2"].service.shells.started]
    rows = steps()
    assert rows["sealing"]["state"] == "problem" and "Basic, which seals nothing" in rows["sealing"]["detail"]
    assert rows["sealing"]["next"] == r"on the host: Set-Item WSMan:\localhost\Service\Auth\Negotiate $true"
    assert fleet.hosts["win2"].service.shells.started == asked, "nothing was sent"


def test_a_command_runs_once_on_each(fleet: Fleet) -> None:
    done = fleet.console("host", "run", "'out'", "win2", "--yes", "--json", environ=WORD)
    assert done.code == 0, done.err
    (host,) = done.json()["hosts"]
    assert host["output"]["stdout"] == "out\n"
    assert len(fleet.hosts["win2"].service.shells.started) == 1 and not fleet.hosts["win2"].service.shells.open


def test_a_part_of_a_file_is_got(fleet: Fleet, tmp_path: Path) -> None:
    to = tmp_path / "app.log"
    done = fleet.console("host", "get", "win2", r"C:\Logs\app.log", "--last", "2", "--to", str(to), "--json", environ=WORD)
    assert done.code == 0, done.err
    assert to.read_text().startswith("one\n")
    for path in ("/etc/passwd", r"C:\con", r"\\other\share\x"):
        assert fleet.console("host", "get", "win2", path, environ=WORD).code == 2
    assert fleet.console("host", "get", "win2", r"C:\a", "--since", "2h", environ=WORD).code == 2


def test_hosts_that_answer_nothing_are_incomplete_and_accounted_for(fleet: Fleet) -> None:
    done = fleet.console("diagnose", "win2,off", "--json", environ=WORD)
    assert done.code == 3, done.err
    outcomes = {host["host"]: host["outcome"] for host in done.json()["hosts"]}
    assert outcomes == {"win2": "incomplete", "off": "unreachable"}
    assert not fleet.hosts["win2"].service.shells.open
