"""Ways to mute monitoring, asked over real sockets: Alertmanager itself and what is as strict, any HTTP service."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from inventory.egress import EgressFailed
from inventory.errors import Place
from inventory.host import SecretReference
from inventory.secret import Secret
from runner.mute_entries import HookEntry, HookKind
from runner.mute_hooks import Hook, Wanted, hooks_of
from tests.remote.servers import free_port

NOW = datetime.now(UTC)
WANTED = Wanted(
    key="longarm 20261130-040000-abcdef/0",
    run="20261130-040000-abcdef",
    hosts=("db1.example", "db2"),
    actor="anna",
    reason="restart-service",
    since=NOW,
    until=NOW + timedelta(hours=1),
)


@dataclass
class Service:
    """A strict server: it takes what Alertmanager 0.25 takes (its OpenAPI document), or any JSON, and notes it."""

    silences: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    loses_answers: bool = False
    """It does what it is told to, and the connection ends before it says so."""
    refuses: bool = False
    says: bytes = b""
    """What it answers, whatever it is asked; empty: what belongs there."""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        document: Any = json.loads(body) if body else None
        self.asked.append((method, path, document))
        if self.refuses:
            return 400, None
        match method, path.split("/"):
            case "POST", ["", "call"]:
                return 200, {"reference": "r-1"}
            case "POST", ["", "api", "v2", "silences"]:
                assert document.keys() == {"matchers", "startsAt", "endsAt", "createdBy", "comment"}
                assert document["matchers"] and document["matchers"][0].keys() == {"name", "value", "isRegex", "isEqual"}
                assert datetime.fromisoformat(document["startsAt"]) < datetime.fromisoformat(document["endsAt"])
                ident = str(uuid.uuid4())
                self.silences[ident] = {**document, "id": ident, "status": {"state": "active"}}
                return 200, {"silenceID": ident}
            case "GET", ["", "api", "v2", "silences"]:
                return 200, list(self.silences.values())
            case "DELETE", ["", "api", "v2", "silence", ident] if ident in self.silences:
                assert self.silences[ident]["status"]["state"] == "active"
                self.silences[ident]["status"]["state"] = "expired"
                return 200, None
        return 404, None


@contextmanager
def serving(service: Service) -> Iterator[str]:
    """Serve on this machine and give the address."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *words: object) -> None:  # noqa: A002 (the library's)
            """Say nothing."""

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            service.tokens.append(self.headers.get("Authorization"))
            status, answer = service.answer(self.command, self.path, body)
            if service.loses_answers and self.command == "POST":
                self.close_connection = True
                return
            data = service.says or (b"" if answer is None else json.dumps(answer).encode())
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _any  # noqa: N815 (the library calls them so)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def real_alertmanager(folder: Path) -> Iterator[str]:
    """Run Alertmanager and give its address once it is ready."""
    (folder / "am.yaml").write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    port = free_port()
    words = [
        "prometheus-alertmanager",
        f"--config.file={folder / 'am.yaml'}",
        f"--storage.path={folder / 'data'}",
        "--cluster.listen-address=",
    ]
    with (folder / "am.log").open("wb") as log:
        process = subprocess.Popen([*words, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        for _ in range(600):
            assert process.poll() is None, (folder / "am.log").read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(params=["strict", pytest.param("alertmanager", marks=pytest.mark.alertmanager)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the address of what keeps silences."""
    with serving(Service()) if request.param == "strict" else real_alertmanager(tmp_path) as url:
        yield url


def hook_of(url: str, kind: HookKind = HookKind.ALERTMANAGER, token: str | None = None) -> Hook:
    place = Place("config.yaml", 1, 1)
    reference = SecretReference(kind="env", value="TOKEN") if token else None
    entry = HookEntry(name="alerts", kind=kind, where=url, stops=True, deadline_s=20, place=place, token=reference)
    (hook,) = hooks_of([entry], lambda _: Secret(token or ""))
    return hook


def no_secrets(reference: SecretReference) -> Secret:
    raise AssertionError(f"nobody needs {reference}")


def silences(url: str) -> list[Any]:
    with urllib.request.urlopen(f"{url}/api/v2/silences", timeout=20) as answer:
        return list(json.load(answer))


def test_a_silence_covers_exactly_these_hosts_ends_by_itself_and_is_expired(address: str) -> None:
    hook = hook_of(address)
    reference = hook.mute(WANTED)
    other = hook.mute(replace(WANTED, key="longarm 20261130-040000-abcdef/1", hosts=("db3",)))
    found = {one["id"]: one for one in silences(address)}
    made = found[reference]
    (matcher,) = made["matchers"]
    assert (matcher["name"], matcher["value"], matcher["isRegex"]) == ("instance", r"(db1\.example|db2)(:[0-9]+)?", True)
    assert abs(datetime.fromisoformat(made["endsAt"]) - WANTED.until) < timedelta(seconds=1)
    assert (made["createdBy"], made["comment"]) == ("anna", "longarm 20261130-040000-abcdef/0: restart-service")
    for _ in range(2):  # who asks twice gets the same
        hook.unmute(WANTED, reference)
        states = {one["id"]: one["status"]["state"] for one in silences(address)}
        assert (states[reference], states[other]) == ("expired", "active")


def test_a_silence_whose_answer_was_lost_is_found_by_its_key(address: str) -> None:
    hook = hook_of(address)
    hook.mute(WANTED)
    hook.unmute(WANTED, "")
    assert [one["status"]["state"] for one in silences(address)] == ["expired"]


def test_what_was_done_though_its_answer_was_lost_is_a_failure_that_can_be_taken_back() -> None:
    service = Service(loses_answers=True)
    with serving(service) as url:
        with pytest.raises(EgressFailed):
            hook_of(url).mute(WANTED)
        assert [one["status"]["state"] for one in service.silences.values()] == ["active"]
        hook_of(url).unmute(WANTED, "")
    assert [one["status"]["state"] for one in service.silences.values()] == ["expired"]


def test_a_call_over_http_tells_what_why_and_until_when_with_its_token() -> None:
    service = Service()
    with serving(service) as url:
        hook = hook_of(f"{url}/call", HookKind.URL, token="t-1")
        assert hook.mute(WANTED) == "r-1"
        hook.unmute(WANTED, "r-1")
    (_, _, muted), (_, _, unmuted) = service.asked
    assert muted == {
        "action": "mute",
        "key": WANTED.key,
        "reference": "",
        "run": WANTED.run,
        "hosts": ["db1.example", "db2"],
        "actor": "anna",
        "reason": "restart-service",
        "since": WANTED.since.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "until": WANTED.until.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    assert unmuted == {**muted, "action": "unmute", "reference": "r-1"}
    assert service.tokens == ["Bearer t-1"] * 2


@pytest.mark.parametrize("kind", [HookKind.URL, HookKind.ALERTMANAGER])
def test_what_is_refused_is_a_failure(kind: HookKind) -> None:
    with serving(Service(refuses=True)) as url, pytest.raises(EgressFailed, match="answers 400"):
        hook_of(url, kind).mute(WANTED)


def test_values_reach_a_program_as_variables_and_never_as_text_of_a_command(tmp_path: Path) -> None:
    program = tmp_path / "mute"
    program.write_text('#!/bin/sh\nprintf "%s|%s" "$LONGARM_ACTOR" "$LONGARM_REASON" >"$1"\ncat >"$2"\necho r-1\n')
    program.chmod(0o700)
    hostile = replace(WANTED, actor="a'$(id)`id`\"; id", reason="--x\n$(id)", hosts=("db1; id", "$(id)"))
    words = (str(tmp_path / "said"), str(tmp_path / "document"))
    place = Place("config.yaml", 1, 1)
    entry = HookEntry(
        name="p", kind=HookKind.PROGRAM, where=str(program), stops=True, deadline_s=20, place=place, arguments=words
    )
    (hook,) = hooks_of([entry], no_secrets)
    assert hook.mute(hostile) == "r-1"
    assert (tmp_path / "said").read_text() == f"{hostile.actor}|{hostile.reason}"
    assert json.loads((tmp_path / "document").read_text())["hosts"] == list(hostile.hosts)


@pytest.mark.parametrize(("kind", "path"), [(HookKind.URL, "/call"), (HookKind.ALERTMANAGER, "")])
def test_an_answer_that_no_reader_of_json_survives_is_a_failure(kind: HookKind, path: str) -> None:
    with serving(Service(says=b"[" * 200_000)) as url, pytest.raises(EgressFailed, match="no JSON"):
        hook_of(f"{url}{path}", kind).mute(WANTED)
