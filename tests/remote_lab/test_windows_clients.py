"""pypsrp's Client, which nobody here wrote, against the practice Windows host: by every way to log in, both kinds of shells."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pypsrp.client import Client
from pypsrp.exceptions import AuthenticationError, WinRMError, WSManFaultError
from pypsrp.powershell import PowerShell, RunspacePool

from remote.kerberos import extra_installed
from remote.lab.windows.bindings import Hardening
from remote.lab.windows.host import WindowsHost
from remote.lab.windows.login import Doors, Rights
from remote.lab.windows.runspaces import Endpoint
from tests.remote.realm import PASSWORD as REALM_PASSWORD
from tests.remote.realm import Realm, make_realm
from tests.remote_lab.windows_hosts import (
    BASIC_PASSWORD,
    BASIC_USER,
    PASSWORD,
    USER,
    WORDS,
    Certificates,
    Disk,
    certificates,
    listening,
    ntlm_accounts,
    program,
)

pytestmark = [pytest.mark.usefixtures("ntlm_accounts"), pytest.mark.filterwarnings("ignore:.*urllib3.*")]
needs_realm = [
    pytest.mark.server,
    pytest.mark.skipif(not extra_installed(), reason="needs the extra longarm[kerberos]"),
    pytest.mark.xdist_group("kerberos"),
]
__all__ = ["certificates", "ntlm_accounts"]
SERVICES = ("HTTP/localhost", "host/localhost")
LOGINS: dict[str, dict[str, Any]] = {
    "basic": {"auth": "basic", "username": BASIC_USER, "password": BASIC_PASSWORD},
    "ntlm": {"auth": "ntlm", "username": USER, "password": PASSWORD},
    "negotiate": {"auth": "negotiate", "username": USER, "password": PASSWORD},
    "kerberos": {"auth": "kerberos", "password": REALM_PASSWORD},
    "certificate": {"auth": "certificate"},
}
HTTP = [("ntlm", ""), ("negotiate", ""), pytest.param("kerberos", "", marks=needs_realm)]
HTTPS = [
    ("basic", "TLSv1_2"),
    ("certificate", "TLSv1_3"),
    ("ntlm", "TLSv1_2"),
    ("negotiate", "TLSv1_3"),
    pytest.param("kerberos", "TLSv1_3", marks=needs_realm),
]


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    """Run a realm with the services of a Windows host called `localhost`."""
    made = make_realm(tmp_path_factory.mktemp("realm"), SERVICES)
    with made.kdc():
        yield made


@pytest.fixture
def kerberos(realm: Realm, monkeypatch: pytest.MonkeyPatch) -> Realm:
    """Let both sides, which are in this process, know of the realm."""
    monkeypatch.setenv("KRB5_CONFIG", realm.environ["KRB5_CONFIG"])
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{realm.folder / 'nobody'}")
    monkeypatch.setenv("KRB5_KTNAME", f"FILE:{realm.folder / 'host.keytab'}")
    return realm


def host_with(disk: Disk, **doors: Any) -> WindowsHost:
    known = {"passwords": {BASIC_USER: BASIC_PASSWORD}, "schemes": ("basic", "negotiate", "kerberos", "certificate")}
    return WindowsHost(program, doors=Doors(**(known | doors)), endpoints={"Microsoft.PowerShell": Endpoint(program=disk)})


@contextmanager
def client(host: WindowsHost, tls: str, certificates: Certificates, **more: Any) -> Iterator[Client]:
    secure: dict[str, Any] = {"ssl": bool(tls), "cert_validation": certificates.authority if tls else True}
    context = certificates.context(ssl.TLSVersion[tls]) if tls else None
    with listening(host, context) as port, ExitStack() as leaving:
        # no_proxy: else the environment of whoever runs the tests decides who is asked
        made = Client("localhost", port=port, no_proxy=True, encryption="auto", **(secure | more))
        yield leaving.enter_context(made)


def told(way: str, request: pytest.FixtureRequest, certificates: Certificates) -> dict[str, Any]:
    """Return what a client needs to log in by a way."""
    login = dict(LOGINS[way])
    if way == "kerberos":
        login["username"] = request.getfixturevalue("kerberos").principal
    if way == "certificate":
        login |= {"certificate_pem": certificates.file(USER), "certificate_key_pem": certificates.file(USER, "key")}
    return login


NOT_KNOWN = "This practice host runs no PowerShell, and knows no such script."


def errors(output: Any, streams: Any, failed: bool) -> list[str]:
    """Return what a pipeline failed with that brought nothing back."""
    assert failed and not output
    return [str(one) for one in streams.error]


@pytest.mark.parametrize(("way", "tls"), [*HTTP, *HTTPS])
def test_both_kinds_of_shells_by_every_way_to_log_in(
    way: str, tls: str, request: pytest.FixtureRequest, certificates: Certificates, tmp_path: Path
) -> None:
    host = host_with(Disk(), certificate=certificates.der("win"))
    with client(host, tls, certificates, **told(way, request, certificates)) as windows:
        assert windows.execute_cmd("cmd /c exit 3", encoding="utf-8") == (WORDS, "to the other side", 3)
        assert windows.execute_cmd("environment LA", environment={"LA": "x" * 9000})[0] == "x" * 9000
        output, streams, failed = windows.execute_ps("Get-Words")
        assert (output, streams.error, failed) == ("привет, мир\nand more", [], False)
        output, streams, failed = windows.execute_ps("Write-Wrong")
        assert (output, [str(one) for one in streams.error]) == ("before", ["не вышло"])
        (tmp_path / "sent").write_bytes(bytes(range(256)) * 2000)
        assert windows.copy(str(tmp_path / "sent"), "C:\\sent.bin") == "C:\\sent.bin"
        windows.fetch("C:\\sent.bin", str(tmp_path / "back"))
        assert (tmp_path / "back").read_bytes() == bytes(range(256)) * 2000
    assert not host.service.shells.open
    assert host.service.shells.opened == 6, "one for each call"


def test_what_is_not_known_fails(certificates: Certificates, tmp_path: Path) -> None:
    host = host_with(Disk())
    with client(host, "", certificates, **LOGINS["ntlm"]) as windows:
        with pytest.raises(WinRMError, match="does not exist"):
            windows.fetch("C:\\nothing", str(tmp_path / "back"))
        assert errors(*windows.execute_ps("Remove-Item C:\\")) == [NOT_KNOWN]
        with RunspacePool(windows.wsman) as pool:
            asked = PowerShell(pool).add_script("Get-Date")
            asked.invoke()
            assert errors(asked.output, asked.streams, asked.had_errors) == [NOT_KNOWN]
        with pytest.raises(WSManFaultError) as fault, RunspacePool(windows.wsman, configuration_name="Nowhere"):
            pass
        assert fault.value.code == 0x80338000
    assert not host.service.shells.open


@pytest.mark.parametrize("hardening", list(Hardening))
@pytest.mark.parametrize("bound", ["to the host", "to another", "to nothing"])
@pytest.mark.parametrize("way", ["ntlm", "negotiate", pytest.param("kerberos", marks=needs_realm)])
def test_a_login_is_bound_to_its_connection(
    way: str, bound: str, hardening: Hardening, request: pytest.FixtureRequest, certificates: Certificates
) -> None:
    if way == "kerberos" and bound == "to nothing" and hardening is Hardening.STRICT:
        pytest.xfail("MIT's library takes a ticket without bindings, whatever it was told")
    own = certificates.der("other" if bound == "to another" else "win")
    host = host_with(Disk(), certificate=own, hardening=hardening)
    login = told(way, request, certificates) | {"negotiate_send_cbt": bound != "to nothing"}
    taken = hardening is Hardening.NONE or bound == "to the host" or (hardening is Hardening.RELAXED and bound == "to nothing")
    with client(host, "TLSv1_3", certificates, **login) as windows:
        if taken:
            assert windows.execute_cmd("cmd /c exit 3")[2] == 3
        else:
            with pytest.raises(AuthenticationError):
                windows.execute_cmd("cmd /c exit 3")
    assert bool(host.seen.messages) is taken


def test_who_may_use_powershell_only_is_denied_a_shell_of_cmd(certificates: Certificates) -> None:
    host = host_with(Disk(), rights={USER: Rights.REMOTE})
    with client(host, "", certificates, **LOGINS["ntlm"]) as windows:
        with pytest.raises(WSManFaultError) as denied:
            windows.execute_cmd("cmd /c exit 3")
        assert denied.value.code == 5
        assert windows.execute_ps("Get-Words")[0] == "привет, мир\nand more"


@pytest.mark.parametrize(("rights", "error"), [(Rights.NONE, WSManFaultError), (Rights.FILTERED, AuthenticationError)])
def test_who_may_nothing_is_told_so_in_two_ways(rights: Rights, error: type[Exception], certificates: Certificates) -> None:
    host = host_with(Disk(), rights={USER: rights})
    with client(host, "", certificates, **LOGINS["ntlm"]) as windows:
        with pytest.raises(error):
            windows.execute_cmd("cmd /c exit 3")
        with pytest.raises(error):
            windows.execute_ps("Get-Words")
    assert not host.service.shells.started


def test_an_endpoint_without_a_language_takes_its_own_commands_only(certificates: Certificates) -> None:
    host = host_with(Disk(), rights={USER: Rights.REMOTE})
    host.service.endpoints = {"Support": Endpoint(program=Disk(), visible=frozenset({"Invoke-Expression", "Out-String"}))}
    with client(host, "", certificates, **LOGINS["ntlm"]) as windows:
        assert windows.execute_ps("Get-Words", configuration_name="Support")[0] == "привет, мир\nand more"
        with RunspacePool(windows.wsman, configuration_name="Support") as pool:
            script, cmdlet = PowerShell(pool).add_script("Get-Date"), PowerShell(pool).add_cmdlet("Get-Date")
            for asked, said in ((script, "no-language mode"), (cmdlet, "The term 'Get-Date' is not recognized")):
                asked.invoke()
                assert said in errors(asked.output, asked.streams, asked.had_errors)[0]
