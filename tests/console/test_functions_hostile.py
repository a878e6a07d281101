"""What a hostile host does to functions of L3: secrets come out nowhere, payloads stay text, faults are no success.

The whole way of the product: `longarm repair`, the action `python`, a `fabric.Connection` over the session, the record.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.console.canary_host import canary_hosts, name_of
from tests.console.test_canaries import LEAKS, sampling
from tests.console.test_repair_canaries import ALL, Repair, bench, repair, run_of, states
from tests.hostile import EVALUATED, PAYLOADS, RAN, hidden_in, on_a_host
from tests.runner.repairs import Bench

__all__ = ["bench", "repair"]
SINKS = ("text", "html", "csv", "junit", "json")
FUNCTIONS = """\
import os, subprocess, sys, tempfile

def whole(connection):
    with tempfile.TemporaryDirectory() as folder:
        connection.get("SAYS", f"{folder}/says")  # as it is: what a command prints is masked
        with open(f"{folder}/says") as file:
            text = file.read()
    assert text.count("c4nary") > 400
    return text

def says(connection):
    text, said = whole(connection), connection.run("cat SAYS; cat SAYS >&2", warn=True)
    print(text, said.stdout, said.stderr)
    print(text, repr(said), file=sys.stderr)
    subprocess.run(["printf", "%s\\n", "a program of its own"], check=True)
    return {"text": text[:20000], "lines": text.splitlines()[:100], "told": repr(said)[:20000]}

def fails(connection):
    connection.run("cat SAYS; cat SAYS >&2; exit 3")

def raises(connection):
    raise OSError(whole(connection))

def chains(connection):
    try:
        raises(connection)
    except OSError as error:
        raise ValueError(whole(connection).splitlines()[7]) from error

def is_late(connection):
    connection.run("cat SAYS; sleep 60", timeout=1)

def floods(connection):
    connection.run("while :; do cat SAYS; done")

def ends(connection):
    sys.exit(whole(connection))
"""
NAMES = ("fails", "raises", "chains", "is_late", "floods", "ends")
STEPS = f"""\
steps:
  - {{name: says, python: "tells.py:says", register: told}}
  - {{name: told on, run: 'printf "%s\\n" "$told" {ALL} >&2', vars: {{told: results.told.value.text}}, retry: never}}
""" + "".join(f'  - {{name: {name}, python: "tells.py:{name}", on_failure: continue, deadline: 300s}}\n' for name in NAMES)
STEPS += "  - {name: Fail, run: 'false', retry: never}\n"


def on_a_canary_host(repair: Repair, steps: str, functions: str, port: int) -> list[str]:
    """Write a playbook with functions beside it; return the words that run it."""
    name = name_of(0)
    where = f"{{address: 127.0.0.1, port: {port}, credential: {name}}}"
    credentials = f"credentials: {{{name}: {{user: {name}, password: {{file: {repair.folder}/w00}}}}}}\n"
    repair.prepare("linux", steps, f"{credentials}hosts: {{{name}: {where}}}\n")
    (repair.home / "tells.py").write_text(functions)
    return ["repair", str(repair.home / "tell-tale.yaml"), name, *repair.params]


async def test_secrets_of_a_function_come_out_nowhere(repair: Repair, bench: Bench) -> None:
    async with canary_hosts(repair.home, shell=lambda user: [*bench.shell(user), "-c"]) as port:
        functions = FUNCTIONS.replace("SAYS", str(bench.home(name_of(0)) / "says"))
        words = on_a_canary_host(repair, STEPS, functions, port)
        with sampling(repair.folder) as seen:
            ran = await repair("-vv", "--json", *words, "--case", "CANARY-1", code=1)
    assert states(ran) == ["changed", "changed", *["failed"] * len(NAMES), "failed"]
    await repair("run", "show", run_of(ran))
    repair.assert_quiet()
    assert b"***" in ran.out, "it was said, and is masked"
    assert [(canary, words) for words in seen for canary, form in LEAKS if form in words] == [], "no argument, no environment"


PAYING = """\
import sys

def whole(connection):
    connection.get("SAYS", "COPY")
    with open("COPY", "rb") as file:
        return file.read()

def says(connection):
    data, said = whole(connection), connection.run("cat SAYS; cat SAYS >&2", warn=True)
    sys.stdout.buffer.write(data)
    print(said.stdout, file=sys.stderr)
    text = data.decode("utf-8", "replace")
    return {"text": text[:40000], "lines": [line for line in text.split(chr(10)) if len(line) < 300][:100]}

def fails(connection):
    connection.run("cat SAYS; cat SAYS >&2; exit 3")

def raises(connection):
    raise OSError(whole(connection).decode("utf-8", "replace"))

def lists(connection):
    raise KeyError(*whole(connection).decode("utf-8", "replace").split(chr(10))[::20])
