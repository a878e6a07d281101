"""A program of its own: one shell of a practice host, in namespaces over the files of its scenario.

    python -I -S namespace.py WORLD LIFE COMMAND…

WORLD is a file of JSON (`remote.lab.world`), LIFE the number of an open pipe: once its other end is closed, by whoever
holds it or by that process's death, nothing of this session is left. Standard library only: nothing else may be loaded
here. Linux 5.12 or newer (mount_setattr(2)). What the machine refuses is told on stderr, with the exit status CANNOT,
before anything of the command has run.

Three processes: the keeper stays outside, writes the maps of users (user_namespaces(7)) and hands on the exit status;
the founder makes the namespaces; the first process (pid 1 inside) builds the root that the shell sees, gives up every
capability, reaps orphans, and ends as soon as the shell or LIFE does. The kernel then kills all that is left in there,
and the mounts go with the last of them (pid_namespaces(7), mount_namespaces(7)).
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

CANNOT = 125
NOBODY = 65534
"""Whom a user inside is outside, where root started us: nobody's files, nobody's processes."""
_PLACE = "/tmp"  # noqa: S108  # the mount on it is ours alone, and nothing that we need lies below
_NEW = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET (clone(2))."""
_NEW_TIME = 0x80
_CLOCK_SINCE_BOOT = 7
"""CLOCK_BOOTTIME of clock_gettime(2), which /proc/uptime shows."""
_NOSUID, _NODEV, _NOEXEC, _BIND, _REC, _PRIVATE = 2, 4, 8, 1 << 12, 1 << 14, 1 << 18
_DETACH = 2
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
"""New system calls have one number everywhere (but on Alpha); pivot_root(2) is older than that."""
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "armv7l": 218, "i686": 217, "ppc64le": 203, "s390x": 217}
_HERE, _RECURSIVE, _NOFOLLOW, _CLONE, _EMPTY_PATH = -100, 0x8000, 0x100, 1, 4
_PARENT_DIES, _DUMPABLE, _CAPBSET_DROP, _NO_NEW_PRIVS = 1, 4, 24, 38
_CAPABILITY_VERSION = 0x20080522
_LIBRARIES = ("lib", "lib32", "lib64", "libx32")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_LIMITS = {
    resource.RLIMIT_NPROC: 256,
    resource.RLIMIT_AS: 256 << 20,
    resource.RLIMIT_FSIZE: 4 << 20,
    resource.RLIMIT_NOFILE: 256,
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_CPU: 300,
}
"""What a session may have: processes, bytes, descriptors, seconds of CPU each. A bundle has about 20 processes at once."""

