"""Files to and from real servers: whole or not at all, by SFTP and by commands, and what stands in the way, in words."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import Any

import pytest

from inventory.host import Host
from remote.answer import Ended
from remote.command import Command, CommandResult
from remote.files import Destination, Part, Reason, Transfer, TransferFailed
from remote.files.getting import get_file
from remote.files.steps import Steps, text
from remote.question import Privilege
from remote.session import Session

DEADLINE_S = 60.0
DATA = bytes(range(256)) * 2000 + b"the end"
DIGEST = hashlib.sha256(DATA).hexdigest()
FOLDER = Path(__file__).parent.parent.parent / "remote" / "files"
CARRIED = {"local": "exec", "openssh": "sftp", "dropbear": "exec", "tinysshd": "exec", "jumped": "exec", "paramiko": "exec"}


@pytest.fixture(
    params=[
        "local",
        pytest.param("openssh", marks=pytest.mark.server),
        pytest.param("dropbear", marks=pytest.mark.server),
        pytest.param("tinysshd", marks=pytest.mark.server),
        pytest.param("jumped", marks=pytest.mark.server),
        pytest.param("paramiko", marks=pytest.mark.server),
    ]
)
def named_session(request: pytest.FixtureRequest) -> tuple[str, Session]:
    found: Session = request.getfixturevalue(f"{request.param}_session")
    return request.param, found


@pytest.fixture
def session(named_session: tuple[str, Session]) -> Session:
    return named_session[1]


@pytest.fixture
def far(tmp_path: Path) -> Path:
    """Return a folder that is the host's, with a name that a shell would take apart."""
    folder = tmp_path / "it's $HOME; a folder"
    folder.mkdir()
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def put(session: Session, path: Path, data: bytes = DATA, **more: Any) -> Transfer:
    return await session.put(data, Destination(path=str(path), **more), deadline_s=DEADLINE_S)


async def fails_to_put(session: Session, path: Path, **more: Any) -> TransferFailed:
    with pytest.raises(TransferFailed) as failed:
        await put(session, path, **more)
    return failed.value


async def fails_to_get(session: Session, path: Path | str, to: Path, max_bytes: int = 10**6) -> TransferFailed:
    with pytest.raises(TransferFailed) as failed:
        await session.get(str(path), to, max_bytes=max_bytes, deadline_s=DEADLINE_S)
    return failed.value


async def test_a_file_arrives_whole_with_its_mode_and_nothing_else(named_session: tuple[str, Session], far: Path) -> None:
    kind, session = named_session
    steps: list[tuple[int, int]] = []
    target = Destination(path=str(far / "new file"), mode=0o640)
    transfer = await session.put(DATA, target, deadline_s=DEADLINE_S, progress=lambda *step: steps.append(step))
    assert (transfer.digest, transfer.size_bytes, transfer.carried_by) == (DIGEST, len(DATA), CARRIED[kind])
    assert transfer.compared_by == "sha256sum"
    assert (far / "new file").read_bytes() == DATA
    assert (far / "new file").stat().st_mode & 0o7777 == 0o640
    assert names(far) == ["new file"]
    assert steps == sorted(steps) and steps[-1] == (len(DATA), len(DATA))


async def test_an_empty_file_and_one_on_disk_arrive_too(session: Session, far: Path, here: Path) -> None:
    (here / "source").write_bytes(DATA)
    await put(session, far / "empty", b"")
    await session.put(here / "source", Destination(path=str(far / "copy")), deadline_s=DEADLINE_S)
    assert ((far / "empty").read_bytes(), (far / "copy").read_bytes()) == (b"", DATA)


async def test_what_was_there_is_replaced_and_a_link_is_not_followed(session: Session, far: Path) -> None:
    (far / "old").write_text("old")
    (far / "link").symlink_to(far / "old")
    await put(session, far / "link")
    assert (far / "old").read_text() == "old"
    assert (far / "link").read_bytes() == DATA and not (far / "link").is_symlink()


async def test_a_file_is_got_as_it_is_into_one_of_ours(named_session: tuple[str, Session], far: Path, here: Path) -> None:
    kind, session = named_session
    (far / "log").write_bytes(DATA * 4)
    transfer = await session.get(str(far / "log"), here / "mine", max_bytes=10**7, deadline_s=DEADLINE_S)
    assert (here / "mine").read_bytes() == DATA * 4
    assert (transfer.size_bytes, transfer.carried_by, transfer.resumed_at) == (4 * len(DATA), CARRIED[kind], 0)
    assert (here / "mine").stat().st_mode & 0o777 == 0o600
    assert names(here) == ["mine"]


