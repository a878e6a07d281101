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

_ABOUT: Final = re.compile(
    rb"(file|directory|link|other|absent) ([0-7]{1,4}|-):([^:\n]+):([^:\n]+):(\d{1,18})(?::(\d{1,10}):(\d{1,10}))?"
)
_COMPARED_WHOLE: Final = 256 * 1024
"""Bytes of a file that travel here to be compared; of a longer one its digest does."""
_FEW: Final = 2
"""Names below / (a drive, a share) that a folder has at least which may go with all that is in it."""
_NAMELESS: Final = ("UNKNOWN", "")
"""What stat(1) says of a number that is no user, or no group, of the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is at a path."""

    kind: str
    mode: str = ""
    owner: str = ""
    group: str = ""
    uid: str = ""
    gid: str = ""
    content: bytes | None = None
    """Of a file that is not too long to compare by itself."""
    digest: str = ""
    target: str = ""
    to_folder: bool = False
    """A link that Windows holds for a folder, as it holds those of profiles and logs that lie on another drive."""
    filled: bool = False


def read_found(answer: Answer, platform: Platform) -> Found:
    """Return what the look found; raises ValueError where it was not understood."""
    head, _, rest = answer.stdout.replace(b"\r\n", b"\n", 2 if platform is Platform.WINDOWS else 0).partition(b"\n")
    about = _ABOUT.fullmatch(head.rstrip(b"\r"))
    if answer.exit_status != 0 or about is None:
        raise ValueError("not a look at a file")
    word, _, body = rest.partition(b"\n")
    kind, mode, owner, group = (part.decode("utf-8", "backslashreplace") for part in about.groups()[:4])
    uid, gid = ((part or b"").decode("ascii") for part in about.groups()[5:])
    found = Found(kind=kind, mode=mode, owner=owner, group=group, uid=uid, gid=gid)
    match word.rstrip(b"\r").split():
        case [b"content"] if len(body) == int(about[5]):
            return replace(found, content=body, digest=hashlib.sha256(body).hexdigest())
        case [b"base64"]:
            content = base64.b64decode(body, validate=False)
            return replace(found, content=content, digest=hashlib.sha256(content).hexdigest())
        case [b"digest", digest]:
            return replace(found, digest=digest.decode("ascii"))
        case [b"target" | b"folder" as leads]:
            target = body.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
            return replace(found, target=target, to_folder=leads == b"folder")
        case [b"filled" | b"empty" as filled]:
            return replace(found, filled=filled == b"filled")
        case []:
            return found
    raise ValueError("not a look at a file")


def look_at_file(values: Values, platform: Platform) -> Look:
    """Return the script that looks; raises NotThere for a path that is not absolute."""
    limit = -1 if values.get("hidden") else _COMPARED_WHOLE
    return script(f"file_look.{_suffix(platform)}"), {"path": plain_path(values["path"], platform), "limit": limit}


def plain_path(path: str, platform: Platform) -> str:
    r"""Return a path without what says nothing (`.`, a slash too many or behind it); raises NotThere for what is not absolute.

    With a slash behind it a link is the folder that it leads to: one thing to look at, another to remove.

    >>> plain_path("//var/./log//app/", Platform.LINUX), plain_path(r"C:/Logs\.\app/", Platform.WINDOWS)
    ('/var/log/app', 'C:\\Logs\\app')
    """
    windows = platform is Platform.WINDOWS
    top = re.match(r"[A-Za-z]:[\\/]|[\\/]{2}" if windows else "/", path)
    if top is None or "\0" in path:
        raise NotThere(Text("“{path}” is not an absolute path", path=path))
    names = [name for name in re.split(r"[\\/]" if windows else "/", path[top.end() :]) if name not in ("", ".")]
    if ".." in re.split(r"[/\\]", path):
        raise NotThere(Text("“{path}” has “..” in it", path=path))
    if windows and any(name != name.rstrip(". ") for name in names):
        raise NotThere(Text("“{path}” has a name that ends with a dot or a blank, which Windows leaves out", path=path))
    return top[0].replace("/", "\\") + "\\".join(names) if windows else "/" + "/".join(names)


def _depth(path: str, platform: Platform) -> int:
    """Return how many names a path has below its root: `/`, a drive, or a share of a server."""
    names = [name for name in re.split(r"[\\/]" if platform is Platform.WINDOWS else "/", path) if name]
    return len(names) if platform is not Platform.WINDOWS else len(names) - (2 if path.startswith("\\\\") else 1)


