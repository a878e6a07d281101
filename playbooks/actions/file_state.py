"""Files, folders and links: how a host says what is there, and what makes of it what is wanted."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from inventory.errors import Text
from inventory.host import Platform
from playbooks.actions.native import Decision, Look, NotThere, script, setting, text_diff
from playbooks.actions.row import Values
from remote.answer import Answer

_ABOUT: Final = re.compile(rb"(file|directory|link|other|absent) ([0-7]{1,4}|-):([^:\n]+):([^:\n]+):(\d{1,18})")
_COMPARED_WHOLE: Final = 256 * 1024
"""Bytes of a file that travel here to be compared; of a longer one its digest does."""
_FEW: Final = 2
"""Names below / that a folder has at least which may go with all that is in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is at a path."""

    kind: str
    mode: str = ""
    owner: str = ""
    group: str = ""
    content: bytes | None = None
    """Of a file that is not too long to compare by itself."""
    digest: str = ""
    target: str = ""
    filled: bool = False


def read_found(answer: Answer, platform: Platform) -> Found:
    """Return what the look found; raises ValueError where it was not understood."""
    head, _, rest = answer.stdout.replace(b"\r\n", b"\n", 2 if platform is Platform.WINDOWS else 0).partition(b"\n")
    about = _ABOUT.fullmatch(head.rstrip(b"\r"))
    if answer.exit_status != 0 or about is None:
        raise ValueError("not a look at a file")
    word, _, body = rest.partition(b"\n")
    kind, mode, owner, group = (part.decode("utf-8", "backslashreplace") for part in about.groups()[:4])
    found = Found(kind=kind, mode=mode, owner=owner, group=group)
    match word.rstrip(b"\r").split():
        case [b"content"] if len(body) == int(about[5]):
            return replace(found, content=body, digest=hashlib.sha256(body).hexdigest())
        case [b"base64"]:
            content = base64.b64decode(body, validate=False)
            return replace(found, content=content, digest=hashlib.sha256(content).hexdigest())
        case [b"digest", digest]:
            return replace(found, digest=digest.decode("ascii"))
        case [b"target"]:
            return replace(found, target=body.rstrip(b"\r\n").decode("utf-8", "surrogateescape"))
        case [b"filled" | b"empty" as filled]:
            return replace(found, filled=filled == b"filled")
        case []:
            return found
    raise ValueError("not a look at a file")


def look_at_file(values: Values, platform: Platform) -> Look:
    """Return the script that looks; raises NotThere for a path that is not absolute."""
    path = values["path"]
    if not re.match(r"/|[A-Za-z]:\\|\\\\", path) or "\0" in path:
        raise NotThere(Text("“{path}” is not an absolute path", path=path))
    if ".." in re.split(r"[/\\]", path):
        raise NotThere(Text("“{path}” has “..” in it", path=path))
    limit = -1 if values.get("hidden") else _COMPARED_WHOLE
    return script(f"file_look.{_suffix(platform)}"), {"path": path, "limit": limit}


def decide_file(values: Values, platform: Platform, answer: Answer) -> Decision:
    """Return what makes of what is there what is wanted."""
    found = read_found(answer, platform)
    data = {"path": values["path"], "before": found.kind}
    match values.get("state") or "present":
        case "absent":
            return _absent(values, platform, found, data)
        case "directory":
            return _directory(values, platform, found, data)
        case "link":
            return _link(values, platform, found, data)
    return _present(values, platform, found, data)


def _suffix(platform: Platform) -> str:
    return "ps1" if platform is Platform.WINDOWS else "sh"


def _owned(values: Values, found: Found, platform: Platform) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return how mode and ownership differ, and what they shall be: what is not said stays as it is."""
    if platform is Platform.WINDOWS:
        return (), {}
    diff: list[str] = []
    wanted = {}
    for name in ("mode", "owner", "group"):
        want, have = values.get(name), getattr(found, name)
        if name == "mode":
            want, have = (one.lstrip("0") or "0" if one else one for one in (want, have))
        if want is not None and found.kind != "absent" and want != have:
            diff += setting(name, have, want)
        wanted[name] = want if want is not None else (have if have not in ("", "-") else "")
    return tuple(diff), wanted


