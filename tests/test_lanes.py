"""How the tests are spread over workers, where those that share something go to one; and what the targets of make run."""

import os
import re
from pathlib import Path

import pytest


@pytest.mark.xdist_group("lanes")
def test_a_group_of_tests_is_kept_together(request: pytest.FixtureRequest) -> None:
    """pytest-xdist goes by the group that it has added to a test's id; pytest 9.2 has no room for that any more."""
    assert "PYTEST_XDIST_WORKER" not in os.environ or request.node.nodeid.endswith("@lanes")


def test_make_prints_the_table_of_each_benchmark_and_the_page_names_it(repository: Path) -> None:
    makefile = (repository / "Makefile").read_text()
    page = (repository / "docs/performance.md").read_text().partition("\nEverything counts")[0]
    printed = re.findall(r"^(?:LONG_)?TABLES := (.*)$", makefile, re.MULTILINE)
    tables = " ".join(printed).split()
    runnable = {path.stem for path in (repository / "bench").glob("*.py") if '__name__ == "__main__"' in path.read_text()}
    assert set(tables) == runnable - {"delay", "meter", "picture"}, "those carry packets, read a meter and draw"
    assert re.findall(r"^\| `python -m bench\.(\w+)` \|", page, re.MULTILINE) == tables