def decide_file(values: Values, platform: Platform, answer: Answer) -> Decision:
    """Return what makes of what is there what is wanted."""
    found, values = read_found(answer, platform), {**values, "path": plain_path(values["path"], platform)}
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
        number = {"owner": found.uid, "group": found.gid}.get(name)
        if name == "mode":
            want, have = (one.lstrip("0") or "0" if one else one for one in (want, have))
        elif number and (have in _NAMELESS or (want or "").isdecimal()):
            have, want = number, want and (want.lstrip("0") or "0" if want.isdecimal() else want)
        if want is not None and found.kind != "absent" and want != have:
            diff += setting(name, have, want)
        wanted[name] = want if want is not None else (have if have not in ("", "-") else "")
    return tuple(diff), wanted


def _set(what: str, values: Values, wanted: Mapping[str, str], **also: Any) -> dict[str, Any]:
    return {"what": what, "path": values["path"], "target": "", "mode": "", "owner": "", "group": "", **wanted, **also}


def _absent(values: Values, platform: Platform, found: Found, data: Mapping[str, Any]) -> Decision:
    if found.kind == "absent":
        return Decision(data=data)
    if found.filled and not values.get("recursive"):
        raise NotThere(Text("the folder {path} is not empty: “recursive: true” takes all that is in it", path=values["path"]))
    if found.kind == "directory" and _depth(values["path"], platform) < _FEW:
        raise NotThere(Text("{path} is not removed: it is a folder of the system", path=values["path"]))
    what = "absent_all" if found.filled else "absent"
    diff = (f"-{found.kind} {values['path']}" + (" and all that is in it" if found.filled else ""),)
    return Decision(diff=diff, script=script(f"file_set.{_suffix(platform)}"), variables=_set(what, values, {}), data=data)


def _directory(values: Values, platform: Platform, found: Found, data: Mapping[str, Any]) -> Decision:
    if found.to_folder:
        return Decision(data=data)
    if found.kind not in ("absent", "directory"):
        raise NotThere(Text("{path} is a {kind}, not a folder", path=values["path"], kind=found.kind))
    diff, wanted = _owned(values, found, platform)
    if found.kind == "absent":
        diff = (f"+directory {values['path']}",)
    if not diff:
        return Decision(data=data)
    if wanted.get("mode"):
        wanted["mode"] = wanted["mode"].zfill(5)  # with fewer digits chmod(1) leaves a folder its setuid and setgid bits
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
    if found.kind in ("directory", "other") or found.to_folder:
        raise NotThere(Text("{path} is a {kind}, not a file", path=values["path"], kind=found.kind))
    if found.kind == "link" and wanted_content(values) is None:
        leads = {"path": values["path"], "target": found.target}
        raise NotThere(Text("{path} is a link to {target}: name what it leads to, or say its content", **leads))
    want = wanted_content(values)
    own, wanted = _owned(values, found, platform)
    if found.kind == "file" and (want is None or found.digest == hashlib.sha256(want).hexdigest()):
        if not own:
            return Decision(data=data)
        return Decision(diff=own, script=script("file_set.sh"), variables=_set("own", values, wanted), data=data)
    want = want or b""
    if found.kind == "link":
        wanted = {name: values.get(name) or "" for name in ("mode", "owner", "group")}
    diff = _content_diff(values, found, want)
    variables = {"path": values["path"], "validate": values.get("validate") or ""}
    if platform is Platform.WINDOWS:
        packed = base64.b64encode(want).decode("ascii")
        return Decision(diff=diff, script=script("file_put.ps1"), variables={**variables, "packed": packed}, data=data)
    return Decision(diff=(*diff, *own), script=script("file_put.sh"), variables={**variables, **wanted}, stdin=want, data=data)


def _content_diff(values: Values, found: Found, want: bytes) -> tuple[str, ...]:
    """Return what a content would be instead of what is there; of what must not be shown, how long it is."""
    diff = text_diff(found.content if found.kind == "file" else None, want)
    if values.get("hidden"):
        diff = (f"+({len(want)} bytes)",)
    elif found.kind == "file" and found.content is None:
        diff = setting("sha256", found.digest, hashlib.sha256(want).hexdigest())
    if found.kind == "link":
        return (f"-link {found.target}", *diff)
    return diff or (f"+file {values['path']}",) if found.kind == "absent" else diff


def wanted_content(values: Values) -> bytes | None:
    """Return what a file shall have in it; None: what it has."""
    if values.get("data") is not None and values.get("content") is None:
        return bytes(values["data"])
    content = values.get("content")
    return None if content is None else str(content).encode("utf-8", "surrogateescape")
