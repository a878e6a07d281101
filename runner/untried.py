"""Platforms as changes see them: those where none was ever tried, and hosts that are of another one than the inventory says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from inventory.host import Host, Platform
from remote.answer import Answer, Ended
from remote.question import Question
from runner.config import load_config
from runner.store.errors import NeverTried, OtherPlatform

KERNEL: Final = Question(id="longarm.kernel", script="uname -s", deadline_s=10, max_bytes=64)
"""Travels with the first questions of a change, and is kept nowhere."""
_KERNELS: Final[Mapping[Platform, str]] = {Platform.LINUX: "Linux", Platform.MACOS: "Darwin"}


def refuse_untried(home: Path, hosts: Sequence[Host]) -> None:
    """Raise NeverTried where a Mac is to be changed and the configuration of the home does not allow it."""
    macs = [host.name for host in hosts if host.platform is Platform.MACOS]
    if macs and not load_config(home).macos:
        raise NeverTried(macs)


def asked_of(host: Host) -> tuple[Question, ...]:
    """Return what tells whether a host is of its platform; nothing where its shell is no other platform's."""
    return (KERNEL,) if host.platform in _KERNELS else ()


def refuse_other_platform(host: Host, answers: Mapping[str, Answer]) -> None:
    """Raise OtherPlatform where a host says that it is another one; a host that says nothing of it is what it is said to be."""
    answer = answers.get(KERNEL.id)
    if answer is None or answer.ended is not Ended.EXITED or answer.exit_status != 0:
        return
    kernel = answer.stdout.decode(errors="replace").strip()
    if kernel and kernel != _KERNELS[host.platform]:
        raise OtherPlatform(host.name, host.platform.value, kernel)
