"""References to secrets in files of ours: where a secret is kept, never the secret itself."""

from __future__ import annotations

from inventory.errors import Text
from inventory.fields import Fields
from inventory.host import SecretReference
from inventory.names import BadName, group_name
from inventory.nodes import MapNode, ScalarNode

KINDS = ("file", "env", "keyring", "prompt", "secret")
"""Where a secret can be kept: a file, an environment variable, the keyring (`service/user`), the user's head, the file that
`longarm secret set` writes. Any other kind is the name of a declared store."""

HOW = Text(
    "say where it is kept: {example}",
    example="{secret: NAME}, {file: PATH}, {env: NAME}, {keyring: SERVICE/USER} or {prompt: WORDS}",
)


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
