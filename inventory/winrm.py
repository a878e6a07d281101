"""Words of an inventory that say how a Windows host is spoken to: `winrm: {scheme: http, auth: kerberos}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from inventory.errors import Text
from inventory.fields import Fields
from inventory.host import Value, WinrmAuth, WinrmSettings
from inventory.names import shown

SCHEMES: Final = ("https", "http")
AUTHS: Final = tuple(auth.value for auth in WinrmAuth)
_LONGEST: Final = 256


def read_winrm(fields: Fields) -> Mapping[str, Value]:
    """Return what the mapping says, key by key; mistakes are noted in `fields.problems`."""
    said: Mapping[str, Value] = {
        "scheme": fields.one_of("scheme", SCHEMES),
        "auth": fields.one_of("auth", AUTHS),
        "ca": fields.text("ca"),
        "allow_credssp": fields.boolean("allow_credssp"),
        "endpoint": fields.text("endpoint"),
    }
    endpoint = said["endpoint"]
    if isinstance(endpoint, str) and not is_endpoint(endpoint):
        fields.problem(fields.place("endpoint"), Text("“{name}” is not the name of an endpoint", name=shown(endpoint)))
    fields.done()
    return {key: value for key, value in said.items() if value is not None}


def is_endpoint(name: str) -> bool:
    """Tell whether an endpoint of PowerShell could be called so.

    >>> is_endpoint("Microsoft.PowerShell"), is_endpoint("a/b")
    (True, False)
    """
    return 0 < len(name) <= _LONGEST and all(letter.isalnum() or letter in "._- " for letter in name)


def winrm_of(said: Mapping[str, Value]) -> WinrmSettings:
    """Return the settings that these words come to."""
    auth, scheme, ca, endpoint = (said.get(key) for key in ("auth", "scheme", "ca", "endpoint"))
    return WinrmSettings(
        scheme=str(scheme) if scheme else None,
        auth=WinrmAuth(str(auth)) if auth else None,
        ca=str(ca) if ca else None,
        allow_credssp=said.get("allow_credssp") is True,
        endpoint=str(endpoint) if endpoint else None,
    )


def written_winrm(settings: WinrmSettings) -> Mapping[str, Value]:
    """Return settings as an inventory says them, without what is the rule.

    >>> written_winrm(WinrmSettings(scheme="http", auth=WinrmAuth.NTLM))
    {'scheme': 'http', 'auth': 'ntlm'}
    """
    said: Mapping[str, Value] = {
        "scheme": settings.scheme,
        "auth": settings.auth.value if settings.auth else None,
        "ca": settings.ca,
        "allow_credssp": settings.allow_credssp or None,
        "endpoint": settings.endpoint,
    }
    return {key: value for key, value in said.items() if value is not None}
