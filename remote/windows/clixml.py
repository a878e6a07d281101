r"""What powershell.exe writes to stderr: CLIXML, of which only the error stream is of interest (MS-PSRP 2.2.5).

One stream may hold several documents behind each other, and text of other programs between them; characters that XML does not
take stand there as `_xHHHH_`, units of UTF-16, so that one beyond U+FFFF is two of them; `_x005F_` is an underscore.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Final

from remote.windows.envelopes import HostileXml, checked

_MARK: Final = b"#< CLIXML"
_DOCUMENT: Final = re.compile(rb"<Objs\b.*?</Objs>", re.DOTALL)
_UNITS: Final = re.compile(r"(?:_x[0-9A-Fa-f]{4}_)+")
_MOST_WORDS: Final = 500


def errors_in(stderr: bytes) -> bytes:
    """Return the words of the error stream as UTF-8; what is no CLIXML is returned as it is.

    >>> errors_in(b'#< CLIXML\\r\\n<Objs><S S="Error">a_x000D__x000A_</S><S S="Progress">b</S></Objs>')
    b'a\\r\\n'
    """
    if _MARK not in stderr:
        return stderr
    kept, at = [], 0
    for match in _DOCUMENT.finditer(stderr):
        kept += [_other(stderr[at : match.start()]), _errors(match[0])]
        at = match.end()
    return b"".join([*kept, _other(stderr[at:])])


def words_of(stderr: bytes) -> str:
    """Return what stderr says in few words, for a person; hostile text.

    What is no UTF-8 is of a machine that writes its own code page, of which nobody says which it is.
    """
    return " ".join(errors_in(stderr).decode(errors="replace").split())[:_MOST_WORDS]


def _other(text: bytes) -> bytes:
    return text.replace(_MARK, b"").lstrip(b"\r\n")


def _errors(document: bytes) -> bytes:
    try:
        root = ET.fromstring(checked(document))  # noqa: S314 (checked: no document type, bounded)
    except (HostileXml, ET.ParseError):
        return document
    texts = (node.text or "" for node in root if node.get("S") == "Error" and node.tag.endswith("S"))
    return "".join(map(decoded, texts)).encode(errors="replace")


def decoded(text: str) -> str:
    r"""Return text with its escapes resolved.

    >>> decoded("_xD83C__xDFB5_ _x005F_x0041_ _x00g1_")
    '🎵 _x0041_ _x00g1_'
    """

    def units(match: re.Match[str]) -> str:
        codes = re.findall(r"_x([0-9A-Fa-f]{4})_", match[0])
        return b"".join(int(code, 16).to_bytes(2, "little") for code in codes).decode("utf-16-le", "replace")

    return _UNITS.sub(units, text)
