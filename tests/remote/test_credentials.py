# ruff: noqa: ASYNC221, ASYNC240 (nothing else runs in these loops)
"""Credentials from references: read once, refused like ssh refuses them, every password known to the masker."""

import asyncio
import getpass
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.errors import Text
from inventory.host import CredentialReference, Host, SecretReference, Transport
from inventory.secret import Masker, Secret
from remote.credentials import Credential, CredentialStore
from remote.errors import CredentialUnusable


def host(credential: CredentialReference | None, name: str = "db1") -> Host:
    return Host(name=name, address="192.0.2.1", credential=credential)


def password(kind: str, value: str) -> CredentialReference:
    return CredentialReference(name="web", user="anna", password=SecretReference(kind=kind, value=value))


async def resolve(credential: CredentialReference | None, **options: object) -> Credential:
    return await CredentialStore(**({"masker": Masker()} | options)).resolve(host(credential))  # type: ignore[arg-type]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


@pytest.fixture
def locked_key(tmp_path: Path) -> Path:
    path = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-a", "1", "-N", "open sesame", "-f", path], check=True)
    return path


def secret_file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


async def test_a_key_file_gives_the_key(key_file: Path) -> None:
    credential = await resolve(CredentialReference(name="web", user="anna", key=str(key_file)))
    listed = subprocess.run(["ssh-keygen", "-lf", key_file], check=True, capture_output=True, text=True).stdout
    assert (credential.name, credential.user, credential.password, credential.use_agent) == ("web", "anna", None, False)
    assert [key.fingerprint for key in credential.keys] == [listed.split()[1]]


async def test_a_tilde_is_the_home(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(key_file.parent))
    assert (await resolve(CredentialReference(name="web", user="anna", key="~/id"))).keys


async def test_a_link_to_a_private_file_is_fine(key_file: Path) -> None:
    link = key_file.with_name("link")
    link.symlink_to(key_file)
    assert (await resolve(CredentialReference(name="web", user="anna", key=str(link)))).keys


async def test_a_certificate_beside_the_key_comes_along(key_file: Path, tmp_path: Path) -> None:
    authority = tmp_path / "authority"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", authority], check=True)
    subprocess.run(["ssh-keygen", "-q", "-s", authority, "-I", "anna", "-n", "anna", f"{key_file}.pub"], check=True)
    credential = await resolve(CredentialReference(name="web", user="anna", key=str(key_file)))
    assert credential.keys[0].certificate is not None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
async def test_a_key_that_others_can_read_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(CredentialUnusable, match=f"read by others .mode {mode:03o}"):
        await resolve(CredentialReference(name="web", user="anna", key=str(key_file)))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.mkdir(), "not a file"),
        (lambda path: subprocess.run(["mkfifo", "-m", "600", path], check=True), "not a file"),
        (lambda path: secret_file(path, "rubbish"), "not a private key"),
        (lambda path: secret_file(path, "x" * 70_000), "too large"),
    ],
)
async def test_what_is_no_key_file_is_refused(tmp_path: Path, make: Callable[[Path], object], says: str) -> None:
    make(tmp_path / "key")
    with pytest.raises(CredentialUnusable, match=says) as refused:
        await resolve(CredentialReference(name="web", user="anna", key=str(tmp_path / "key")))
    assert (refused.value.host, refused.value.credential) == ("db1", "web")
    assert str(refused.value.hint).endswith("longarm doctor --host db1")


async def test_a_passphrase_opens_a_key_and_is_masked(locked_key: Path, tmp_path: Path) -> None:
    masker = Masker()
    passphrase = SecretReference(kind="file", value=str(secret_file(tmp_path / "passphrase", "open sesame\n")))
    credential = await resolve(
        CredentialReference(name="web", user="anna", key=str(locked_key), passphrase=passphrase), masker=masker
    )
    assert credential.keys
    assert masker.text("says open sesame") == "says ***"


