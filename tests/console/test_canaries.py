"""Forty canary secrets, of logins and of sudo, down every path of a run: no sink holds one, plain or encoded (T5, T7, T8)."""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import json
import os
import pty
import re
import signal
import sqlite3
import sys
import termios
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from unicodedata import normalize

import pytest

from remote.answer import Answer
from remote.known_hosts import KnownHosts
from remote.ssh_library import asyncssh
from reports.render import Audience, Format, render
from runner.desk import Desk
from tests.conftest import SOAK
from tests.console.canary_host import CANARIES, Shell, canary_hosts, name_of
from tests.console.canary_sudo import SAYS as SUDO_SAYS
from tests.console.canary_sudo import TELLTALE, users_with_sudo
from tests.console.conftest import LONGARM
from tests.remote.bastion import practice_bastion
from tests.remote.reaching import BASTION
from tests.remote.servers import Keys, known_key
from tests.wires import WIRES

SAYS = '- {probe: q, script: "%s", deadline: 60s, max_bytes: 64 KiB, parse: lines}\n'
QUIET = SAYS % "echo fine"
CRASHING = """
from remote.ssh import SshConnector
async def broken(self, login, *rest):
    raise RuntimeError("no login with " + login.credential.password.reveal())
SshConnector._log_in = broken
from console.main import main
main()
"""
FAULTY = """
import os
import console.aftermath
def broken(*given):
    secrets = [value for name, value in os.environ.items() if name.startswith("SECRET_")]
    raise RuntimeError(f"at {given} with {secrets} and " + " ".join(secrets))
console.aftermath.show_record = broken
from console.main import main
main()
"""


def forms(canary: str) -> Iterator[bytes]:
    """Yield what a leak would look like in bytes; base64 without its last characters, which depend on what follows."""
    for (wire, write), spelt in product(WIRES.items(), {canary, normalize("NFKC", canary)}):
        written = write(spelt).strip("\"'")
        yield (written.rstrip("=")[:-1] if "base64" in wire or "command" in wire else written).encode()


LEAKS = tuple(
    (canary, form) for canary in CANARIES for form in {canary.encode(), *forms(canary)} if b"c4nary" in form or len(form) > 9
)


