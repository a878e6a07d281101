"""The `credentials:` section of an inventory: who to be on a host, and where the proof is kept, never the proof itself."""

from __future__ import annotations

from inventory.errors import Problem, Text
from inventory.fields import Fields, did_you_mean
from inventory.host import CredentialReference, SecretReference
from inventory.names import BadName, group_name, label, shown
from inventory.nodes import MapNode, ScalarNode

KINDS = ("file", "env", "keyring", "prompt")
"""Where a secret can be kept: a file, an environment variable, the keyring (`service/user`), the user's head."""


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
    agent = fields.boolean("agent")
    credential = CredentialReference(
        name=name.text,
        user=_user(fields),
        key=fields.text("key"),
        passphrase=read_secret(fields, "passphrase"),
        agent=agent or False,
        password=read_secret(fields, "password"),
        sudo_password=read_secret(fields, "sudo_password"),
        customer=_customer(fields),
        place=name.place,
    )
    fields.done()
    proofs = [key for key in ("key", "password", "sudo_password") if fields.has(key)]
    if fields.keys() and not proofs and not (fields.has("agent") and agent is not False):
        hint = Text("give it one of key, password or agent: true")
        fields.problem(name.place, Text("the credential {name} proves nothing", name=shown(name.text)), hint)
    if fields.has("passphrase") and not fields.has("key"):
        fields.problem(fields.key_place("passphrase"), Text("a passphrase without a key"))
    return credential


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
    how = Text(
        "say where it is kept: {example}", example="{file: PATH}, {env: NAME}, {keyring: SERVICE/USER} or {prompt: WORDS}"
    )
    if not isinstance(node, MapNode) or len(node.entries) != 1:
        fields.problem(node.place, Text("a secret is never written in an inventory: “{key}” must be a reference", key=key), how)
        return None
    kind, value = node.entries[0]
    if kind.text not in KINDS:
        fields.problem(
            kind.place,
            Text("a secret cannot be kept in “{kind}”", kind=shown(kind.text)),
            did_you_mean(kind.text, KINDS) or how,
        )
        return None
    if not isinstance(value, ScalarNode) or not (value.text or kind.text == "prompt"):
        fields.problem(value.place, Text("“{key}” must be a text", key=kind.text), how)
        return None
    if kind.text == "keyring" and not all(value.text.partition("/")):
        fields.problem(value.place, Text("a keyring entry is written SERVICE/USER"))
    return SecretReference(kind=kind.text, value=value.text)
