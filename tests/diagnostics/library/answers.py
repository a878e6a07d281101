"""Answers as scripts with several sources give them, written by hand, and what is said of one in a line."""

import shutil
from datetime import UTC, datetime

from diagnostics.finding import CheckResult
from diagnostics.parsing import AWK
from remote.answer import Answer, answered

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
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


def with_awk(shell: list[str], script: str) -> str:
    """Return a question that is asked with another awk in each shell, as far as there are any."""
    if shell == ["busybox", "ash"]:
        return 'of_busybox() { busybox awk "$@"; }\n' + script.replace(AWK, "awk=of_busybox\n")
    return script.replace(AWK, "awk=gawk\n") if shell == ["bash"] and shutil.which("gawk") else script


def said(result: CheckResult) -> tuple[str, dict[str, str], list[str]]:
    """Return verdict, subject and severity of each finding, and what was not seen."""
    findings = {" ".join(map(str, one.subject.values())): one.severity.value for one in result.findings}
    return result.verdict.value, findings, [why.detail for why in result.unseen]
