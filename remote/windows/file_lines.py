r"""What comes back of a file on its way to or from Windows.

\n LA1 NONCE SEQUENCE BYTES size BYTES \n
\n LA1 NONCE SEQUENCE BYTES piece BASE64 \n
\n LA1 NONCE SEQUENCE BYTES part BYTES \n
\n LA1 NONCE SEQUENCE BYTES whole BYTES SHA256 \n
\n LA1 NONCE SEQUENCE BYTES stopped REASON \n
\n LA1 NONCE SEQUENCE BYTES failed HRESULT NAME \n
\n LA1 NONCE SEQUENCE BYTES denied \n
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from remote.files.transfer import Reason
from remote.windows.launch import Ending
from remote.windows.lines import NO_ADMIN, Lines

_NUMBER: Final = re.compile(r"(?P<what>size|part) (?P<bytes>\d{1,18})")
_PIECE: Final = re.compile(r"piece (?P<data>[A-Za-z0-9+/]+={0,2})")
_WHOLE: Final = re.compile(r"whole (?P<bytes>\d{1,18}) (?P<digest>[0-9a-f]{64})")
_STOPPED: Final = re.compile(r"stopped (?P<reason>[a-z_]{1,32})")
_FAILED: Final = re.compile(r"failed 0x(?P<number>[0-9A-F]{8}) (?P<name>[!-~]{1,200})")
_SAID: Final = frozenset(
    {
        Reason.IS_DIRECTORY,
        Reason.NOT_REGULAR,
        Reason.TOO_LARGE,
        Reason.SHRANK,
        Reason.NO_FOLDER,
        Reason.PART_LOST,
        Reason.DIFFERS,
    }
)
HRESULTS: Final[Mapping[int, Reason]] = {
    0x80070002: Reason.MISSING,  # ERROR_FILE_NOT_FOUND
    0x80070003: Reason.MISSING,  # ERROR_PATH_NOT_FOUND
    0x80070005: Reason.NO_PERMISSION,  # ERROR_ACCESS_DENIED
    0x80070013: Reason.READ_ONLY,  # ERROR_WRITE_PROTECT
    0x80070027: Reason.NO_SPACE,  # ERROR_HANDLE_DISK_FULL
    0x80070070: Reason.NO_SPACE,  # ERROR_DISK_FULL
    0x8007050F: Reason.QUOTA,  # ERROR_DISK_QUOTA_EXCEEDED
}
"""What the numbers of .NET's exceptions mean (winerror.h); all others are told as numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a transfer ended."""

    reason: Reason | None
    """Why it failed; None: it did not."""
    detail: str = ""
    bytes: int = 0
    digest: str = ""


class FileReader(Lines):
    """Reads what comes back; `size` is called with the size of a file once, `piece` with each piece of it."""

    def __init__(
        self,
        nonce: str,
        *,
        most: int,
        size: Callable[[int], None] = lambda _: None,
        piece: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        super().__init__(nonce, most=2 * most)
        self._size, self._piece = size, piece
        self.outcome: Outcome | None = None

    def take(self, text: str) -> bool:
        """Take a line."""
        if match := _PIECE.fullmatch(text):
            try:
                self._piece(base64.b64decode(match["data"], validate=True))
            except ValueError:
                return False
            return True
        if match := _NUMBER.fullmatch(text):
            if match["what"] == "size":
                self._size(int(match["bytes"]))
                return True
            self.outcome = Outcome(reason=Reason.LOST, bytes=int(match["bytes"]))
        elif match := _WHOLE.fullmatch(text):
            self.outcome = Outcome(reason=None, bytes=int(match["bytes"]), digest=match["digest"])
        elif match := _STOPPED.fullmatch(text):
            said = match["reason"]
            self.outcome = Outcome(reason=Reason(said) if said in _SAID else Reason.OTHER)
        elif match := _FAILED.fullmatch(text):
            number = int(match["number"], 16)
            detail = "" if number in HRESULTS else f"{match['name']} 0x{number:08X}"
            self.outcome = Outcome(reason=HRESULTS.get(number, Reason.OTHER), detail=detail)
        elif text == "denied":
            self.outcome = Outcome(reason=Reason.DENIED, detail=NO_ADMIN)
        else:
            return False
        self.done = True
        return True

    def ended(self, ending: Ending, *, late: bool) -> Outcome:
        """Return how it ended; without a last line that proves it, nobody knows."""
        if self.outcome is not None and not self.torn:
            return self.outcome
        return Outcome(reason=Reason.TIMED_OUT if late else Reason.LOST, detail=self.words(ending.why))
