"""Ansible, to compare with."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.forked import ANSIBLE_INVENTORY, forking

Listing = Callable[..., bytes]


@pytest.fixture(scope="session")
def ansible_list(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listing]:
    """Return what gives what `ansible-inventory -i PATH --list WORD…` prints, with nobody's settings."""
    pytest.importorskip("ansible", reason="ansible-core is not installed")
    home = tmp_path_factory.mktemp("ansible")
    (home / "ansible.cfg").write_text("[defaults]\n")
    settings = {"HOME": str(home), "ANSIBLE_HOME": str(home / ".ansible"), "ANSIBLE_CONFIG": str(home / "ansible.cfg")}
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **settings}
    with forking(ANSIBLE_INVENTORY, **settings) as forked:

        def listed(path: Path, *words: str) -> bytes:
            code, out, err = forked.run(["-i", str(path), "--list", *words], environ, home, timeout_s=120)
            assert code == 0, err
            return out

        yield listed
