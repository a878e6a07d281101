"""Ansible's words for how a Windows host is spoken to, in ours; what would make it less safe has no word here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from inventory.host import Transport
from inventory.winrm import is_endpoint

_AUTH: Final = {
    "basic": "basic",
    "ssl": "basic",
    "certificate": "certificate",
    "ntlm": "ntlm",
    "kerberos": "kerberos",
    "credssp": "credssp",
}
_SCHEME: Final = {"http": "http", "https": "https"}
KEYS: Final[Mapping[Transport, Mapping[str, str]]] = {
    Transport.WINRM: {
        "ansible_winrm_scheme": "scheme",
        "ansible_winrm_transport": "auth",
        "ansible_winrm_ca_trust_path": "ca",
    },
    Transport.PSRP: {
        "ansible_psrp_protocol": "scheme",
        "ansible_psrp_auth": "auth",
        "ansible_psrp_cert_trust_path": "ca",
        "ansible_psrp_ca_cert": "ca",
        "ansible_psrp_configuration_name": "endpoint",
    },
}
"""What we have words for, by the transport that it is said of; of two for one word the later holds."""
MEANINGLESS: Final = frozenset(
    {
        "ansible_winrm_operation_timeout_sec",
        "ansible_winrm_read_timeout_sec",
        "ansible_winrm_connection_timeout",
        "ansible_psrp_operation_timeout",
        "ansible_psrp_read_timeout",
        "ansible_psrp_connection_timeout",
        "ansible_psrp_reconnection_retries",
        "ansible_psrp_reconnection_backoff",
        "ansible_psrp_max_envelope_size",
        "ansible_winrm_kinit_mode",
        "ansible_winrm_kinit_cmd",
    }
)
"""What says nothing that longarm would do otherwise: it has deadlines of its own, and gets tickets itself."""
MEANT_ANYWAY: Final = {
    "ansible_winrm_server_cert_validation": "validate",
    "ansible_psrp_cert_validation": "validate",
    "ansible_winrm_message_encryption": "auto",
    "ansible_psrp_message_encryption": "auto",
    "ansible_winrm_path": "wsman",
    "ansible_psrp_path": "wsman",
    "ansible_psrp_auth": "negotiate",
}
"""Values that say what longarm does anyway."""


def meaning_of(key: str, text: str) -> str | None:
    """Return what a value means for one of our words, None where there is nothing for it; of a list the first that we know.

    >>> meaning_of("auth", "kerberos,ntlm"), meaning_of("auth", "plaintext"), meaning_of("scheme", "https")
    ('kerberos', None, 'https')
    """
    match key:
        case "auth":
            return next((_AUTH[word] for part in text.split(",") if (word := part.strip().lower()) in _AUTH), None)
        case "scheme":
            return _SCHEME.get(text.lower())
        case "endpoint":
            return text if is_endpoint(text) else None
        case _:
            return text or None
