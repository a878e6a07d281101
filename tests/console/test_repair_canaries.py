"""Forty canary secrets as parameters of a repair that repeats them wherever it can: no sink holds one (T5, T7, T8)."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from remote.lab.windows.machine import Machine
from remote.lab.windows.replies import Captured
from remote.lab.windows.works import Ran as Played
from remote.lab.windows.works import Works
from remote.windows.bundle import quote
from reports.render import FORMATS
from tests.console.canary_host import CANARIES, canary_hosts, name_of
from tests.console.conftest import LONGARM
from tests.console.test_canaries import LEAKS, Ran, assert_no_leak, sampling, temporary
from tests.remote_lab.windows_hosts import PASSWORD, USER, listening, ntlm_accounts
from tests.remote_windows.conftest import practice
from tests.runner.repairs import Bench, hosts_folder
from tests.wires import WIRES

__all__ = ["ntlm_accounts"]
WORDS = [f"w{number:02}" for number in range(len(CANARIES))]
ALL = " ".join(f'"${word}"' for word in WORDS)
HEAD = f"""\
playbook: tell-tale
title: {{en: Tell tales, ru: Ябеда}}
says: {{en: Repeats what it is given., ru: Повторяет всё.}}
kind: patch
maintenance: corrective
platforms: [%s]
tier: L2
risk: disruptive
params:
{"".join(f"  {word}: {{type: secret}}{chr(10)}" for word in WORDS)}\
"""
LINUX = f"""\
steps:
  - name: Say them
    plan: |
      cat "$HOME/says"; printf '%s\\n' {ALL}
    run: |
      printf '%s\\n' {ALL}; cat "$HOME/says" >&2; : >"$HOME/noted"; while [ -e "$HOME/waits" ]; do sleep 0.05; done
    retry: never
    register: {{name: told}}
  - name: Write what was told
    template: {{path: TOLD, content: "{{{{ results.told.stdout }}}}", validate: 'test -n "$w01" && test -s "$file"'}}
  - name: Write something else
    file: {{path: TOLD.hidden, content: nothing, hidden: true, validate: 'test -n "$w02" && cat "$HOME/says" >&2'}}
  - name: Look at them
    run: cat "$HOME/says" >&2; printf '%s\\n' {ALL} >&2; exit 4
    retry: read
    on_failure: continue
  - name: Fail with them
    run: cat "$HOME/says"; printf '%s\\n' {ALL} >&2; exit 3
    retry: never
    on_failure: roll_back
    rollback:
      - {{name: Undo it, run: 'cat "$HOME/says"; test -n "$w03"', retry: never}}
"""
WINDOWS = f"""\
steps:
  - name: Set them
    powershell: |
      Set-Words {" ".join(f"${word}" for word in WORDS)}
    privilege: root
    retry: never
    register: {{name: told}}
  - name: Fail with them
    powershell: |
      Find-Words {" ".join(f"${word}" for word in WORDS)}
    retry: never
    on_failure: roll_back
    rollback:
      - {{name: Undo it, powershell: 'Clear-Words $w03', retry: never}}
