"""The least versions of the libraries that guard our connections, each with the advisory that sets it (read in November 2026).

`pyproject.toml` asks for the same, so that what it installs is safe. What is older all the same is refused before the
first host is asked, and once more where a library is imported that is not what it was installed as; `longarm doctor` tells it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from inventory.errors import LongarmError, Text


@dataclass(frozen=True, slots=True, kw_only=True)
class SafeVersion:
    """The first version of a library without known holes."""

    name: str
    least: str
    advisories: tuple[str, ...]
    """What is open in the versions before, the newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsafe:
    """A library that is installed here in a version with known holes."""

    library: SafeVersion
    installed: str


class LibraryTooOld(LongarmError):
    """A library that guards connections has known holes: none is made with it."""

    def __init__(self, library: SafeVersion, version: str) -> None:
        text = Text(
            "{library} {version} has known holes; at least {least} is needed",
            library=library.name,
            version=version,
            least=library.least,
        )
        super().__init__(text, Text("reinstall longarm: pipx reinstall longarm"))


ASYNCSSH: Final = SafeVersion(
    name="asyncssh",
    least="2.23.1",
    advisories=("CVE-2026-54591", "CVE-2026-54590", "CVE-2023-48795", "CVE-2023-46446", "CVE-2023-46445"),
)
"""2.23.1: a server chose where SCP writes (GHSA-2wxc-x7rj-hg8f), a user name left the folder of the authorized keys
(GHSA-qr67-gv47-xwwh); we use neither. 2.14.2: strict key exchange against Terrapin (GHSA-hfmc-7525-mj55). 2.14.1: messages
injected before the login, another's session (GHSA-c35q-ffpf-5qpm, GHSA-cfc2-wr2v-gxm5; asyncssh's docs/changes.rst)."""

CRYPTOGRAPHY: Final = SafeVersion(
    name="cryptography", least="50.0.0", advisories=("CVE-2026-69247", "GHSA-537c-gmf6-5ccf", "CVE-2024-12797")
)
"""50.0.0: PKCS#7 decryption answered guesses (GHSA-g6cj-pr64-35w5); we decrypt none. 48.0.1: the OpenSSL in its wheels read
beyond its end in ASN.1, and we read certificates of hosts (OpenSSL's advisory of 2026-06-09). 44.0.1: that of 2025-02-11."""

PARAMIKO: Final = SafeVersion(name="paramiko", least="5.0.0", advisories=("CVE-2026-44405", "CVE-2023-48795"))
"""5.0.0: SHA-1 was taken for RSA keys. 3.4.0: strict key exchange against Terrapin (GHSA-45x7-px36-x8w8). It speaks for
hosts whose inventory says so (remote/threaded), and beside us it counts too."""

LIBRARIES: Final = (ASYNCSSH, CRYPTOGRAPHY, PARAMIKO)


def installed() -> Mapping[str, str]:
    """Return the versions of those libraries that are installed here, by name."""
    return dict(_installed())


def _installed() -> Iterator[tuple[str, str]]:
    from importlib.metadata import PackageNotFoundError, version  # 10 ms: every connection imports this module

    for library in LIBRARIES:
        try:
            yield library.name, version(library.name)
        except PackageNotFoundError:
            continue


def refuse_unsafe(library: SafeVersion, version: str) -> None:
    """Raise LibraryTooOld for a version with known holes."""
    if numbers(version) < numbers(library.least):
        raise LibraryTooOld(library, version)


def refuse_what_is_unsafe() -> None:
    """Raise LibraryTooOld where a library that guards connections is installed here with known holes: 5 ms of CPU."""
    for old in unsafe(installed()):
        raise LibraryTooOld(old.library, old.installed)


def unsafe(found: Mapping[str, str]) -> tuple[Unsafe, ...]:
    """Return those of the versions found that have known holes.

    >>> [one.library.name for one in unsafe({"asyncssh": "2.9.0", "cryptography": "50.0.0"})]
    ['asyncssh']
    """
    return tuple(
        Unsafe(library=library, installed=found[library.name])
        for library in LIBRARIES
        if library.name in found and numbers(found[library.name]) < numbers(library.least)
    )


def numbers(text: str) -> tuple[int, ...]:
    """Return the three numbers of a version; what is short of three is filled up, what follows them does not count.

    >>> numbers("2.14.0"), numbers("50"), numbers("44.0.1+deb13u2")
    ((2, 14, 0), (50, 0, 0), (44, 0, 1))
    """
    found = [int(digits) for digits in re.findall(r"[0-9]+", text.partition("+")[0])[:3]]
    return (*found, *[0] * (3 - len(found)))
