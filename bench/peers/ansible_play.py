"""ansible-core over ssh with pipelining and ControlPersist, no fact gathering: a task for each probe, or one bundled task."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from records import bundle, job

work = job()
nonce, script = bundle(work.probes)


def shell(name: str, text: str) -> dict[str, object]:
    quoted = "{% raw %}" + text + "{% endraw %}"
    return {"name": name, "ansible.builtin.shell": quoted, "changed_when": False, "failed_when": False}


tasks = [shell("BUNDLE", script)] if work.bundled else [shell(probe["id"], probe["cmd"]) for probe in work.probes]
with tempfile.TemporaryDirectory(prefix="ans") as scratch:
    play = Path(scratch, "play.yml")
    play.write_text(json.dumps([{"hosts": "fleet", "gather_facts": False, "tasks": tasks}]))
    env = os.environ | {
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_FORKS": "50",
        "ANSIBLE_STDOUT_CALLBACK": "keep",
        "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "ansible_callback"),
        "BENCH_PEERS": str(Path(__file__).parent),
        "BENCH_OUT": str(work.out),
        "BENCH_NONCE": nonce,
        "ANSIBLE_LOCAL_TEMP": f"{scratch}/t",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": f"{scratch}/cp",
        "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=auto -o ControlPersist=60s",
        "ANSIBLE_TIMEOUT": "60",
        "ANSIBLE_HOME": scratch,
        "LC_ALL": "C.UTF-8",
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", work.fleet["ini"], str(play)]
    sys.exit(subprocess.run(command, env=env, stdin=subprocess.DEVNULL, check=False).returncode)
