"""CLIXML as powershell.exe writes it to stderr, in every shape that it is known to have, with the words of its errors.

Shapes of what is reported of Windows (MS-PSRP 2.2.5; what others' decoders had to learn); the words are ours.
"""

from __future__ import annotations

from typing import Final

_MARK: Final = "#< CLIXML\r\n"
_OPEN: Final = '<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'
_PROGRESS: Final = (
    '<Obj S="progress" RefId="0"><TN RefId="0"><T>System.Management.Automation.PSCustomObject</T><T>System.Object</T></TN><MS>'
    '<I64 N="SourceId">1</I64><PR N="Record"><AV>Preparing modules for first use.</AV><AI>0</AI><Nil /><PI>-1</PI><PC>-1</PC>'
    "<T>Completed</T><SR>-1</SR><SD> </SD></PR></MS></Obj>"
)


def _document(*said: str) -> str:
    return f"{_OPEN}{''.join(said)}</Objs>"


def _said(text: str, stream: str = "Error") -> str:
    return f'<S S="{stream}">{text}</S>'


SHAPES: Final[dict[str, tuple[str, str]]] = {
    "one error": (_MARK + _document(_said("It said no_x000D__x000A_")), "It said no\r\n"),
    "lines of one error": (
        _MARK + _document(_said("At line:1 char:2_x000D__x000A_"), _said("+  x_x000D__x000A_"), _said(" _x000D__x000A_")),
        "At line:1 char:2\r\n+  x\r\n \r\n",
    ),
    "several documents behind one mark": (
        _MARK + _document(_PROGRESS) + _document(_said("first_x000A_")) + "\r\n" + _document(_said("second_x000A_")),
        "first\nsecond\n",
    ),
    "several documents, each with its mark": (
        _MARK
        + _document(_said("first_x000A_"))
        + _MARK
        + _document(_said("second_x000A_"))
        + _MARK
        + _document(_said("third")),
        "first\nsecond\nthird",
    ),
    "the error stream alone": (
        _MARK
        + _document(
            _said("out", "Output"),
            _said("careful", "Warning"),
            _said("much", "Verbose"),
            _said("more", "Debug"),
            _said("told", "Information"),
            _said("wrong"),
        ),
        "wrong",
    ),
    "progress alone": (_MARK + _document(_PROGRESS, _PROGRESS), ""),
    "progress around an error": (_MARK + _document(_PROGRESS, _said("wrong_x000A_"), _PROGRESS), "wrong\n"),
    "units of UTF-16": (_MARK + _document(_said("_xD83D__xDE00_ _x0441_луж_x0431_а ‘Spooler’")), "\U0001f600 служба ‘Spooler’"),
    "small letters in an escape": (_MARK + _document(_said("_xd83c__xdfb5_")), "\U0001f3b5"),
    "a first half of a character alone": (_MARK + _document(_said("a_xD83D_b")), "a\ufffdb"),
    "a second half of a character alone": (_MARK + _document(_said("a_xDE00_b")), "a\ufffdb"),
    "halves in the wrong order": (_MARK + _document(_said("_xDE00__xD83D_")), "\ufffd\ufffd"),
    "underscores that are escaped": (
        _MARK + _document(_said("_x005F_x000A_ _x005F_ my_x_name _x00zz_")),
        "_x000A_ _ my_x_name _x00zz_",
    ),
    "what XML escapes": (_MARK + _document(_said("a &lt;b&gt; &amp; &#34;c&#34;")), 'a <b> & "c"'),
    "words of another program around it": (
        "warning: first\r\n" + _MARK + _document(_said("wrong_x000A_")) + "last words",
        "warning: first\r\nwrong\nlast words",
    ),
    "no CLIXML at all": ("It is plain\r\n", "It is plain\r\n"),
    "cut short behind an error": (
        _MARK + _OPEN + _PROGRESS + _said("wrong &amp; late_x000A_") + '<Obj S="prog',
        "wrong & late\n",
    ),
    "cut short within an error": (
        _MARK + _document(_said("first ")) + _OPEN + '<S S="Error">second_x000D__x0',
        "first second\r_x0",
    ),
    "cut short in front of any error": (_MARK + _OPEN + _PROGRESS[:99], ""),
}
"""What stands on stderr, and what `errors_in` makes of it."""
