"""How all plays of Ansible are run: over ssh with pipelining and ControlPersist, 50 hosts at once."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO


def run_play(play: Path, inventory: str, scratch: str, stdout: IO[bytes] | None = None, **settings: str) -> int:
    """Run a play and return how it ended; `settings` go into its environment."""
    env = os.environ | {
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_FORKS": "50",
        "ANSIBLE_LOCAL_TEMP": f"{scratch}/t",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": f"{scratch}/cp",
        "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=auto -o ControlPersist=60s",
        "ANSIBLE_TIMEOUT": "60",
        "ANSIBLE_HOME": scratch,
        "LC_ALL": "C.UTF-8",
        **settings,
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", inventory, str(play)]
    return subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=stdout, check=False).returncode
