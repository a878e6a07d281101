"""Answers as scripts with several sources give them, written by hand."""

from remote.answer import Answer, answered

MARK = "0b7e9c52-60c5-4d54-9c58-6f0c1c6f1f5e"


def asked(**sources: str | bytes | tuple[int, str | bytes] | None) -> Answer:
    """Return an answer with these sources: what each printed, with its status where that is not 0; None: not there."""
    out = f"@longarm {MARK}\n".encode()
    for name, said in sources.items():
        if said is None:
            out += f"@{MARK} absent {name} nothing\n".encode()
            continue
        status, text = said if isinstance(said, tuple) else (0, said)
        body = text.encode() if isinstance(text, str) else text
        out += f"@{MARK} source {name}\n".encode() + body + f"\n@{MARK} end {status}\n".encode()
    return answered(out)