async def test_what_stands_in_the_way_of_a_put_is_said(session: Session, far: Path) -> None:
    (far / "folder").mkdir()
    os.mkfifo(far / "pipe")
    assert (await fails_to_put(session, far / "folder")).reason is Reason.IS_DIRECTORY
    assert (await fails_to_put(session, far / "none" / "file")).reason is Reason.NO_FOLDER
    assert (await fails_to_put(session, far / "pipe")).reason is Reason.NOT_REGULAR
    assert (await fails_to_put(session, Path("/proc/longarm"))).reason in {
        Reason.NO_PERMISSION,
        Reason.MISSING,
        Reason.NO_FOLDER,
    }
    assert names(far) == ["folder", "pipe"]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away, which only root can")
async def test_a_file_is_handed_over_before_it_stands_under_its_name(session: Session, far: Path) -> None:
    await put(session, far / "theirs", mode=0o4750, owner="nobody:nogroup")
    status = (far / "theirs").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (65534, 65534, 0o4750)
    failed = await fails_to_put(session, far / "nobodys", owner="no-such-user")
    assert failed.reason is Reason.OTHER and "no-such-user" in str(failed)
    assert names(far) == ["theirs"]


@pytest.mark.skipif(os.geteuid() != 0, reason="it is root whom others could mislead")
async def test_root_puts_nothing_where_everyone_may_rename(session: Session, far: Path) -> None:
    far.chmod(0o777)  # noqa: ASYNC240 (a test's own file)
    assert (await fails_to_put(session, far / "file")).reason is Reason.OPEN_TO_OTHERS
    far.chmod(0o1777)  # noqa: ASYNC240 (likewise)
    assert (await put(session, far / "file")).digest == DIGEST


async def test_what_stands_in_the_way_of_a_get_is_said(session: Session, far: Path, here: Path) -> None:
    (far / "folder").mkdir()
    os.mkfifo(far / "pipe")
    (far / "log").write_bytes(DATA)
    with (far / "sparse").open("wb") as sparse:
        sparse.truncate(2**40)
    (far / "gone").symlink_to("nowhere")
    to = here / "mine"
    to.write_text("mine")
    assert (await fails_to_get(session, far / "folder", to)).reason is Reason.IS_DIRECTORY
    assert (await fails_to_get(session, far / "pipe", to)).reason is Reason.NOT_REGULAR
    assert (await fails_to_get(session, "/dev/zero", to)).reason is Reason.NOT_REGULAR
    assert (await fails_to_get(session, far / "none", to)).reason is Reason.MISSING
    assert (await fails_to_get(session, far / "gone", to)).reason is Reason.MISSING
    assert (await fails_to_get(session, far / "sparse", to)).reason is Reason.TOO_LARGE
    assert (await fails_to_get(session, far / "log", to, max_bytes=10)).reason is Reason.TOO_LARGE
    assert to.read_text() == "mine"
    assert names(here) == ["mine"]


ODD = ["C:\\x", "..\\..\\x", "a:b", "CON", "NUL.txt", "-rf", "a\nb", "\x1b]0;x\a", "$(id)", "x" * 255]
"""Names on a host that elsewhere are a path, a stream, a device, an option, a line, a command; one as long as may be."""
NOWHERE = ["x" * 3000, "..", "../..", "none/../../x", "x" * 4096, "x/" * 2048 + "x", "a\0b"]
"""Names of nothing that could be got: too long for a file, folders, what leads out of the folder; no path at all."""


def tree(folder: Path) -> dict[str, str]:
    """Return the digest of each file under a folder, and what else there is."""
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "" for path in folder.rglob("*")}


async def test_the_name_of_a_hosts_file_is_no_place_of_ours(session: Session, far: Path, here: Path, tmp_path: Path) -> None:
    data = DATA[:3000]
    for name in ODD:
        (far / name).write_bytes(data)
    before = tree(tmp_path)
    for name in ODD:
        await session.get(str(far / name), here / "mine", max_bytes=10**6, deadline_s=DEADLINE_S)
        assert tree(tmp_path) == before | {str(here / "mine"): hashlib.sha256(data).hexdigest()}, name


