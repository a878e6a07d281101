"""The practice Windows host against clients that nobody here wrote: pywinrm and pypsrp, over HTTP and HTTPS."""

from __future__ import annotations

import ssl
from typing import Any, cast

import pytest
import requests
from pypsrp.shell import Process, WinRS
from pypsrp.wsman import WSMan
from winrm.exceptions import InvalidCredentialsError, WinRMOperationTimeoutError, WinRMTransportError, WSManFaultError
from winrm.protocol import Protocol

from remote.lab.windows.faults import Kind
from remote.lab.windows.host import WindowsHost
from remote.lab.windows.login import Doors
from remote.lab.windows.mishaps import Mishaps
from remote.lab.windows.shells import Limits
from tests.remote_lab.windows_hosts import (
    BASIC_PASSWORD,
    BASIC_USER,
    PASSWORD,
    USER,
    WORDS,
    Certificates,
    certificates,
    listening,
    ntlm_accounts,
    program,
    windows_host,
)

pytestmark = [pytest.mark.usefixtures("ntlm_accounts"), pytest.mark.filterwarnings("ignore:.*urllib3.*")]
__all__ = ["certificates", "ntlm_accounts"]


def connected(port: int, transport: str, **more: Any) -> Protocol:
    user, password = (BASIC_USER, BASIC_PASSWORD) if transport in {"basic", "plaintext"} else (USER, PASSWORD)
    told: dict[str, Any] = {"username": user, "password": password, "operation_timeout_sec": 1, "read_timeout_sec": 10}
    told |= {"proxy": None, "ca_trust_path": None}  # else the environment decides who is asked and who is trusted
    scheme = "https" if "ca_trust_path" in more else "http"
    return Protocol(f"{scheme}://127.0.0.1:{port}/wsman", transport=cast("Any", transport), **(told | more))


def said(protocol: Protocol, command: str, shell: str, stdin: bytes | None = None) -> tuple[bytes, bytes, int]:
    running = protocol.run_command(shell, command)
    if stdin is not None:
        protocol.send_command_input(shell, running, stdin, end=True)
    output = protocol.get_command_output(shell, running)
    protocol.cleanup_command(shell, running)
    return output


@pytest.mark.parametrize("transport", ["ntlm", "plaintext"])
def test_pywinrm_runs_commands(transport: str) -> None:
    host = windows_host("basic", "negotiate", allow_unencrypted=transport == "plaintext")
    with listening(host) as port:
        protocol = connected(port, transport)
        shell = protocol.open_shell(codepage=65001, env_vars={"LA": "x" * 20_000})
        assert said(protocol, "cmd /c exit 3", shell) == (WORDS.encode(), b"to the other side", 3)
        assert said(protocol, "cmd /c exit -1073741515", shell)[2] == 0xC0000135
        assert said(protocol, "cat", shell, stdin=b"\0\xff" * 100_000) == (b"\0\xff" * 100_000, b"", 0)
        assert said(protocol, "environment LA", shell)[0] == b"x" * 20_000
        assert said(protocol, "much 400", shell)[0] == bytes(range(256)) * 1600
        assert said(protocol, "powershell.exe -Command Get-Date", shell)[2] == 1, "what is not known is refused"
        protocol.close_shell(shell)
    assert not host.service.shells.open
    assert host.seen.messages[0] == "Create" and host.seen.messages[-1] == "Delete"


def test_pypsrp_runs_a_command() -> None:
    host = windows_host("negotiate")
    with listening(host) as port:
        wsman = WSMan("127.0.0.1", port=port, username=USER, password=PASSWORD, ssl=False, auth="ntlm", encryption="always")
        with wsman, WinRS(wsman) as shell:
            process = Process(shell, "cmd", ["/c exit 3"])
            process.invoke()
            assert (process.rc, process.stdout, process.stderr) == (3, WORDS.encode(), b"to the other side")
            wsman.update_max_payload_size()
    assert "Get" in host.seen.messages and not host.service.shells.open


@pytest.mark.parametrize(
    ("transport", "password", "open_"),
    [("ntlm", "wrong", False), ("plaintext", BASIC_PASSWORD, False), ("plaintext", "wrong", True)],
)
def test_who_is_not_let_in(transport: str, password: str, open_: bool) -> None:
    host = windows_host("basic", "negotiate", allow_unencrypted=open_)
    with listening(host) as port:
        protocol = connected(port, transport, password=password)
        with pytest.raises(InvalidCredentialsError):
            protocol.open_shell()
        protocol.transport.close_session()
    assert host.seen.messages == [], "nothing is heard of who is not logged in"


def test_what_is_not_sealed_is_refused_over_http() -> None:
    host = windows_host("negotiate")
    with listening(host) as port:
        protocol = connected(port, "ntlm", message_encryption="never")
        with pytest.raises(InvalidCredentialsError):
            protocol.open_shell()
        protocol.transport.close_session()
    assert host.seen.messages == []


