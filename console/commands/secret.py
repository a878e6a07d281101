"""`longarm secret set | rekey | list | remove | test`."""

from __future__ import annotations

from console import choices
from console.framework import Group, argument, option
from console.settings import Settings
from inventory.errors import Text

secret = Group("secret", Text("Secrets that credentials refer to: set, rekey, list, remove, test."))

_COLUMNS = {
    "secret": Text("secret"),
    "set_at": Text("set"),
    "used_by": Text("used by"),
}
_STEPS = {"what": Text("what"), "state": Text("state"), "detail": Text("detail"), "next": Text("next step")}


@secret.add(
    "set",
    Text("Keep a secret, typed or read from stdin, in the encrypted file of the home (NAME) or the keyring (keyring:…)."),
    argument("name", metavar="NAME", shell_complete=choices.secrets),
    option(
        "--with-key",
        text=Text("Let this key of the SSH agent open the file too; a new file is opened by it alone."),
        metavar="SHA256:…",
    ),
)
def set_(settings: Settings, name: str, with_key: str | None) -> None:
    """Keep a secret."""
    from console.secret_keeping import keep

    keep(settings, name, with_key)


@secret.add(
    "rekey",
    Text("Seal the encrypted file anew: opened by a new passphrase, or by a key of the SSH agent, and by nothing from before."),
    option("--with-key", text=Text("Let this key of the SSH agent open it, instead of a passphrase."), metavar="SHA256:…"),
)
def rekey(settings: Settings, with_key: str | None) -> None:
    """Seal the file of secrets anew."""
    from console import secret_keeping

    secret_keeping.rekey(settings, with_key)


@secret.add(
    "list", Text("List the secrets that are kept or referred to, with their age and who refers to them."), by_customer=True
)
def list_(settings: Settings) -> None:
    """List secrets, never their values."""
    from console.listing import show_list
    from console.secret_keeping import secret_rows

    show_list(settings.output, _COLUMNS, secret_rows(settings))


@secret.add(
    "remove",
    Text("Remove a secret from the encrypted file, or from the keyring (keyring:SERVICE/USER)."),
    argument("name", metavar="NAME", shell_complete=choices.secrets),
)
def remove(settings: Settings, name: str) -> int:
    """Remove a secret; 5 if the user declined."""
    from console.secret_keeping import forget

    return forget(settings, name)


@secret.add(
    "test",
    Text("Look whether a secret can be had, and with --host whether it lets us in."),
    argument("name", metavar="NAME", shell_complete=choices.secrets),
    option("--host", text=Text("Log in to this host with it."), metavar="HOST", shell_complete=choices.hosts),
    by_customer=True,
)
def test(settings: Settings, name: str, host: str | None) -> int:
    """Show a row for each step, the secret itself never; the exit code is that of the step that failed."""
    from console.listing import show_list
    from console.secret_keeping import tried

    rows, code = tried(settings, name, host)
    show_list(settings.output, _STEPS, rows)
    return code