_LEAST_STATES = 5
"""The words of /proc/stat that count here: cpu, user, nice, system, idle (proc_stat(5))."""
_BEAT_S = 0.04
"""How often the host's processors have been idle a little longer: a bundle looks twice, half a second apart."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def keep(world: Mapping[str, Any], life: int, command: Sequence[str]) -> int:
    """Return the exit status of `command` in the world, 128 and more for a signal, CANNOT where there can be no world."""
    asks, asked = os.pipe()
    answers, answered = os.pipe()
    founder = os.fork()
    if founder == 0:
        os.close(answered)
        _as_process(lambda: _found(world, life, command, asked, answers))
    os.close(asked)
    if os.read(asks, 1):
        _map_user(founder, int(world["uid"]))
        os.write(answered, b"m")
    os.close(answered)
    _leave_streams()
    return _status(os.waitpid(founder, 0)[1])


def _map_user(pid: int, inside: int) -> None:
    process = Path("/proc", str(pid))
    (process / "setgroups").write_text("deny")
    (process / "uid_map").write_text(f"{inside} {NOBODY if can_be_nobody() else os.geteuid()} 1")
    (process / "gid_map").write_text(f"{inside} {NOBODY if can_be_nobody() else os.getegid()} 1")


def can_be_nobody() -> bool:
    """Tell whether we are root of a machine, or of a container, in which there is a nobody."""
    maps = (Path(f"/proc/self/{kind}_map").read_text().splitlines() for kind in ("uid", "gid"))
    ranges = ([tuple(map(int, line.split())) for line in lines] for lines in maps)
    return os.geteuid() == 0 and all(any(first <= NOBODY < first + count for first, _, count in some) for some in ranges)


def _found(world: Mapping[str, Any], life: int, command: Sequence[str], asked: int, answers: int) -> int:
    """Make the namespaces, start the first process in them, and return how it ended."""
    if can_be_nobody():
        os.setgroups(())
    _call("unshare", _libc.unshare(_NEW))
    os.write(asked, b"u")
    os.close(asked)
    if not os.read(answers, 1):
        return CANNOT
    uid = int(world["uid"])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _libc.prctl(_PARENT_DIES, signal.SIGKILL, 0, 0, 0)
    _libc.prctl(_DUMPABLE, 1, 0, 0, 0)  # a change of user takes our own /proc/self from us
    ticks = _set_clock(float(world["uptime_s"]))
    first = os.fork()
    if first == 0:
        _as_process(lambda: _be_first(world, life, command, ticks=ticks))
    _leave_streams()
    return _status(os.waitpid(first, 0)[1])


def _set_clock(uptime_s: float) -> bool:
    """Let the clock since boot stand at `uptime_s` for what we start; return whether this kernel can (time_namespaces(7))."""
    if _libc.unshare(_NEW_TIME) != 0:
        return False
    offset_s, rest_s = divmod(uptime_s - time.clock_gettime(_CLOCK_SINCE_BOOT), 1)  # also what is negative is rounded down
    Path("/proc/self/timens_offsets").write_text(f"boottime {offset_s:.0f} {int(rest_s * 1e9)}\n")
    return True


def _be_first(world: Mapping[str, Any], life: int, command: Sequence[str], *, ticks: bool) -> int:
    """Build the root, start the shell in it, and stay until it or LIFE ends; return its exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _libc.prctl(_PARENT_DIES, signal.SIGKILL, 0, 0, 0)  # should LIFE fail us
    socket.sethostname(world["hostname"])
    _build(world, ticks=ticks)
    idle = _Idle(Path(_PLACE))
    _enter()
    Path("/proc/sys/user/max_user_namespaces").write_text("0")  # or whoever is inside could have capabilities in one more
    _bind("/proc/sys", "/proc/sys")
    _protect("/proc/sys")
    _protect("/", recursive=False)
    _give_up_capabilities()
    _libc.prctl(_DUMPABLE, 0, 0, 0, 0)  # the shell is of our user: it may not look into us, nor hold us
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    shell = os.fork()
    if shell == 0:
        _become_shell(world, command)
    _leave_streams()
    while True:
        ready = select.select([life, woken], [], [], _BEAT_S)[0]
        if life in ready:
            return 128 + signal.SIGKILL
        idle.go_on()
        if woken in ready:
            os.read(woken, 4096)
        if (status := _reaped(shell)) is not None:
            return status


