"""Loading playbooks of the diagnostic kind: every mistake with its place, checks that exist, thresholds that fit."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from diagnostics.check_files import read_check
from diagnostics.library import Library
from diagnostics.probe import Probe
from inventory.documents import parse_document
from inventory.errors import InvalidFile
from playbooks.load import UnknownPlaybook, find_playbook, load_playbook, read_playbook, shipped_playbooks
from playbooks.model import Kind, Maintenance, Tier
from remote.question import Question

CHECK = """
check: {name}
title: {{en: a, ru: b}}
platforms: [linux]
needs: [t.t]
thresholds: {{warning: 90.0, little: 5 GiB}}
severity: {{warning: {{raise: facts.t_t.n > thresholds.warning}}}}
finding: {{en: a, ru: b}}
"""
GOOD = """\
playbook: disks
title: {en: Disks, ru: Диски}
kind: diagnostic
maintenance: corrective
platforms: [linux]
tier: L2
checks:
  - {check: fs-space, thresholds: {warning: 80, little: 1 GiB}}
  - fs-inodes
"""


@pytest.fixture(scope="module")
def library() -> Library:
    probes = {"t.t": Probe(question=Question(id="t.t", script="x"), parse=lambda _: {"n": 1.0}, shape={"n": "float"})}
    names = ("fs-space", "fs-inodes")
    checks = {name: read_check(parse_document(CHECK.format(name=name).encode(), "c.yaml"), probes) for name in names}
    return Library(probes=probes, checks=checks)


def test_a_playbook_is_read_with_all_its_fields(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "disks.yaml"
    path.write_text(GOOD)
    playbook = load_playbook(path, library)
    assert (playbook.id, playbook.kind, playbook.maintenance, playbook.tier) == (
        "disks",
        Kind.DIAGNOSTIC,
        Maintenance.CORRECTIVE,
        Tier.L2,
    )
    assert playbook.checks == ("fs-space", "fs-inodes")
    assert playbook.thresholds == {"fs-space": {"warning": 80.0, "little": 1024**3}}
    assert playbook.digest == hashlib.sha256(GOOD.encode()).hexdigest()
    assert find_playbook("disks", [path], library) == playbook


def test_standard_is_shipped() -> None:
    (standard,) = [playbook for playbook in shipped_playbooks() if playbook.id == "standard"]
    assert (standard.tier, standard.maintenance) == (Tier.L1, Maintenance.PREVENTIVE)
    assert len(standard.checks) == len(set(standard.checks)) >= 35
    assert find_playbook("standard") == standard


def test_an_unknown_playbook_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownPlaybook, match="standart") as caught:
        find_playbook("standart")
    assert "standard" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("playbook: disks", "playbook: My Disks", "p.yaml:1:11: a playbook's name is lower case"),
        (", ru: Диски}", "}", "“title” needs the key “ru”"),
        ("diagnostic", "diagnostik", "p.yaml:3:7"),
        ("corrective", "correctiv", "p.yaml:4:14"),
        ("[linux]", "[linus]", "p.yaml:5:12: there is no platform “linus”"),
        ("L2", "L4", "p.yaml:6:7"),
        ("- fs-inodes", "- fs-inods", "p.yaml:9:5: there is no check “fs-inods” (did you mean fs-inodes"),
        ("{check: fs-space", "{check: fs-spce", "p.yaml:8:13: there is no check “fs-spce”"),
        ("warning: 80", "warnin: 80", "fs-space has no threshold “warnin”"),
        ("1 GiB", "1.5", "the threshold fs-space.little is a whole number"),
        ("1 GiB", "lots", "little"),
        ("- fs-inodes", "- fs-space", "the check “fs-space” is there twice"),
        ("checks:", "chekcs:", "“checks” lists at least one check"),
        ("tier:", "teir:", "a playbook has no key “teir” (did you mean tier?)"),
        ("- fs-inodes", "- [fs-inodes]", "there is no check “”"),
    ],
)
def test_a_mistake_is_told_with_its_place(library: Library, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    with pytest.raises(InvalidFile) as caught:
        read_playbook(parse_document(GOOD.replace(old, new).encode(), "p.yaml"), "", library)
    assert expected in str(caught.value)


def test_without_a_library_the_checks_are_taken_as_they_are() -> None:
    assert read_playbook(parse_document(GOOD.replace("fs-inodes", "x").encode(), "p.yaml"), "").checks == ("fs-space", "x")


def test_what_diagnoses_do_not_need_is_not_loaded() -> None:
    code = (
        "import sys; from playbooks.load import find_playbook; find_playbook('standard');"
        " print([name for name in sys.modules if name.startswith(('jinja2', 'playbooks.actions', 'ansible'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"