async def test_what_cannot_be_got_leaves_everything_as_it_was(session: Session, far: Path, here: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    for name in NOWHERE:
        with pytest.raises(ValueError if len(name) > 4000 or "\0" in name else TransferFailed):
            await session.get(f"{far}/{name}", here / "mine", max_bytes=10**6, deadline_s=DEADLINE_S)
        assert tree(tmp_path) == before, name


def arrived_before(far: Path, data: bytes) -> Part:
    """Return a part that a put left, of which some bytes have arrived."""
    folder = far / ".longarm-1.part"
    folder.mkdir(mode=0o700)
    (folder / folder.name).write_bytes(data)
    return Part(name=str(folder / folder.name), digest=DIGEST, size_bytes=len(DATA))


async def test_a_put_goes_on_where_it_was_cut_off(session: Session, far: Path) -> None:
    part = arrived_before(far, DATA[:300_000])
    target = Destination(path=str(far / "file"))
    transfer = await session.put(DATA, target, deadline_s=DEADLINE_S, resume=part)
    assert (transfer.resumed_at, (far / "file").read_bytes()) == (300_000, DATA)
    assert names(far) == ["file"]


async def test_what_somebody_changed_meanwhile_is_found_out(session: Session, far: Path) -> None:
    part = arrived_before(far, b"x" * 300_000)
    (far / "file").write_text("old")
    with pytest.raises(TransferFailed) as failed:
        await session.put(DATA, Destination(path=str(far / "file")), deadline_s=DEADLINE_S, resume=part)
    assert (failed.value.reason, failed.value.part) == (Reason.DIFFERS, None)
    assert names(far) == ["file"] and (far / "file").read_text() == "old"


async def test_a_get_goes_on_where_it_was_cut_off(session: Session, far: Path, here: Path) -> None:
    (far / "log").write_bytes(DATA * 5)
    (here / ".mine.part").write_bytes((DATA * 5)[:1_300_000])
    part = Part(name=str(here / ".mine.part"), size_bytes=len(DATA) * 5)
    transfer = await session.get(str(far / "log"), here / "mine", max_bytes=10**7, deadline_s=DEADLINE_S, resume=part)
    assert (here / "mine").read_bytes() == DATA * 5
    assert transfer.resumed_at == 1024 * 1024  # whole pieces only


class Unreached:
    """A session whose connection is gone."""

    host = Host(name="node", address="192.0.2.1")

    async def run(self, command: Command, *, deadline_s: float) -> CommandResult:
        return CommandResult(ended=Ended.LOST, exit_status=None, why="connection lost")


async def test_a_get_that_cannot_go_on_loses_nothing_of_what_had_arrived(here: Path) -> None:
    async def nothing_better(_: Steps) -> None:
        return None

    part = Part(name=str(here / ".mine.part"), size_bytes=7)
    (here / ".mine.part").write_bytes(b"half")
    with pytest.raises(TransferFailed) as failed:
        await get_file(
            Unreached(),
            "/var/log/far",
            here / "mine",
            max_bytes=10,
            deadline_s=DEADLINE_S,
            privilege=Privilege.USER,
            open_carrier=nothing_better,
            resume=part,
        )
    assert (failed.value.reason, failed.value.part) == (Reason.LOST, part)
    assert (here / ".mine.part").read_bytes() == b"half"


async def test_whoever_stops_a_get_leaves_nothing_behind(session: Session, far: Path, here: Path) -> None:
    (far / "log").write_bytes(DATA * 5)

    def stop(*_: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        await session.get(str(far / "log"), here / "mine", max_bytes=10**7, deadline_s=DEADLINE_S, progress=stop)
    assert names(here) == []


async def test_a_link_where_our_part_lies_is_not_followed(session: Session, far: Path, here: Path) -> None:
    (far / "log").write_bytes(DATA)
    (here / "precious").write_text("precious")
    (here / ".mine.part").symlink_to(here / "precious")
    await session.get(str(far / "log"), here / "mine", max_bytes=10**7, deadline_s=DEADLINE_S)
    assert (here / "precious").read_text() == "precious"
    assert (here / "mine").read_bytes() == DATA


def step(name: str, given: dict[str, str], shell: str = "/bin/sh", tools: Path | None = None) -> int:
    """Return how one step of a transfer ends here."""
    path = f"{tools}:{os.environ['PATH']}" if tools else os.environ["PATH"]
    return subprocess.run(
        [*shell.split(), "-c", text(name)], env={"PATH": path, **given}, input=b"more", check=False, capture_output=True
    ).returncode


STEPS = ("append", "arrived", "finish", "forget")


def leads_to_roots(ours: Path, roots: Path) -> None:
    ours.rename(ours.with_name("gone"))
    ours.symlink_to(roots)


def becomes_his(ours: Path, _: Path) -> None:
    os.chown(ours, 65534, 65534)


def is_opened(ours: Path, _: Path) -> None:
    ours.chmod(0o777)


def holds_a_link(ours: Path, roots: Path) -> None:
    (ours / ours.name).unlink()
    (ours / ours.name).symlink_to(roots / ours.name)


def goes_away(ours: Path, _: Path) -> None:
    shutil.rmtree(ours)


TAKEN = (leads_to_roots, becomes_his, is_opened, holds_a_link, goes_away)
"""What may become of our folder, given it and one of root's in which a file of that name lies."""


@pytest.mark.skipif(os.geteuid() != 0, reason="it is root whom others could mislead")
@pytest.mark.parametrize("taken", TAKEN)
def test_root_goes_into_no_folder_that_stands_in_the_place_of_ours(
    taken: Callable[[Path, Path], None], tmp_path: Path, far: Path
) -> None:
    roots = tmp_path / "roots"
    for name in STEPS:
        part = Path(arrived_before(far, b"").name)
        roots.mkdir()
        precious = roots / part.name
        precious.write_text("root's own")
        taken(part.parent, roots)
        before = precious.stat().st_ctime_ns
        given = {"path": str(far / "file"), "part": str(part), "wanted": "", "owner": "nobody", "mode": "0666", "offset": "10"}
        status = step(name, given)
        assert status == 27 or (name, taken) == ("forget", holds_a_link)
        assert precious.read_text() == "root's own" and precious.stat().st_ctime_ns == before
        shutil.rmtree(roots)
        shutil.rmtree(far)
        far.mkdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="it is root whom others could mislead")
@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
def test_what_is_swapped_while_root_is_at_it_leads_nowhere(shell: str, tmp_path: Path, far: Path) -> None:
    """Once in our folder, names lead where they led: our folder is taken away and the target becomes a link to a folder."""
    part, roots, tools = Path(arrived_before(far, DATA).name), tmp_path / "roots", tmp_path / "tools"
    roots.mkdir()
    (roots / part.name).write_text("root's own")
    tools.mkdir()
    swap = f"mv {quote(str(part.parent))} {quote(str(far / 'gone'))}; ln -s {quote(str(roots))} {quote(str(part.parent))}\n"
    swap += f"ln -s {quote(str(roots))} {quote(str(far / 'file'))}\n"
    (tools / "chown").write_text(f'#!/bin/sh\n{swap}exec {shutil.which("chown")} "$@"\n')
    (tools / "chown").chmod(0o755)
    given = {"path": str(far / "file"), "part": str(part), "wanted": DIGEST, "owner": "nobody", "mode": "0600"}
    assert step("finish", given, shell, tools) == 0
    assert (far / "file").read_bytes() == DATA and not (far / "file").is_symlink()
    assert (far / "file").stat().st_uid == 65534
    assert names(roots) == [part.name] and (roots / part.name).read_text() == "root's own"
    assert (roots / part.name).stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="it is root whom others could mislead")
