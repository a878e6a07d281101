"""Somebody at a support desk in the lab's network, and what their longarm says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.hosts.realhosts import RealLab

LONGARM = Path(sys.executable).with_name("longarm")
FIXED = ("web1", "db1", "app1", "box1")


@dataclass(slots=True)
class SupportDesk:
    """A home and an inventory, and longarm as somebody there runs it: inside the lab's network."""

    lab: RealLab
    home: Path
    secrets: dict[str, str] = field(default_factory=dict)
    """Variables that credentials refer to."""

    def command(self, *words: str) -> list[str]:
        """Return the command line of longarm inside the lab's network."""
        return ["ip", "netns", "exec", self.lab.desk, str(LONGARM), "--home", str(self.home), "--no-input", *words]

    def longarm(self, *words: str, exit_code: int = 0) -> str:
        """Run longarm and return its stdout; another exit code than the expected one shows everything it said."""
        done = subprocess.run(self.command(*words), capture_output=True, text=True, env=self.env(), timeout=120, check=False)
        assert done.returncode == exit_code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout

    def diagnose(self, *words: str, exit_code: int) -> dict[str, Any]:
        """Diagnose and return the one JSON document, with its sums checked."""
        document: dict[str, Any] = json.loads(self.longarm("--json", "diagnose", *words, exit_code=exit_code))
        coverage = document["coverage"]
        assert coverage["targeted"] == sum(coverage["outcomes"].values()) == len(document["hosts"])
        return document

    def repair(self, *words: str, exit_code: int = 0) -> dict[str, Any]:
        """Repair and return the one JSON document, with its sums checked."""
        document: dict[str, Any] = json.loads(self.longarm("--json", "repair", *words, exit_code=exit_code))
        changes = document["repair"]["changes"]
        assert document["coverage"]["targeted"] == sum(changes.values()) == len(document["hosts"])
        return document

    def env(self) -> dict[str, str]:
        """Return an environment with nothing of ours in it."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", **self.secrets}

    def enrol(self, *names: str) -> None:
        """Enrol hosts by the fingerprints that they have; `other=web1` is web1 under another name."""
        hosts = {name: of or name for name, _, of in (name.partition("=") for name in names)}
        known = [word for name, of in hosts.items() for word in ("--fingerprint", f"{name}={self.lab.fingerprint(of)}")]
        self.longarm("host", "enrol", ",".join(hosts), *known)

    def reach(self, *names: str, ways: Mapping[str, str]) -> None:
        """Put hosts into the inventory, some of them reached in other ways, and enrol them: those behind others last."""
        self.add_to_inventory(self.lab.inventory(names=names, ways=ways))
        behind = [name for name in names if "via:" in ways.get(name.partition("=")[0], "")]
        self.enrol(*(name for name in names if name not in behind))
        if behind:
            self.enrol(*behind)

    def add_to_inventory(self, text: str) -> None:
        """Append to the inventory."""
        with (self.home / "inventory.yaml").open("a") as file:
            file.write(text)


def host(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a host's row of a run's document."""
    return next(row for row in document["hosts"] if row["host"] == name)
