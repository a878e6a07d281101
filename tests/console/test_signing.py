"""`longarm library sign | verify`, and what `library.signers` keeps from being used."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.console.conftest import Console

INVENTORY = "hosts:\n  me: {transport: local, address: localhost}\n"
PLAYBOOK = """\
playbook: touch-up
title: {en: Touch up, ru: Подправить}
says: {en: Leaves a mark., ru: Оставляет отметку.}
kind: patch
maintenance: corrective
platforms: [linux]
tier: L2
risk: reversible
steps:
  - name: Leave it
    run: echo done >>"%s"
    retry: never
"""
PROBES = """\
- probe: mine.uptime
  summary: Uptime
  script: cat /proc/uptime
"""


@pytest.fixture
def shelf(console: Console) -> Console:
    """Return a longarm whose home has a library, not signed yet, and a key."""
    console.inventory(INVENTORY)
    folder = console.home / "shelf"
    folder.mkdir()
    (folder / "touch-up.yaml").write_text(PLAYBOOK % (console.home / "mark"))
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "olga", "-f", str(console.home / "key")]
    subprocess.run(make, check=True)
    return console


def trust(shelf: Console, key: Path) -> None:
    (shelf.home / "config.yaml").write_text(f'library: {{signers: ["{key.read_text().strip()}"]}}\n')


def repair(shelf: Console) -> tuple[int, str]:
    done = shelf("repair", str(shelf.home / "shelf" / "touch-up.yaml"), "me", "--force", "a test")
    return done.code, done.err


def test_a_library_is_signed_verified_and_used(shelf: Console) -> None:
    folder, key = str(shelf.home / "shelf"), shelf.home / "key"
    trust(shelf, key.with_suffix(".pub"))
    code, said = repair(shelf)
    assert (
        code == 7 and "it lies in no signed library" in said and "touch-up.yaml" in said and not (shelf.home / "mark").exists()
    )
    signed = shelf("library", "sign", folder, "--key", str(key))
    assert signed.code == 0 and "files: 1" in signed.out and key.with_suffix(".pub").read_text().split()[1] in signed.err
    verified = shelf("library", "verify", folder)
    assert verified.code == 0 and "as olga has signed it" in verified.out
    assert repair(shelf)[0] == 0 and (shelf.home / "mark").read_text() == "done\n"
    with (shelf.home / "shelf" / "touch-up.yaml").open("a") as file:
        file.write("# changed\n")
    code, said = repair(shelf)
    assert code == 7 and "touch-up.yaml: it is not as it was signed" in said
    told = shelf("library", "verify", folder)
    assert told.code == 7 and "touch-up.yaml: it is not as it was signed" in told.err
    assert "не тот, что был подписан" in shelf("library", "verify", folder, "--lang", "ru").err
    assert (shelf.home / "mark").read_text() == "done\n"


def test_who_is_not_trusted_has_signed_nothing(shelf: Console) -> None:
    folder = str(shelf.home / "shelf")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(shelf.home / "other")], check=True)
    assert shelf("library", "sign", folder, "--key", str(shelf.home / "other")).code == 0
    anybody = shelf("library", "verify", folder, "--json")
    assert anybody.code == 0 and anybody.json()["files"] == 1 and "library.signers" in anybody.err
    trust(shelf, shelf.home / "key.pub")
    for code, said in (repair(shelf), (lambda done: (done.code, done.err))(shelf("library", "verify", folder))):
        assert code == 7 and "not among library.signers" in said


def test_probes_of_ones_own_have_to_be_signed_too(shelf: Console) -> None:
    probes = shelf.home / "shelf" / "probes.yaml"
    probes.write_text(PROBES)
    trust(shelf, shelf.home / "key.pub")
    words = ("diagnose", "me", "--probes", str(probes))
    refused = shelf(*words)
    assert refused.code == 7 and "probes.yaml: it lies in no signed library" in refused.err
    assert shelf("library", "sign", str(shelf.home / "shelf"), "--key", str(shelf.home / "key")).code == 0
    assert shelf(*words).code == 0


def test_what_ships_with_longarm_needs_no_signature(shelf: Console) -> None:
    trust(shelf, shelf.home / "key.pub")
    assert shelf("repair", "restart-service", "me", "-p", "unit=x.service", "--plan").code != 7


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("library: {signers: []}\n", "“signers” names nobody"),
        ("library: {signers: [ssh-rsa AAAA]}\n", "not the public half of an ed25519 key"),
        ("library: {signer: x}\n", "“library” has no key “signer”"),
    ],
)
def test_a_mistake_among_the_signers_is_told_at_its_place(shelf: Console, config: str, said: str) -> None:
    (shelf.home / "config.yaml").write_text(config)
    done = shelf("library", "verify", str(shelf.home / "shelf"))
    assert done.code == 2 and "config.yaml:1:" in done.err and said in done.err


def test_what_is_no_key_signs_nothing(shelf: Console) -> None:
    folder = str(shelf.home / "shelf")
    for key in (shelf.home / "key.pub", shelf.home / "config.yaml", shelf.home / "nowhere"):
        done = shelf("library", "sign", folder, "--key", str(key), "--no-input")
        assert done.code == 2, done
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "a passphrase", "-f", str(shelf.home / "shut")], check=True)
    assert shelf("library", "sign", folder, "--key", str(shelf.home / "shut"), "--no-input").code == 2
    assert not (shelf.home / "shelf" / "library.signed").exists()
