"""Words of an inventory that say how the user of a login becomes another one: `become: {method: doas, user: oracle}`."""

from __future__ import annotations

from collections.abc import Mapping

from inventory.errors import Text
from inventory.fields import Fields
from inventory.host import Become, BecomeMethod, CredentialReference, Value
from inventory.names import shown

BECOME_METHODS = tuple(method.value for method in BecomeMethod)


def become_method(fields: Fields) -> BecomeMethod | None:
    """Return the program that a mapping names, None without one or after noting that it is none of ours."""
    method = fields.one_of("method", BECOME_METHODS)
    return None if method is None else BecomeMethod(method)


def become_user(fields: Fields) -> str | None:
    """Return whom a mapping says to become, None where it does not."""
    return user_name(fields, "user")


def user_name(fields: Fields, key: str, *, required: bool = False) -> str | None:
    """Return the name of a user, after noting it if no host can have such a one; None without the key."""
    user = fields.text(key, required=True) if required else fields.text(key)
    if fields.has(key) and user is not None and not is_user_name(user):
        fields.problem(fields.place(key), Text("“{name}” is not the name of a user", name=shown(user)))
    return user


def is_user_name(user: str) -> bool:
    """Tell whether a host could have such a user.

    >>> is_user_name("ops"), is_user_name("DOMAIN\\\\anna"), is_user_name("-s"), is_user_name("")
    (True, True, False, False)
    """
    return 0 < len(user) <= 256 and not user.startswith("-") and user.isprintable() and user == user.strip()


def become_of(said: Value, credential: CredentialReference | None) -> Become:
    """Return what holds for a host: key by key what is set for it, else what its credential says, else sudo to root."""
    words = said if isinstance(said, Mapping) else {}
    method = words.get("method") or (credential and credential.become_method)
    user = words.get("user") or (credential and credential.become_user)
    default = Become()
    return Become(method=BecomeMethod(str(method)) if method else default.method, user=str(user) if user else default.user)