def test_anybody_may_ask_who_it_is() -> None:
    with listening(windows_host()) as port:
        headers = {"WSMANIDENTIFY": "unauthenticated"}
        answer = requests.post(f"http://127.0.0.1:{port}/wsman", headers=headers, data=b"", timeout=10)
        assert answer.status_code == 200 and b"Microsoft Corporation" in answer.content


def test_a_long_wait_is_a_timeout_of_the_operation_and_nothing_is_lost() -> None:
    with listening(windows_host()) as port:
        protocol = connected(port, "ntlm")
        shell = protocol.open_shell()
        running = protocol.run_command(shell, "patience 1.5")
        with pytest.raises(WinRMOperationTimeoutError):
            protocol.get_command_output_raw(shell, running)
        assert protocol.get_command_output(shell, running)[0] == b"at last"
        protocol.close_shell(shell)


def test_limits_come_as_errors_of_wmi() -> None:
    with listening(windows_host(limits=Limits(max_shells_per_user=1, max_operations_per_shell=1))) as port:
        protocol = connected(port, "ntlm")
        shell = protocol.open_shell()
        with pytest.raises(WSManFaultError) as too_many:
            protocol.open_shell()
        assert too_many.value.wmierror_code == 0x803381A5
        said(protocol, "cmd /c exit 0", shell)
        with pytest.raises(WSManFaultError) as exhausted:
            protocol.run_command(shell, "cmd /c exit 0")
        assert exhausted.value.wmierror_code == 0x803381A6
        protocol.close_shell(shell)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.OPERATION_TIMEOUT])
def test_every_fault_reaches_the_client_by_its_number(kind: Kind) -> None:
    with listening(windows_host(mishaps=Mishaps(faults={1: kind}))) as port:
        protocol = connected(port, "ntlm")
        with pytest.raises(WSManFaultError) as fault:
            protocol.open_shell()
        assert (fault.value.wmierror_code if kind.of_wmi else fault.value.wsman_fault_code) == kind.number
        assert (fault.value.fault_code, fault.value.fault_subcode) == (f"s:{kind.blame}", kind.subcode)
        protocol.transport.close_session()


def test_a_reboot_takes_the_shells_away() -> None:
    host = windows_host(mishaps=Mishaps(reboot={2}))
    with listening(host) as port:
        protocol = connected(port, "ntlm")
        shell = protocol.open_shell()
        with pytest.raises(WSManFaultError) as gone:
            protocol.run_command(shell, "cmd /c exit 0")
        assert gone.value.wsman_fault_code == 2150858843
        protocol.transport.close_session()
    assert host.service.shells.started == []


@pytest.mark.parametrize(
    ("mishap", "runs"), [(Mishaps(drop_before={2}), 0), (Mishaps(drop_after={2}), 1), (Mishaps(bad_mic={2}), 0)]
)
def test_connections_break_before_or_after_something_is_done(mishap: Mishaps, runs: int) -> None:
    host = windows_host(mishaps=mishap)
    with listening(host) as port:
        protocol = connected(port, "ntlm")
        shell = protocol.open_shell()
        with pytest.raises((requests.exceptions.ConnectionError, WinRMTransportError)):
            protocol.run_command(shell, "cmd /c exit 0")
        protocol.transport.close_session()
        protocol.transport.encryption = None
        assert said(protocol, "cmd /c exit 7", shell)[2] == 7, "the shell outlives the connection"
        protocol.close_shell(shell)
    assert len(host.service.shells.started) == runs + 1


def test_hostile_text_is_a_fault_and_not_an_end() -> None:
    host = windows_host("basic", allow_unencrypted=True)
    with listening(host) as port:
        for body in (b"<", b"<a/>", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', b"\xff" * 100):
            answer = requests.post(f"http://127.0.0.1:{port}/wsman", data=body, auth=(BASIC_USER, BASIC_PASSWORD), timeout=10)
            assert answer.status_code == 500 and b"SchemaValidationError" in answer.content
    assert host.seen.messages == [""] * 4


@pytest.mark.parametrize("transport", ["basic", "ntlm", "certificate"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_pywinrm_over_https(transport: str, version: ssl.TLSVersion, certificates: Certificates) -> None:
    doors = Doors(passwords={BASIC_USER: BASIC_PASSWORD}, schemes=("basic", "negotiate", "certificate"))
    host = WindowsHost(program, doors=doors)
    more = {"ca_trust_path": certificates.authority}
    if transport == "certificate":
        more |= {"cert_pem": certificates.file(USER), "cert_key_pem": certificates.file(USER, "key")}
    with listening(host, certificates.context(version)) as port:
        protocol = connected(port, transport, **more)
        shell = protocol.open_shell()
        assert said(protocol, "cmd /c exit 3", shell) == (WORDS.encode(), b"to the other side", 3)
        protocol.close_shell(shell)