def _set(what: str, values: Values, wanted: Mapping[str, str], **also: Any) -> dict[str, Any]:
    return {"what": what, "path": values["path"], "target": "", "mode": "", "owner": "", "group": "", **wanted, **also}


def _absent(values: Values, platform: Platform, found: Found, data: Mapping[str, Any]) -> Decision:
    if found.kind == "absent":
        return Decision(data=data)
    names = [name for name in re.split(r"[/\\]", values["path"]) if name]
    if found.filled and not values.get("recursive"):
        raise NotThere(Text("the folder {path} is not empty: “recursive: true” takes all that is in it", path=values["path"]))
    if found.kind == "directory" and len(names) < _FEW:
        raise NotThere(Text("{path} is not removed: it is a folder of the system", path=values["path"]))
    what = "absent_all" if found.filled else "absent"
    diff = (f"-{found.kind} {values['path']}" + (" and all that is in it" if found.filled else ""),)
    return Decision(diff=diff, script=script(f"file_set.{_suffix(platform)}"), variables=_set(what, values, {}), data=data)


def _directory(values: Values, platform: Platform, found: Found, data: Mapping[str, Any]) -> Decision:
    if found.kind not in ("absent", "directory"):
        raise NotThere(Text("{path} is a {kind}, not a folder", path=values["path"], kind=found.kind))
    diff, wanted = _owned(values, found, platform)
    if found.kind == "absent":
        diff = (f"+directory {values['path']}",)
    if not diff:
        return Decision(data=data)
    variables = _set("directory", values, wanted)
    return Decision(diff=diff, script=script(f"file_set.{_suffix(platform)}"), variables=variables, data=data)


def _link(values: Values, platform: Platform, found: Found, data: Mapping[str, Any]) -> Decision:
    target = values["target"]
    if found.kind == "directory":
        raise NotThere(Text("{path} is a folder, not a link", path=values["path"]))
    if found.kind == "link" and found.target == target:
        return Decision(data=data)
    before = (f"-{found.kind} {found.target}".rstrip(),) if found.kind != "absent" else ()
    variables = _set("link", values, {}, target=target)
    return Decision(
        diff=(*before, f"+link {target}"), script=script(f"file_set.{_suffix(platform)}"), variables=variables, data=data
    )


def _present(values: Values, platform: Platform, found: Found, data: Mapping[str, Any]) -> Decision:
    if found.kind in ("directory", "other"):
        raise NotThere(Text("{path} is a {kind}, not a file", path=values["path"], kind=found.kind))
    want = wanted_content(values)
    own, wanted = _owned(values, found, platform)
    if want is None:
        if found.kind != "file":
            want = b""
        elif not own:
            return Decision(data=data)
        else:
            variables = _set("own", values, wanted)
            return Decision(diff=own, script=script("file_set.sh"), variables=variables, data=data)
    if found.kind == "file" and found.digest == hashlib.sha256(want).hexdigest():
        if not own:
            return Decision(data=data)
        return Decision(diff=own, script=script("file_set.sh"), variables=_set("own", values, wanted), data=data)
    content = text_diff(found.content if found.kind == "file" else None, want)
    if values.get("hidden"):
        content = (f"+({len(want)} bytes)",)
    elif found.kind == "file" and found.content is None:
        content = setting("sha256", found.digest, hashlib.sha256(want).hexdigest())
    if found.kind == "link":
        content = (f"-link {found.target}", *content)
        wanted = {"mode": values.get("mode") or "", "owner": values.get("owner") or "", "group": values.get("group") or ""}
    if found.kind == "absent" and not content:
        content = (f"+file {values['path']}",)
    variables = {"path": values["path"], "validate": values.get("validate") or ""}
    if platform is Platform.WINDOWS:
        packed = base64.b64encode(want).decode("ascii")
        return Decision(diff=content, script=script("file_put.ps1"), variables={**variables, "packed": packed}, data=data)
    return Decision(
        diff=(*content, *own), script=script("file_put.sh"), variables={**variables, **wanted}, stdin=want, data=data
    )


def wanted_content(values: Values) -> bytes | None:
    """Return what a file shall have in it; None: what it has."""
    if values.get("data") is not None and values.get("content") is None:
        return bytes(values["data"])
    content = values.get("content")
    return None if content is None else str(content).encode("utf-8", "surrogateescape")
