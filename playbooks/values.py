"""How values reach scripts: as variables, in words that a prologue of ours assigns; never as text of a command (T13)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from inventory.errors import LongarmError, Text
from inventory.secret import Secret
from remote.command import Value
from remote.windows.bundle import quote as quoted

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_LONE: Final = re.compile("([\ud800-\udfff])")


class NoValue(LongarmError):
    """A value that no variable of a script can hold."""


def for_sh(value: Any) -> Value:
    r"""Return a value as `remote.command.Command` takes it: durations in seconds, lists one item a line.

    >>> for_sh(timedelta(minutes=2)), for_sh(["a", "b"]), for_sh(1.5), for_sh(True)
    (120, 'a\nb', '1.5', True)
    """
    match value:
        case Secret() | bool() | int() | str():
            word = value
        case timedelta():
            seconds = value.total_seconds()
            word = int(seconds) if seconds.is_integer() else str(seconds)
        case float():
            word = repr(value)
        case list() | tuple() if all(isinstance(item, str | int) and "\n" not in str(item) for item in value):
            word = "\n".join(map(str, value))
        case _:
            raise NoValue(Text("a variable of a script is a text, a number, true or false, or a list of these"))
    if "\0" in (word.reveal() if isinstance(word, Secret) else str(word)):
        raise NoValue(Text("NUL cannot be in a variable of a script"))
    return word


def mentioned(script: str, variables: Mapping[str, Any], *, any_case: bool = False) -> dict[str, Any]:
    """Return the variables whose names stand in a script: no other is sent, least of all a secret.

    `any_case`: as PowerShell reads names.

    >>> mentioned('rm -- "$path"', {"path": "/x", "token": 1})
    {'path': '/x'}
    >>> mentioned("Remove-Item $Path", {"path": "C:", "token": 1}, any_case=True)
    {'path': 'C:'}
    """
    words = set(re.findall(r"[A-Za-z0-9_]+", script.lower() if any_case else script))
    return {name: value for name, value in variables.items() if name in words}


def beside_powershell(variables: Mapping[str, Any]) -> dict[str, Value]:
    """Return the secrets among variables: they travel behind the script, which Windows may write down (event 4104)."""
    found = {name: for_sh(value) for name, value in variables.items() if isinstance(value, Secret)}
    for name, value in found.items():
        if isinstance(value, Secret) and _LONE.search(value.reveal()):
            raise NoValue(Text("the secret “{name}” has bytes that are no UTF-8: PowerShell reads texts", name=name))
    return found


def powershell_prologue(variables: Mapping[str, Any]) -> str:
    r"""Return the lines that assign typed variables in PowerShell; raise NoValue for what cannot be one.

    A secret is never part of it: `beside_powershell`.

    >>> print(powershell_prologue({"name": "it's", "count": 3, "peers": ["a", "b"], "really": True}), end="")
    [string]$name = 'it''s'
    [long]$count = 3
    [string[]]$peers = @('a', 'b')
    [bool]$really = $true
    """
    lines = []
    for name, value in variables.items():
        if not _NAME.fullmatch(name):
            raise NoValue(Text("not the name of a variable: {name}", name=name))
        kind, text = _typed(value)
        lines.append(f"[{kind}]${name} = {text}\n")
    return "".join(lines)


def _typed(value: Any) -> tuple[str, str]:
    match value:
        case Secret():  # PowerShell writes script blocks into the event log
            raise NoValue(Text("a secret is no part of a script: Windows may log it"))
        case bool():
            return "bool", "$true" if value else "$false"
        case int():
            return "long", str(value)
        case float():
            return "double", repr(value)
        case timedelta():
            return "double", repr(value.total_seconds())
        case str():
            return "string", _text(value)
        case list() | tuple():
            return "string[]", "@(" + ", ".join(_text(str(item)) for item in value) + ")"
    raise NoValue(Text("a variable of a script is a text, a number, true or false, or a list of these"))


def _text(text: str) -> str:
    """Return a text of PowerShell; bytes that are no UTF-8 are half surrogates, which no file can hold, so by number."""
    if "\0" in text:
        raise NoValue(Text("NUL cannot be in a variable of a script"))
    if not _LONE.search(text):
        return quoted(text)
    parts = [part for part in _LONE.split(text) if part]
    return "(" + " + ".join(f"[string][char]{ord(part)}" if _LONE.fullmatch(part) else quoted(part) for part in parts) + ")"
