"""Waivers of an inventory: read with their places, given to the hosts they are for, told where they are for none."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from inventory.errors import InvalidFile
from inventory.fields import MOST_SUGGESTIONS
from inventory.own import load_inventory

HOSTS = "hosts: {db1: {site: berlin, tags: [backup]}, db2: {site: berlin}, web1: {}}\ngroups: {web: {hosts: [web1]}}\n"
WAIVER = "{check: fs-space, targets: site=berlin, reason: full on purpose, owner: anna, expires: 2027-01-31}"


def waived(path: Path, waivers: str) -> Path:
    path.write_text(f"{HOSTS}waivers: [{waivers}]\n")
    return path


@pytest.mark.parametrize(
    ("targets", "hosts"), [("db1", ["db1"]), ("web", ["web1"]), ("tag=backup", ["db1"]), ("site=berlin", ["db1", "db2"])]
)
def test_a_waiver_is_for_the_hosts_of_its_expression(tmp_path: Path, targets: str, hosts: list[str]) -> None:
    known = load_inventory([waived(tmp_path / "i.yaml", WAIVER.replace("site=berlin", targets))])
    assert [host.name for host in known.hosts.values() if host.waivers] == hosts
    assert all(host.waivers == known.waivers for host in known.hosts.values() if host.waivers)
    assert known.notes == ()


def test_its_last_day_is_the_last_on_which_it_holds(tmp_path: Path) -> None:
    (waiver,) = load_inventory([waived(tmp_path / "i.yaml", WAIVER)]).waivers
    assert waiver.last_day == "2027-01-31"
    assert waiver.holds_at(datetime(2027, 1, 31, 23, 59, 59, tzinfo=UTC))
    assert not waiver.holds_at(datetime(2027, 2, 1, tzinfo=UTC))


def test_one_without_an_end_says_so(tmp_path: Path) -> None:
    (waiver,) = load_inventory([waived(tmp_path / "i.yaml", WAIVER.replace("2027-01-31", "never"))]).waivers
    assert waiver.last_day is None
    assert waiver.holds_at(datetime(9999, 1, 1, tzinfo=UTC))


def test_of_many_for_no_host_the_first_ones_get_a_suggestion(tmp_path: Path) -> None:
    idle = ", ".join(WAIVER.replace("site=berlin", target) for target in ["db3", "site=bern", "role=x"] * 10)
    notes = load_inventory([waived(tmp_path / "i.yaml", idle)]).notes
    hints = [str(note.hint) for note in notes]
    assert len(hints) == 30 and hints[:2] == ["did you mean db2, db1?", "did you mean site=berlin?"]
    assert set(hints[MOST_SUGGESTIONS + 1 :]) == {"longarm inventory list"} and "“site=bern”" in str(notes[-2].text)


def test_one_that_is_for_no_host_is_told_and_stops_nothing(tmp_path: Path) -> None:
    path = waived(tmp_path / "i.yaml", f"{WAIVER}, {WAIVER.replace('site=berlin', 'web2')}")
    known = load_inventory([path])
    assert [str(note) for note in known.notes] == [
        f"{path}:3:138: this waiver is for no host: nothing matches “web2” (did you mean web, web1?)"
    ]
    assert len(known.hosts["db1"].waivers) == 1


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ("check: fs-space, ", "", ":3:11: the waiver needs the key “check”"),
        ("targets: site=berlin, ", "", ":3:11: the waiver needs the key “targets”"),
        ("reason: full on purpose, ", "", ":3:11: the waiver needs the key “reason”"),
        ("owner: anna, ", "", ":3:11: the waiver needs the key “owner”"),
        (", expires: 2027-01-31", "", ":3:11: the waiver needs the key “expires”"),
        ("2027-01-31", "2027-02-30", ":3:98: “2027-02-30” is no day (its last day, such as 2027-01-31, or never)"),
        ("2027-01-31", "9999-12-31", ":3:98: “9999-12-31” is no day"),
        ("2027-01-31", "soon", ":3:98: “soon” is no day"),
        ("2027-01-31", "20270131", ":3:98: “20270131” is no day"),
        ("owner", "ower", ":3:76: the waiver has no key “ower” (did you mean owner?)"),
        ("site=berlin", "'site='", ":3:38: column 6:"),
        ("reason: full on purpose", 'reason: ""', ":3:59: “reason” must not be blank (say why it is accepted)"),
        ("reason: full on purpose", "reason: '  '", ":3:59: “reason” must not be blank (say why it is accepted)"),
        ("owner: anna", "owner: ' '", ":3:83: “owner” must not be blank (say who answers for it)"),
        ("owner: anna", "owner: '\u00a0\u200b'", ":3:83: “owner” must not be blank"),
        (
            "reason",
            "subject: null, reason",
            ":3:60: “subject” is empty (leave it out to accept everything that the check finds)",
        ),
        ("reason", "subject: {}, reason", ":3:60: “subject” is empty (leave it out to accept everything that the check finds)"),
        ("reason", "subject: {mount: [a]}, reason", ":3:68: “mount” must be a text (what the finding is about"),
        ("reason", "subject: /mnt, reason", ":3:60: “subject” must be a mapping"),
    ],
)
def test_each_mistake_has_its_place(tmp_path: Path, was: str, becomes: str, told: str) -> None:
    path = waived(tmp_path / "i.yaml", WAIVER.replace(was, becomes))
    with pytest.raises(InvalidFile) as caught:
        load_inventory([path])
    assert any(str(problem).startswith(f"{path}{told}") for problem in caught.value.problems), caught.value
