"""asyncssh, imported in one place.

While it is imported it looks for liboqs and nettle by `ctypes.util.find_library`, which starts ldconfig
and, where one is installed, a compiler: 0.1 to 0.3 s of CPU and nine processes (measured). Neither is
needed: ML-KEM comes from `cryptography`, and umac is no loss beside AES-GCM. So it finds none.
"""

from __future__ import annotations

import ctypes.util
import logging

_find_library, ctypes.util.find_library = ctypes.util.find_library, lambda name: None  # noqa: ARG005 (its signature)
try:
    import asyncssh
finally:
    ctypes.util.find_library = _find_library

logging.getLogger("asyncssh").disabled = True  # one line per packet stage, formatted even if nobody listens: measured 6 %

__all__ = ["asyncssh"]
