# ruff: noqa: ASYNC221 (nothing else runs in these loops)
"""Logging in to OpenSSH with PAM: every kind of key, certificates, the agent, passwords, one-time codes, several in turn."""

from __future__ import annotations

import asyncio
import base64
import getpass
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.host import CodeReference, CredentialReference, Host, SecretReference, SshLibrary, SshSettings
from remote.breaker import Breaker
from remote.credentials import CredentialStore
from remote.errors import AuthenticationRefused, CredentialBlocked, CredentialUnusable
from remote.one_time_codes import Codes, hotp
from remote.ssh_library import asyncssh
from remote.used_codes import UsedCodes
from tests.remote.servers import Keys, MakeConnector, StartPractice, known_key, serving, sshd_command

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(os.geteuid() != 0, reason="PAM and accounts of our own need root for a mount namespace"),
]

PASSWORD, OTHER = "the-right-one", "the-wrong-one"
SHARED = b"12345678901234567890"
OATH = "auth required pam_oath.so usersfile={folder}/oath/users window=20 digits=6\n"
GOOGLE = "auth required pam_google_authenticator.so secret={folder}/oath/google user=root no_increment_hotp\n"
UNIX = "auth required pam_unix.so\n"
REST = "account required pam_permit.so\nsession required pam_permit.so\n"
StartSshd = Callable[..., Host]


@pytest.fixture
def start(tmp_path: Path, host_key: Keys, user_key: Keys) -> Iterator[StartSshd]:
    """Return what starts sshd where anna has a password and a shared secret, and /etc/pam.d/sshd is what the test says."""
    with ExitStack() as running:

        def started(pam: str = UNIX, **settings: str) -> Host:
            _accounts(tmp_path)
            (tmp_path / "pam").write_text(pam.format(folder=tmp_path) + REST)
            options = {"UsePAM": "yes", "KbdInteractiveAuthentication": "yes", "PasswordAuthentication": "yes"}
            port, command = sshd_command(tmp_path, host_key, user_key, **{**options, **settings})
            config = tmp_path / "sshd_config"  # anna may not read the folder: sshd reads her keys as root
            as_root = f"AuthorizedKeysCommand /bin/cat {tmp_path}/authorized_keys\nAuthorizedKeysCommandUser root\n"
            config.write_text(config.read_text() + as_root)
            mounts = {"pam": "/etc/pam.d/sshd", "passwd": "/etc/passwd", "shadow": "/etc/shadow"}
            script = "".join(f'mount --bind "{tmp_path / name}" {place} && ' for name, place in mounts.items())
            words = ["unshare", "-m", "/bin/sh", "-c", script + 'exec "$@"', "sh", *command, "-e"]
            running.enter_context(serving(words, b"Server listening", tmp_path / "log"))
            return Host(name="node", address="127.0.0.1", port=port)

        yield started


def _accounts(folder: Path) -> None:
    hashed = subprocess.run(["openssl", "passwd", "-6", PASSWORD], check=True, capture_output=True, text=True).stdout.strip()
    (folder / "passwd").write_text(Path("/etc/passwd").read_text() + f"anna:x:4711:65534::{folder}:/bin/sh\n")
    (folder / "shadow").write_text(Path("/etc/shadow").read_text() + f"anna:{hashed}:19000:0:99999:7:::\n")
    (folder / "oath").mkdir(mode=0o700, exist_ok=True)
    (folder / "oath" / "users").write_text(f"HOTP/T30/6 anna - {SHARED.hex()}\n")
    google = folder / "oath" / "google"
    google.write_text(
        f'{base64.b32encode(SHARED).decode()}\n" RATE_LIMIT 30 30\n" WINDOW_SIZE 17\n" DISALLOW_REUSE\n" TOTP_AUTH\n'
    )
    for file, mode in (("shadow", 0o600), ("oath/users", 0o600), ("oath/google", 0o400)):
        (folder / file).chmod(mode)


