"""Under which names Ansible's plugins look for how a host is reached: each has some of its own, and some for all of them.

Of several that are given the first one here holds: the last one in the documentation of the plugin (ansible-core 2.19).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from inventory.host import BecomeMethod, Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A connection plugin: the transport that it stands for, and the names of the variables that it reads."""

    transport: Transport
    address: tuple[str, ...]
    port: tuple[str, ...]
    user: tuple[str, ...]
    password: tuple[str, ...]
    key: tuple[str, ...]
    certificate: tuple[str, ...] = ()


_SSH: Final = Plugin(
    transport=Transport.SSH,
    address=("ansible_ssh_host", "ansible_host"),
    port=("ansible_ssh_port", "ansible_port"),
    user=("ansible_ssh_user", "ansible_user"),
    password=("ansible_ssh_password", "ansible_ssh_pass", "ansible_password"),
    key=("ansible_ssh_private_key_file", "ansible_private_key_file"),
)
_PARAMIKO: Final = Plugin(
    transport=Transport.SSH,
    address=("ansible_paramiko_host", *_SSH.address),
    port=("ansible_paramiko_port", *_SSH.port),
    user=("ansible_paramiko_user", *_SSH.user),
    password=("ansible_paramiko_password", "ansible_paramiko_pass", *_SSH.password),
    key=("ansible_paramiko_private_key_file", *_SSH.key),
)
_WINRM: Final = Plugin(
    transport=Transport.WINRM,
    address=("ansible_winrm_host", "ansible_host"),
    port=("ansible_winrm_port", "ansible_port"),
    user=("ansible_winrm_user", "ansible_user"),
    password=("ansible_winrm_password", "ansible_winrm_pass", "ansible_password"),
    key=("ansible_winrm_cert_key_pem",),
    certificate=("ansible_winrm_cert_pem",),
)
_PSRP: Final = Plugin(
    transport=Transport.PSRP,
    address=("ansible_psrp_host", "ansible_host"),
    port=("ansible_psrp_port", "ansible_port"),
    user=("ansible_psrp_user", "ansible_user"),
    password=_WINRM.password,
    key=("ansible_psrp_certificate_key_pem",),
    certificate=("ansible_psrp_certificate_pem",),
)
_LOCAL: Final = replace(_SSH, transport=Transport.LOCAL)


def _named(*names: str) -> tuple[str, ...]:
    return (*names, *(f"ansible.{collection}.{name}" for collection in ("builtin", "legacy") for name in names))


PLUGINS: Final[Mapping[str, Plugin]] = {
    **dict.fromkeys(("smart", *_named("ssh")), _SSH),
    **dict.fromkeys(("paramiko", *_named("paramiko_ssh")), _PARAMIKO),
    **dict.fromkeys(_named("winrm"), _WINRM),
    **dict.fromkeys(_named("psrp"), _PSRP),
    **dict.fromkeys(_named("local"), _LOCAL),
}
"""The connection plugins that mean a transport of ours, by what `ansible_connection` says."""
DEFAULT: Final = _SSH

METHODS: Final[Mapping[str, BecomeMethod]] = {
    **dict.fromkeys(_named("sudo"), BecomeMethod.SUDO),
    **dict.fromkeys(("doas", "ansible.builtin.doas", "community.general.doas"), BecomeMethod.DOAS),
    **dict.fromkeys(_named("su"), BecomeMethod.SU),
}
"""What `ansible_become_method` says, in ours."""


def become_user(method: BecomeMethod | None) -> tuple[str, ...]:
    """Return the names for whom to become; None: by a method that we have no word for."""
    return (*_own(method, "user"), "ansible_become_user")


def become_password(method: BecomeMethod | None) -> tuple[str, ...]:
    """Return the names for the password that this takes."""
    return (*_own(method, "pass"), "ansible_become_pass", "ansible_become_password")


def _own(method: BecomeMethod | None, what: str) -> tuple[str, ...]:
    return () if method is None else (f"ansible_{method}_{what}",)


TAKEN: Final = frozenset(
    (
        *(name for one in PLUGINS.values() for name in one.address + one.port + one.user + one.key + one.certificate),
        *(name for method in METHODS.values() for name in become_user(method)),
        *("ansible_connection", "ansible_become_method"),
    )
)
"""What is understood here; one that belongs to another plugin than that of a host says nothing, as in Ansible."""
