"""Taking over what a known_hosts of OpenSSH's holds for a host, beside what is known of it: no key that either side revokes."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from inventory.host import Host
from remote.enrol import CHANGED, KNOWN, NEW, REVOKED
from remote.host_keys import HostKey
from remote.known_hosts import Taken, Trust

MISSING, REVOKED_THERE = "not in the file", "revoked there"
"""States of a host beside those of `remote.enrol`; `revoked there`: no key comes of the file, which revokes one or more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What the file holds for a host, each key once, and what that means; marked as revoked is what either side revokes."""

    host: Host
    state: str
    keys: tuple[HostKey, ...] = ()
    revoked: tuple[HostKey, ...] = ()
    """Those that are revoked by the file alone, so far."""
    keeps: bool = False
    """Whether a key or authority that was known of the host counts still: the file does not revoke it either."""

    def taken(self, *, replace_changed: bool) -> Taken | None:
        """Return what is to be kept, None where nothing is: of a host that keeps the key that it has, what is revoked of it."""
        anew = self.state == CHANGED and replace_changed
        keys = tuple(key for key in self.keys if not key.revoked) if self.state == NEW or anew else ()
        kept = (*self.revoked, *keys)
        return Taken(host=self.host, keys=kept, anew=anew) if kept else None


def imported(found: Sequence[HostKey], trust: Trust) -> Import:
    """Return what the keys of a file mean for a host.

    The usual way to revoke a key is one more line for it, `@revoked`, below the one that trusts it (sshd(8)).
    """
    there = {key.blob for key in found if key.revoked}
    revoked = there | trust.revoked
    keys = dict.fromkeys(replace(key, revoked=True, authority=False) if key.blob in revoked else key for key in found)
    good = {key for key in keys if not key.revoked}
    return Import(
        host=trust.host,
        state=_state(found, good, there, trust),
        keys=tuple(keys),
        revoked=tuple(key for key in keys if key.blob in there - trust.revoked),
        keeps=any(key.blob not in revoked for key in (*trust.keys, *trust.authorities)),
    )


def _state(found: Sequence[HostKey], good: AbstractSet[HostKey], there: AbstractSet[bytes], trust: Trust) -> str:
    if not found:
        return MISSING
    if not good:  # REVOKED: what the file trusts, and we do not
        return REVOKED_THERE if {key.blob for key in found} <= there else REVOKED
    own = {key for key in good if not key.authority}
    if trust.keys and own and not own & set(trust.keys):
        return CHANGED
    if not good <= {*trust.keys, *trust.authorities}:
        return NEW
    return KNOWN if there <= trust.revoked else REVOKED_THERE
