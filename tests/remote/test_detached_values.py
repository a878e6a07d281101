"""Values through the supervisor (T13): they arrive unchanged although they are quoted twice on their way, plain and secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from inventory.secret import Secret
from remote.command import Command, Value
from remote.detached import DetachedCommand, State
from tests.playbooks.test_values import byte_strings
from tests.remote.detached import NEEDS, SHELLS, Bench, started

pytestmark = pytest.mark.skipif(bool(NEEDS), reason=NEEDS)
BATCH = 500
STRINGS = list(byte_strings(10_000))


@pytest.mark.parametrize("shell", SHELLS)
async def test_byte_strings_arrive_unchanged(tmp_path: Path, shell: str) -> None:
    bench, heard = Bench(tmp_path, shell=SHELLS[shell]), list[bytes]()
    session = bench.session()
    for at in range(0, len(STRINGS), BATCH):
        values = dict[str, Value]()
        for number, data in enumerate(STRINGS[at : at + BATCH]):
            text = data.decode("utf-8", "surrogateescape")
            values[f"v{number}"] = Secret(text) if number % 2 and text else text
        command = Command(script="\n".join(f"printf '%s\\0' \"${name}\"" for name in values), variables=values)
        standing = await started(session, DetachedCommand(id=f"values-{shell}-{at}", token=1, command=command))
        assert (standing.state, standing.exit_status, standing.stderr) == (State.DONE, 0, b"")
        heard += standing.stdout.split(b"\0")[:-1]
    assert heard == STRINGS
    await bench.leave()
