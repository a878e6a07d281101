"""What the tests of the shipped library share: the library itself, and the captures of real hosts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from diagnostics.check_tests import load_capture
from diagnostics.diagnose import diagnose
from diagnostics.finding import Diagnosis
from diagnostics.library import Library, load_library

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
