"""How other programs write a text down: the forms in which a secret comes back."""

from __future__ import annotations

import base64
import html
import json
import shlex
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

WIRES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "json": json.dumps,
    "json in UTF-8": lambda text: json.dumps(text, ensure_ascii=False),
    "json in json": lambda text: json.dumps({"out": json.dumps({"in": text})}),
    "json in json in UTF-8": lambda text: json.dumps(json.dumps(text, ensure_ascii=False), ensure_ascii=False),
    "path": quote,
    "query": quote_plus,
    "query of a form": lambda text: urlencode({"password": text}),
    "url component": lambda text: quote(text, safe=""),
    "html": html.escape,
    "html without quotes": lambda text: html.escape(text, quote=False),
    "python": repr,
    "python bytes": lambda text: repr(text.encode()),
    "sh": shlex.quote,
    "sh with backslashes": lambda text: "'" + text.replace("'", "'\\''") + "'",
    "powershell": lambda text: "'" + text.replace("'", "''") + "'",
    "hexadecimal": lambda text: text.encode().hex(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for urls": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "encoded command": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "basic authentication": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
}
