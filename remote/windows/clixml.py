r"""What powershell.exe writes to stderr: CLIXML, of which only the error stream is of interest (MS-PSRP 2.2.5).

One stream may hold several documents behind each other, the last one cut short, and text of other programs between them;
characters that XML does not take stand there as `_xHHHH_`, units of UTF-16, so that one beyond U+FFFF is two of them;
`_x005F_` is an underscore.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Final
from xml.sax.saxutils import unescape

from remote.windows.envelopes import HostileXml, checked

_MARK: Final = b"#< CLIXML"
_MARK_LINE: Final = re.compile(_MARK + rb"(?:\r?\n)?")
_DOCUMENT: Final = re.compile(rb"<Objs\b.*?(?:</Objs>|\Z)", re.DOTALL)
_SAID: Final = re.compile(r'<S S="Error">([^<]*)')
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
    return _MARK_LINE.sub(b"", text).lstrip(b"\r\n")


def _errors(document: bytes) -> bytes:
    try:
        root = ET.fromstring(checked(document))  # noqa: S314 (checked: no document type, bounded)
    except (HostileXml, ET.ParseError):
        return _whole_errors(document)
    texts = (node.text or "" for node in root if node.get("S") == "Error" and node.tag.endswith("S"))
    return "".join(map(decoded, texts)).encode(errors="replace")


def _whole_errors(document: bytes) -> bytes:
    """Return what can be read of a document that was cut short; one that was not, and is no XML, as it is."""
    if document.endswith(b"</Objs>"):
        return document
    return "".join(decoded(unescape(one)) for one in _SAID.findall(document.decode(errors="replace"))).encode(errors="replace")


def decoded(text: str) -> str:
    r"""Return text with its escapes resolved.

    >>> decoded("_xD83C__xDFB5_ _x005F_x0041_ _x00g1_")
    '🎵 _x0041_ _x00g1_'
    """

    def units(match: re.Match[str]) -> str:
        codes = re.findall(r"_x([0-9A-Fa-f]{4})_", match[0])
        return b"".join(int(code, 16).to_bytes(2, "little") for code in codes).decode("utf-16-le", "replace")

    return _UNITS.sub(units, text)
