"""Every example of the documentation runs as it stands: `$ ` lines in ```console blocks, against a lab in a fresh home.

The lines below a command are what it prints, in this order; `…` stands for anything, within a line or as one.
A command that ends with another code than 0 says so: `$ longarm diagnose all   # exit 4`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from diagnostics.library import load_library
from inventory.own import load_inventory

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "README.ru.md", *(ROOT / "docs").rglob("*.md")])
RUNS = ("longarm ",)
"""What is run; `make` targets are looked up in the Makefile: they have lanes of their own."""


@dataclass
class Example:
    """One command of a page."""

    line: int
    command: str
    exit_code: int
    printed: list[str] = field(default_factory=list)


def examples(page: Path) -> Iterator[Example]:
    """Yield the commands of a page's console blocks."""
    inside, current = False, None
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if line.startswith("```"):
            if current:
                yield current
            inside, current = line == "```console", None
        elif inside and line.startswith("$ "):
            if current:
                yield current
            command, _, code = line[2:].partition("   # exit ")
            current = Example(number, command.strip(), int(code or 0))
        elif inside:
            assert current, f"{page}:{number}: output before any command"
            current.printed.append(line)
    assert not inside or current is None


def matches(printed: list[str], output: str) -> str | None:
    """Return the first line that the output does not hold in its place, None if all do."""
    rest = [" ".join(line.split()) for line in output.splitlines()]
    for line in printed:
        wanted = " ".join(line.split())
        if wanted in ("", "…"):
            continue
        pattern = re.compile(".*".join(re.escape(part.strip()) for part in wanted.split("…")))
        found = next((at for at, line in enumerate(rest) if pattern.fullmatch(line)), None)
        if found is None:
            return line
        rest = rest[found + 1 :]
    return None


PAGES_WITH_EXAMPLES = [page for page in PAGES if page.exists() and any(examples(page))]


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES_WITH_EXAMPLES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_do_what_they_show(page: Path, tmp_path: Path) -> None:
    environ = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LONGARM_HOME": str(tmp_path / "longarm"),
        "LANG": "C.UTF-8",
        "COLUMNS": "160",
    }
    try:
        for example in examples(page):
            run_example(page, example, environ, tmp_path)
    finally:
        subprocess.run(["longarm", "lab", "down"], env=environ, cwd=tmp_path, capture_output=True, check=True, timeout=60)


def run_example(page: Path, example: Example, environ: dict[str, str], folder: Path) -> None:
    place = f"{page.name}:{example.line}: {example.command}"
    if example.command.startswith("make "):
        assert f"\n{example.command.removeprefix('make ')}:" in (ROOT / "Makefile").read_text(), place
        return
    assert example.command.startswith(RUNS), f"{place}: only {RUNS} are run"
    done = subprocess.run(
        ["/bin/sh", "-c", example.command],
        env=environ,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
        check=False,
        text=True,
    )
    assert done.returncode == example.exit_code, f"{place} ended with {done.returncode}:\n{done.stdout}"
    missing = matches(example.printed, done.stdout)
    assert missing is None, f"{place} did not print {missing!r} but:\n{done.stdout}"


def test_every_page_has_its_examples_looked_at() -> None:
    assert ROOT / "README.md" in PAGES_WITH_EXAMPLES


@pytest.mark.parametrize("page", ["README.md", "README.ru.md"])
def test_the_inventory_of_the_readme_is_sound(page: str, tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    path = tmp_path / "inventory.yaml"
    path.write_text(text)
    assert list(load_inventory([path]).hosts) == ["db01", "db02"]


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_check_stands_in_the_list_of_checks() -> None:
    table = re.findall(r"^\| `([a-z-]+)` \| ", (ROOT / "docs" / "checks.md").read_text(), re.MULTILINE)
    assert table == sorted(load_library().checks)


def test_the_figures_of_the_readme_are_those_of_the_page_on_speed() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    race = page.partition("\n## Beside the peers\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| \**([^|*]+)\** \| \**([\d.]+)\** \|", race, re.MULTILINE)
    walls = {name: float(wall) for name, wall in rows}
    said = " ".join((ROOT / "README.md").read_text().split())
    ours = walls["longarm"]
    assert f"in {ours:.1f} s on two cores" in said
    assert f"{ours / walls['pyinfra, 12 facts']:.2f} of the time of pyinfra" in said
    assert f"1/{walls['ansible-core, 12 tasks'] / ours:.0f} of that of twelve Ansible tasks" in said
    assert f"{ours / walls['bare asyncssh, one bundle']:.2f} times that of bare asyncssh" in said
