"""Values in scripts (threat T13): ten thousand random texts, and every hostile one, go through real shells and come back."""

from __future__ import annotations

import random
import subprocess

import pytest

from remote.bundle.script import quote
from tests.hostile import PAYLOADS

SPECIAL = "'\"\\$`!*?[]{}()<>|&;#~=%^ \t\n\r\x01\x1b\x7f\u00e9\u4e2d\U0001f511\u202e-"
SHELLS = (("dash",), ("bash",), ("bash", "--posix"), ("busybox", "sh"))


def texts() -> list[str]:
    chance = random.Random(13)
    made = ["".join(chance.choice(SPECIAL + "aZ09") for _ in range(chance.randint(0, 12))) for _ in range(10_000)]
    hostile = [payload.text for payload in PAYLOADS if "\0" not in payload.text and payload.text.isprintable()]
    return made + hostile + [chr(point) for point in range(1, 0x250)]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_quoted_text_is_one_word_and_itself(shell: tuple[str, ...]) -> None:
    wanted = texts()
    script = "\n".join(f"v={quote(text)}\nprintf '%s\\0' \"$v\" {quote(text)}" for text in wanted)
    done = subprocess.run(shell, input=script.encode(), capture_output=True, check=False)
    assert done.stderr == b""
    assert done.stdout.decode().split("\0")[:-1] == [text for text in wanted for _ in range(2)]
