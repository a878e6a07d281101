"""How the tests are spread over workers: the ones that share a lab, a browser or a KDC go to one."""

import os

import pytest


@pytest.mark.xdist_group("lanes")
def test_a_group_of_tests_is_kept_together(request: pytest.FixtureRequest) -> None:
    """pytest-xdist goes by the group that it has added to a test's id; pytest 9.2 has no room for that any more."""
    assert "PYTEST_XDIST_WORKER" not in os.environ or request.node.nodeid.endswith("@lanes")
