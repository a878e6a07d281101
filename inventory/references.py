"""The `credentials:` section of an inventory: who to be on a host, and where the proof is kept, never the proof itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from inventory.errors import Problem, Text
from inventory.fields import Fields, did_you_mean
from inventory.host import METHODS, CodeReference, CredentialReference, SecretReference
from inventory.names import BadName, group_name, label, shown
from inventory.nodes import MapNode, ScalarNode

KINDS = ("file", "env", "keyring", "prompt", "secret")
"""Where a secret can be kept: a file, an environment variable, the keyring (`service/user`), the user's head, the file that
`longarm secret set` writes. Any other kind is the name of a declared store."""

HOW = Text(
    "say where it is kept: {example}",
    example="{secret: NAME}, {file: PATH}, {env: NAME}, {keyring: SERVICE/USER} or {prompt: WORDS}",
)


ALGORITHMS = ("SHA1", "SHA256", "SHA512")
"""What one-time codes can be computed with (RFC 6238)."""


def read_credentials(node: MapNode | None, problems: list[Problem]) -> dict[str, CredentialReference]:
    """Return the credentials of one file by name; a secret that is written out is refused, and not repeated in the message."""
    credentials = {}
    for key, value in node.entries if node else ():
        try:
            group_name(key.text)
        except BadName as error:
            problems.append(Problem(place=key.place, text=error.text, hint=error.hint))
        credentials[key.text] = _credential(key, Fields(value, problems, f"the credential {shown(key.text)}"))
    return credentials


def _credential(name: ScalarNode, fields: Fields) -> CredentialReference:
    named = fields.text("agent") == "named" if isinstance(fields.node("agent"), ScalarNode) else False
    agent = True if named else fields.boolean("agent")
    credential = CredentialReference(
        name=name.text,
        user=_user(fields),
        key=fields.text("key"),
        certificate=fields.text("certificate"),
        passphrase=read_secret(fields, "passphrase"),
        agent=agent or False,
        only_named=named,
        password=read_secret(fields, "password"),
        otp=_codes(fields),
        methods=_methods(fields),
        sudo_password=read_secret(fields, "sudo_password"),
        customer=_customer(fields),
        place=name.place,
    )
    fields.done()
    proofs = [key for key in ("key", "password", "otp", "sudo_password") if fields.has(key)]
    if fields.keys() and not proofs and not (fields.has("agent") and agent is not False):
        hint = Text("give it one of key, password or agent: true")
        fields.problem(name.place, Text("the credential {name} proves nothing", name=shown(name.text)), hint)
    for part in ("passphrase", "certificate"):
        if fields.has(part) and not fields.has("key"):
            fields.problem(fields.key_place(part), Text("a {part} without a key", part=part))
    if named and not fields.has("key"):
        hint = Text("name its file: a public key is enough, KEY.pub beside it")
        fields.problem(fields.place("agent"), Text("which key of the agent is meant, is said by “key”"), hint)
    return credential


def _codes(fields: Fields) -> CodeReference | None:
    """Return where one-time codes come from; None without them, or after noting what is wrong."""
    if not fields.has("otp"):
        return None
    otp = fields.fields("otp")
    before = len(fields.problems)
    typed = read_secret_of(otp, "prompt") if otp.has("prompt") else None
    codes = CodeReference(
        secret=read_secret(otp, "secret"),
        typed=typed,
        digits=otp.integer("digits", minimum=6, maximum=10) or 6,
        period_s=int(otp.duration("period") or 30),
        algorithm=otp.one_of("algorithm", ALGORITHMS) or ALGORITHMS[0],
        per_host=otp.boolean("per_host") or False,
    )
    otp.done()
    if len(fields.problems) == before and (codes.secret is None) == (codes.typed is None):
        hint = Text("say where it is kept: {example}", example="otp: {secret: {keyring: SERVICE/USER}} or otp: {prompt: WORDS}")
        fields.problem(fields.key_place("otp"), Text("one-time codes come from a secret or from a person"), hint)
    if not 5 <= codes.period_s <= 600:
        fields.problem(
            otp.place("period"),
            Text("“{key}” must be from {minimum} to {maximum} seconds", key="period", minimum=5, maximum=600),
        )
    return codes


def read_secret_of(fields: Fields, kind: str) -> SecretReference | None:
    """Return the reference that a key names which is a kind of secret itself, such as `prompt: WORDS`."""
    text = fields.text(kind)
    return None if text is None else SecretReference(kind=kind, value=text)


def _methods(fields: Fields) -> tuple[str, ...]:
    methods = fields.texts("methods")
    for node in fields.text_nodes("methods"):
        if node.text not in METHODS:
            hint = did_you_mean(node.text, METHODS) or Text("it knows {keys}", keys=", ".join(METHODS))
            fields.problem(node.place, Text("“{name}” is not a way to log in", name=shown(node.text)), hint)
    return tuple(dict.fromkeys(methods))


def _customer(fields: Fields) -> str | None:
    customer = fields.text("customer")
    try:
        return None if customer is None else label(customer)
    except BadName as error:
        fields.problem(fields.place("customer"), error.text, error.hint)
        return None


def _user(fields: Fields) -> str:
    user = fields.text("user", required=True)
    if user.startswith("-") or not user.isprintable() or user != user.strip() or len(user) > 256:
        fields.problem(fields.place("user"), Text("“{name}” is not the name of a user", name=shown(user)))
    return user


def read_secret(fields: Fields, key: str) -> SecretReference | None:
    """Return where the secret behind a key is kept; None without one, or after noting what is wrong with it."""
    node = fields.node(key)
    if node is None:
        return None
    if not isinstance(node, MapNode) or len(node.entries) != 1:
        fields.problem(node.place, Text("a secret is never written in an inventory: “{key}” must be a reference", key=key), HOW)
        return None
    kind, value = node.entries[0]
    if not isinstance(value, ScalarNode) or not (value.text or kind.text == "prompt"):
        fields.problem(value.place, Text("“{key}” must be a text", key=kind.text), HOW)
        return None
    if kind.text == "keyring" and not all(value.text.partition("/")):
        fields.problem(value.place, Text("a keyring entry is written SERVICE/USER"))
    if kind.text == "secret":
        try:
            group_name(value.text)
        except BadName as error:
            fields.problem(value.place, error.text, error.hint)
    return SecretReference(kind=kind.text, value=value.text, place=kind.place)


def secrets_of(credentials: Iterable[CredentialReference]) -> Iterator[tuple[SecretReference, str]]:
    """Yield each secret that credentials refer to, with who does: `ops.password`."""
    for credential in credentials:
        for key in ("passphrase", "password", "sudo_password"):
            if (reference := getattr(credential, key)) is not None:
                yield reference, f"{credential.name}.{key}"
