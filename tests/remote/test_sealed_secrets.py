"""The file of secrets: opened by whom it is meant for and nobody else, refused once anything in it was changed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from inventory.errors import Text
from inventory.secret import Masker, Secret
from inventory.secrets.unusable import Unusable
from remote.secrets import locks
from remote.secrets.agent import agent_keys, signature
from remote.secrets.in_sealed import FILE, SealedStore
from tests.remote.keepers import add_to_agent, answers
from tests.remote.servers import MakeKey

PASSPHRASE, VALUE = "correct horse battery", "hunter22 пароль"


@pytest.fixture(autouse=True)
def cheap_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "COST", 16)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def store(home: Path, *given: str | None) -> SealedStore:
    return SealedStore(home, answers(*given), Masker())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home with one secret behind a passphrase."""
    store(tmp_path / "home", PASSPHRASE, PASSPHRASE).put("ops", Secret(VALUE))
    return tmp_path / "home"


def test_only_its_owner_reads_it_and_nothing_of_it_is_plain(home: Path) -> None:
    assert (home / FILE).stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in home.iterdir()) == [FILE]
    data = (home / FILE).read_bytes()
    assert b"hunter22" not in data and PASSPHRASE.encode() not in data and b'"ops"' in data


def test_names_and_ages_are_listed_without_opening_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)
    store(home, PASSPHRASE).put("db", Secret("x"), now=at)
    assert sorted(SealedStore(home).names()) == ["db", "ops"]
    assert SealedStore(home).names()["db"] == at
    assert SealedStore(home / "elsewhere").names() == {}


def test_each_writing_is_sealed_anew(home: Path) -> None:
    before = (home / FILE).read_bytes().splitlines()
    store(home, PASSPHRASE).put("ops", Secret(VALUE))
    after = (home / FILE).read_bytes().splitlines()
    assert json.loads(before[1])["nonce"] != json.loads(after[1])["nonce"] and before[2] != after[2]
    assert json.loads(before[1])["locks"] == json.loads(after[1])["locks"]


def test_a_wrong_passphrase_is_asked_again_then_refused_for_good(home: Path) -> None:
    asked: list[str] = []

    def ask(text: Text) -> str:
        asked.append(str(text))
        return "wrong horse battery"

    sealed = SealedStore(home, ask, Masker())
    for _ in range(2):
        with pytest.raises(Unusable, match="is not the passphrase of"):
            sealed.read("ops")
    assert [text.partition("/")[0] for text in asked] == ["Passphrase of ", *["That was not it. Passphrase of "] * 2]
    assert store(home, "wrong horse battery", PASSPHRASE).read("ops") == VALUE
    with pytest.raises(Unusable, match="no passphrase was given"):
        store(home, None).read("ops")
    with pytest.raises(Unusable, match="nobody can be asked"):
        SealedStore(home).read("ops")


@pytest.mark.parametrize(
    ("given", "says"),
    [(("short", "short"), "at least 8 characters"), ((PASSPHRASE, "correct horse"), "two different passphrases")],
)
def test_a_new_passphrase_is_long_and_typed_twice(tmp_path: Path, given: tuple[str, ...], says: str) -> None:
    with pytest.raises(Unusable, match=says):
        store(tmp_path, *given).put("ops", Secret(VALUE))
    assert not (tmp_path / FILE).exists()


def test_sealed_anew_it_is_opened_by_the_new_passphrase_alone(home: Path) -> None:
    store(home, PASSPHRASE).put("db", Secret("x"))
    before, ages = (home / FILE).read_bytes(), SealedStore(home).names()
    sealed = store(home, PASSPHRASE, "another long one", "another long one")
    sealed.rekey()
    assert sealed.read("db") == "x"
    assert SealedStore(home).names() == ages
    with pytest.raises(Unusable, match="is not the passphrase of"):
        store(home, *[PASSPHRASE] * 3).read("ops")
    again = store(home, "another long one")
    assert (again.read("ops"), again.read("db")) == (VALUE, "x")
    old, new = (json.loads(data.splitlines()[1])["locks"] for data in (before, (home / FILE).read_bytes()))
    assert len(new) == 1 and old[0]["key"] != new[0]["key"] and old[0]["salt"] != new[0]["salt"]


def test_a_rekeying_that_is_given_up_leaves_the_file_as_it_was(home: Path) -> None:
    before = (home / FILE).read_bytes()
    for given in ((PASSPHRASE, "short", "short"), (PASSPHRASE, "one that is long", "another one"), ("wrong one",) * 3):
        with pytest.raises(Unusable):
            store(home, *given).rekey()
    assert (home / FILE).read_bytes() == before
    with pytest.raises(Unusable, match="nothing was kept yet"):
        store(home / "elsewhere").rekey()


