"""A playbook over sessions to a practice Windows host: real records, real ends, steps that wait, go back and start anew."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from inventory.documents import parse_document
from playbooks.interpreter import play
from playbooks.load import read_playbook
from playbooks.ports import Intent, Ports
from playbooks.results import HostChange, Played, StepState
from playbooks.testing import FakeClock, FakeJournal, FakeOperator
from remote.answer import Answer, Ended
from remote.detached import DetachedCommand
from remote.lab.windows.works import Ran
from remote.question import Privilege
from runner.hands import SessionHands
from tests.playbooks.playing import HEAD
from tests.remote_windows.detached import FENCE, Bench, bench_beside


@pytest.fixture
def bench() -> Bench:
    return bench_beside()


@pytest.fixture
async def hands(bench: Bench) -> AsyncIterator[SessionHands]:
    async with AsyncExitStack() as stack:
        yield SessionHands(await stack.enter_async_context(bench.open()), lambda _: bench.open(), stack, token=7)


async def played(steps: str, hands: SessionHands) -> Played:
    text = HEAD.replace("[linux]", "[windows]") + "steps:\n" + steps
    playbook = read_playbook(parse_document(text.encode(), "p.yaml"), "0" * 64)
    ports = Ports(run="run-0001", hands=hands, journal=FakeJournal(), operator=FakeOperator(), clock=FakeClock())
    return await play(playbook, {}, {}, ports)


def looks(bench: Bench, key: str, said: Callable[[], bytes], status: int = 0) -> None:
    bench.answers.by[f"step.{key}"] = lambda: Answer(ended=Ended.EXITED, exit_status=status, stdout=said(), as_root=True)


async def test_a_guard_decides_by_its_status_and_a_step_waits_for_what_it_says(bench: Bench, hands: SessionHands) -> None:
    said = iter(["no\n", "no\n", "yes\n"])
    bench.works.commands = {"Get-It": lambda _: Ran(stdout=next(said)), "Set-It": Ran()}
    looks(bench, "s1", bytes, status=1)
    looks(bench, "s2", bytes)
    outcome = await played(
        "  - {powershell: Set-It, unless: 'if (1) { exit 1 }'}\n"
        "  - {powershell: Set-It, unless: 'exit 0'}\n"
        "  - {powershell: Get-It, retry: idempotent, until: 'result.stdout.contains(\"yes\")', every: 1s, deadline: 1m}\n",
        hands,
    )
    assert [step.state for step in outcome.steps] == [StepState.CHANGED, StepState.OK, StepState.CHANGED]
    assert outcome.steps[2].attempts == 3 and len(bench.machine.effects) == 8


async def test_what_fails_is_rolled_back_and_nothing_but_the_fence_stays(bench: Bench, hands: SessionHands) -> None:
    bench.works.commands = {"Set-It": Ran(), "Set-More": Ran(stderr="не вышло\n", exit_status=-2), "Undo-It": Ran()}
    outcome = await played(
        "  - {powershell: Set-It, rollback: [{powershell: Undo-It, retry: idempotent}]}\n"
        "  - {powershell: Set-More, on_failure: roll_back}\n",
        hands,
    )
    assert [(step.state, step.exit_status) for step in outcome.steps] == [(StepState.CHANGED, 0), (StepState.FAILED, -2)]
    assert [step.state for step in outcome.undone] == [StepState.CHANGED]
    assert outcome.change is HostChange.PARTLY, "what failed may have done something"
    assert outcome.steps[1].stderr.decode() == "не вышло\n"
    await hands.forget([], deadline_s=60)
    assert bench.machine.remains() == sorted(FENCE)


async def test_a_reboot_is_proved_by_another_boot(bench: Bench, hands: SessionHands) -> None:
    def boot(_: str) -> Ran:
        bench.machine.reboot()
        return Ran()

    bench.works.commands = {"exit $LASTEXITCODE\n": boot}
    looks(bench, "s1", lambda: f"boot {bench.machine.boot}\r\nneeded no\r\n".encode())
    bench.answers.by["hello"] = lambda: Answer(ended=Ended.EXITED, exit_status=0)
    before = bench.machine.boot
    outcome = await played("  - reboot: {}\n    deadline: 5m\n    every: 1s\n", hands)
    (step,) = outcome.steps
    assert (step.state, step.data["boot_id_before"], step.data["boot_id_after"]) == (
        StepState.CHANGED,
        before,
        bench.machine.boot,
    )


async def test_what_an_earlier_process_sent_is_collected_and_not_sent_again(bench: Bench, hands: SessionHands) -> None:
    detached = bench.command(Ran(stdout="out\n", exit_status=4))
    await bench.started(DetachedCommand(id=detached.id, token=7, command=detached.command))
    intent = Intent(key="s1", ident=detached.id, attempt=1, sent_s_ago=5)
    change = await hands.recall(intent, privilege=Privilege.USER, deadline_s=30)
    assert (change.exit_status, change.stdout, bench.effects(detached.id)) == (4, b"out\n", ["begin", "end"])