def _reaped(shell: int) -> int | None:
    """Take every process that has ended and return the shell's exit status once it is among them."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == shell:
            return _status(status)
        if pid == 0:
            return None


def _become_shell(world: Mapping[str, Any], command: Sequence[str]) -> NoReturn:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])  # LIFE above all
    os.setsid()
    os.chdir(world["home"])
    os.umask(0o022)
    for limit, most in _LIMITS.items():
        hard = resource.getrlimit(limit)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (least, least))
    user = world["user"]
    environment = {"HOME": world["home"], "LOGNAME": user, "USER": user, "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
    os.execve(command[0], list(command), environment)  # noqa: S606  # the shell of the practice host is what was asked for


class _Idle:
    """Keeps /proc/stat of the scenario moving: one processor, idle all the time; whoever has it open sees one moment."""

    def __init__(self, root: Path) -> None:
        self._since_s = time.monotonic()
        tree = _libc.syscall(_OPEN_TREE, _HERE, os.fsencode(root), _CLONE)  # writable for us when / no longer is
        _call("open_tree", tree)
        self._folder = os.open(".scenario/live", os.O_RDONLY | os.O_DIRECTORY, dir_fd=tree)
        self._words = (root / ".scenario/live/stat").read_text().split()

    def go_on(self) -> None:
        """Write what the processors have done by now."""
        if len(self._words) < _LEAST_STATES:
            return
        name, user, nice, system, idle, *others = self._words
        idle = str(int(idle) + int(100 * (time.monotonic() - self._since_s)))
        row = " ".join((f"{name} ", user, nice, system, idle, *others))
        new = os.open("new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=self._folder)
        os.write(new, f"{row}\n".encode())
        os.close(new)
        os.rename("new", "stat", src_dir_fd=self._folder, dst_dir_fd=self._folder)


def _build(world: Mapping[str, Any], *, ticks: bool) -> None:
    """Build the root of the practice host at _PLACE: what is the machine's read-only, the rest in memory."""
    _call("mount /", _libc.mount(None, b"/", None, _REC | _PRIVATE, None))
    rooms = {inside: _tree(Path(outside)) for inside, outside in world["rooms"].items()}  # may lie below _PLACE
    _mount("tmpfs", _PLACE, _NOSUID | _NODEV, "size=16m,nr_inodes=8k,mode=755")
    root = Path(_PLACE)
    for folder in ("usr/bin", "usr/sbin", "proc", "dev", "tmp", "etc", *(folder.lstrip("/") for folder in world["folders"])):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "sbin"):
        (root / name).symlink_to(f"usr/{name}")
    for name in _LIBRARIES:
        _borrow_library(Path("/", name))
        _borrow_library(Path("/usr", name))
    for inside, outside in world["programs"].items():
        _borrow(Path(outside), root / inside.lstrip("/"))
    if Path("/etc/ld.so.cache").exists():
        _borrow(Path("/etc/ld.so.cache"), root / "etc/ld.so.cache")
    for name in _DEVICES:
        (root / "dev" / name).touch()
        _bind(f"/dev/{name}", root / "dev" / name)
    (root / "dev/fd").symlink_to("/proc/self/fd")
    _mount("proc", root / "proc", _NOSUID | _NODEV | _NOEXEC, "")
    _mount("tmpfs", root / "tmp", _NOSUID | _NODEV | _NOEXEC, "size=4m,nr_inodes=1k,mode=1777")
    for inside, tree in rooms.items():
        _put_room(root / inside.lstrip("/"), tree)
    _put_files(root, world)
    for path in world["over"] if ticks else (*world["over"], "/proc/uptime"):
        _put_over(root, path)
    for path, target in world["links"].items():
        _put_link(root, path, target)
    for path in world["closed"]:
        (root / path.lstrip("/")).chmod(0)


def _put_files(root: Path, world: Mapping[str, Any]) -> None:
    """Write the files of the scenario, each at its place; one for a place below /proc goes to /.scenario, for `_put_over`."""
    for path, file in world["files"].items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(file.get("text", ""), encoding="utf-8")
        if "size" in file:
            os.truncate(place, file["size"])
        place.chmod(file.get("mode", 0o644))


def _put_over(root: Path, path: str) -> None:
    """Put the scenario's copy over a file of /proc; this kernel may be without that file, then the host is so too."""
    place = root / path.lstrip("/")
    if place.exists():
        _bind(root / ".scenario" / path.lstrip("/"), place)
        _protect(place)


def _put_link(root: Path, path: str, target: str) -> None:
    """Put a link to `target` over a link, which only the newer calls can: mount(2) follows both of them."""
    link = root / ".scenario/links" / path.replace("/", "_")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    _move(_tree(link, _NOFOLLOW), root / path.lstrip("/"))


def _put_room(place: Path, tree: int) -> None:
    """Put a folder of the machine that is the practice host's own, where nothing can be run."""
    place.mkdir(parents=True, exist_ok=True)
    _move(tree, place)
    _restrict(place, _NOSUID | _NODEV | _NOEXEC)


