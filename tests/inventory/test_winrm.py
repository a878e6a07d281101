"""How an inventory says that a Windows host is spoken to, in our words and in Ansible's."""

from __future__ import annotations

from pathlib import Path

import pytest

from inventory.errors import InvalidFile
from inventory.host import Host, WinrmAuth, WinrmSettings
from inventory.own import load_inventory
from inventory.written import written


def hosts_of(folder: Path, text: str) -> dict[str, Host]:
    (folder / "inventory.yaml").write_text(text)
    return dict(load_inventory([folder / "inventory.yaml"]).hosts)


def test_what_a_group_says_and_a_host_says_comes_together(tmp_path: Path) -> None:
    text = """
groups:
  windows:
    transport: winrm
    platform: windows
    winrm: {scheme: http, auth: kerberos}
    hosts: {win1: {}, win2: {winrm: {auth: credssp, allow_credssp: true, ca: ~/ca.pem, endpoint: Support.JEA}}}
hosts: {web1: {}}
"""
    hosts = hosts_of(tmp_path, text)
    assert hosts["win1"].winrm == WinrmSettings(scheme="http", auth=WinrmAuth.KERBEROS)
    assert hosts["win2"].winrm == WinrmSettings(
        scheme="http", auth=WinrmAuth.CREDSSP, ca="~/ca.pem", allow_credssp=True, endpoint="Support.JEA"
    )
    assert hosts["web1"].winrm == WinrmSettings()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("{scheme: ftp}", "“scheme” cannot be “ftp”"),
        ("{auth: digest}", "“auth” cannot be “digest”"),
        ("{endpoint: a/b}", "“a/b” is not the name of an endpoint"),
        ("{verify: false}", "“verify”"),
    ],
)
def test_a_word_that_is_none_is_told_with_its_place(tmp_path: Path, words: str, told: str) -> None:
    with pytest.raises(InvalidFile) as invalid:
        hosts_of(tmp_path, f"hosts: {{win1: {{winrm: {words}}}}}\n")
    (problem,) = invalid.value.problems
    assert told in str(problem.text) and problem.place.line == 1


def test_it_is_written_as_it_is_read(tmp_path: Path) -> None:
    text = "hosts:\n  win1: {transport: winrm, platform: windows, winrm: {scheme: http, auth: ntlm, ca: /ca.pem}}\n"
    hosts = hosts_of(tmp_path, text)
    again = written(load_inventory([tmp_path / "inventory.yaml"]), list(hosts.values()))
    (tmp_path / "again").mkdir()
    assert hosts_of(tmp_path / "again", again)["win1"].winrm == hosts["win1"].winrm != WinrmSettings()


def test_a_windows_host_may_lie_behind_another(tmp_path: Path) -> None:
    hosts = hosts_of(tmp_path, "hosts: {win1: {transport: winrm, via: gate}, gate: {}}\n")
    assert hosts["win1"].via == hosts["gate"]


ANSIBLE = """
[windows:vars]
ansible_connection=winrm
ansible_user=ops
ansible_winrm_scheme=http
ansible_winrm_transport=kerberos,ntlm
ansible_winrm_ca_trust_path=/etc/ca.pem
ansible_winrm_read_timeout_sec=30
ansible_winrm_message_encryption=never
ansible_winrm_server_cert_validation=ignore
[windows]
win1 ansible_port=5985
win2 ansible_connection=psrp ansible_psrp_protocol=https ansible_psrp_auth=ntlm ansible_psrp_configuration_name=JEA
win3 ansible_winrm_transport=certificate ansible_winrm_cert_pem=/u.pem ansible_winrm_cert_key_pem=/u.key
win4 ansible_winrm_transport=plaintext
"""


def test_ansible_says_it_in_other_words(tmp_path: Path) -> None:
    (tmp_path / "hosts.ini").write_text(ANSIBLE)
    (tmp_path / "inventory.yaml").write_text("sources: [{ansible: hosts.ini}]\n")
    inventory = load_inventory([tmp_path / "inventory.yaml"])
    hosts = inventory.hosts
    assert hosts["win1"].winrm == WinrmSettings(scheme="http", auth=WinrmAuth.KERBEROS, ca="/etc/ca.pem")
    assert hosts["win2"].winrm == WinrmSettings(scheme="https", auth=WinrmAuth.NTLM, endpoint="JEA")
    assert hosts["win3"].winrm.auth is WinrmAuth.CERTIFICATE and hosts["win3"].credential is not None
    assert (hosts["win3"].credential.certificate, hosts["win3"].credential.key) == ("/u.pem", "/u.key")
    assert hosts["win4"].winrm.auth is None
    told = {str(note.text) for note in inventory.notes}
    for name in ("ansible_winrm_message_encryption", "ansible_winrm_server_cert_validation", "ansible_winrm_transport"):
        assert f"“{name}” is left out: longarm has no word for it" in told
    assert not any("read_timeout" in text for text in told), "its deadlines are longarm's own"
