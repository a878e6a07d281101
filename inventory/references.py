"""The `credentials:` section of an inventory: who to be on a host, and where the proof is kept, never the proof itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from inventory.become import become_method, become_user, user_name
from inventory.errors import Problem, Text
from inventory.fields import Fields
from inventory.host import CredentialReference, SecretReference
from inventory.kept import read_secret
from inventory.login_ways import read_codes, read_kerberos, read_methods
from inventory.names import BadName, group_name, label, shown
from inventory.nodes import MapNode, ScalarNode


def read_credentials(node: MapNode | None, problems: list[Problem]) -> dict[str, CredentialReference]:
    """Return the credentials of one file by name; a secret that is written out is refused, and not repeated in the message."""
    credentials = {}
    for key, value in node.entries if node else ():
        try:
            group_name(key.text)
        except BadName as error:
            problems.append(Problem(place=key.place, text=error.text, hint=error.hint))
        credentials[key.text] = _credential(key, Fields(value, problems, Text("the credential {name}", name=shown(key.text))))
    return credentials


def _credential(name: ScalarNode, fields: Fields) -> CredentialReference:
    named = fields.text("agent") == "named" if isinstance(fields.node("agent"), ScalarNode) else False
    agent = True if named else fields.boolean("agent")
    become = fields.fields("become")
    credential = CredentialReference(
        name=name.text,
        user=user_name(fields, "user", required=True) or "",
        key=fields.text("key"),
        certificate=fields.text("certificate"),
        passphrase=read_secret(fields, "passphrase"),
        agent=agent or False,
        only_named=named,
        password=read_secret(fields, "password"),
        otp=read_codes(fields),
        kerberos=read_kerberos(fields),
        methods=read_methods(fields),
        become_method=become_method(become),
        become_user=become_user(become),
        become_password=read_secret(become, "password"),
        customer=_customer(fields),
        place=name.place,
    )
    become.done()
    fields.done()
    proofs = [key for key in ("key", "password", "otp", "kerberos", "become") if _says_something(fields, key)]
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


def _says_something(fields: Fields, key: str) -> bool:
    node = fields.node(key)
    return node is not None and not (isinstance(node, ScalarNode) and node.value is False)


def _customer(fields: Fields) -> str | None:
    customer = fields.text("customer")
    try:
        return None if customer is None else label(customer)
    except BadName as error:
        fields.problem(fields.place("customer"), error.text, error.hint)
        return None


def secrets_of(credentials: Iterable[CredentialReference]) -> Iterator[tuple[SecretReference, str]]:
    """Yield each secret that credentials refer to, with who does: `ops.password`."""
    for credential in credentials:
        references: dict[str, SecretReference | None] = {
            "passphrase": credential.passphrase,
            "password": credential.password,
            "otp": (credential.otp.secret or credential.otp.typed) if credential.otp else None,
            "kerberos": credential.kerberos.password if credential.kerberos else None,
            "become": credential.become_password,
        }
        for key, reference in references.items():
            if reference is not None:
                yield reference, f"{credential.name}.{key}"
