"""Tickets of a real Active Directory for a practice Windows host in its domain: they let us in, or it is told why not."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.kerberos import extra_installed
from tests.remote_lab.active_directory import PASSWORD, REALM, Directory, active_directory, missing

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.skipif(not extra_installed(), reason="needs the extra longarm[kerberos]"),
    pytest.mark.xdist_group("domain"),
]
USER = f"l2eng@{REALM}"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    with active_directory(tmp_path_factory.mktemp("domain"), f"longarm-ad-{os.getpid()}") as made:
        yield made


def outcome(directory: Directory, name: str, user: str, *before: str, ccache: str = "") -> set[str]:
    """Return how sessions by WinRM and by PSRP went."""
    probe = [sys.executable, "-m", "tests.remote_lab.domain_probe", name, user, ccache]
    root = str(Path(__file__).parents[2])
    said = directory.inside(*before, *probe, PASSWORD_IN_DOMAIN=PASSWORD, PYTHONPATH=root)
    return set(json.loads(said.splitlines()[-1]).values())


def test_a_password_gets_tickets_and_they_let_us_in(directory: Directory) -> None:
    assert outcome(directory, "win01.lab.test", USER) == {"exited"}


CASES = {
    "another host": ("strange.lab.test", USER, "the host is not in the realm, or has another name there"),
    "a disabled user": ("win01.lab.test", f"gone@{REALM}", "the account is locked"),
    "nobody": ("win01.lab.test", f"nobody@{REALM}", "the realm does not know this principal"),
}


@pytest.mark.parametrize("case", list(CASES))
def test_who_gets_no_ticket_is_told_why(case: str, directory: Directory) -> None:
    name, user, why = CASES[case]
    (told,) = outcome(directory, name, user)
    assert why in told


def test_a_host_whose_clock_is_not_the_domains_refuses_tickets(directory: Directory) -> None:
    (told,) = outcome(directory, "win01.lab.test", USER, "faketime", "-f", "+1h")
    assert told.startswith(f"{USER} was refused; tried kerberos"), (
        "we go by the KDC's clock (kdc_timesync), the host by its own"
    )


def test_an_expired_ticket_is_told(directory: Directory) -> None:
    cache = f"FILE:{directory.folder / 'ccache'}"
    directory.inside("kinit", "-l", "1s", "-c", cache, USER, given=f"{PASSWORD}\n")
    time.sleep(2)
    (told,) = outcome(directory, "win01.lab.test", USER, ccache=cache)
    assert "the ticket has expired" in told