def tampered(data: bytes) -> dict[str, bytes]:
    """Return files that differ from a good one in one thing each."""
    magic, header, body = data.splitlines()
    head = json.loads(header)

    def again(**changes: object) -> bytes:
        return b"\n".join([magic, json.dumps({**head, **changes}, separators=(",", ":")).encode(), body, b""])

    (lock,) = head["locks"]
    public = locks.packed(b"\0\0\0\x0bssh-ed25519" + bytes(36))
    flipped = b"B" if body[10:11] == b"A" else b"A"  # another letter of base64, whatever the secret
    return {
        "a name": again(entries={"root": head["entries"]["ops"]}),
        "a name more": again(entries={**head["entries"], "root": head["entries"]["ops"]}),
        "an age": again(entries={"ops": "2030-01-01T00:00:00+00:00"}),
        "no lock": again(locks=[]),
        "a lock more": again(locks=[lock, {**lock, "kind": "agent", "public": public}]),
        "another salt": again(locks=[{**lock, "salt": "A" * 43 + "="}]),
        "a cheaper lock": again(locks=[{**lock, "n": 2}]),
        "a dear lock": again(locks=[{**lock, "n": 1 << 30}]),
        "no number": again(locks=[{**lock, "n": "many"}]),
        "a lock without a key": again(locks=[{key: value for key, value in lock.items() if key != "key"}]),
        "a lock of no kind": again(locks=[{"n": 1}]),
        "a lock that is none": again(locks=["x"]),
        "another nonce": again(nonce="A" * 16),
        "spaces": b"\n".join([magic, json.dumps(head).encode(), body, b""]),
        "one letter": b"\n".join([magic, header, body[:10] + flipped + body[11:], b""]),
        "cut": data[: len(data) // 2],
        "the last byte": data[:-3] + b"\n",
        "empty": b"",
        "no header": magic + b"\n",
        "another header": magic + b"\n[]\n" + body + b"\n",
        "newer": data.replace(b"longarm secrets 1", b"longarm secrets 2", 1),
        "something else": b"hello\n",
        "deep": magic + b"\n" + b"[" * 100_000 + b"\n" + body,
    }


def test_what_was_changed_is_refused_in_words(home: Path) -> None:
    good, said = (home / FILE).read_bytes(), {}
    for name, data in tampered(good).items():
        (home / FILE).write_bytes(data)
        with pytest.raises(Unusable) as refused:
            store(home, *[PASSPHRASE] * 3).read("ops")
        said[name] = str(refused.value).replace(str(home), "HOME")
        assert VALUE not in f"{refused.value}{refused.value.hint}"
        with pytest.raises(Unusable):
            store(home, *[PASSPHRASE] * 3).put("more", Secret("x"))
        assert (home / FILE).read_bytes() == data  # what cannot be opened is never written over
    assert said["a name more"] == f"HOME/{FILE} was changed by something else than longarm: nothing in it is used"
    for name in ("an age", "a lock more", "another nonce", "one letter", "spaces"):
        assert said[name] == said["a name more"], name
    assert said["a name"] == "no secret ops was set"
    assert said["newer"] == said["something else"] == f"HOME/{FILE} is no file of secrets that this version of longarm knows"
    assert said["a dear lock"] == "the lock of the file of secrets asks for more memory than any of ours"
    assert said["a cheaper lock"] == said["another salt"] == f"this is not the passphrase of HOME/{FILE}"
    (home / FILE).write_bytes(good)
    assert store(home, PASSPHRASE).read("ops") == VALUE


def test_a_file_that_others_can_read_is_not_opened(home: Path) -> None:
    (home / FILE).chmod(0o640)
    with pytest.raises(Unusable, match=r"can be read by others .mode 640."):
        store(home, PASSPHRASE).read("ops")


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_key_of_the_agent_opens_it_without_a_question(home: Path, agent: Path, make_key: MakeKey, kind: str) -> None:
    key = make_key(kind)
    fingerprint = add_to_agent(key.path)
    store(home, PASSPHRASE).put("db", Secret("second"), lambda: locks.AgentLock.new(fingerprint))
    assert [SealedStore(home).read(name) for name in ("ops", "db")] == [VALUE, "second"]
    SealedStore(home).put("third", Secret("3"))
    subprocess.run(["ssh-add", "-q", "-d", key.path], check=True)
    assert store(home, PASSPHRASE).read("third") == "3"
    with pytest.raises(Unusable, match="nobody can be asked"):
        SealedStore(home).read("ops")


def test_a_file_that_only_the_agent_opens_says_what_is_missing(
    tmp_path: Path, agent: Path, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key("ed25519")
    fingerprint = add_to_agent(key.path)
    SealedStore(tmp_path).put("ops", Secret(VALUE), lambda: locks.AgentLock.new(fingerprint))
    assert SealedStore(tmp_path).read("ops") == VALUE
    subprocess.run(["ssh-add", "-q", "-D"], check=True)
    add_to_agent(make_key("ed25519").path)
    with pytest.raises(Unusable, match=r"cannot be opened: the SSH agent refused"):
        SealedStore(tmp_path).read("ops")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nobody"))
    with pytest.raises(Unusable, match="cannot be asked: No such file"):
        SealedStore(tmp_path).read("ops")
    monkeypatch.delenv("SSH_AUTH_SOCK")
    with pytest.raises(Unusable, match="no SSH agent is running") as refused:
        SealedStore(tmp_path).read("ops")
    assert str(refused.value.hint) == "add the key that it was locked with: ssh-add"


def test_keys_that_sign_differently_each_time_are_no_locks(tmp_path: Path, agent: Path, make_key: MakeKey) -> None:
    fingerprint = add_to_agent(make_key("ecdsa").path)
    with pytest.raises(Unusable, match="ecdsa-sha2-nistp256, whose signatures differ"):
        SealedStore(tmp_path).put("ops", Secret(VALUE), lambda: locks.AgentLock.new(fingerprint))
    with pytest.raises(Unusable, match="holds no key SHA256:nothing"):
        SealedStore(tmp_path).put("ops", Secret(VALUE), lambda: locks.AgentLock.new("SHA256:nothing"))
    assert not (tmp_path / FILE).exists()


def test_an_agent_that_signs_differently_each_time_is_no_lock(
    tmp_path: Path, agent: Path, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprint, signed = add_to_agent(make_key("ed25519").path), iter(range(9))
    monkeypatch.setattr("remote.secrets.agent.signature", lambda *_: next(signed))
    with pytest.raises(Unusable, match="signs differently each time"):
        SealedStore(tmp_path).put("ops", Secret(VALUE), lambda: locks.AgentLock.new(fingerprint))


def test_what_the_agent_signs_is_what_ssh_keygen_signs(agent: Path, make_key: MakeKey, tmp_path: Path) -> None:
    """Two programs agree on the bytes: a signature that meant to log in could never be taken for it."""
    add_to_agent(make_key("ed25519").path)
    (key,) = agent_keys()
    (tmp_path / "challenge").write_bytes(b"c" * 32)
    (tmp_path / "key.pub").write_text(f"ssh-ed25519 {locks.packed(key.blob)}\n")
    files = [str(tmp_path / "key.pub"), str(tmp_path / "challenge")]
    command = ["ssh-keygen", "-Y", "sign", "-q", "-n", "longarm-secrets", "-f", *files]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    armoured = (tmp_path / "challenge.sig").read_text().splitlines()[1:-1]
    assert locks.unpacked("".join(armoured)).endswith(signature(key, b"c" * 32))


def test_two_who_write_at_once_lose_nothing(home: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from inventory.secret import Secret\n"
        "from remote.secrets.in_sealed import SealedStore\n"
        f"store = SealedStore(Path({str(home)!r}), lambda _: {PASSPHRASE!r})\n"
        "for number in range(20): store.put(f'{sys.argv[1]}{number}', Secret('x'))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, name]) for name in ("a", "b")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert len(SealedStore(home).names()) == 41
    assert store(home, PASSPHRASE).read("b19") == "x"


def test_what_cannot_be_written_leaves_what_was_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = (home / FILE).read_bytes()
    monkeypatch.setattr("remote.kept_file.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store(home, PASSPHRASE).put("db", Secret("x"))
    assert (home / FILE).read_bytes() == before and sorted(path.name for path in home.iterdir()) == [FILE]


def test_a_passphrase_costs_what_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    store(tmp_path, PASSPHRASE, PASSPHRASE).put("ops", Secret(VALUE))
    (lock,) = json.loads((tmp_path / FILE).read_bytes().splitlines()[1])["locks"]
    assert (lock["kdf"], lock["n"], lock["r"], lock["p"], len(locks.unpacked(lock["salt"]))) == ("scrypt", 1 << 17, 8, 1, 32)
    assert store(tmp_path, PASSPHRASE).read("ops") == VALUE


def test_too_much_is_no_secret(home: Path) -> None:
    with pytest.raises(Unusable, match="too large"):
        store(home, PASSPHRASE).put("db", Secret("x" * 70_000))


@pytest.mark.parametrize("answer", [b"", b"\0\0\0\0", b"\0\0\0\x05\x0c\0\0\0\x09", b"\0\0\0\x01\x05", b"\xff\xff\xff\xff"])
def test_an_agent_that_says_nonsense_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, unix_server: Callable[[Path, bytes], None]
) -> None:
    unix_server(tmp_path / "agent", answer)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    with pytest.raises(Unusable, match="the SSH agent"):
        agent_keys()


@pytest.fixture
def unix_server() -> Callable[[Path, bytes], None]:
    """Return what answers one connection to a socket with the same bytes, whatever was asked."""
    import socket
    import threading

    def serve(path: Path, answer: bytes) -> None:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen(1)

        def once() -> None:
            with listening, listening.accept()[0] as connection:
                connection.recv(100)
                connection.sendall(answer)

        threading.Thread(target=once, daemon=True).start()

    return serve
