"""What docs/inventory-sources.md shows can be read as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inventory.documents import parse_document
from inventory.drafts import Drafts
from inventory.own import load_inventory
from inventory.sources.declared import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "inventory-sources.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_documented_declaration_is_one(text: str) -> None:
    drafts = Drafts()
    drafts.read(parse_document(text.encode(), "/etc/longarm/inventory.yaml"))
    assert drafts.problems == [] and len(drafts.sources) == len(re.findall(r"^  - ", text, re.MULTILINE)) > 0


def test_every_kind_of_source_is_documented() -> None:
    assert {kind for kind in KINDS if f"| `{kind}` |" in PAGE or f"`{kind}: " in PAGE} == set(KINDS)


def test_what_a_program_may_print_is_read(tmp_path: Path) -> None:
    (text,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "hosts").write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\n")
    (tmp_path / "hosts").chmod(0o755)
    (tmp_path / "inventory.yaml").write_text("sources: [{program: hosts}]\n")
    web1 = load_inventory([tmp_path / "inventory.yaml"]).hosts["web1"]
    assert (web1.address, web1.site, web1.vars) == ("192.0.2.10", "berlin", {"role": "front"})
