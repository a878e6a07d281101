"""longarm as a system-wide program on a real host: this interpreter, its libraries and our packages under /opt/longarm."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

from tests.hosts.realhosts import run

OURS: Final = ("inventory", "remote", "diagnostics", "playbooks", "runner", "reports", "console")
REPOSITORY: Final = Path(__file__).parent.parent.parent
_DEVELOPERS: Final = ("__editable__*", "mypy*", "*__mypyc*", "ansible*", "pip", "pip-*", "ruff*", "hypothesis*")
_LEFT_OUT: Final = shutil.ignore_patterns("test", "tests", "site-packages", "idlelib", "ensurepip", "config-*", *_DEVELOPERS)
_PROGRAM: Final = "#!/opt/longarm/bin/python3\nimport sys\nfrom console.entry import main\nsys.exit(main())\n"


def install(root: Path) -> None:
    """Copy the program to /opt/longarm under a host's root, with the shared libraries that the host does not have itself."""
    prefix, python = root / "opt/longarm", f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = prefix / "lib" / python
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=_LEFT_OUT, symlinks=True)
    shutil.copytree(sysconfig.get_path("purelib"), library / "site-packages", ignore=_LEFT_OUT, symlinks=True)
    for package in OURS:
        shutil.copytree(REPOSITORY / package, library / "site-packages" / package)
    (prefix / "bin").mkdir()
    shutil.copy(Path(sys.base_prefix) / "bin" / python, prefix / "bin/python3")
    (prefix / "bin/longarm").write_text(_PROGRAM)
    (prefix / "bin/longarm").chmod(0o755)
    (root / "usr/local/bin/longarm").symlink_to("/opt/longarm/bin/longarm")
    for needed in _shared([prefix / "bin/python3", *prefix.rglob("*.so")]):
        if not (root / str(needed).lstrip("/")).exists():
            shutil.copy(needed, root / "usr/local/lib")
    run("chroot", root, "ldconfig")


def _shared(binaries: list[Path]) -> set[Path]:
    told = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=False).stdout
    return {Path(found) for found in re.findall(r"=> (/\S+) ", told)}
