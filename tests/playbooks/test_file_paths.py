"""What paths, owners and modes `file` takes, on real shells: nothing is removed that was not named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from inventory.host import Platform
from playbooks.actions.file_state import look_at_file
from playbooks.actions.native import NotThere
from tests.playbooks.playing import short
from tests.playbooks.real_hands import foreseen_here, played_here

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def filed(**values: Any) -> tuple[list[str], list[str], list[str]]:
    """Return how a file step ends, how it does a second time, and what its plan had said."""
    said = json.dumps(values)
    playbook = short(f"  - file: {said}\n")
    plan = [line for step in foreseen_here(playbook) for line in step.forecast.diff]
    told = [
        [step.state.value, str(step.why or "")]
        for step in (played_here(playbook)[0].steps[0], played_here(playbook)[0].steps[0])
    ]
    return told[0], told[1], plan


@pytest.mark.parametrize("behind", ["", "/", "/.", "//./"])
def test_a_link_with_anything_behind_it_is_a_link_and_goes_alone(tmp_path: Path, behind: str) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    first, second, plan = filed(path=f"{tmp_path}/link{behind}", state="absent", recursive=True)
    assert (first[0], second[0], plan) == ("changed", "ok", [f"-link {tmp_path}/link"])
    assert (tmp_path / "kept/file").exists() and not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("path", ["/etc", "//etc", "/./etc", "/etc/.", "/etc/./", "/", "/.", "///"])
def test_a_folder_of_the_system_stays_however_it_is_written(path: str) -> None:
    (plan,) = foreseen_here(short(f"  - file: {{path: {path!r}, state: absent, recursive: true}}\n"))
    assert plan.forecast.changes is None and "is not removed: it is a folder of the system" in str(plan.forecast.why)


@pytest.mark.parametrize(
    ("path", "platform", "why"),
    [
        ("etc/x", Platform.LINUX, "not an absolute path"),
        ("/var/../etc", Platform.LINUX, "“..”"),
        ("/var/log\0", Platform.LINUX, "not an absolute path"),
        ("C:\\Windows.\\x", Platform.WINDOWS, "ends with a dot"),
        ("C:\\Temp\\..\\Windows", Platform.WINDOWS, "“..”"),
        ("C:Windows", Platform.WINDOWS, "not an absolute path"),
    ],
)
def test_what_is_no_path_of_one_thing_is_refused(path: str, platform: Platform, why: str) -> None:
    with pytest.raises(NotThere) as raised:
        look_at_file({"path": path}, platform)
    assert why in str(raised.value.args[0])


def test_a_link_is_not_replaced_by_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.1\n")
    (tmp_path / "link").symlink_to("resolv.conf")
    first, _, plan = filed(path=f"{tmp_path}/link", mode="0600")
    assert (first[0], plan) == ("refused", []) and "is a link to resolv.conf" in first[1]
    assert (tmp_path / "link").read_text() == "nameserver 192.0.2.1\n"


@ROOT
@pytest.mark.parametrize("owner", ["0", "12345", "00012345", "root", "nobody"])
def test_an_owner_is_a_name_or_a_number_and_stays_so(tmp_path: Path, owner: str) -> None:
    (tmp_path / "file").touch()
    os.chown(tmp_path / "file", 54321, 54321)
    first, second, plan = filed(path=f"{tmp_path}/file", owner=owner)
    assert (first[0], second[0]) == ("changed", "ok"), (first, second)
    assert plan[0] == "-owner 54321"


@ROOT
def test_what_belongs_to_a_number_keeps_it_as_its_content_changes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old\n")
    os.chown(tmp_path / "file", 54321, 54322)
    first, second, plan = filed(path=f"{tmp_path}/file", content="new\n")
    assert (first[0], second[0], plan) == ("changed", "ok", ["-old", "+new"]), (first, second)
    about = (tmp_path / "file").stat()
    assert (about.st_uid, about.st_gid) == (54321, 54322)


@pytest.mark.parametrize("below", ["", "/new"], ids=["the folder itself", "one below it"])
def test_a_folder_loses_the_setgid_bit_that_its_mode_does_not_have(tmp_path: Path, below: str) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o2775)
    first, second, _ = filed(path=f"{tmp_path}/shared{below}", state="directory", mode="0755")
    assert (first[0], second[0]) == ("changed", "ok"), (first, second)
    assert (tmp_path / f"shared{below}").stat().st_mode & 0o7777 == 0o755