"""
PAID = """\
steps:
  - {name: says, python: "tells.py:says", register: told}
  - name: Say it again
    run: 'printf "%s" "$told"; printf "%s\\n" "$told" >"$HOME/told"'
    vars: {told: results.told.value.text}
    retry: never
  - {name: Write it, template: {path: PLACE/written, content: "{{ results.told.value.text }}"}}
  - {name: fails, python: "tells.py:fails", on_failure: continue}
  - {name: raises, python: "tells.py:raises", on_failure: continue}
  - {name: lists, python: "tells.py:lists"}
"""


async def test_what_a_function_is_told_stays_text(repair: Repair, bench: Bench) -> None:
    """Printed, returned, raised, given to what follows: no payload of the corpus is evaluated, run or drawn (T1, T2, T6)."""
    RAN.unlink(missing_ok=True)
    home, told = bench.home(name_of(0)), b"\n".join(data for data in map(on_a_host, PAYLOADS) if b"\0" not in data)
    (home / "says").write_bytes(told)
    functions = PAYING.replace("SAYS", str(home / "says")).replace("COPY", str(repair.folder / "copy"))
    async with canary_hosts(repair.home, shell=lambda user: [*bench.shell(user), "-c"]) as port:
        words = on_a_canary_host(repair, PAID.replace("PLACE", str(home)), functions, port)
        ran = await repair("-vv", "--json", *words, code=1)
    assert states(ran) == ["changed", "changed", "changed", "failed", "failed", "failed"], ran.err.decode()
    text = told.decode("utf-8", "replace")[:40000]
    assert ((home / "told").read_bytes(), (home / "written").read_bytes()) == (f"{text}\n".encode(), text.encode())
    shown = {kind: (await repair("run", "export", run_of(ran), "--format", kind)).out for kind in SINKS}
    shown |= {"shown": (await repair("run", "show", run_of(ran))).out, "document": ran.out, "stderr": ran.err}
    drawn = {sink: hidden_in(data.decode()) for sink, data in shown.items()}
    assert {sink: hidden for sink, hidden in drawn.items() if hidden} == {}
    assert [sink for sink, data in shown.items() if EVALUATED.encode() in data] == []
    assert not RAN.exists()
    RAN.unlink(missing_ok=True)


FAULTY = """\
import os

def floods(connection):
    connection.run("yes", warn=True)

def is_killed(connection):
    connection.run("echo begun; kill -KILL -$(ps -o sid= -p $$ | tr -d ' ')", warn=True)

def is_full(connection):
    with open("COPY", "wb") as file:
        file.write(bytes(3 << 20))
    connection.put("COPY", "FULL/file")

def is_cut(connection):
    with open("CUT", "w"):
        pass
    try:
        connection.run("echo begun; sleep 60", warn=True)
    finally:
        os.remove("CUT")

def is_well(connection):
    assert connection.run("echo here").stdout == "here\\n"
    return {"changed": False}

def hangs(connection):
    connection.run("echo begun; sleep 60", warn=True)
"""
FAULTS = {
    ("floods", "is_full", "is_well", "hangs"): ["failed", "failed", "ok", "unknown"],
    ("is_killed", "is_well"): ["unknown"],
    ("is_cut", "is_well"): ["unknown"],
}
"""Functions that are called one after the other, each of which may fail, and what these steps come to."""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace with a small disk")
@pytest.mark.parametrize("called", FAULTS, ids=",".join)
async def test_a_function_on_a_host_in_trouble_is_no_success(
    repair: Repair, bench: Bench, tmp_path: Path, called: tuple[str, ...]
) -> None:
    """Each ends by itself, without `warn` having made a success of it; behind what nobody knows the end of nothing is done."""
    ends = {"hangs": "3s"}
    rows = (f'{{python: "tells.py:{one}", on_failure: continue, deadline: {ends.get(one, "300s")}}}' for one in called)
    steps = "".join(f"  - {row}\n" for row in rows)
    (full := bench.home(name_of(0)) / "full").mkdir()
    places = {"COPY": repair.folder / "copy", "FULL": full, "CUT": repair.folder / "echo/cut"}
    functions = FAULTY
    for word, path in places.items():
        functions = functions.replace(word, str(path))
    mounts = f'mount --make-rprivate / && mount -t tmpfs -o size=1m,mode=777 small {full} && exec "$@"'
    shell = ["unshare", "-m", "/bin/sh", "-c", mounts, "sh"]
    async with canary_hosts(repair.home, shell=lambda user: [*shell, *bench.shell(user), "-c"]) as port:
        ran = await repair("--json", *on_a_canary_host(repair, f"steps:\n{steps}", functions, port), code=3)
    assert states(ran) == FAULTS[called], ran.out.decode()