@pytest.fixture
def anna(monkeypatch: pytest.MonkeyPatch, user_key: Keys) -> CredentialReference:
    """Return all that anna can show: a key, a password, codes."""
    monkeypatch.setenv("ANNAS_PASSWORD", PASSWORD)
    monkeypatch.setenv("ANNAS_SHARED", base64.b32encode(SHARED).decode().lower())
    shared = SecretReference(kind="env", value="ANNAS_SHARED")
    password = SecretReference(kind="env", value="ANNAS_PASSWORD")
    return CredentialReference(
        name="anna", user="anna", key=str(user_key.path), password=password, otp=CodeReference(secret=shared)
    )


async def facts(connect: MakeConnector, host: Host, credential: CredentialReference, **options: object) -> tuple[str, str]:
    async with connect(**options)(replace(host, credential=credential)) as session:
        return session.facts.user, session.facts.proofs


async def refusal(
    connect: MakeConnector, host: Host, credential: CredentialReference, **options: object
) -> AuthenticationRefused:
    with pytest.raises(AuthenticationRefused) as refused:
        async with connect(**options)(replace(host, credential=credential)):
            pass
    return refused.value


# --- codes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pam", [OATH, GOOGLE], ids=["pam_oath", "google_authenticator"])
async def test_a_key_and_then_a_code(
    pam: str, start: StartSshd, connector: MakeConnector, anna: CredentialReference, user_key: Keys
) -> None:
    host = start(pam, AuthenticationMethods="publickey,keyboard-interactive:pam")
    used, only = UsedCodes(), replace(anna, password=None)
    at = time.time() // 30 * 30 + 1  # of all logins: a replay in the next half minute would be of another code, and no replay
    _, proofs = await facts(connector, host, only, codes=Codes(used, now=lambda: at))
    assert proofs == f"key {user_key.path} {known_key(user_key).fingerprint} (accepted, but more is wanted), one-time code"
    again = Codes(UsedCodes(), now=lambda: at)  # somebody forgot what was used
    refused = await refusal(connector, host, only, codes=again)
    assert refused.tried[-1] == "one-time code" and "keyboard-interactive" in refused.offered_methods
    assert refused.hint is not None and "clocks" in str(refused.hint)
    await facts(connector, host, only, codes=Codes(used, now=lambda: at + 30))


@pytest.mark.parametrize("pam", [UNIX + GOOGLE, OATH + UNIX], ids=["password first", "code first"])
async def test_a_password_and_a_code_in_one_conversation(
    pam: str, start: StartSshd, connector: MakeConnector, anna: CredentialReference
) -> None:
    host = start(pam)
    only = replace(anna, key=None)
    _, proofs = await facts(connector, host, only)
    assert sorted(proofs.split(", ")) == ["one-time code", "password"]


async def test_a_host_that_wants_a_code_from_somebody_without_one_says_what_it_asked(
    start: StartSshd, connector: MakeConnector, anna: CredentialReference
) -> None:
    host = start(OATH, AuthenticationMethods="publickey,keyboard-interactive:pam")
    refused = await refusal(connector, host, replace(anna, otp=None))
    assert refused.offered_methods == ("keyboard-interactive",)
    assert [word.split()[0] for word in refused.tried] == ["key", "no"]
    assert "accepted, but more is wanted" in refused.tried[0]
    assert "no answer to “One-time password (OATH) for `anna':”" in refused.tried[1]
    assert "password" not in refused.tried  # which the question names too


