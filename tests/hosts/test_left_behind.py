"""What a repair leaves on a real host: what its steps were to make, the fence files, and nothing else anywhere."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.hosts.realhosts import RealLab
from tests.hosts.support import SupportDesk, host

pytestmark = pytest.mark.hosts
STEPS = """
playbook: leave-nothing
title: {en: Leave nothing, ru: Ничего не оставить}
kind: repair
maintenance: corrective
platforms: [linux]
tier: L2
risk: reversible
steps:
  - {name: A file, file: {path: /tmp/made/file, content: here, mode: "0640"}, retry: idempotent}
  - {name: Much to say, run: "mkdir /tmp/made/folder; i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i + 1)); done", retry: never}
  - {name: Bytes for stdin, run: cat >/tmp/made/read, stdin: all of it, retry: never}
  - {name: Not in time, run: sleep 30, retry: never, deadline: 2s, on_failure: continue}
  - {name: Not well, run: "false", retry: never, on_failure: continue}
  - {name: A look, run: test -s /tmp/made/read, retry: read}
verify: [fs-space]
"""
SYSTEMD_S = ("/run/systemd", "/var/lib/systemd", "/tmp/systemd-private-*", "/var/tmp/systemd-private-*")
OTHERS = ("/proc", "/sys", "/dev/pts", "/var/log", "/run/log", "/run/user", "/run/udev", *SYSTEMD_S)
"""Where a host itself writes while somebody is logged in, or when a service of its own ends."""


def paths(lab: RealLab, name: str) -> set[str]:
    """Return every path of a host, on all its filesystems, but for what is its own."""
    pruned = " -o ".join(f"-path '{other}'" for other in OTHERS)
    return set(lab.enter(name, f"find / \\( {pruned} \\) -prune -o -print 2>/dev/null || true").splitlines())


def at_work(lab: RealLab, name: str) -> set[str]:
    """Return of which detached commands there are processes on a host: other tests leave some, which start more."""
    script = r"cat /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n' | sed -n 's/^LONGARM_[DQ]=\([^.]*\).*/\1/p'"
    return set(lab.enter(name, script).split())


@pytest.mark.parametrize(("name", "privilege"), [("web1", "root"), ("web1", "user"), ("box1", "user")])
def test_a_repair_leaves_its_fence_file_and_nothing_else(
    lab: RealLab, desk: SupportDesk, tmp_path: Path, name: str, privilege: str
) -> None:
    playbook = tmp_path / "leave-nothing.yaml"
    playbook.write_text(STEPS.replace("retry: ", f"privilege: {privilege}, retry: "))
    lab.enter(name, "rm -rf /tmp/made /var/lib/longarm /home/ops/.longarm-*; mkdir -m 777 /tmp/made")
    desk.diagnose(name, "--check", "fs-space", exit_code=0)  # what a login leaves the first time is the host's
    lab.enter(name, "LONGARM_D=seen sleep 5 </dev/null >/dev/null 2>&1 &")
    before, others = paths(lab, name), at_work(lab, name)
    assert "seen" in others
    row = host(desk.repair(str(playbook), name), name)
    states = [step["state"] for step in row["repair"]["steps"]]
    assert states == ["changed", "changed", "changed", "timed_out", "failed", "ok"]
    made = {"/tmp/made/file", "/tmp/made/folder", "/tmp/made/read"}
    after = paths(lab, name)
    assert before <= after and made <= after
    left = after - before - made
    (fence,) = (path for path in left if path.endswith("/fence"))
    assert left == {fence, str(Path(fence).parent)}
    assert int(lab.enter(name, f"wc -c <{fence}")) <= 4096
    end = time.monotonic() + 10
    while (working := at_work(lab, name) - others) and time.monotonic() < end:
        time.sleep(0.5)
    assert not working, "nothing of it works a few seconds later"
    assert lab.enter(name, "! command -v systemctl >/dev/null || systemctl list-units --all --no-legend 'longarm*'") == ""
