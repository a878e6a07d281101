"""Ways to log in that need more than a secret: one-time codes, Kerberos, and in which order ways are tried."""

from __future__ import annotations

from inventory.errors import Text
from inventory.fields import Fields, did_you_mean
from inventory.host import METHODS, CodeReference, KerberosReference, SecretReference
from inventory.kept import read_secret
from inventory.names import shown
from inventory.nodes import ScalarNode

ALGORITHMS = ("SHA1", "SHA256", "SHA512")
"""What one-time codes can be computed with (RFC 6238)."""
_SHORTEST_S, _LONGEST_S = 5, 600


def read_codes(fields: Fields) -> CodeReference | None:
    """Return where one-time codes come from; None without them, or after noting what is wrong."""
    if not fields.has("otp"):
        return None
    before = len(fields.problems)
    otp = fields.fields("otp")
    period_s = otp.duration("period")
    words = otp.text("prompt")
    codes = CodeReference(
        secret=read_secret(otp, "secret"),
        typed=None if words is None else SecretReference(kind="prompt", value=words),
        digits=otp.integer("digits", minimum=6, maximum=10) or 6,
        period_s=30 if period_s is None else int(period_s),
        algorithm=otp.one_of("algorithm", ALGORITHMS) or ALGORITHMS[0],
        per_host=otp.boolean("per_host") or False,
    )
    otp.done()
    if len(fields.problems) == before and (codes.secret is None) == (codes.typed is None):
        hint = Text("say where it is kept: {example}", example="otp: {secret: {keyring: SERVICE/USER}} or otp: {prompt: WORDS}")
        fields.problem(fields.key_place("otp"), Text("one-time codes come from a secret or from a person"), hint)
    if not _SHORTEST_S <= codes.period_s <= _LONGEST_S:
        bounds = {"minimum": _SHORTEST_S, "maximum": _LONGEST_S}
        fields.problem(otp.place("period"), Text("“{key}” must be from {minimum} to {maximum} seconds", key="period", **bounds))

    return codes


def read_kerberos(fields: Fields) -> KerberosReference | None:
    """Return where tickets come from (`kerberos: true`: the user has them); None without them, or after noting a mistake."""
    node = fields.node("kerberos")
    if node is None:
        return None
    if isinstance(node, ScalarNode):
        return KerberosReference() if fields.boolean("kerberos") else None
    parts = fields.fields("kerberos")
    tickets = KerberosReference(
        principal=parts.text("principal"),
        password=read_secret(parts, "password"),
        keytab=parts.text("keytab"),
        ccache=parts.text("ccache"),
        optional=parts.boolean("optional") or False,
    )
    parts.done()
    given = [key for key in ("password", "keytab", "ccache") if parts.has(key)]
    if len(given) > 1:
        fields.problem(parts.key_place(given[1]), Text("tickets come from one of {ways}", ways="password, keytab, ccache"))
    if tickets.principal is None and {"password", "keytab"} & {*given}:
        hint = Text("name whose they are: principal: {example}", example="anna@EXAMPLE.NET")
        fields.problem(fields.key_place("kerberos"), Text("tickets without a principal"), hint)
    return tickets


def read_methods(fields: Fields) -> tuple[str, ...]:
    """Return the ways to log in that may be used, in their order; empty: all. What is none is noted."""
    methods = fields.texts("methods")
    for node in fields.text_nodes("methods"):
        if node.text not in METHODS:
            hint = did_you_mean(node.text, METHODS) or Text("it knows {keys}", keys=", ".join(METHODS))
            fields.problem(node.place, Text("“{name}” is not a way to log in", name=shown(node.text)), hint)
    return tuple(dict.fromkeys(methods))
