"""What Ansible's plugins take of the variables of a host, longarm takes too: where to, as whom, with which key."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from inventory.host import BecomeMethod, Host, Transport
from inventory.own import load_inventory
from inventory.sources.ansible_options import PLUGINS, become_password

ASKED = """
import json, sys
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import become_loader, connection_loader

def options(plugin, variables):
    plugin.set_options(var_options=variables)
    extras = variables if plugin.allow_extras else {}  # as its task executor hands them on
    return {**extras, **plugin.get_options()}

connections, methods = json.load(sys.stdin)
taken = [options(connection_loader.get(one["ansible_connection"], PlayContext()), one) for one in connections]
become = [options(become_loader.get(one["ansible_become_method"]), one) for one in methods]
json.dump([taken, become], sys.stdout, default=str)
"""
POOL: Mapping[str, Any] = {
    **{f"ansible_{own}host": f"10.0.0.{n}" for n, own in enumerate(("", "ssh_", "paramiko_", "winrm_", "psrp_"))},
    **{f"ansible_{own}port": 1000 + n for n, own in enumerate(("", "ssh_", "paramiko_", "winrm_", "psrp_"))},
    **{f"ansible_{own}user": f"u{n}" for n, own in enumerate(("", "ssh_", "paramiko_", "winrm_", "psrp_"))},
    **{f"ansible_{own}private_key_file": f"/k/{n}" for n, own in enumerate(("", "ssh_", "paramiko_"))},
    "ansible_winrm_cert_pem": "/c/w",
    "ansible_winrm_cert_key_pem": "/k/w",
    "ansible_psrp_certificate_pem": "/c/p",
    "ansible_psrp_certificate_key_pem": "/k/p",
    "ansible_psrp_cert_trust_path": "/ca/1",
    "ansible_psrp_ca_cert": "/ca/2",
}
PASSWORDS = {
    f"ansible_{own}": f"ansible_{own}"
    for own in ("password", "ssh_pass", "ssh_password", "paramiko_pass", "paramiko_password", "winrm_pass", "winrm_password")
}
BECOME = {f"ansible_{one}": f"ansible_{one}" for one in ("become_password", "become_pass", "sudo_pass", "su_pass")} | {
    f"ansible_{one}": f"ansible_{one}" for one in ("become_user", "sudo_user", "su_user")
}
CONNECTIONS = ("ssh", "paramiko_ssh", "winrm", "psrp", "ansible.legacy.paramiko_ssh", "ansible.legacy.winrm")
METHODS = {"sudo": BecomeMethod.SUDO, "su": BecomeMethod.SU, "ansible.legacy.su": BecomeMethod.SU}
Asked = tuple[list[dict[str, Any]], list[dict[str, Any]]]


def drawn(pool: Mapping[str, Any], said: str, values: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the variables of hosts: some of these, of the first host for each value all of them."""
    dice = random.Random(5)
    return [
        {said: value, "inventory_hostname": f"h{at}-{number}"}
        | {name: one for name, one in pool.items() if not number or dice.random() < 0.6}
        for at, value in enumerate(values)
        for number in range(60)
    ]


HOSTS = drawn({**POOL, **PASSWORDS}, "ansible_connection", CONNECTIONS)
BECOMING = drawn(BECOME, "ansible_become_method", tuple(METHODS))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """Return the options of the plugins for all hosts, with nobody's settings."""
    pytest.importorskip("ansible", reason="ansible-core is not installed")
    home = tmp_path_factory.mktemp("ansible")
    (home / "ansible.cfg").write_text("[defaults]\n")
    settings = {"HOME": str(home), "ANSIBLE_HOME": str(home / ".ansible"), "ANSIBLE_CONFIG": str(home / "ansible.cfg")}
    done = subprocess.run(
        [sys.executable, "-c", ASKED],
        input=json.dumps([HOSTS, BECOMING]),
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **settings},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    taken, become = json.loads(done.stdout)
    return taken, become


@pytest.fixture
def ours(tmp_path: Path) -> Callable[[list[dict[str, Any]]], Mapping[str, Host]]:
    """Return what gives the hosts that longarm knows by such variables."""

    def known(hosts: list[dict[str, Any]]) -> Mapping[str, Host]:
        named = {host["inventory_hostname"]: host for host in hosts}
        (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": named}}))
        (tmp_path / "inventory.yaml").write_text("sources:\n  - ansible: hosts.json\n")
        return load_inventory([tmp_path / "inventory.yaml"]).hosts

    return known


def first(options: Mapping[str, Any], *names: str) -> Any:
    return next((options[name] for name in names if options.get(name) is not None), None)


def test_both_take_the_same_of_all_that_is_set(theirs: Asked, ours: Callable[..., Mapping[str, Host]]) -> None:
    known = ours(HOSTS)
    for variables, options in zip(HOSTS, theirs[0], strict=True):
        host = known[variables["inventory_hostname"]]
        assert host.address == first(options, "host", "remote_addr"), variables
        assert host.port == options["port"] or (host.port is None and options["port"] in (22, 5986)), variables  # its own one
        user = options["remote_user"]
        assert (host.credential and host.credential.user) == user, variables
        if host.credential is None:
            continue  # without a user there is none, and no key
        assert host.credential.key == first(options, "private_key_file", "ansible_winrm_cert_key_pem", "certificate_key_pem")
        certificate = first(options, "ansible_winrm_cert_pem", "certificate_pem")
        assert host.credential.certificate == (certificate if host.credential.key else None), variables
        assert (host.winrm.ca if host.transport is Transport.PSRP else None) == options.get("ca_cert"), variables


def test_both_take_the_same_password(theirs: Asked) -> None:
    for variables, options in zip(HOSTS, theirs[0], strict=True):
        names = PLUGINS[variables["ansible_connection"]].password
        assert first(variables, *names) == first(options, "password", "remote_password"), variables


def test_both_become_the_same_user_by_the_same_password(theirs: Asked, ours: Callable[..., Mapping[str, Host]]) -> None:
    known = ours([{name: value for name, value in one.items() if "_pass" not in name} for one in BECOMING])
    for variables, options in zip(BECOMING, theirs[1], strict=True):
        method = METHODS[variables["ansible_become_method"]]
        become = known[variables["inventory_hostname"]].become
        assert (become.method, become.user) == (method, options["become_user"]), variables
        assert first(variables, *become_password(method)) == options["become_pass"], variables
