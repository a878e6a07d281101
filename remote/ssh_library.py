"""asyncssh, imported in one place.

While it is imported it looks for liboqs and nettle by `ctypes.util.find_library`, which starts ldconfig
and, where one is installed, a compiler: 0.1 to 0.3 s of CPU and nine processes (measured). Neither is
needed: ML-KEM comes from `cryptography`, and umac is no loss beside AES-GCM. So it finds none.

It also loads all of `cryptography.x509` (15 ms) only to learn that pyOpenSSL, which its X.509 certificates need
too, is not there. We accept none (ssh_options.py), so it is told at once. The same with `gssapi` (37 ms), where it is
installed: Kerberos has a module of its own, which imports it when a credential has tickets.

Every connection over a network imports this module, WinRM's too: a version with known holes is refused here, at the start.
"""

from __future__ import annotations

import ctypes.util
import logging
import sys
import warnings
from types import ModuleType
from typing import cast

import cryptography

from remote.safe_versions import ASYNCSSH, CRYPTOGRAPHY, refuse_unsafe

refuse_unsafe(CRYPTOGRAPHY, cryptography.__version__)
_NOT_IMPORTED = {name: sys.modules.get(name) for name in ("asyncssh.crypto.x509", "gssapi")}
_find_library, ctypes.util.find_library = ctypes.util.find_library, lambda name: None  # noqa: ARG005 (its signature)
for _name in _NOT_IMPORTED:
    sys.modules[_name] = cast("ModuleType", None)  # how Python notes that a module cannot be imported
try:
    import asyncssh
finally:
    ctypes.util.find_library = _find_library
    for _name, _module in _NOT_IMPORTED.items():
        if _module is None:
            del sys.modules[_name]
        else:
            sys.modules[_name] = _module


refuse_unsafe(ASYNCSSH, asyncssh.__version__)

GSSError: type[Exception] = asyncssh.gss.GSSError  # type: ignore[attr-defined]
"""What asyncssh takes for an error of Kerberos: a stand-in of its own, since it found no gssapi."""

warnings.filterwarnings("ignore", message="Diffie-Hellman over finite fields", category=UserWarning)
"""cryptography's word to asyncssh's authors, and a line on stderr for each host that agrees on such a key exchange."""

logging.getLogger("asyncssh").disabled = True  # one line per packet stage, formatted even if nobody listens: measured 6 %

__all__ = ["GSSError", "asyncssh"]