def unpacked(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield what a file holds, and what is packed in it: a blob is gzip, values of the database are zlib (runner/store)."""
    data = path.read_bytes()
    yield "", data
    if data.startswith(b"\x1f\x8b"):
        yield "unpacked", gzip.decompress(data)
    if data.startswith(b"SQLite format 3\0"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                yield (
                    f"table {table}",
                    b"\n".join(plain(value) for row in database.execute(f'SELECT * FROM "{table}"') for value in row),
                )


def plain(value: object) -> bytes:
    """Return a value of a database as bytes, unpacked where it is packed."""
    if not isinstance(value, bytes):
        return str(value).encode(errors="surrogatepass")
    try:
        return zlib.decompress(value)
    except zlib.error:
        return value


def temporary(home: Path) -> Path:
    """Return the TMPDIR of a run."""
    return home.with_name("tmp")


@dataclass(slots=True, kw_only=True)
class Ran:
    """What a command line left: its exit code, its words, its home."""

    home: Path
    code: int
    out: bytes
    err: bytes
    processes: bytes = b""
    """The command lines of all processes meanwhile, and the environments of those that know of it."""

    def sinks(self) -> dict[str, bytes]:
        """Return everything that came out of the run, in all, by the name of the sink."""
        found = {"stdout": self.out, "stderr": self.err, "processes": self.processes}
        for kind, folder in (("file", self.home), ("temporary file", temporary(self.home))):
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    name = f"{kind} {path.relative_to(folder)}"
                    found |= {f"{name} {how}".strip(): data for how, data in unpacked(path)}
        with Desk.open(self.home, write=False) as desk:
            for summary in desk.runs():
                record = desk.record(summary.run)
                for kind in Format:
                    found[f"{kind} {record.run}"] = render(record, audience=Audience.INTERNAL, language="en", format=kind)
                found["answers"] = repr(list(desk.answers(record.run))).encode()
                found["raw answers"] = b"\n".join(answer.stdout + answer.stderr for *_, answer in desk.answers(record.run))
                found["audit"] = repr(desk.audit()).encode()
            for case in desk.cases():
                for row in desk.case_attachments(case.ref):
                    found[f"attachment {row.filename}"] = desk.attachment(row.digest)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A bastion: its port on loopback, and the key that it lets in."""

    port: int
    key: Path


@dataclass(slots=True)
class Run:
    """One longarm over the canary hosts, from a home of its own."""

    folder: Path
    secrets: dict[str, str] = field(default_factory=lambda: {f"SECRET_{n}": canary for n, canary in enumerate(CANARIES)})

    asks: tuple[str, ...] = ()
    """What is asked beside the probes."""

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def prepare(
        self, port: int, reference: Callable[[int], str], probes: str, library: str = "asyncssh", bastion: Gate | None = None
    ) -> None:
        """Write an inventory whose credentials are told by `reference`, and the probes; `bastion` is the host in front."""
        lines = ["credentials:"]
        lines += [f"  {name_of(n)}: {{user: {name_of(n)}, {reference(n)}}}" for n in range(len(CANARIES))]
        if bastion is not None:
            lines += [f"  {BASTION}: {{user: anna, key: {bastion.key}}}"]
        lines += ["hosts:"]
        where = f"address: 127.0.0.1, port: {port}, ssh_library: {library}" + (f", via: {BASTION}" if bastion else "")
        lines += [f"  {name_of(n)}: {{{where}, credential: {name_of(n)}}}" for n in range(len(CANARIES))]
        if bastion is not None:
            lines += [f"  {BASTION}: {{address: 127.0.0.1, port: {bastion.port}, credential: {BASTION}}}"]
        (self.home / "inventory.yaml").write_text("\n".join(lines) + "\n")
        (self.folder / "probes.yaml").write_text(probes)

    async def start(self, code: str = "", terminal: int | None = None) -> asyncio.subprocess.Process:
        """Start a diagnosis of all hosts as a document; `code` in place of the console script, `terminal` as its own."""
        program = (sys.executable, "-c", code) if code else (LONGARM,)
        words = (
            "-vv",
            "--json",
            "diagnose",
            "canary-*",
            "--probes",
            str(self.folder / "probes.yaml"),
            "--case",
            "CANARY-1",
            *self.asks,
        )
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8", "LONGARM_HOME": str(self.home)}
        environ["TMPDIR"] = str(temporary(self.home))
        return await asyncio.create_subprocess_exec(
            *program,
            *words,
            "--answers",
            str(self.home / "answers.jsonl"),
            env=environ | self.secrets,
            stdin=asyncio.subprocess.DEVNULL if terminal is None else terminal,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.folder,
            start_new_session=True,
            preexec_fn=None if terminal is None else lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    async def end(self, process: asyncio.subprocess.Process) -> Ran:
        """Wait for the end of a diagnosis, and look at the arguments and the environments of all processes meanwhile."""
        with sampling(self.folder, every_s=0.02, but=process.pid if self.secrets else 0) as seen:
            out, err = await asyncio.wait_for(process.communicate(), 400)
        assert process.returncode is not None
        return Ran(home=self.home, code=process.returncode, out=out, err=err, processes=b"\n".join(seen))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "home").mkdir(mode=0o700)
    temporary(tmp_path / "home").mkdir(mode=0o700)
    return Run(tmp_path)


def assert_no_leak(ran: Ran, expected_code: int) -> dict[str, bytes]:
    assert ran.code == expected_code, ran.err.decode()[-2000:]
    sinks = ran.sinks()
    assert [(sink, canary, form) for sink, data in sinks.items() for canary, form in LEAKS if form in data] == []
    return sinks


def by_environment(number: int) -> str:
    return f"password: {{env: SECRET_{number}}}"


def outcomes(ran: Ran) -> set[str]:
    return {row["outcome"] for row in json.loads(ran.out)["hosts"]}


def test_forty_canaries_of_every_shape() -> None:
    assert len(set(CANARIES)) == 40
    assert {form for _, form in LEAKS} >= {canary.encode() for canary in CANARIES}


PATHS = {
    "nothing is said": (QUIET, 0, {"ok"}),
    "the host says it": (SAYS % 'cat $SAYS; cat $SAYS >&2', 0, {"ok"}),
    "it lies across two packets": (SAYS % 'head -c 30 $SAYS; sleep 0.3; tail -c +31 $SAYS', 0, {"ok"}),
    "a question fails with it": (SAYS % 'cat $SAYS; cat $SAYS >&2; exit 3', 3, {"incomplete"}),
    "a question hangs after it": (SAYS.replace("60s", "1s") % 'cat $SAYS; cat $SAYS >&2; sleep 60', 3, {"incomplete"}),
    "it is over the cap": (SAYS.replace("64 KiB", "1 KiB") % 'cat $SAYS $SAYS; cat $SAYS >&2', 3, {"incomplete"}),
}  # fmt: skip


BY_PARAMIKO = tuple(PATHS) if SOAK else ("the host says it", "a question fails with it", "it is over the cap")
BEHIND_A_BASTION = (
    [*product(PATHS, ["asyncssh", "paramiko"])]
    if SOAK
    else [("a question fails with it", "asyncssh"), ("the host says it", "paramiko"), ("a question hangs after it", "asyncssh")]
)


@pytest.mark.parametrize(
    ("path", "library"), [*((path, "asyncssh") for path in PATHS), *((path, "paramiko") for path in BY_PARAMIKO)]
)
async def test_no_canary_comes_out(run: Run, path: str, library: str) -> None:
    probes, code, expected = PATHS[path]
    async with canary_hosts(run.home) as port:
        run.prepare(port, by_environment, probes, library)
        ran = await run.end(await run.start())
    sinks = assert_no_leak(ran, code)
    assert outcomes(ran) == expected
    assert ("raw answers" in sinks and b"***" in sinks["raw answers"]) == (path != "nothing is said")


@pytest.fixture
def bastion(run: Run, tmp_path: Path) -> Iterator[Gate]:
    """Return a host that the others can be reached through, by a login of its own."""
    made = {}
    for name in ("host", "user"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        (path := tmp_path / f"bastion-{name}").touch(mode=0o600)
        key.write_private_key(path)
        made[name] = Keys(path=path, public=key.export_public_key().decode().strip())
    with practice_bastion(tmp_path, made["host"], made["user"]) as port:
        KnownHosts(run.home / "known_hosts").add(BASTION, known_key(made["host"]))
        yield Gate(port=port, key=made["user"].path)


@pytest.mark.parametrize(("path", "library"), BEHIND_A_BASTION)
async def test_no_canary_comes_out_behind_a_bastion(run: Run, path: str, library: str, bastion: Gate) -> None:
    probes, code, expected = PATHS[path]
    async with canary_hosts(run.home) as port:
        run.prepare(port, by_environment, probes, library, bastion)
        ran = await run.end(await run.start())
    assert_no_leak(ran, code)
    assert outcomes(ran) == expected


@pytest.mark.parametrize("library", ["asyncssh", "paramiko"])
async def test_a_host_that_refuses_and_repeats_what_it_was_shown(run: Run, library: str) -> None:
    async with canary_hosts(run.home, refusing=True) as port:
        run.prepare(port, by_environment, QUIET, library)
        ran = await run.end(await run.start())
    assert_no_leak(ran, 4)
    assert outcomes(ran) == {"refused"}


async def test_a_connection_that_ends_with_it(run: Run) -> None:
    async with canary_hosts(run.home) as port:
        (run.folder / "echo/cut").touch()
        run.prepare(port, by_environment, SAYS % "cat $SAYS; cat $SAYS >&2" + SAYS.replace("probe: q", "probe: r") % "sleep 60")
        ran = await run.end(await run.start())
    sinks = assert_no_leak(ran, 3)
    assert b"***" in sinks["raw answers"], "what had arrived is kept, masked"


async def test_a_run_that_is_interrupted_after_it(run: Run) -> None:
    """All hosts have said it then, and most have ended."""
    hangs = ">$SAYS.said; sleep 300"
    script = SAYS.replace("60s", "300s") % f"cat $SAYS; case $SAYS in *5) {hangs};; esac"
    hanging = [name_of(number) for number in range(len(CANARIES)) if name_of(number).endswith("5")]
    async with canary_hosts(run.home) as port:
        run.prepare(port, by_environment, script)
        run.asks = ("--deadline", "300")
        process = await run.start()
        told = await told_of(process, len(CANARIES) - len(hanging))
        while not all((run.folder / "echo" / f"{name}.said").exists() for name in hanging):  # noqa: ASYNC110 (files know no events)
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        ran = await run.end(process)
    ran.err = told + ran.err
    sinks = assert_no_leak(ran, 130)
    assert outcomes(ran) == {"ok", "interrupted"}
    assert sinks["raw answers"].count(b"***") >= len(CANARIES) - len(hanging), "there was something to leak"


async def told_of(process: asyncio.subprocess.Process, hosts: int) -> bytes:
    """Return what a run has written to stderr by the time that so many of its hosts have ended."""
    assert process.stderr is not None
    told = b""
    while len(re.findall(rb"^  canary-\d\d  ", told, re.MULTILINE)) < hosts:
        line = await process.stderr.readline()
        assert line, told.decode()
        told += line
    return told


@pytest.mark.parametrize(("code", "exits"), [(CRASHING, 1), (FAULTY, 7)])
async def test_a_fault_of_ours_that_carries_it(run: Run, code: str, exits: int) -> None:
    async with canary_hosts(run.home) as port:
        run.prepare(port, by_environment, QUIET)
        ran = await run.end(await run.start(code))
    sinks = assert_no_leak(ran, exits)
    crashes = [data for sink, data in sinks.items() if sink.startswith("file crashes/")]
    assert crashes and all(b"***" in data for data in crashes)


ABORTING = """
import os, resource
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
import console.aftermath
def broken(*given):
    os.abort()
console.aftermath.show_record = broken
from console.main import main
main()
"""


async def test_a_process_that_dies_with_them_leaves_no_image_of_its_memory(run: Run) -> None:
    """It had them all, and the hosts' words with them, and may leave an image: it takes that right away from itself."""
    async with canary_hosts(run.home) as port:
        run.prepare(port, by_environment, SAYS % "cat $SAYS; cat $SAYS >&2")
        process = await run.start(ABORTING)
        pid = process.pid
        ran = await run.end(process)
    assert_no_leak(ran, -signal.SIGABRT)
    assert not [
        path for path in run.folder.rglob("core*") if path.name.startswith(("core.", f"core-{pid}")) or path.name == "core"
    ]


# --- where secrets come from ---------------------------------------------------------------------------------------


@contextmanager
def sampling(ours: Path, *, every_s: float = 0.005, but: int = 0) -> Iterator[set[bytes]]:
    """Collect, every few milliseconds, the command lines of all processes and the environments that name a path of ours.

    `but` is the process that was given the secrets in its environment: what it starts is not to have them.
    """
    seen: set[bytes] = set()
    over = threading.Event()

    def sample() -> None:
        while not over.wait(every_s):
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    environ = b"" if folder.name == str(but) else (folder / "environ").read_bytes()
                    seen.update({(folder / "cmdline").read_bytes(), environ if bytes(ours) in environ else b""})
                except OSError:  # it has ended
                    continue

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


async def test_secrets_in_files_are_in_no_argument_and_no_environment(run: Run) -> None:
    for number, canary in enumerate(CANARIES):
        path = run.folder / f"secret-{number}"
        path.touch(mode=0o600)
        path.write_text(canary + "\n")
    async with canary_hosts(run.home) as port:
        run.prepare(port, lambda number: f"password: {{file: {run.folder}/secret-{number}}}", SAYS % "cat $SAYS; sleep 0.3")
        run.secrets.clear()
        with sampling(run.folder) as seen:
            ran = await run.end(await run.start())
    assert_no_leak(ran, 0)
    assert any(b"diagnose" in words for words in seen) and any(b"SAYS=" in words for words in seen)
    assert [(canary, words) for words in seen for canary, form in LEAKS if form in words] == []


async def test_passphrases_of_keys(run: Run) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    for number, canary in enumerate(CANARIES):
        path = run.folder / f"key-{number}"
        path.touch(mode=0o600)
        path.write_bytes(key.export_private_key("openssh", canary, rounds=1, ignore_few_rounds=True))
    async with canary_hosts(run.home, key=key) as port:
        run.prepare(
            port, lambda number: f"key: {run.folder}/key-{number}, passphrase: {{env: SECRET_{number}}}", SAYS % "cat $SAYS"
        )
        ran = await run.end(await run.start())
    assert_no_leak(ran, 0)


async def test_secrets_typed_at_a_terminal(run: Run) -> None:
    run.secrets.clear()
    ours, theirs = pty.openpty()
    async with canary_hosts(run.home) as port:
        run.prepare(port, lambda number: f"password: {{prompt: 'password {number}'}}", SAYS % "cat $SAYS")
        process = await run.start(terminal=theirs)
        typed = asyncio.to_thread(typed_at, ours)
        shown, ran = await asyncio.gather(typed, run.end(process))
    os.close(ours)
    os.close(theirs)
    assert_no_leak(ran, 0)
    assert [canary for canary, form in LEAKS if form in shown] == []


def typed_at(terminal: int) -> bytes:
    """Answer each prompt as a person would and return what the terminal showed."""
    shown = b""
    for number, canary in enumerate(CANARIES):
        prompt = f"password {number}: ".encode()
        while not shown.endswith(prompt):
            shown += os.read(terminal, 4096)
        os.write(terminal, canary.encode() + b"\n")
    return shown


# --- passwords for sudo --------------------------------------------------------------------------------------------

AS_ROOT = SAYS.replace('script: "%s"', 'privilege: root, script: "%s"')
SUDO_PATHS = {
    path: (probes.replace("$SAYS", SUDO_SAYS).replace("script:", "privilege: root, script:"), code, expected)
    for path, (probes, code, expected) in PATHS.items()
}
needs_users = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace with users of its own")


@dataclass(slots=True, kw_only=True)
class WithSudo:
    """A login by key, and a canary that only sudo asks for."""

    run: Run
    key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    passwords: tuple[str, ...] = CANARIES
    sudo: str = ""

    @property
    def key_file(self) -> Path:
        return self.run.folder / "key"

    def shell(self) -> Shell:
        self.key_file.touch(mode=0o600)
        self.key_file.write_bytes(self.key.export_private_key())
        names = [name_of(number) for number in range(len(CANARIES))]
        return users_with_sudo(self.run.folder / "etc", names, self.passwords, self.run.folder / "echo", self.sudo)

    def by(self, secret: str) -> Callable[[int], str]:
        return lambda number: f"key: {self.key_file}, become: {{password: {{{secret.format(number)}}}}}"


@needs_users
@pytest.mark.parametrize("path", SUDO_PATHS)
async def test_no_password_for_sudo_comes_out(run: Run, path: str) -> None:
    probes, code, expected = SUDO_PATHS[path]
    hosts = WithSudo(run=run)
    async with canary_hosts(run.home, key=hosts.key, shell=hosts.shell()) as port:
        run.prepare(port, hosts.by("env: SECRET_{}"), probes)
        ran = await run.end(await run.start())
    sinks = assert_no_leak(ran, code)
    assert outcomes(ran) == expected
    assert {answer.as_root for answer in kept_answers(ran)} == {True}, "sudo was given what it asked for"
    assert (b"***" in sinks["raw answers"]) == (path != "nothing is said")


@needs_users
@pytest.mark.parametrize("sudo", ["", TELLTALE], ids=["the real one", "one that repeats it"])
async def test_a_sudo_that_does_not_take_it(run: Run, sudo: str) -> None:
    hosts = WithSudo(run=run, passwords=("another",) * len(CANARIES), sudo=sudo)
    async with canary_hosts(run.home, key=hosts.key, shell=hosts.shell()) as port:
        run.prepare(port, hosts.by("env: SECRET_{}"), AS_ROOT % "echo fine")
        ran = await run.end(await run.start())
    assert_no_leak(ran, 3)
    assert outcomes(ran) == {"incomplete"}
    denied = {answer.denied for answer in kept_answers(ran)}
    assert all(words.startswith("the password for sudo was rejected: ") for words in denied)
    assert all(("***" in words) == bool(sudo) for words in denied)


@needs_users
async def test_passwords_for_sudo_are_in_no_argument_and_no_environment(run: Run) -> None:
    for number, canary in enumerate(CANARIES):
        path = run.folder / f"secret-{number}"
        path.touch(mode=0o600)
        path.write_text(canary + "\n")
    hosts = WithSudo(run=run)
    async with canary_hosts(run.home, key=hosts.key, shell=hosts.shell()) as port:
        run.prepare(port, hosts.by(f"file: {run.folder}/secret-{{}}"), AS_ROOT % f"cat {SUDO_SAYS}; sleep 0.3")
        run.secrets.clear()
        with sampling(run.folder) as seen:
            ran = await run.end(await run.start())
    assert_no_leak(ran, 0)
    assert any(b"longarm-" in words and b"sudo" in words for words in seen), "sudo was seen at work"
    assert [(canary, words) for words in seen for canary, form in LEAKS if form in words] == []


def kept_answers(ran: Ran) -> list[Answer]:
    """Return the answers that the run kept."""
    with Desk.open(ran.home, write=False) as desk:
        (summary,) = desk.runs()
        return [answer for *_, answer in desk.answers(summary.run)]
