"""A playbook drawn: every step in its place, nothing in the picture that could run or be fetched."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from diagnostics.library import load_library
from playbooks.load import load_playbook
from playbooks.model import Playbook
from reports.language import language
from reports.playbook_graph import as_svg, as_text, nodes_of

DATA = Path(__file__).parent.parent / "data" / "playbooks"


@pytest.fixture(scope="module")
def playbook() -> Playbook:
    return load_playbook(DATA / "every-action.yaml", load_library())


def test_every_step_is_drawn_with_what_decides_about_it(playbook: Playbook) -> None:
    text = as_text(playbook, language("en"))
    assert text.startswith("every-action · Every action\n")
    for line in (
        "├─ s3  run  Make a mark",
        "↺ s3.r1  run  Take the mark away",
        "├─ s12.s2  service",
        "for each of params.peers, at most 10",
    ):
        assert line in text
    assert "where it fails: undo what was done" in text and text.endswith("└─ verified by fs-space\n")
    assert "если не вышло: отменить сделанное" in as_text(playbook, language("ru"))


def test_the_picture_is_whole_and_harmless(playbook: Playbook) -> None:
    root = ET.fromstring(as_svg(playbook, language("ru")))
    boxes = root.findall(".//{http://www.w3.org/2000/svg}rect")
    assert len(boxes) == len(nodes_of(playbook, language("ru"))) + 1
    height = float(root.attrib["height"])
    assert all(float(box.attrib.get("y", 0)) + float(box.attrib["height"]) <= height for box in boxes)
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names <= {"svg", "title", "rect", "text", "path"}


def test_hostile_names_stay_text(playbook: Playbook, tmp_path: Path) -> None:
    hostile = (DATA / "small.yaml").read_text().replace("  - run: echo", '  - name: "<script>&\\e[2J</text>"\n    run: echo')
    path = tmp_path / "small.yaml"
    path.write_text(hostile)
    found = load_playbook(path, load_library())
    svg, text = as_svg(found, language("en")), as_text(found, language("en"))
    assert "<script>" not in svg and "\x1b" not in svg + text
    ET.fromstring(svg)