async def test_a_wrong_or_missing_passphrase_is_said_without_it(locked_key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WRONG", "not-the-one")
    wrong = SecretReference(kind="env", value="WRONG")
    with pytest.raises(CredentialUnusable, match="cannot be decrypted") as refused:
        await resolve(CredentialReference(name="web", user="anna", key=str(locked_key), passphrase=wrong))
    assert "not-the-one" not in str(refused.value)
    with pytest.raises(CredentialUnusable, match="needs a passphrase"):
        await resolve(CredentialReference(name="web", user="anna", key=str(locked_key)))


@pytest.mark.parametrize(("text", "value"), [("hunter22\n", "hunter22"), ("hunter22", "hunter22"), (" a b \n\n", " a b \n")])
async def test_a_password_file_loses_one_newline(tmp_path: Path, text: str, value: str) -> None:
    masker = Masker()
    credential = await resolve(password("file", str(secret_file(tmp_path / "secret", text))), masker=masker)
    assert credential.password == Secret(value)
    assert masker.text(f"<{value}>") == "<***>"


@pytest.mark.parametrize(("text", "mode", "says"), [("hunter22", 0o644, "read by others"), ("\n", 0o600, "is empty")])
async def test_a_password_file_is_private_and_not_empty(tmp_path: Path, text: str, mode: int, says: str) -> None:
    with pytest.raises(CredentialUnusable, match=says):
        await resolve(password("file", str(secret_file(tmp_path / "secret", text, mode))))


async def test_a_password_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_PASSWORD", "hunter22")
    assert (await resolve(password("env", "WEB_PASSWORD"))).password == Secret("hunter22")
    monkeypatch.delenv("WEB_PASSWORD")
    with pytest.raises(CredentialUnusable, match="WEB_PASSWORD is not set"):
        await resolve(password("env", "WEB_PASSWORD"))


async def test_a_password_from_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = types.ModuleType("keyring")
    errors = types.ModuleType("keyring.errors")

    class KeyringError(Exception):
        pass

    def get_password(service: str, user: str) -> str | None:
        if service == "locked":
            raise KeyringError("the keyring is locked")
        return {("corp/web", "anna"): "hunter22"}.get((service, user))

    errors.KeyringError = KeyringError  # type: ignore[attr-defined]
    keyring.get_password = get_password  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    assert (await resolve(password("keyring", "corp/web/anna"))).password == Secret("hunter22")
    with pytest.raises(CredentialUnusable, match="holds nothing"):
        await resolve(password("keyring", "corp/web/otto"))
    with pytest.raises(CredentialUnusable, match="keyring is locked"):
        await resolve(password("keyring", "locked/anna"))


async def test_a_person_is_asked_once_for_all_hosts() -> None:
    asked: list[str] = []

    def ask(text: Text) -> str:
        asked.append(str(text))
        return "hunter22"

    store, reference = CredentialStore(ask, masker=Masker()), password("prompt", "Password of anna")
    credentials = await asyncio.gather(*(store.resolve(host(reference, f"db{n}")) for n in range(50)))
    assert asked == ["Password of anna"]
    assert {id(credential) for credential in credentials} == {id(credentials[0])}


async def test_what_was_prepared_is_not_asked_for_again() -> None:
    asked: list[str] = []

    def ask(text: Text) -> str:
        asked.append(str(text))
        return "hunter22"

    store = CredentialStore(ask, masker=Masker())
    hosts = [host(password("prompt", f"Password {number % 2}"), f"db{number}") for number in range(6)]
    store.prepare(hosts)
    assert asked == ["Password 0", "Password 1"]
    for each in hosts:
        await store.resolve(each)
    assert asked == ["Password 0", "Password 1"]


async def test_nobody_to_ask_and_no_answer_are_told_apart_for_each_host() -> None:
    with pytest.raises(CredentialUnusable, match="nobody can be asked"):
        await resolve(password("prompt", "Password"))
    store = CredentialStore(lambda text: None, masker=Masker())
    reference = password("prompt", "Password")
    store.prepare([host(reference)])
    for name in ("db1", "db2"):
        with pytest.raises(CredentialUnusable, match="was not given") as refused:
            await store.resolve(host(reference, name))
        assert refused.value.host == name


async def test_without_a_credential_it_is_what_ssh_would_offer(
    key_file: Path, locked_key: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    key_file.rename(tmp_path / ".ssh" / "id_ed25519")
    locked_key.rename(tmp_path / ".ssh" / "id_rsa")
    credential = await resolve(None)
    assert (credential.user, credential.use_agent) == (getpass.getuser(), False)
    assert [key.path for key in credential.keys] == [str(tmp_path / ".ssh" / "id_ed25519")]
    named = await resolve(CredentialReference(name="web", user="anna"))
    assert (named.user, named.name, len(named.keys)) == ("anna", "web", 1)
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere")
    assert (await resolve(None)).use_agent


async def test_nothing_to_offer_is_said_before_any_host_is_asked() -> None:
    with pytest.raises(CredentialUnusable, match="nothing to offer"):
        await resolve(None)
    with pytest.raises(CredentialUnusable, match="no SSH agent"):
        await resolve(CredentialReference(name="web", user="anna", agent=True))


async def test_an_agent_stands_in_for_a_locked_key(locked_key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere")
    credential = await resolve(CredentialReference(name="web", user="anna", key=str(locked_key), agent=True))
    assert (credential.keys, credential.use_agent) == ((), True)


async def test_nothing_shows_the_secret(tmp_path: Path, key_file: Path) -> None:
    reference = CredentialReference(
        name="web",
        user="anna",
        key=str(key_file),
        password=SecretReference(kind="file", value=str(secret_file(tmp_path / "secret", "hunter22"))),
    )
    credential = await resolve(reference)
    assert "hunter22" not in repr(credential)
    assert "PRIVATE" not in repr(credential)


async def test_a_password_for_sudo_is_resolved_masked_and_one_line(
    key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masker = Masker()
    monkeypatch.setenv("SUDO_PASSWORD", "hunter22")
    reference = CredentialReference(
        name="ops", user="ops", key=str(key_file), become_password=SecretReference(kind="env", value="SUDO_PASSWORD")
    )
    credential = await resolve(reference, masker=masker)
    assert (credential.become_password, credential.password) == (Secret("hunter22"), None)
    assert masker.text("<hunter22>") == "<***>"
    monkeypatch.setenv("SUDO_PASSWORD", "hunter22\ngo")
    with pytest.raises(CredentialUnusable, match="one line"):
        await resolve(reference)


async def test_on_this_machine_only_the_password_for_sudo_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_PASSWORD", "hunter22")
    given = SecretReference(kind="env", value="SUDO_PASSWORD")
    reference = CredentialReference(name="ops", user="ops", key="/nowhere", password=password("env", "NONE").password)
    store = CredentialStore(masker=Masker())
    here = Host(name="here", address="here", transport=Transport.LOCAL, credential=replace(reference, become_password=given))
    credential = await store.resolve(here)
    assert (credential.user, credential.become_password) == ("ops", Secret("hunter22"))
    assert (credential.keys, credential.password, credential.use_agent) == ((), None, False)
    with pytest.raises(CredentialUnusable):
        await store.resolve(replace(here, transport=Transport.SSH))


async def test_a_secret_that_two_credentials_name_is_asked_for_once() -> None:
    asked: list[str] = []

    def ask(what: Text) -> str:
        asked.append(str(what))
        return "hunter22"

    store = CredentialStore(ask, masker=Masker())
    for name in ("one", "two"):
        await store.resolve(host(replace(password("prompt", "the password of anna"), name=name)))
    assert asked == ["the password of anna"]
