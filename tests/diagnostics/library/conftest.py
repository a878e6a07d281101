"""What the tests of the shipped library share: the library itself, captures of real hosts, shells, what a check says."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from diagnostics.check_tests import load_capture
from diagnostics.context import Context
from diagnostics.diagnose import diagnose
from diagnostics.evidence import Evidence
from diagnostics.finding import CheckResult, Diagnosis
from diagnostics.library import Library, load_library
from remote.answer import Answer
from tests.diagnostics.library.answers import NOW
from tests.diagnostics.library.test_scripts import SHELLS

CAPTURES = Path(__file__).parents[2] / "data" / "captures"


@pytest.fixture(scope="session")
def shipped() -> Library:
    return load_library()


@pytest.fixture(scope="session")
def captures() -> Path:
    return CAPTURES


@pytest.fixture
def diagnosed(shipped: Library) -> Callable[[str], Diagnosis]:
    """Return what the library says about a whole captured host."""

    def of(name: str) -> Diagnosis:
        evidence, context = load_capture(CAPTURES / name)
        return diagnose(evidence, replace(context, library_digest=shipped.digest), shipped)

    return of


@pytest.fixture
def judged(shipped: Library) -> Callable[..., CheckResult]:
    """Return how a check ends on a host that answered this to these questions."""

    def result(check: str, **answers: Answer) -> CheckResult:
        asked = {name.replace("_", "."): answer for name, answer in answers.items()}
        evidence = Evidence(host="web-1", taken_at=NOW, platform="linux", answers=asked, versions={})
        (one,) = diagnose(evidence, Context(now=NOW, checks=(check,), library_digest=shipped.digest), shipped).results
        return one

    return result


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    """Each shell that a host may have."""
    shell: list[str] = SHELLS[request.param]
    if not shutil.which(shell[0]):
        pytest.skip(f"server: not installed: {shell[0]}")
    return shell


@pytest.fixture
def nobody() -> list[str]:
    """What a command begins with that is not to be root's."""
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        pytest.skip("server: not installed: setpriv")
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter: those of pytest are its user's alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
