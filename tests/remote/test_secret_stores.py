"""One contract over every place where secrets can be kept, then what is special about each."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest

from inventory.documents import parse_document
from inventory.drafts import Drafts
from inventory.host import SecretReference
from inventory.secret import Masker, Secret
from inventory.secrets.store import WritableStore
from inventory.secrets.unusable import Unusable
from remote.keyrings import keyring_in_use
from remote.secrets import locks
from remote.secrets.in_sealed import SealedStore
from remote.secrets.resolver import Secrets
from tests.remote.keepers import add_to_agent, answers
from tests.remote.vault_server import ISSUED, ROLE, SECRET_ID, TOKEN, Vault, VaultServing

VALUE = "пароль 'с' \"кавычками\" и $dollar; #1"
PASSPHRASE = "correct horse battery"


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring of the system as far as its interface goes."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.kept.pop((service, username), None) is None:
            raise keyring.errors.PasswordDeleteError("no such entry")


@pytest.fixture
def secret_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[keyring.backend.KeyringBackend]:
    """Start GNOME's keyring on a bus of its own, unlocked, and let it be the system's; it ends, by pid, with the test."""
    from keyring.backends.SecretService import Keyring

    if not (shutil.which("gnome-keyring-daemon") and shutil.which("dbus-daemon")):
        pytest.skip("not installed: gnome-keyring, dbus")
    (runtime := tmp_path / "runtime").mkdir(mode=0o700)
    for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(runtime))
    bus = ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address"]
    with subprocess.Popen([*bus, f"--address=unix:path={runtime}/bus"], stdout=subprocess.PIPE) as bus_process:
        assert bus_process.stdout is not None
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus_process.stdout.readline().decode().strip())
        daemon = ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"]
        with subprocess.Popen(daemon, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(b"a login password")
            process.stdin.close()
            process.stdout.readline()
            before, ours = keyring.get_keyring(), Keyring()  # type: ignore[no-untyped-call]
            keyring.set_keyring(ours)
            yield ours
            keyring.set_keyring(before)
            process.terminate()
        bus_process.terminate()


@dataclass
class Kept:
    """A store with VALUE behind the entry `there` and nothing behind `absent`, as a resolver knows it."""

    secrets: Secrets
    masker: Masker
    there: SecretReference
    absent: SecretReference


def declared(text: str, folder: Path, entry: str, name: str = "team") -> SecretReference:
    """Return a reference to an entry of the store that a section declares."""
    drafts = Drafts()
    document = f"secret_stores: {{{name}: {text}}}\ncredentials: {{c: {{user: u, password: {{{name}: '{entry}'}}}}}}\n"
    drafts.read(parse_document(document.encode(), str(folder / "inventory.yaml")))
    drafts.link_secrets()
    assert drafts.problems == []
    found = drafts.credentials["c"].password
    assert found is not None and found.store is not None
    return found


@pytest.fixture(autouse=True)
def cheap_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a passphrase cost little here; what it costs elsewhere is looked at by a test of its own."""
    monkeypatch.setattr(locks, "COST", 16)


def plain(kind: str, there: str, absent: str) -> tuple[SecretReference, SecretReference]:
    return SecretReference(kind=kind, value=there), SecretReference(kind=kind, value=absent)


def encrypted(text: str, *, vault_id: str = "default") -> bytes:
    """Return what ansible-vault itself makes of a text."""
    from ansible.parsing.vault import VaultLib, VaultSecret

    secret = (vault_id, VaultSecret(b"vault password"))
    return bytes(VaultLib([secret]).encrypt(text, secret[1], None if vault_id == "default" else vault_id))