async def test_a_typed_code_is_good_for_one_login(
    start: StartSshd, connector: MakeConnector, anna: CredentialReference, tmp_path: Path
) -> None:
    host = start(OATH, AuthenticationMethods="publickey,keyboard-interactive:pam")
    code = hotp(SHARED, int(time.time()) // 30)
    (tmp_path / "code").write_text(code)
    (tmp_path / "code").chmod(0o600)
    typed = replace(anna, password=None, otp=CodeReference(typed=SecretReference(kind="file", value=str(tmp_path / "code"))))
    codes = Codes(UsedCodes(tmp_path / "home" / "used"))
    await facts(connector, host, typed, codes=codes)
    refused = await refusal(connector, host, typed, codes=codes)
    assert "the one that was typed has been used" in str(refused)


async def test_a_wrong_secret_is_offered_three_times_and_then_to_nobody(
    start: StartSshd, connector: MakeConnector, anna: CredentialReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = start(OATH, AuthenticationMethods="publickey,keyboard-interactive:pam")
    monkeypatch.setenv("ANNAS_SHARED", base64.b32encode(b"98765432109876543210").decode())
    assert anna.otp is not None
    wrong = replace(anna, password=None, otp=replace(anna.otp, per_host=True))
    names = tuple(f"host{number}" for number in range(5))
    breaker, codes = Breaker(), Codes(UsedCodes())
    ends = []
    for name in names:
        try:
            async with connector(*names, breaker=breaker, codes=codes)(replace(host, name=name, credential=wrong)):
                ends.append("in")
        except (AuthenticationRefused, CredentialBlocked) as error:
            ends.append(type(error).__name__)
    assert ends == ["AuthenticationRefused"] * 3 + ["CredentialBlocked"] * 2


async def test_a_wrong_password_goes_out_three_times_whichever_library_speaks_and_in_however_many_threads(
    start: StartSshd, connector: MakeConnector, anna: CredentialReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANNAS_PASSWORD", OTHER)
    host = replace(start(UsePAM="no", MaxStartups="100"), credential=replace(anna, key=None, otp=None))
    threaded, names = SshSettings(library=SshLibrary.PARAMIKO), [f"host{number}" for number in range(24)]
    connect = connector(*names)

    async def ends(name: str, ssh: SshSettings) -> str:
        try:
            async with connect(replace(host, name=name, ssh=ssh)):
                return "in"
        except (AuthenticationRefused, CredentialBlocked) as error:
            return type(error).__name__

    several = (ends(name, threaded if at % 2 else SshSettings()) for at, name in enumerate(names))
    assert Counter(await asyncio.gather(*several)) == {"AuthenticationRefused": 3, "CredentialBlocked": 21}


# --- several in turn -----------------------------------------------------------------------------------------------


async def test_a_key_and_then_a_password(start: StartSshd, connector: MakeConnector, anna: CredentialReference) -> None:
    host = start(UsePAM="no", AuthenticationMethods="publickey,password")
    only = replace(anna, otp=None)
    _, proofs = await facts(connector, host, only)
    assert proofs.endswith("(accepted, but more is wanted), password")
    refused = await refusal(connector, host, replace(only, password=None))
    assert refused.offered_methods == ("password",)
    assert "accepted, but more is wanted" in refused.tried[0]


async def test_an_accepted_key_is_not_counted_as_refused_where_the_password_is_wrong(
    start: StartSshd, connector: MakeConnector, anna: CredentialReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = start(UsePAM="no", AuthenticationMethods="password,publickey publickey,password")
    monkeypatch.setenv("ANNAS_PASSWORD", OTHER)
    breaker = Breaker(limit=1)
    only = replace(anna, otp=None)
    await refusal(connector, host, only, breaker=breaker)
    with pytest.raises(CredentialBlocked):
        async with connector(breaker=breaker)(replace(host, credential=only)):
            pass
    keyed = start(UsePAM="no")  # the same key, alone
    async with connector(breaker=breaker)(replace(keyed, credential=replace(only, password=None))):
        pass


async def test_a_host_that_offers_questions_and_asks_none_is_left_at_once(
    start: StartSshd, connector: MakeConnector, anna: CredentialReference
) -> None:
    """sshd without PAM has nothing to ask: agreed to again and again, it ended with “Too many authentication failures”."""
    refused = await refusal(connector, start(UsePAM="no"), replace(anna, key=None, password=None))
    assert (refused.tried, "keyboard-interactive" in refused.offered_methods) == ((), True)


async def test_the_order_of_a_credential_holds(start: StartSshd, connector: MakeConnector, anna: CredentialReference) -> None:
    host = start()
    _, proofs = await facts(connector, host, replace(anna, otp=None, methods=("password", "publickey")))
    assert proofs == "password"
    refused = await refusal(connector, host, replace(anna, otp=None, key=None, methods=("publickey",)))
    assert refused.tried == () and {"publickey", "password", "keyboard-interactive"} <= set(refused.offered_methods)


# --- keys ----------------------------------------------------------------------------------------------------------


def keygen(path: Path, *words: str, passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-N", passphrase, "-C", path.name, "-f", path, *words], check=True)
    return path


KINDS = {
    "ed25519": ("-t", "ed25519"),
    "ecdsa-256": ("-t", "ecdsa", "-b", "256"),
    "ecdsa-384": ("-t", "ecdsa", "-b", "384"),
    "ecdsa-521": ("-t", "ecdsa", "-b", "521"),
    "rsa": ("-t", "rsa", "-b", "2048"),
    "rsa as pem": ("-t", "rsa", "-b", "2048", "-m", "PEM"),
}


async def test_every_kind_of_key_lets_us_in_encrypted_or_not(
    start: StartSshd, connector: MakeConnector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = start(UsePAM="no")
    passphrase = SecretReference(kind="env", value="PASSPHRASE")
    monkeypatch.setenv("PASSPHRASE", "open sesame")
    for number, words in enumerate(KINDS.values()):
        key = keygen(tmp_path / f"key{number}", *words, passphrase="open sesame" if number % 2 else "")
        with (tmp_path / "authorized_keys").open("a") as file:
            file.write(key.with_suffix(".pub").read_text())
        credential = CredentialReference(
            name=f"key{number}", user=getpass.getuser(), key=str(key), passphrase=passphrase if number % 2 else None
        )
        _, proofs = await facts(connector, host, credential)
        assert str(key) in proofs


async def test_rsa_keys_sign_with_what_the_host_takes_and_never_with_sha1(
    start: StartSshd, connector: MakeConnector, tmp_path: Path, practice: StartPractice
) -> None:
    key = keygen(tmp_path / "rsa", *KINDS["rsa"])
    credential = CredentialReference(name="rsa", user=getpass.getuser(), key=str(key))
    host = start(UsePAM="no", PubkeyAcceptedAlgorithms="rsa-sha2-512")
    (tmp_path / "authorized_keys").write_text(key.with_suffix(".pub").read_text())
    await facts(connector, host, credential)
    public = key.with_suffix(".pub").read_text()
    older = await practice(accepts=public, signature_algs=["rsa-sha2-256"], credential=credential)
    await facts(connector, older.host, credential)
    oldest = start(UsePAM="no", PubkeyAcceptedAlgorithms="ssh-rsa")
    (tmp_path / "authorized_keys").write_text(public)
    assert len((await refusal(connector, oldest, credential)).tried) == 1


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Start an SSH agent that holds twenty keys that nobody wants; end it, by pid."""
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        for number in range(20):
            subprocess.run(["ssh-add", "-q", keygen(tmp_path / f"other{number}", "-t", "ed25519")], check=True)
        yield socket
        process.terminate()


async def test_an_agent_with_twenty_keys_offers_the_named_one_first_and_at_most_five(
    start: StartSshd, connector: MakeConnector, tmp_path: Path, agent: Path
) -> None:
    host = start(UsePAM="no")  # MaxAuthTries is 6
    key = keygen(tmp_path / "mine", "-t", "ed25519", passphrase="open sesame")
    (tmp_path / "authorized_keys").write_text(key.with_suffix(".pub").read_text())
    user = getpass.getuser()
    named = CredentialReference(name="named", user=user, key=str(key), agent=True, only_named=True)
    missing = await refusal(connector, host, named)
    assert missing.tried == (f"agent (it does not hold {key} {fingerprint(key)})",)
    several = await refusal(connector, host, CredentialReference(name="any", user=user, agent=True))
    assert [word.split()[0] for word in several.tried] == ["agent"] * 5 + ["15"]
    assert several.tried[-1] == "15 more keys not offered (at most 5)"
    subprocess.run(["ssh-add", "-q", "-"], input=opened(key), check=True)
    for credential in (named, replace(named, only_named=False), replace(named, key=f"{key}.pub")):
        _, proofs = await facts(connector, host, credential)
        assert proofs == f"agent key {key} {fingerprint(key)}"
    assert "20 more" not in proofs


def fingerprint(key: Path) -> str:
    return subprocess.run(["ssh-keygen", "-lf", f"{key}.pub"], check=True, capture_output=True, text=True).stdout.split()[1]


def opened(key: Path) -> bytes:
    data = asyncssh.read_private_key(key, "open sesame").export_private_key()
    return bytes(data)


async def test_certificates_are_named_or_lie_beside_the_key_or_belong_to_a_key_of_the_agent(
    start: StartSshd, connector: MakeConnector, tmp_path: Path, agent: Path
) -> None:
    authority, key = keygen(tmp_path / "ca", "-t", "ed25519"), keygen(tmp_path / "rsa", *KINDS["rsa"], passphrase="open sesame")
    user = getpass.getuser()

    def sign(name: str, *words: str) -> str:
        subprocess.run(["ssh-keygen", "-q", "-s", authority, "-I", name, "-n", user, *words, f"{key}.pub"], check=True)
        return str((tmp_path / "rsa-cert.pub").rename(tmp_path / name))

    host = start(UsePAM="no", TrustedUserCAKeys=f"{authority}.pub")
    subprocess.run(["ssh-add", "-q", "-"], input=opened(key), check=True)
    right, expired = sign("right"), sign("expired", "-V", "20200101:20200201")
    signed = CredentialReference(name="signed", user=user, key=str(key), certificate=right, agent=True)
    _, proofs = await facts(connector, host, signed)
    assert proofs == f"agent key {key} {fingerprint(key)} with the certificate “right” for {user}"
    with pytest.raises(CredentialUnusable, match=r"the certificate .* does not count: it expired on 2020-0"):
        async with connector()(replace(host, credential=replace(signed, certificate=expired))):
            pass
    with pytest.raises(CredentialUnusable, match="it is for a host, not for a user"):
        async with connector()(replace(host, credential=replace(signed, certificate=sign("hosts", "-h")))):
            pass
    plain = keygen(tmp_path / "plain", "-t", "ed25519")
    subprocess.run(["ssh-keygen", "-q", "-s", authority, "-I", "beside", "-n", user, f"{plain}.pub"], check=True)
    _, proofs = await facts(connector, host, CredentialReference(name="beside", user=user, key=str(plain)))
    assert proofs == f"key {plain} {fingerprint(plain)} with the certificate “beside” for {user}"
    held = tmp_path / "held"
    held.write_bytes(opened(key))
    held.chmod(0o600)
    shutil.copy(right, tmp_path / "held-cert.pub")
    subprocess.run(["ssh-add", "-q", held], check=True)  # the agent holds key and certificate
    only = replace(signed, certificate=None, only_named=True)
    assert await facts(connector, host, only) == (user, f"agent key {key} {fingerprint(key)}")
    with pytest.raises(CredentialUnusable, match="it is for another key"):
        async with connector()(replace(host, credential=replace(signed, certificate=f"{plain}-cert.pub"))):
            pass


def test_the_key_of_a_security_token_is_left_to_the_agent(tmp_path: Path) -> None:
    """What ssh-keygen -t ed25519-sk writes (PROTOCOL.key, PROTOCOL.u2f), which needs a token to be made."""

    def string(*parts: bytes) -> bytes:
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)

    public = string(b"sk-ssh-ed25519@openssh.com", bytes(32), b"ssh:")
    private = bytes(8) + public + b"\1" + string(b"handle", b"", b"a token")
    private += bytes(range(1, 1 + -len(private) % 8))
    packed = b"openssh-key-v1\0" + string(b"none", b"none", b"") + (1).to_bytes(4, "big") + string(public, private)
    key = tmp_path / "id_ed25519_sk"
    armored = base64.encodebytes(packed).decode()
    key.write_text(f"-----BEGIN OPENSSH PRIVATE KEY-----\n{armored}-----END OPENSSH PRIVATE KEY-----\n")
    key.chmod(0o600)
    host = Host(name="db1", address="192.0.2.1", credential=CredentialReference(name="token", user="anna", key=str(key)))
    store = CredentialStore()
    store.prepare([host])
    with pytest.raises(CredentialUnusable, match="the key of a security token: only an agent can use it"):
        asyncio.run(store.resolve(host))
