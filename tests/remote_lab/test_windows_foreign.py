"""Clients in other languages, which nobody here wrote, against the practice Windows host: Go's and Node's.

Both are what their packages are today: Debian's golang-github-masterzen-winrm-dev (2020) and winrm-client of npm seal nothing,
so that a host which takes sealed messages only refuses them by NTLM, as Windows does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.remote_lab.windows_hosts import (
    BASIC_PASSWORD,
    BASIC_USER,
    PASSWORD,
    USER,
    listening,
    ntlm_accounts,
    windows_host,
)

pytestmark = [pytest.mark.soak, pytest.mark.usefixtures("ntlm_accounts"), pytest.mark.xdist_group("foreign")]
__all__ = ["ntlm_accounts"]
HERE = Path(__file__).parent / "foreign"
GOCODE = Path("/usr/share/gocode/src/github.com/masterzen/winrm")
NPM = "winrm-client@0.0.11"
COMMAND = "cmd /c exit 3"
Run = Callable[[int, str, str, str], str]


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Build Go's client from Debian's sources; return what runs the command with it."""
    if shutil.which("go") is None or not GOCODE.is_dir():
        pytest.skip("not installed: golang-go golang-github-masterzen-winrm-dev")
    folder = tmp_path_factory.mktemp("go")
    (folder / "src" / "probe").mkdir(parents=True)
    shutil.copy(HERE / "main.go", folder / "src" / "probe")
    environ = {"GO111MODULE": "off", "GOPATH": f"{folder}:/usr/share/gocode", "GOCACHE": str(folder / "cache")}
    command = ["go", "build", "-o", str(folder / "probe"), "."]
    subprocess.run(command, cwd=folder / "src" / "probe", env={**os.environ, **environ}, check=True, timeout=600)

    def run(port: int, way: str, user: str, password: str) -> str:
        return said([str(folder / "probe"), str(port), way, user, password, COMMAND])

    return run


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Install Node's client; return what runs the command with it."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("not installed: nodejs npm")
    folder = tmp_path_factory.mktemp("node")
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), NPM]
    subprocess.run(install, cwd=folder, check=True, timeout=300)

    def run(port: int, way: str, user: str, password: str) -> str:
        name = f"LAB\\{user}" if way == "ntlm" else user
        return said(["node", str(HERE / "probe.mjs"), str(folder), str(port), name, password, COMMAND])

    return run


def said(command: list[str]) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=120).stdout.decode()


@pytest.mark.parametrize(("way", "user", "password"), [("basic", BASIC_USER, BASIC_PASSWORD), ("ntlm", USER, PASSWORD)])
def test_the_client_of_go_runs_a_command(way: str, user: str, password: str, go: Run) -> None:
    host = windows_host("basic" if way == "basic" else "negotiate", allow_unencrypted=True)
    with listening(host) as port:
        brought = go(port, way, user, password)
    assert brought.startswith('"привет, мир\\r\\n" "to the other side" 3 <nil>')
    assert host.seen.messages == ["Create", "Command", "Receive", "Signal", "Delete"]
    assert not host.service.shells.open


@pytest.mark.parametrize(("way", "user", "password"), [("basic", BASIC_USER, BASIC_PASSWORD), ("ntlm", USER, PASSWORD)])
def test_the_client_of_node_runs_a_command(way: str, user: str, password: str, node: Run) -> None:
    host = windows_host("basic" if way == "basic" else "negotiate", allow_unencrypted=True)
    with listening(host) as port:
        brought = node(port, way, user, password)
    assert ", " in brought and "failed" not in brought, "it reads UTF-8 as ASCII"
    assert host.seen.messages == ["Create", "Command", "Receive", "Delete"]
    assert host.service.shells.started == [COMMAND] and not host.service.shells.open


@pytest.mark.parametrize("client", ["go", "node"])
def test_what_seals_nothing_is_refused_by_a_host_that_wants_seals(client: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(client)
    host = windows_host("negotiate")
    with listening(host) as port:
        brought = run(port, "ntlm", USER, PASSWORD)
    assert "401" in brought
    assert host.seen.messages == []