def private(path: Path, data: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(data)
    return path


STORES = [
    "file",
    "env",
    "keyring",
    "secret_service",
    "prompt",
    "passphrase",
    "agent",
    "askpass",
    "ansible_vault",
    "value",
    "kv2",
    "kv1",
]


@pytest.fixture(params=STORES)
def kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    masker, kind = Masker(), request.param
    secrets = Secrets(masker=masker)
    match kind:
        case "file":
            private(tmp_path / "there", VALUE.encode() + b"\n")
            there, absent = plain("file", str(tmp_path / "there"), str(tmp_path / "absent"))
        case "env":
            monkeypatch.setenv("THERE", VALUE)
            there, absent = plain("env", "THERE", "ABSENT")
        case "keyring":
            before, ours = keyring.get_keyring(), MemoryKeyring()
            ours.set_password("longarm", "there", VALUE)
            keyring.set_keyring(ours)
            request.addfinalizer(lambda: keyring.set_keyring(before))
            there, absent = plain("keyring", "longarm/there", "longarm/absent")
        case "secret_service":
            ours = request.getfixturevalue("secret_service")
            ours.set_password("longarm", "there", VALUE)
            there, absent = plain("keyring", "longarm/there", "longarm/absent")
        case "prompt":
            said = {"Password of there": VALUE}
            secrets = Secrets(lambda text: said.get(str(text)), masker=masker)
            there, absent = plain("prompt", "Password of there", "Password of absent")
        case "passphrase":
            SealedStore(tmp_path, answers(PASSPHRASE, PASSPHRASE), masker).put("there", Secret(VALUE))
            secrets = Secrets(answers(PASSPHRASE), home=tmp_path, masker=masker)
            there, absent = plain("secret", "there", "absent")
        case "agent":
            request.getfixturevalue("agent")
            fingerprint = add_to_agent(request.getfixturevalue("make_key")("ed25519").path)
            SealedStore(tmp_path).put("there", Secret(VALUE), lambda: locks.AgentLock.new(fingerprint))
            secrets = Secrets(home=tmp_path, masker=masker)
            there, absent = plain("secret", "there", "absent")
        case "askpass":
            private(tmp_path / "ask", ASKPASS.encode()).chmod(0o700)
            private(tmp_path / "said", VALUE.encode() + b"\n")
            text = f"{{askpass: ask, arguments: [--from, {tmp_path}]}}"
            there, absent = (declared(text, tmp_path, entry) for entry in ("said", "absent"))
        case "ansible_vault" | "value":
            data = encrypted(f"db: {{password: {json.dumps(VALUE)}}}\n", vault_id="prod")
            if kind == "value":
                lines = encrypted(VALUE).decode().splitlines()
                data = "\n".join(["db:", "  password: !vault |", *(f"    {line}" for line in lines)]).encode()
            private(tmp_path / "vault.yml", data)
            monkeypatch.setenv("VAULT_PASS", "vault password")
            text = "{ansible_vault: vault.yml, password: {dev: {env: HOME}, prod: {env: VAULT_PASS}}}"
            there, absent = (declared(text, tmp_path, f"db/{entry}") for entry in ("password", "absent"))
        case _:
            vault = request.getfixturevalue("vault")
            vault.keep("kv", "web/db", {"password": VALUE}, 2 if kind == "kv2" else 1)
            monkeypatch.setenv("VAULT_TOKEN", TOKEN)
            monkeypatch.setenv("VAULT_SECRET_ID", SECRET_ID)
            opened = "token: {env: VAULT_TOKEN}"
            if kind == "kv1":
                opened = f"version: 1, role_id: {ROLE}, secret_id: {{env: VAULT_SECRET_ID}}"
            text = f"{{vault: '{vault.url}', mount: kv, {opened}}}"
            there, absent = (declared(text, tmp_path, f"web/{entry}#password") for entry in ("db", "absent"))
    yield Kept(secrets, masker, there, absent)


ASKPASS = '#!/bin/sh\ncat "$2/$3"\n'


@pytest.fixture
def vault() -> Iterator[Vault]:
    known = Vault()
    server = VaultServing(known)
    yield known
    server.stop()


def test_what_is_kept_is_read_as_it_is_and_masked(kept: Kept) -> None:
    assert kept.secrets.get(kept.there) == Secret(VALUE)
    assert kept.masker.text(f"<{VALUE}>") == "<***>"
    assert kept.secrets.get(kept.there) is kept.secrets.get(kept.there)


def test_what_is_absent_is_told_without_what_is_there(kept: Kept) -> None:
    kept.secrets.get(kept.there)
    with pytest.raises(Unusable) as refused:
        kept.secrets.get(kept.absent)
    assert VALUE not in f"{refused.value} {refused.value.hint} {refused.value!r}"
    assert "absent" in str(refused.value).lower()


def test_the_secret_service_is_the_keyring_in_use_and_a_locked_one_is_told(
    secret_service: keyring.backend.KeyringBackend,
) -> None:
    """Nobody is there who could be asked for its password: neither a desktop nor a terminal of its own."""
    import secretstorage

    secret_service.set_password("longarm", "there", VALUE)
    assert keyring_in_use() == "keyring.backends.SecretService.Keyring"
    with secretstorage.dbus_init() as bus:
        secretstorage.get_default_collection(bus).lock()
    with pytest.raises(Unusable, match=r"^the keyring gave nothing for longarm/there: ") as refused:
        Secrets(masker=Masker()).get(SecretReference(kind="keyring", value="longarm/there"))
    assert VALUE not in str(refused.value)
    del refused
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # keyring leaves its line to the bus open where it could not unlock


def test_nothing_that_holds_it_shows_it(kept: Kept) -> None:
    kept.secrets.get(kept.there)
    for one in (kept.there, kept.secrets, kept.secrets.store(kept.there)):
        assert VALUE not in repr(one) + str(one)


def test_what_can_be_written_is_replaced_and_removed(kept: Kept) -> None:
    store = kept.secrets.store(kept.there)
    if not isinstance(store, WritableStore):
        return
    assert store.read(kept.there.value) == VALUE
    store.put(kept.there.value, Secret("another"))
    assert store.read(kept.there.value) == "another"
    store.put(kept.absent.value, Secret(" new "))
    assert store.read(kept.absent.value) == " new "
    store.remove(kept.absent.value)
    with pytest.raises(Unusable):
        store.remove(kept.absent.value)
    with pytest.raises(Unusable):
        store.read(kept.absent.value)
    assert store.read(kept.there.value) == "another"


def test_the_stores_that_can_be_written_are_these(tmp_path: Path) -> None:
    secrets = Secrets(home=tmp_path)
    kinds = [SecretReference(kind=kind, value="x") for kind in ("file", "env", "keyring", "prompt", "secret")]
    assert [one.kind for one in kinds if isinstance(secrets.store(one), WritableStore)] == ["keyring", "secret"]


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("echo one; echo two", "more than one line"),
        ("exit 0", "printed nothing"),
        ("echo no such entry >&2; exit 3", "ended with 3: no such entry"),
        ("sleep 60", "had not ended after"),
        ("yes", "prints more than"),
        (r"printf 'a\377b'", "is not UTF-8"),
        (r"printf 'a\000b'", "more than one line"),
    ],
)
def test_a_program_that_prints_no_secret_is_told(tmp_path: Path, program: str, says: str) -> None:
    private(tmp_path / "ask", f"#!/bin/sh\n{program}\n".encode()).chmod(0o700)
    reference = declared("{askpass: ask, deadline: 700ms}" if "sleep" in program else "{askpass: ask}", tmp_path, "web")
    with pytest.raises(Unusable, match=says):
        Secrets(masker=Masker()).get(reference)