"""


def says() -> str:
    """Return what a host says that repeats the secrets in every form that programs write them."""
    return "".join(f"{wire}: {write(canary)}\n" for canary in CANARIES for wire, write in WIRES.items())


@dataclass(slots=True)
class Repair:
    """Command lines of longarm from a home of its own; secrets lie in files beside it."""

    folder: Path
    heard: list[Ran] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def params(self) -> list[str]:
        return [part for word in WORDS for part in ("-p", f"{word}=file:{self.folder}/{word}")]

    def prepare(self, platform: str, steps: str, inventory: str) -> None:
        """Write the secrets, the playbook and the inventory."""
        for folder in (self.home, temporary(self.home)):
            folder.mkdir(mode=0o700, exist_ok=True)
        for word, canary in zip(WORDS, CANARIES, strict=True):
            path = self.folder / word
            path.touch(mode=0o600)
            path.write_text(canary + "\n")
        (self.home / "tell-tale.yaml").write_text(HEAD % platform + steps)
        (self.home / "inventory.yaml").write_text(inventory)

    async def start(self, *words: str, **environ: str) -> asyncio.subprocess.Process:
        """Start one command line."""
        given = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8", "LONGARM_HOME": str(self.home)}
        return await asyncio.create_subprocess_exec(
            LONGARM,
            *words,
            env={**given, "TMPDIR": str(temporary(self.home)), **environ},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.folder,
        )

    async def __call__(self, *words: str, code: int = 0, **environ: str) -> Ran:
        """Carry out one command line, and keep what it said."""
        process = await self.start(*words, **environ)
        out, err = await asyncio.wait_for(process.communicate(), 400)
        assert process.returncode == code, (words, err.decode()[-2000:])
        self.heard.append(Ran(home=self.home, code=code, out=out, err=err))
        return self.heard[-1]

    async def retold(self, run: str) -> None:
        """Have a run told in every other way that there is."""
        await self("run", "show", run)
        await self("run", "show", run, "--json")
        await self("case", "show", "CANARY-1")
        for kind, row in FORMATS.items():
            audiences = ("internal", "customer") if row.for_customers else ("internal",)
            for audience in audiences:
                await self("report", "render", run, "--format", kind, "--audience", audience)
        line = f"longarm repair {self.home}/tell-tale.yaml {name_of(0)} -p "
        await self(_LONGARM_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(line.split(" ")) - 1))
        await self("store", "backup", str(self.home / "all.backup"))
        other = self.folder / "restored"
        await self("store", "restore", str(self.home / "all.backup"), LONGARM_HOME=str(other))
        self.heard.append(Ran(home=other, code=0, out=b"", err=b""))

    def assert_quiet(self) -> dict[str, bytes]:
        """Assert that nothing that was said or is kept holds a secret, and return the sinks of the home."""
        for ran in self.heard:
            assert [(form, canary) for canary, form in LEAKS if form in ran.out + ran.err] == []
        homes = {ran.home: ran for ran in self.heard}
        return {name: data for ran in homes.values() for name, data in assert_no_leak(ran, ran.code).items()}


def run_of(ran: Ran) -> str:
    return str(json.loads(ran.out)["run"])


def states(ran: Ran) -> list[str]:
    (host,) = json.loads(ran.out)["hosts"]
    return [step["state"] for step in (*host["repair"]["steps"], *host["repair"]["undone"])]


@pytest.fixture
def repair(tmp_path: Path) -> Repair:
    return Repair(tmp_path)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with hosts_folder() as folder:
        found = Bench(folder)
        path = found.home(name_of(0)) / "says"
        path.write_text(says())
        if os.geteuid() == 0:
            os.chown(path, found.user, found.user)
        yield found


def on_linux(repair: Repair, bench: Bench, port: int) -> None:
    name, home = name_of(0), bench.home(name_of(0))
    where = f"{{address: 127.0.0.1, port: {port}, credential: {name}}}"
    inventory = (
        f"credentials: {{{name}: {{user: {name}, password: {{file: {repair.folder}/w00}}}}}}\nhosts: {{{name}: {where}}}\n"
    )
    repair.prepare("linux", LINUX.replace("TOLD", f"{home}/told"), inventory)


async def test_secrets_of_a_repair_come_out_nowhere(repair: Repair, bench: Bench) -> None:
    async with canary_hosts(repair.home, shell=lambda user: [*bench.shell(user), "-c"]) as port:
        on_linux(repair, bench, port)
        words = ("repair", str(repair.home / "tell-tale.yaml"), name_of(0), *repair.params)
        with sampling(repair.folder) as seen:
            await repair("-vv", "--json", *words, "--plan")
            ran = await repair("-vv", "--json", *words, "--case", "CANARY-1", code=1)
            await repair("--json", "run", "retry", run_of(ran), "--only", "failed", code=1)
            await repair("playbook", "test", words[1], "--record", name_of(0), *repair.params, code=1)
    assert states(ran) == ["changed", "changed", "changed", "failed", "failed", "changed"]
    await repair.retold(run_of(ran))
    sinks = repair.assert_quiet()
    assert b"***" in ran.out and b"***" in sinks["file scenarios/tell-tale.yaml"], "it was said, and is masked"
    assert [(canary, words) for words in seen for canary, form in LEAKS if form in words] == [], "no argument, no environment"
    home = bench.home(name_of(0))
    assert (home / "told").read_text().splitlines() == [*CANARIES], "the host has what it was told to write"
    left = [path for path in home.rglob("*") if path.is_file() and path.name not in ("mark", "says", "told", "noted")]
    assert sorted(path.name for path in left) == ["fence", "told.hidden"]
    assert [canary for canary, form in LEAKS for path in left if form in path.read_bytes()] == []


async def test_secrets_of_a_repair_that_is_killed_and_gone_on_with(repair: Repair, bench: Bench) -> None:
    home = bench.home(name_of(0))
    (home / "waits").touch()
    async with canary_hosts(repair.home, shell=lambda user: [*bench.shell(user), "-c"]) as port:
        on_linux(repair, bench, port)
        process = await repair.start(
            "--json", "repair", str(repair.home / "tell-tale.yaml"), name_of(0), *repair.params, "--case", "CANARY-1"
        )
        for _ in range(2400):
            if (home / "noted").exists():
                break
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        out, err = await process.communicate()
        repair.heard.append(Ran(home=repair.home, code=-9, out=out, err=err))
        kept = [path for path in home.rglob("*") if path.is_file() and path.name not in ("mark", "says", "told", "out", "err")]
        assert {path.name for path in kept} >= {"fence", "claim", "begun"}, "what a host keeps of a step that runs"
        given = [path for path in kept for _, form in LEAKS if form in path.read_bytes()]
        assert given == [], "it has what the step said, and nothing that it was given"
        (home / "waits").unlink()
        run = json.loads((await repair("--json", "run", "list")).out)[0]["run"]
        resumed = await repair("--json", "run", "resume", run, code=1)
    assert states(resumed)[0] == "changed", "it was not done twice"
    await repair.retold(run)
    repair.assert_quiet()


@pytest.mark.usefixtures("ntlm_accounts")
@pytest.mark.parametrize("transport", ["winrm", "psrp"])
async def test_secrets_of_a_repair_reach_powershell_and_come_out_nowhere(repair: Repair, transport: str) -> None:
    works = Works(
        {
            f"Set-Words {' '.join(f'${word}' for word in WORDS)}\n": Played(stdout=says(), stderr=says()),
            f"Find-Words {' '.join(f'${word}' for word in WORDS)}\n": Played(stdout=says(), stderr=says(), exit_status=3),
            "Clear-Words $w03": Played(stdout=says()),
        },
        machine=Machine(),
    )
    host = practice(program=Captured(answers={}, works=works))
    with listening(host) as port:
        where = f"{{address: 127.0.0.1, port: {port}, transport: {transport}, winrm: {{scheme: http}}, credential: ops}}"
        inventory = f"credentials: {{ops: {{user: {USER}, password: {{env: WORD}}}}}}\nhosts: {{{name_of(0)}: {where}}}\n"
        repair.prepare("windows", WINDOWS, inventory)
        words = ("repair", str(repair.home / "tell-tale.yaml"), name_of(0), *repair.params)
        environ = {name: value for name, value in os.environ.items() if name.startswith(("NTLM_", "NETBIOS_"))}
        ran = await repair("-vv", "--json", *words, "--case", "CANARY-1", code=1, WORD=PASSWORD, **environ)
    assert states(ran) == ["changed", "failed", "changed"]
    await repair.retold(run_of(ran))
    repair.assert_quiet()
    assert b"***" in ran.out, "it was said, and is masked"
    written = [f"${word} = {quote(canary)}" for word, canary in zip(WORDS, CANARIES, strict=True)]
    assert works.ran[0].splitlines()[: len(written)] == written, "they arrive as they are"
    assert [line for line in works.ran[2].splitlines() if line.startswith("$")] == [written[3]], "only what a script mentions"
    assert works.machine.lines and len(works.machine.written) > 5
    for data in [*(data for _, data in works.machine.written), *(line.encode() for line in works.machine.lines)]:
        assert [canary for canary, form in LEAKS for part in unpacked(data) if form in part] == [], "on no disk, in no argument"
    assert not [path for path in works.machine.files if not path.endswith("\\fence")], "nothing is left but the fence"


def unpacked(data: bytes) -> Iterator[bytes]:
    """Yield what was written, and what is packed in it: scripts in gzip and base64, or in UTF-16 and base64."""
    yield data
    for found in re.findall(rb"[A-Za-z0-9+/=\n\r]{200,}", data):
        packed = found.replace(b"\n", b"").replace(b"\r", b"").rstrip(b"=")
        plain = base64.b64decode(packed + b"=" * (-len(packed) % 4))
        yield plain
        if plain.startswith(b"\x1f\x8b"):
            yield gzip.decompress(plain)
        yield plain.decode("utf-16-le", "replace").encode()
