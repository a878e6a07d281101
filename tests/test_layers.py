"""The house of design.md: packages import to the left only; a vendor library has one home."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parsed import parsed

ROOT = Path(__file__).parent.parent
ORDER = ["inventory", "remote", "diagnostics", "playbooks", "runner", "reports", "console"]
HOME = {
    "asyncssh": {"remote"},
    "paramiko": {"remote"},
    "fabric": {"remote"},
    "invoke": {"remote"},
    "winrm": {"remote"},
    "pypsrp": {"remote"},
    "psrpcore": {"remote"},
    "spnego": {"remote"},
    "uvloop": {"remote"},
    "keyring": {"remote"},
    "gssapi": {"remote"},
    "cel": {"diagnostics"},
    "jc": {"diagnostics"},
    "cryptography": {"inventory", "remote", "diagnostics"},  # primitives, each behind a module of ours
    "sqlalchemy": {"runner"},
    "alembic": {"runner"},
    "httpx": {"inventory"},
    "yaml": {"inventory"},
    "jinja2": {"playbooks", "reports"},
    "ansible": {"playbooks"},
    "ansible_runner": {"playbooks"},
    "tree_sitter": {"playbooks"},
    "tree_sitter_pwsh": {"playbooks"},
    "babel": {"reports"},
    "click": {"console"},
    "rich": {"console"},
    "platformdirs": {"console"},
}
FILES = sorted(path for top in ORDER for path in (ROOT / top).rglob("*.py"))


def imported_names(path: Path) -> Iterator[str]:
    """Yield the first dotted part of every module that a file imports, at any level."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_left(path: Path) -> None:
    top = path.relative_to(ROOT).parts[0]
    for name in imported_names(path):
        if name in ORDER:
            assert ORDER.index(name) <= ORDER.index(top), f"{path} imports {name}"
        elif name not in sys.stdlib_module_names and name != "__future__":
            assert name in HOME, f"{path} imports {name}, which has no home"
            assert top in HOME[name], f"{path} imports {name}, whose home is {HOME[name]}"


def test_no_eighth_package() -> None:
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert found - {"tests", "bench"} == set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_named_like_the_standard_library(path: Path) -> None:
    assert path.stem not in sys.stdlib_module_names


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.relative_to(ROOT).parts[0] != "runner"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_store_is_reached_through_the_desk_alone(path: Path) -> None:
    """Others know what the store holds and how it fails (values), never how to open, read or write it."""
    values = {"runner.store.rows", "runner.store.errors", "runner.store.changes", "runner.store.verified"}
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("runner"):
            assert node.module != "runner", f"{path}: import from a module, so that this test sees what"
            assert not str(node.module).startswith("runner.store") or node.module in values, f"{path} imports {node.module}"
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith("runner") for alias in node.names), f"{path} imports a module of runner whole"
