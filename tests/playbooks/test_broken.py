"""Three hundred broken playbooks: each is told with file, line and column, none with a traceback, and none is taken for good.

A part is made by hand, the rest by seeded mutations of good ones; under LONGARM_SOAK=1 twenty thousand.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from diagnostics.library import Library, load_library
from inventory.errors import InvalidFile, Place
from playbooks.lint import lint_playbook
from playbooks.load import load_playbook
from tests.hostile import PAYLOADS

DATA = Path(__file__).parent.parent / "data" / "playbooks"
SHIPPED = Path(__file__).parent.parent.parent / "playbooks" / "library"
BY_CHANCE = 20_000 if os.environ.get("LONGARM_SOAK") else 300
MOST_LOADED = 20
"""Of those that load after all, so many are linted: that starts a program for each."""
GOOD = [path.read_text() for path in (DATA / "every-action.yaml", DATA / "small.yaml", SHIPPED / "standard.yaml")]
WORDS = (
    "yes",
    "~",
    "-1",
    "1e999",
    "[]",
    "{}",
    "'",
    '"',
    "&a [*a]",
    "*none",
    "!!python/object:os.system x",
    "{{ x",
    "$(id)",
    "\t",
    "é",
)
BY_HAND = (
    "",
    "\n",
    "- a\n- b\n",
    "playbook\n",
    "playbook: x\n",
    "playbook: [x\n",
    "playbook: x\nplaybook: y\n",
    "playbook: &a [*a]\n",
    "playbook: x\n---\nplaybook: y\n",
    "playbook: x\n\tkind: repair\n",
    "playbook: !!python/object/apply:os.system [id]\n",
    "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
    "steps: " + "[" * 500 + "]" * 500 + "\n",
    "steps:\n" + "".join(f"{'  ' * depth}- rollback:\n" for depth in range(100)),
    "playbook: x\nsteps: {run: x}\n",
    "playbook: x\nkind: repair\nsteps:\n  - 1\n  - null\n  - [run, x]\n",
    "playbook: x\nkind: repair\nparams: [a, b]\nsteps: []\n",
    "\ufeffplaybook: x\n",
    "playbook: x\nsteps:\n  - run: |\n" + "      a\n" * 40_000,
    "playbook: x\nkind: repair\nsteps:\n" + "  - run: a\n" * 600,
    "playbook: x\nkind: repair\nsteps:\n  - when: " + "(" * 5000 + "\n    run: a\n",
    "playbook: x\nkind: repair\nsteps:\n  - loop: [1, 2]\n    run: a\n",
    "playbook: x\nkind: repair\nsteps:\n  - {run: a, when: params.x ? 1 : 2}\n",
)
COUNT = len(BY_HAND) + BY_CHANCE


@pytest.fixture(scope="module")
def library() -> Library:
    return load_library()


def mutated(chance: random.Random) -> str:
    """Return a good playbook with one to three things wrong with it."""
    lines = chance.choice(GOOD).split("\n")
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(lines))
        line = lines[at]
        match chance.randrange(10):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, line)
            case 2:
                lines[at] = " " * chance.randint(1, 5) + line
            case 3:
                lines[at] = line.replace(":", chance.choice(("", ";", "::", ": :")), 1)
            case 4:
                lines[at] = re.sub(r"[A-Za-z]{3,}", lambda word: word[0][::-1], line, count=1)
            case 5:
                lines[at] = re.sub(r"(?<=: ).+", lambda _: chance.choice(WORDS), line, count=1)
            case 6:
                lines[at] = "".join(sign for sign in line if sign not in chance.choice(("[]", "{}", "'\"", "()", ",")))
            case 7:
                lines[at] = line + chance.choice((" }", " ]", " '", " #", ": x", " \x00", " \u202e"))
            case 8:
                lines[at] = re.sub(r"(?<=: ).+", lambda _: chance.choice(PAYLOADS).text.replace("\n", " "), line, count=1)
            case _:
                lines[at] = line[: chance.randrange(len(line) + 1)]
        lines = lines or [""]
    return "\n".join(lines)


def texts() -> Iterator[str]:
    """Yield playbooks with something wrong with them, without an end; some of what chance does to one does no harm."""
    chance = random.Random(300)
    yield from BY_HAND
    while True:
        yield mutated(chance)


def tried(folder: Path, library: Library, count: int) -> Iterator[tuple[Path, str, InvalidFile | None]]:
    """Yield as many that are no playbooks, each in a file, with what the loader says; among them those that load after all."""
    for name in ("small.yaml", "functions.py", "site.yml"):
        (folder / name).write_text((DATA / name).read_text())
    path = folder / "broken.yaml"
    for text in texts():
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            load_playbook(path, library)
        except InvalidFile as error:
            yield path, text, error
            count -= 1
        else:
            yield path, text, None
        if not count:
            return


def check_place(place: Place, folder: Path) -> None:
    """Hold a place against the file that it names, which may be one that the playbook names."""
    file = Path(place.file)
    assert file.is_relative_to(folder), place
    lines = re.split("\r\n|[\r\n\x85\u2028\u2029]", file.read_bytes().decode("utf-8", "replace"))  # what ends one in YAML
    assert 1 <= place.line <= len(lines), (place, len(lines))
    assert 1 <= place.column <= len(lines[place.line - 1]) + 1, (place, lines[place.line - 1])


def test_broken_playbooks_are_told_with_their_places(tmp_path: Path, library: Library) -> None:
    for _, text, error in tried(tmp_path, library, COUNT):
        if error is None:
            continue
        assert error.problems, text
        for problem in error.problems:
            check_place(problem.place, tmp_path)
            said = str(problem)
            assert len(said) < 2000 and "Traceback" not in said and re.match(r".+:\d+:\d+: \S", said), said


def test_lint_tells_each_with_its_place_and_never_raises(tmp_path: Path, library: Library) -> None:
    loaded = 0
    for path, text, error in tried(tmp_path, library, COUNT):
        if error is None and (loaded := loaded + 1) > MOST_LOADED:
            continue
        linted = lint_playbook(path, library)
        assert error is None or (linted.playbook is None and linted.errors), text[:80]
        for issue in linted.issues:
            check_place(issue.place, tmp_path)
    assert loaded > MOST_LOADED


def test_what_is_no_file_is_told_too(tmp_path: Path, library: Library) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "latin.yaml").write_bytes(b"playbook: \xe9\n")
    (tmp_path / "huge.yaml").write_bytes(b"#" * (5 * 1024 * 1024))
    open_to_all = tmp_path / "open.yaml"
    open_to_all.write_text(GOOD[1])
    open_to_all.chmod(0o666)
    for name in ("none.yaml", "folder.yaml", "latin.yaml", "huge.yaml", "open.yaml"):
        with pytest.raises(InvalidFile) as caught:
            load_playbook(tmp_path / name, library)
        assert caught.value.problems