def test_a_program_that_others_may_change_is_not_run(tmp_path: Path) -> None:
    private(tmp_path / "ask", b"#!/bin/sh\necho x\n").chmod(0o777)
    with pytest.raises(Unusable, match="others may change it"):
        Secrets(masker=Masker()).get(declared("{askpass: ask}", tmp_path, "web"))


def test_a_name_is_never_part_of_a_command(tmp_path: Path) -> None:
    private(tmp_path / "ask", b'#!/bin/sh\nprintf "%s" "$1"\n').chmod(0o700)
    assert Secrets(masker=Masker()).get(declared("{askpass: ask}", tmp_path, "$(id); --x")).reveal() == "$(id); --x"


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ((403, b'{"errors":["permission denied"]}'), "refuses the token for web/db .403"),
        ((404, b'{"errors":[]}'), "team holds nothing at web/db"),
        ((503, b'{"errors":["Vault is sealed"]}'), "is sealed"),
        ((473, b"{}"), "answers 473"),
        ((500, b"{}"), "answers 500"),
        ((302, b""), "leads elsewhere"),
        ((200, b"<html>"), "does not answer as Vault does"),
        ((200, b"[1]"), "does not answer as Vault does"),
        ((200, b'{"data": {"data": null}}'), "team holds nothing at web/db"),
        ((200, b'{"data": {"data": {"password": 7}}}'), "no text in the field password"),
        ((200, b'{"data": {"data": {"password": ""}}}'), "no text in the field password"),
    ],
)
def test_what_a_vault_refuses_is_told_by_its_code(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: tuple[int, bytes], says: str
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    vault.answers = answers
    with pytest.raises(Unusable, match=says) as refused:
        Secrets(masker=Masker()).get(
            declared(f"{{vault: '{vault.url}', token: {{env: VAULT_TOKEN}}}}", tmp_path, "web/db#password")
        )
    assert TOKEN not in f"{refused.value} {refused.value.hint}"
    assert [path for _, path in vault.asked] == ["/v1/secret/data/web/db"]


def test_an_application_logs_in_once_for_all_secrets(vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.namespace = "ops/berlin"
    vault.keep("secret", "one", {"a": "first"})
    vault.keep("secret", "two", {"b": "second"})
    monkeypatch.setenv("VAULT_SECRET_ID", SECRET_ID)
    text = f"{{vault: '{vault.url}', namespace: ops/berlin, role_id: {ROLE}, secret_id: {{env: VAULT_SECRET_ID}}}}"
    masker = Masker()
    secrets = Secrets(masker=masker)
    found = [secrets.get(declared(text, tmp_path, entry)).reveal() for entry in ("one#a", "two#b")]
    assert found == ["first", "second"]
    assert [method for method, _ in vault.asked] == ["POST", "GET", "GET"]
    assert masker.text(f"{ISSUED} {SECRET_ID}") == "*** ***"
    monkeypatch.setenv("VAULT_SECRET_ID", "used-up-one")
    with pytest.raises(Unusable, match="does not let this role in"):
        Secrets(masker=Masker()).get(declared(text, tmp_path, "one#a"))


@pytest.mark.parametrize("entry", ["web/db", "#password", "../sys/seal#x", "web//db#x", "web?x=1#y", "web%2f..#y"])
def test_what_is_no_place_in_a_vault_is_not_asked_for(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    with pytest.raises(Unusable, match="is no place in a vault"):
        Secrets(masker=Masker()).get(declared(f"{{vault: '{vault.url}', token: {{env: VAULT_TOKEN}}}}", tmp_path, entry))
    assert vault.asked == []


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"$ANSIBLE_VAULT;1.1;AES256\n3333\n", "is not whole"),
        (b"$ANSIBLE_VAULT;1.1;AES256\nxyz\n", "is not whole"),
        (b"$ANSIBLE_VAULT;1.0;AES\n3333\n", "a form of ansible-vault that longarm does not know"),
        (b"$ANSIBLE_VAULT;2.0;AES256\n3333\n", "a form of ansible-vault that longarm does not know"),
        (b"- 1\n", "holds no text at a"),
        (b"a: {b: c}\n", "holds no text at a"),
        (b"{", "holds no YAML that can be read"),
    ],
)
def test_a_vault_file_that_is_none_is_told(tmp_path: Path, data: bytes, says: str) -> None:
    private(tmp_path / "vault.yml", data)
    with pytest.raises(Unusable, match=says):
        Secrets(masker=Masker()).get(declared("{ansible_vault: vault.yml, password: {env: HOME}}", tmp_path, "a"))


def test_what_ansible_vault_holds_is_not_quoted_where_it_is_no_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private(tmp_path / "vault.yml", encrypted("a: {hunter22: [hunter33\n"))
    monkeypatch.setenv("VAULT_PASS", "vault password")
    with pytest.raises(Unusable, match="holds no YAML") as refused:
        Secrets(masker=Masker()).get(declared("{ansible_vault: vault.yml, password: {env: VAULT_PASS}}", tmp_path, "a"))
    assert "hunter" not in f"{refused.value}{refused.value.hint}" and refused.value.__suppress_context__
    monkeypatch.setenv("VAULT_PASS", "another password")
    with pytest.raises(Unusable, match="no password that is given opens it"):
        Secrets(masker=Masker()).get(declared("{ansible_vault: vault.yml, password: {env: VAULT_PASS}}", tmp_path, "a"))
