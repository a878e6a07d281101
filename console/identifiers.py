"""Identifiers in words, by the column of a table: what programs read stays as it is, people read their own language."""

from __future__ import annotations

from collections.abc import Mapping

from inventory.errors import Text


def _by_template(*texts: Text) -> Mapping[str, Text]:
    """Return words by the identifiers that they are in English."""
    return {text.template: text for text in texts}


_STATES = _by_template(
    *(Text("running"), Text("interrupted"), Text("ended")),
    *(Text("pending"), Text("rendered"), Text("sent"), Text("failed"), Text("kept")),
    *(Text("new"), Text("known"), Text("changed"), Text("not the expected one"), Text("not reached")),
    *(Text("muting"), Text("muted"), Text("unmuted")),
    *(Text("gone"), Text("revoked"), Text("authority"), Text("not in the file")),
    *(Text("ok"), Text("note"), Text("problem")),
    *(Text("waiting"), Text("approved"), Text("declined"), Text("void"), Text("begun"), Text("expired")),
    *(Text("scripted"), Text("down")),
)
"""Of runs, reports, host keys, approvals, scenarios, practice hosts, and of what the doctor looked at."""
_LOOKED_AT = _by_template(
    *(Text("versions"), Text("home"), Text("space"), Text("store"), Text("inventory"), Text("library")),
    *(Text("credentials"), Text("secrets"), Text("secret"), Text("keyring"), Text("completion"), Text("practice hosts")),
    *(Text("desk"), Text("roles"), Text("language"), Text("clock"), Text("output")),
    *(Text("name"), Text("connection"), Text("host key"), Text("login"), Text("algorithms")),
    *(Text("sealing"), Text("certificate"), Text("administrator")),
    *(Text("shell"), Text("other user"), Text("round trip")),
)
"""By the doctor; what is missing here is a name in every language: SQLite, known_hosts, Kerberos."""
_KINDS = _by_template(
    *(Text("diagnose"), Text("command"), Text("file"), Text("terminal"), Text("repair"), Text("plan")),
    *(Text("diagnostic"), Text("patch")),
)
"""Of runs and of playbooks."""
_OUTCOMES = {
    **_by_template(Text("ok"), Text("findings"), Text("incomplete"), Text("failed"), Text("unreachable"), Text("refused")),
    **_by_template(Text("interrupted"), Text("unknown")),
    "timed_out": Text("timed out"),
    "not_started": Text("not started"),
}
WORDS: Mapping[str, Mapping[str, Text]] = {
    "state": _STATES,
    "what": _LOOKED_AT,
    "kind": _KINDS,
    "outcome": _OUTCOMES,
    "maintenance": _by_template(Text("preventive"), Text("corrective"), Text("adaptive")),
    "risk": _by_template(Text("read"), Text("reversible"), Text("disruptive")),
    "scope": _by_template(Text("desk"), Text("site"), Text("customer")),
    "grade": _by_template(Text("error"), Text("warning"), Text("note")),
    "audience": _by_template(Text("internal"), Text("customer")),
}
"""What is missing here is typed as it stands (names, ids, tiers, ways of the shell), or the same in every language."""
