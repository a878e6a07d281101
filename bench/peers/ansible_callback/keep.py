"""Callback that keeps every task's rc, stdout and stderr: what a support tool has to do."""

import os
import sys
from pathlib import Path

from ansible.plugins.callback import CallbackBase

sys.path.insert(0, os.environ["BENCH_PEERS"])
from records import Records

DOCUMENTATION = """
name: keep
type: stdout
short_description: keep results
description: keep results
"""


class CallbackModule(CallbackBase):
    """Write each result as a record."""

    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "stdout", "keep"

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.records = Records(Path(os.environ["BENCH_OUT"]))

    def v2_runner_on_ok(self, result) -> None:
        """Keep a result."""
        done = getattr(result, "result", None) or result._result
        host, task = result._host.get_name(), result._task.get_name()
        stdout, stderr = done.get("stdout", ""), done.get("stderr", "")
        if task == "BUNDLE":
            self.records.put_bundle(host, os.environ["BENCH_NONCE"], f"\n{stdout}\n", f"\n{stderr}\n")
        else:
            self.records.put(host, task, done.get("rc"), stdout, stderr)

    v2_runner_on_failed = v2_runner_on_ok

    def v2_playbook_on_stats(self, stats) -> None:
        """Close the file."""
        self.records.__exit__(None, None, None)
