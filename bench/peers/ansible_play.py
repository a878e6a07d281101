"""ansible-core over ssh, no fact gathering: a task for each probe, or one bundled task."""

import json
import sys
import tempfile
from pathlib import Path

from ansible_env import run_play
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
    here = Path(__file__).parent
    keeping = {
        "ANSIBLE_STDOUT_CALLBACK": "keep",
        "ANSIBLE_CALLBACK_PLUGINS": str(here / "ansible_callback"),
        "BENCH_PEERS": str(here),
        "BENCH_OUT": str(work.out),
        "BENCH_NONCE": nonce,
    }
    sys.exit(run_play(play, work.fleet["ini"], scratch, **keeping))
