"""Which keyring of the system would be asked for secrets."""

from __future__ import annotations


def keyring_in_use() -> str | None:
    """Return the name of the keyring that would be asked; None on a machine that has none, as many without a desktop."""
    import keyring  # its back ends are looked for on import: only who asks pays for it
    from keyring.errors import KeyringError

    try:
        backend = keyring.get_keyring()
        usable = backend.priority > 0
    except (KeyringError, RuntimeError):  # the second one is what a back end's priority raises where it cannot work
        return None
    return f"{type(backend).__module__}.{type(backend).__name__}" if usable else None
