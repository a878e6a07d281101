"""A whole repair over SSH where the host's own places for its record are full, read-only or noexec: elsewhere, or refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hosts.realhosts import RealLab
from tests.hosts.support import SupportDesk, host

pytestmark = pytest.mark.hosts
NAME = "places1"
PLACES = ("/var/lib/longarm", f"/root/.longarm-{NAME}", "/run/longarm")
SICK = {
    "full": "mount -t tmpfs -o size=16k,mode=700 full {0}; cat </dev/zero >{0}/filler 2>/dev/null; true",
    "read-only": "mount -t tmpfs -o ro,mode=700 none {0}",
    "noexec": "mount -t tmpfs -o noexec,nosuid,nodev,mode=700 none {0}",
}
PLAYBOOK = """
playbook: note-it
title: {en: Note it, ru: Записать}
kind: repair
maintenance: corrective
platforms: [linux]
tier: L2
risk: reversible
steps:
  - {name: One, run: echo one >>/root/effects; echo said, retry: never, deadline: 30s}
  - {name: Two, run: echo two >>/root/effects, retry: never, deadline: 30s}
verify: [mem-low]
"""


@pytest.fixture(scope="module")
def desk(lab: RealLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SupportDesk]:
    """Return a desk that has enrolled a busybox host, which it reaches as root."""
    lab.add(NAME, "busybox")
    lab.wait(NAME)
    desk = SupportDesk(lab, tmp_path_factory.mktemp("places") / "home")
    desk.home.mkdir(mode=0o700)
    desk.add_to_inventory(lab.inventory(user="root", names=(NAME,)))
    desk.enrol(NAME)
    yield desk
    lab.remove(NAME)


@pytest.fixture
def repair(tmp_path: Path) -> str:
    (tmp_path / "note-it.yaml").write_text(PLAYBOOK)
    return str(tmp_path / "note-it.yaml")


@contextmanager
def sick(lab: RealLab, how: str, places: Sequence[str]) -> Iterator[None]:
    """Let these places be mounts of this kind."""
    for place in places:
        lab.enter(NAME, f"mkdir -p -m 700 {place}; {SICK[how].format(place)}")
    try:
        yield
    finally:
        for place in places:
            lab.enter(NAME, f"umount {place}")
        lab.enter(NAME, f"rm -rf /root/effects {' '.join(PLACES)}")


def found(lab: RealLab) -> tuple[str, list[str]]:
    """Return the effects on the host, and what its places hold."""
    held = lab.enter(NAME, f"find {' '.join(PLACES)} ! -type d ! -name filler 2>/dev/null; true").split()
    return lab.enter(NAME, "cat /root/effects 2>/dev/null; true"), held


@pytest.mark.parametrize(("how", "count", "taken"), [("full", 1, 1), ("read-only", 2, 2), ("noexec", 1, 0)])
def test_the_record_lives_in_the_first_place_that_takes_it(
    lab: RealLab, desk: SupportDesk, repair: str, how: str, count: int, taken: int
) -> None:
    with sick(lab, how, PLACES[:count]):
        row = host(desk.repair(repair, NAME, "--fail-on", "never"), NAME)
        assert (row["repair"]["change"], [step["state"] for step in row["repair"]["steps"]]) == ("changed", ["changed"] * 2)
        assert found(lab) == ("one\ntwo\n", [f"{PLACES[taken]}/fence"])


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_where_no_place_takes_it_the_change_is_refused(lab: RealLab, desk: SupportDesk, repair: str, how: str) -> None:
    with sick(lab, how, PLACES):
        document = desk.repair(repair, NAME, exit_code=4)
        assert found(lab) == ("", [])
    row = host(document, NAME)
    assert (row["outcome"], row["repair"]["change"], row["error"]["kind"]) == ("refused", "unchanged", "StepRefused")
    again = f"run retry {document['run']} --only refused"
    assert any(again in one["command"] for one in document["next"])
    assert "no place where its record could be kept; nothing was begun" in row["error"]["text"]
    assert all(place in row["error"]["text"] for place in PLACES)
    assert [step["state"] for step in row["repair"]["steps"]] == ["refused"]
