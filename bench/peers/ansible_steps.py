"""The five steps by ansible-core: FLEET.json OUT, where its recap goes."""

import json
import sys
import tempfile
from pathlib import Path

from ansible_env import run_play

fleet, out = sys.argv[1:]
play = Path(__file__).parent.parent / "steps" / "ansible.yaml"
with tempfile.TemporaryDirectory(prefix="ans") as scratch, Path(out).open("wb") as recap:
    sys.exit(run_play(play, json.loads(Path(fleet).read_text())["ini"], scratch, recap))