@pytest.mark.parametrize(
    ("way", "status"), [("true", 0), ("chown nobody /mnt", 31), ("chmod 775 /mnt", 31), ("chmod 1777 /mnt", 31)]
)
def test_root_follows_a_link_on_the_way_only_where_nobody_else_could_have_put_it(way: str, status: int) -> None:
    made = f'mount -t tmpfs none /mnt; chmod 755 /mnt; mkdir /mnt/real /mnt/users; ln -s real /mnt/link; {way}; exec sh -c "$1"'
    given = {"path": "/mnt/link/file", "part": "/mnt/link/.longarm-1.part/.longarm-1.part"}
    command = ["unshare", "-m", "sh", "-c", made, "sh", text("begin") + "\n[ -f /mnt/real/.longarm-1.part/.longarm-1.part ]"]
    done = subprocess.run(command, env={"PATH": os.environ["PATH"], **given}, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (status, b"")


def test_only_absolute_paths_of_files_and_real_owners_are_taken() -> None:
    for wrong in ("relative", "/folder/", "/a/..", "/nul\0", "/" + "x" * 5000):
        with pytest.raises(ValueError, match="path"):
            Destination(path=wrong)
    for owner in ("", "a b", "-R", "root;id", "a:b:c"):
        with pytest.raises(ValueError, match="owner"):
            Destination(path="/file", owner=owner)


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.sh")))
def test_shellcheck_has_nothing_to_say(name: str, tmp_path: Path) -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("server: not installed: shellcheck")
    script = tmp_path / f"{name}.sh"
    script.write_text(text(name))
    not_set_here = "SC2154"  # variables come with the command
    checked = subprocess.run(
        ["shellcheck", "-s", "sh", "-e", not_set_here, script], capture_output=True, text=True, check=False, timeout=60
    )
    assert checked.stdout == ""
