"""Run in a clean environment: the installed wheel holds the seven packages and nothing else, and every module imports."""

import importlib
import sys
from importlib.metadata import distribution

PACKAGES = {"inventory", "remote", "diagnostics", "playbooks", "runner", "reports", "console"}

files = [str(path) for path in distribution("longarm").files or ()]
tops = {path.split("/")[0] for path in files if ".dist-info/" not in path and not path.startswith("../")}
if tops != PACKAGES:
    sys.exit(f"the wheel installs {sorted(tops)}")
modules = [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in files if path.endswith(".py")]
theirs = (".migrations.versions.", ".ansible_plugins.")  # what Alembic and Ansible load themselves, from its path
skipped = [name for name in modules if any(part in name for part in theirs) or name.endswith(".migrations.env")]
for name in modules:
    if name not in skipped:
        importlib.import_module(name)
print(f"{len(modules) - len(skipped)} modules of {len(tops)} packages import from the wheel")
