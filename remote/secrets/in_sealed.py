"""Secrets in longarm's own file: encrypted, 0600, written whole, never decrypted to disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inventory.errors import Text
from inventory.secret import MASKER, Masker, Secret
from inventory.secrets.in_file import private_bytes
from inventory.secrets.unusable import Unusable, refuse
from remote.kept_file import one_writer, replace_whole
from remote.secrets.agent import agent_keys
from remote.secrets.asked import Ask
from remote.secrets.locks import Lock, PassphraseLock, agent_lock, packed, passphrase_lock, unpacked, unwrapped
from remote.secrets.sealed_file import OpenedFile, SealedFile, new_file, opened, parsed

FILE = "secrets.sealed"
LARGEST_SECRET = 64 * 1024
MOST_SECRETS = 10_000
LEAST_PASSPHRASE = 8
_LARGEST_FILE = 64 * 1024 * 1024
_TRIES = 3


class SealedStore:
    """`{secret: NAME}`: what `longarm secret set NAME` keeps in the home."""

    def __init__(self, home: Path, ask: Ask | None = None, masker: Masker = MASKER) -> None:
        self.path = home / FILE
        self._ask, self._masker = ask, masker
        self._data_key: bytes | None = None
        self._refused: Unusable | None = None

    def read(self, entry: str) -> str:
        """Return the secret of that name; opens the file at the first one."""
        file = self._file()
        if entry not in file.entries:
            refuse(_absent(entry), Text("longarm secret set {name}", name=entry))
        return self._opened(file).values[entry].reveal()

    def names(self) -> Mapping[str, datetime]:
        """Return when each secret was set, by its name, without opening the file: nothing vouches for it until then."""
        return self._file().entries if self.path.exists() else {}

    def asks(self) -> bool:
        """Tell whether opening it takes a passphrase: no key that the agent holds does it."""
        if not self.path.exists():
            return False
        locks = [one for one in self._file().locks if one.get("kind") == "agent"]
        try:
            held = {packed(key.blob) for key in agent_keys()} if locks else set()
        except Unusable:
            held = set()
        return not any(one.get("public") in held for one in locks)

    def put(self, name: str, value: Secret, lock: Callable[[], Lock] | None = None, now: datetime | None = None) -> None:
        """Keep a secret under a name; `lock` makes what else shall open the file (alone, where there is no file yet).

        A new file without a lock is locked with a passphrase that is asked for. Raises Unusable.
        """
        if len(value.reveal()) > LARGEST_SECRET:
            refuse(Text("this is too large to be a secret"))
        new = None if self.path.exists() else new_file(lock() if lock else self._new_passphrase())
        self._data_key = new.data_key if new else self._unlocked(self._file())  # nobody waits for whoever types
        with one_writer(self.path.parent) as folder:
            if new is not None and self.path.exists():
                refuse(Text("somebody else has just made {path}", path=self.path), Text("do it again"))
            before = new or self._opened(self._file())
            if lock is not None and before is not new:
                before = before.with_lock(lock())
            if len(before.entries) >= MOST_SECRETS and name not in before.entries:
                refuse(Text("more than {limit} secrets in one file", limit=MOST_SECRETS))
            self._write(before.with_secret(name, value, now or datetime.now(UTC)), folder)

    def known(self, name: str) -> None:
        """Raise Unusable where no secret of that name was set."""
        if name not in self.names():
            refuse(_absent(name), Text("longarm secret list"))

    def remove(self, name: str) -> None:
        """Remove a secret; raises Unusable where there is none of that name."""
        self.known(name)
        self._unlocked(self._file())
        with one_writer(self.path.parent) as folder:
            self._write(self._opened(self._file()).without(name), folder)

    def rekey(self, lock: Callable[[], Lock] | None = None) -> None:
        """Seal everything anew under another data key, opened by `lock`, or a new passphrase, and by nothing from before.

        Raises Unusable.
        """
        self._unlocked(self._file())
        new = new_file(lock() if lock else self._new_passphrase())
        with one_writer(self.path.parent) as folder:
            before = self._opened(self._file())
            self._write(replace(new, entries=before.entries, values=before.values), folder)
        self._data_key = new.data_key

    def _write(self, file: OpenedFile, folder: int) -> None:
        """Replace the file by what longarm itself can open again."""
        data = file.packed()
        opened(parsed(data, self.path), file.data_key, self.path)
        replace_whole(self.path, folder, data)

    def _file(self) -> SealedFile:
        if not self.path.exists():
            refuse(Text("nothing was kept yet: there is no {path}", path=self.path), Text("longarm secret set NAME"))
        return parsed(private_bytes(self.path, _LARGEST_FILE), self.path)

    def _opened(self, file: SealedFile) -> OpenedFile:
        return opened(file, self._unlocked(file), self.path)

    def _unlocked(self, file: SealedFile) -> bytes:
        """Return the data key, by the agent where it holds a key that fits, else by the passphrase; raises Unusable.

        A person is asked once: what they could not open stays closed for this command.
        """
        if self._refused is not None:
            raise self._refused
        if self._data_key is None:
            try:
                self._data_key = self._unlock(file)
            except Unusable as unusable:
                self._refused = unusable
                raise
        return self._data_key

    def _unlock(self, file: SealedFile) -> bytes:
        reasons: list[str] = []
        try:
            for stands in [one for one in file.locks if one["kind"] == "agent"]:
                try:
                    if data_key := unwrapped(agent_lock(stands), unpacked(stands["nonce"]), unpacked(stands["key"])):
                        return data_key
                except Unusable as unusable:
                    reasons.append(str(unusable.text))
            if passphrases := [one for one in file.locks if one["kind"] == "passphrase"]:
                return self._by_passphrase(passphrases)
        except (LookupError, ValueError, TypeError) as error:
            raise Unusable(Text("{path} is damaged", path=self.path)) from error
        why = "; ".join(dict.fromkeys(reasons)) or "no lock of it is known here"
        text = Text("{path} cannot be opened: {reason}", path=self.path, reason=why)
        raise Unusable(text, Text("add the key that it was locked with: ssh-add"))

    def _by_passphrase(self, locks: Sequence[Mapping[str, Any]]) -> bytes:
        question = Text("Passphrase of {path}", path=self.path)
        for _ in range(_TRIES):
            passphrase = self._asked(question)
            for stands in locks:
                lock = passphrase_lock(stands, passphrase)
                if data_key := unwrapped(lock, unpacked(stands["nonce"]), unpacked(stands["key"])):
                    return data_key
            question = Text("That was not it. Passphrase of {path}", path=self.path)
        raise Unusable(Text("this is not the passphrase of {path}", path=self.path))

    def _new_passphrase(self) -> PassphraseLock:
        first = self._asked(Text("New passphrase of {path}", path=self.path))
        if len(first.reveal()) < LEAST_PASSPHRASE:
            refuse(Text("a passphrase has at least {limit} characters", limit=LEAST_PASSPHRASE))
        if self._asked(Text("The same passphrase again")) != first:
            refuse(Text("these are two different passphrases"))
        return PassphraseLock.new(first)

    def _asked(self, question: Text) -> Secret:
        if self._ask is None:
            hint = Text("run it at a terminal, or lock the file with a key of the SSH agent too: --with-key SHA256:…")
            refuse(Text("the passphrase of {path} has to be asked for, and nobody can be asked", path=self.path), hint)
        if not (value := self._ask(question)):
            refuse(Text("no passphrase was given"))
        secret = Secret(value)
        self._masker.learn(secret)
        return secret


def _absent(name: str) -> Text:
    return Text("no secret {name} was set", name=name)
