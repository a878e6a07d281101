"""`longarm secret`: kept, listed, removed and tried, and never shown."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.conftest import LONGARM, Console, Done

VALUE = "hunter22-пароль"
INVENTORY = """
secret_stores:
  desk: {askpass: ask}
credentials:
  ops: {user: ops, password: {secret: ops}, become: {password: {secret: ops}}}
  old: {user: root, customer: acme, password: {desk: web}}
hosts:
  db1: {address: 127.0.0.1, port: 1, credential: ops}
  db2: {address: 127.0.0.1, port: 1, credential: old, customer: acme}
"""


@pytest.fixture
def here(console: Console, tmp_path: Path) -> Iterator[Console]:
    """Return a longarm with an inventory and an agent that holds one key."""
    console.inventory(INVENTORY)
    (console.home / "ask").write_text(f"#!/bin/sh\necho {VALUE}.$1\n")
    (console.home / "ask").chmod(0o700)
    socket, key = tmp_path / "agent", tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        subprocess.run(["ssh-add", "-q", key], check=True, env={**os.environ, "SSH_AUTH_SOCK": str(socket)})
        console.environ["SSH_AUTH_SOCK"] = str(socket)
        yield console
        process.terminate()


def keep(here: Console, name: str, value: str = VALUE, *more: str) -> Done:
    """Set a secret that comes on stdin."""
    done = subprocess.run(
        [LONGARM, "secret", "set", name, *more],
        input=f"{value}\n".encode(),
        env=here.environ,
        capture_output=True,
        timeout=60,
        start_new_session=True,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def fingerprint(here: Console) -> str:
    listed = subprocess.run(["ssh-keygen", "-lf", here.home.parent / "key"], check=True, capture_output=True, text=True)
    return listed.stdout.split()[1]


def test_a_secret_is_kept_listed_tried_and_removed(here: Console) -> None:
    assert keep(here, "ops", VALUE, "--with-key", fingerprint(here)) == Done(0, "", "kept: secret:ops\n")
    rows = {row["secret"]: row for row in here("secret", "list", "--json").json()}
    assert list(rows) == ["desk:web", "secret:ops"]
    assert rows["secret:ops"]["used_by"] == ["ops.password", "ops.become"] and rows["secret:ops"]["set_at"].endswith("Z")
    assert rows["desk:web"] == {"secret": "desk:web", "set_at": None, "used_by": ["old.password"]}
    assert here("secret", "list", "-o", "name").out == "desk:web\nsecret:ops\n"
    assert here("secret", "list", "--customer", "acme", "-o", "name").out == "desk:web\n"
    for name in ("ops", "secret:ops", "desk:web"):
        done = here("secret", "test", name, "--json")
        assert (done.code, [row["state"] for row in done.json()]) == (0, ["ok"])
    done = here("secret", "remove", "ops")
    assert done.code == 2 and "ops.password, ops.become" in done.err
    assert here("secret", "remove", "ops", "--yes").code == 0
    done = here("secret", "test", "ops", "--json")
    assert (done.code, done.json()[0]["detail"], done.json()[0]["next"]) == (
        7,
        "no secret ops was set",
        "longarm secret set ops",
    )
    assert here("secret", "remove", "ops", "--yes").code == 7
    for path in here.home.rglob("*"):
        assert path.is_dir() or path.name == "ask" or VALUE.encode() not in path.read_bytes()


def test_the_file_is_sealed_anew_for_a_key(here: Console) -> None:
    keep(here, "ops", VALUE, "--with-key", fingerprint(here))
    before = (here.home / "secrets.sealed").read_bytes()
    done = here("secret", "rekey", "--with-key", fingerprint(here))
    assert done.code == 0 and "what opened it before opens it no more" in done.err and "older copies" in done.err
    assert (here.home / "secrets.sealed").read_bytes().splitlines()[1:] != before.splitlines()[1:]
    assert here("secret", "test", "ops").code == 0


def test_a_host_is_tried_with_the_secret_that_its_credential_refers_to(here: Console) -> None:
    keep(here, "ops", VALUE, "--with-key", fingerprint(here))
    done = here("secret", "test", "ops", "--host", "db1", "--json")
    assert [(row["what"], row["state"]) for row in done.json()] == [("secret", "ok"), ("name", "ok"), ("connection", "problem")]
    assert done.code == 3 and VALUE not in done.out + done.err
    done = here("secret", "test", "ops", "--host", "db2")
    assert done.code == 2 and "the credential of db2 (old) does not refer to secret:ops" in done.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("set", "file:/tmp/x"), "what “file” holds is not written by longarm"),
        (("set", "ops", "--with-key", "SHA256:x"), "the SSH agent holds no key SHA256:x"),
        (("set", "keyring:a/b", "--with-key", "SHA256:x"), "only the encrypted file is opened by a key"),
        (("set", "a b"), "a b"),
        (("set", "ops"), "stdin is empty"),
        (("test", "dsk:web"), "did you mean desk?"),
        (("test", "desk:"), "“desk:” names no secret"),
        (("remove", "none", "--yes"), "no secret none was set"),
    ],
)
def test_what_cannot_be_meant_is_told(here: Console, arguments: tuple[str, ...], says: str) -> None:
    done = here("secret", *arguments) if says == "stdin is empty" else keep_any(here, *arguments)
    assert done.code in (2, 7) and says in done.err
    assert not (here.home / "secrets.sealed").exists()


def keep_any(here: Console, *arguments: str) -> Done:
    return here("secret", *arguments) if arguments[0] != "set" else keep(here, arguments[1], VALUE, *arguments[2:])


def test_without_anybody_to_ask_a_passphrase_is_no_way(here: Console) -> None:
    done = keep(here, "ops")
    assert done.code == 7 and "nobody can be asked" in done.err and "--with-key" in done.err


def typed(here: Console, answers: list[tuple[str, str]], *arguments: str) -> tuple[int, str]:
    """Run longarm on a terminal of its own, answer what it asks, and return its exit code and all that was shown."""
    pid, master = pty.fork()
    if pid == 0:
        os.execve(LONGARM, [LONGARM, *arguments], {key: value for key, value in here.environ.items() if key != "SSH_AUTH_SOCK"})
    seen, end = "", time.monotonic() + 60
    try:
        while time.monotonic() < end:
            if select.select([master], [], [], 0.1)[0]:
                try:
                    seen += os.read(master, 65536).decode(errors="replace")
                except OSError:
                    break
            if answers and seen.count(answers[0][0]) > 0 and seen.rstrip(" ").endswith(":"):
                os.write(master, f"{answers.pop(0)[1]}\n".encode())
                seen += "\n"
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), seen
    finally:
        os.close(master)


def test_what_is_typed_is_not_shown(here: Console) -> None:
    phrase = "correct horse battery"
    asked = [("Secret secret:ops", VALUE), ("The same again", VALUE), ("New passphrase", phrase), ("passphrase again", phrase)]
    code, seen = typed(here, asked, "secret", "set", "ops")
    assert (code, asked) == (0, []), seen
    code, tested = typed(here, [("Passphrase of", phrase)], "secret", "test", "ops")
    assert code == 0 and "secret:ops can be had" in tested
    code, refused = typed(here, [("Passphrase of", "wrong")] + [("That was not it", "wrong")] * 2, "secret", "test", "ops")
    assert code == 7 and "is not the passphrase of" in refused
    for shown in (seen, tested, refused):
        assert VALUE not in shown and phrase not in shown
    listed = here("secret", "list", "--json", environ={"SSH_AUTH_SOCK": ""}).json()
    assert [row["secret"] for row in listed] == ["desk:web", "secret:ops"]


def test_the_doctor_tells_how_the_file_opens(here: Console) -> None:
    def told(**environ: str) -> dict[str, str]:
        rows = json.loads(here("doctor", "--json", environ=environ).out)
        return {row["what"]: row["detail"] for row in rows if row["what"] in ("secrets", "credentials")}

    assert told()["secrets"] == "none are kept"
    keep(here, "ops", VALUE, "--with-key", fingerprint(here))
    assert told()["secrets"] == "1 are kept; a key of the SSH agent opens it"
    assert told()["credentials"] == "1 can be used; asked for when a run begins: old"
    assert "its passphrase is asked for" in told(SSH_AUTH_SOCK="")["secrets"]


def test_a_line_on_the_command_line_is_never_a_secret(here: Console) -> None:
    assert here("secret", "set", "ops", VALUE).code == 2


def test_tab_knows_the_names_without_opening_the_file(here: Console) -> None:
    keep(here, "ops", VALUE, "--with-key", fingerprint(here))
    done = here(environ={"_LONGARM_COMPLETE": "bash_complete", "COMP_LINE": "longarm secret remove o", "SSH_AUTH_SOCK": ""})
    assert [line.split(",", 1)[1] for line in done.out.splitlines()] == ["ops"]