def _tree(path: Path, flags: int = 0) -> int:
    """Return what is at a path, to be put elsewhere."""
    tree = _libc.syscall(_OPEN_TREE, _HERE, os.fsencode(path), _CLONE | flags)
    _call(f"open_tree {path}", tree)
    return int(tree)


def _move(tree: int, place: Path) -> None:
    moved = _libc.syscall(_MOVE_MOUNT, tree, b"", _HERE, os.fsencode(place), _EMPTY_PATH)
    _call(f"move_mount {place}", moved)
    os.close(tree)


def _borrow_library(folder: Path) -> None:
    """Show one of the machine's folders of libraries, read-only; where it is a link there, it is one here."""
    place = Path(_PLACE + str(folder))
    if folder.is_symlink():
        place.symlink_to(folder.readlink())
    elif folder.is_dir():
        place.mkdir()
        _bind(folder, place)
        _protect(place)


def _borrow(outside: Path, place: Path) -> None:
    """Show one of the machine's files, read-only."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()
    _bind(outside, place)
    _protect(place)


def _mount(kind: str, place: str | Path, flags: int, options: str) -> None:
    done = _libc.mount(kind.encode(), os.fsencode(place), kind.encode(), flags, options.encode())
    _call(f"mount {kind}", done)


def _bind(source: str | Path, place: str | Path) -> None:
    _call(f"bind {source}", _libc.mount(os.fsencode(source), os.fsencode(place), None, _BIND | _REC, None))


class _Attributes(ctypes.Structure):
    """Struct mount_attr of mount_setattr(2)."""

    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("users", ctypes.c_uint64),
    )


def _protect(place: str | Path, *, recursive: bool = True) -> None:
    """Make what is mounted at a place, and by default all below it, read-only, without devices and set-user-ID programs."""
    _restrict(place, 1 | _NOSUID | _NODEV, recursive=recursive)  # MOUNT_ATTR_RDONLY; the others are as those of mount(2)


def _restrict(place: str | Path, attributes: int, *, recursive: bool = False) -> None:
    wanted = _Attributes(set=attributes)
    size, flags = ctypes.c_size_t(ctypes.sizeof(wanted)), _RECURSIVE if recursive else 0
    done = _libc.syscall(_MOUNT_SETATTR, _HERE, os.fsencode(place), flags, ctypes.byref(wanted), size)
    _call(f"mount_setattr {place}", done)


def _enter() -> None:
    """Make _PLACE the root of everything, and let go of the machine's (pivot_root(2): both arguments may be one place)."""
    number = _PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise OSError(0, f"pivot_root: no number known for {platform.machine()}")
    os.chdir(_PLACE)
    _call("pivot_root", _libc.syscall(number, b".", b"."))
    _call("umount", _libc.umount2(b".", _DETACH))
    os.chdir("/")


def _give_up_capabilities() -> None:
    """Leave no capability, neither to us nor, by running a program as root, to anything that we start."""
    for capability in range(64):
        if _libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # past the last one that this kernel knows
    _call("prctl", _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0))
    header, nothing = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    _call("capset", _libc.capset(header, nothing))


def _call(what: str, result: int) -> None:
    """Raise OSError, with what was tried, for a call that failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _leave_streams() -> None:
    """Give up stdin, stdout and stderr, so that they end with the shell's."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)
    os.close(nothing)


def _status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _as_process(work: Callable[[], int]) -> NoReturn:
    """Do the work of a process that was forked, and end it."""
    os._exit(_told(work))


def _told(work: Callable[[], int]) -> int:
    """Return what `work` returns; where the machine refuses something, say so and return CANNOT."""
    try:
        return work()
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        os.write(2, f"no namespaces for a practice host: {error.strerror}{where}\n".encode())
        return CANNOT


if __name__ == "__main__":
    _world = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.exit(_told(lambda: keep(_world, int(sys.argv[2]), sys.argv[3:])))
