"""Native actions with real shells and tools: the plan is what the run then does, and a second run finds nothing to do."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from inventory.errors import InvalidFile
from playbooks.actions import ACTIONS
from playbooks.results import StepState
from tests.playbooks.playing import short
from tests.playbooks.real_hands import foreseen_here, played_here

SHELLS = {"dash": ("dash",), "ash": ("busybox", "sh")}
"""busybox sh prefers its own applets: stat, mktemp, sha256sum, mv are those of small hosts."""


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> Sequence[str]:
    return SHELLS[request.param]


def twice(steps: str, shell: Sequence[str]) -> tuple[str, ...]:
    """Return what a step would change, having seen that it does just that, and nothing when it is done again."""
    playbook = short(steps)
    (plan,) = foreseen_here(playbook, shell)
    first, _ = played_here(playbook, shell)
    (result,) = first.steps
    assert (result.state is StepState.CHANGED) is bool(plan.forecast.changes), result
    assert result.diff == plan.forecast.diff
    second, hands = played_here(playbook, shell)
    assert second.steps[0].state is StepState.OK and hands.sent == []
    assert foreseen_here(playbook, shell)[0].forecast.changes is False
    return result.diff


def test_a_file_gets_its_content_and_mode(tmp_path: Path, shell: Sequence[str]) -> None:
    path = tmp_path / "a file"
    steps = f"  - file: {{path: '{path}', content: \"one\\ntwo\\n\", mode: '0640'}}\n"
    assert twice(steps, shell) == ("+one", "+two")
    assert path.read_text() == "one\ntwo\n" and stat.S_IMODE(path.stat().st_mode) == 0o640
    path.write_text("one\n2\n")
    assert twice(steps, shell) == (" one", "-2", "+two")
    path.chmod(0o600)
    assert twice(steps, shell) == ("-mode 600", "+mode 640")
    assert [one.name for one in tmp_path.iterdir()] == ["a file"], "nothing else is left"


def test_what_is_not_said_stays_as_it_is(tmp_path: Path, shell: Sequence[str]) -> None:
    path = tmp_path / "x"
    path.write_text("old\n")
    path.chmod(0o4711)
    twice(f'  - file: {{path: "{path}", content: "new\\n"}}\n', shell)
    assert path.read_text() == "new\n" and stat.S_IMODE(path.stat().st_mode) == 0o4711


def test_content_is_bytes_whatever_they_are(tmp_path: Path, shell: Sequence[str]) -> None:
    (tmp_path / "beside").mkdir()
    data = bytes(range(256)) * 1500
    (tmp_path / "beside" / "blob").write_bytes(data)
    path = tmp_path / "there"
    playbook = short(f"  - file: {{path: '{path}', source: blob}}\n", folder=tmp_path / "beside")
    first, _ = played_here(playbook, shell)
    assert first.steps[0].state is StepState.CHANGED and path.read_bytes() == data
    second, hands = played_here(playbook, shell)
    assert second.steps[0].state is StepState.OK and not hands.sent


def test_a_template_may_be_a_file_beside_the_playbook(tmp_path: Path, shell: Sequence[str]) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "conf.j2").write_text("port = {{ params.port }}\n")
    path, params = tmp_path / "there", "params: {port: {type: int, default: 8080}}\n"
    steps = f"  - template: {{path: '{path}', source: conf.j2}}\n"
    first, _ = played_here(short(steps, params, folder=tmp_path / "beside"), shell)
    assert first.steps[0].state is StepState.CHANGED and path.read_text() == "port = 8080\n"
    both = steps.replace("source:", "content: x, source:")
    with pytest.raises(InvalidFile, match="a template is said by one of content, source"):
        short(both, params, folder=tmp_path / "beside")


def test_what_is_hidden_is_shown_nowhere(tmp_path: Path, shell: Sequence[str]) -> None:
    path = tmp_path / "x"
    path.write_text("old-canary\n")
    steps = f"  - file: {{path: '{path}', content: new-canary, hidden: true}}\n"
    (plan,) = foreseen_here(short(steps), shell)
    first, hands = played_here(short(steps), shell)
    assert "canary" not in str(plan) + str(first) and plan.forecast.diff == ("+(10 bytes)",)
    assert path.read_text() == "new-canary" and first.steps[0].state is StepState.CHANGED
    again, hands = played_here(short(steps), shell)
    assert again.steps[0].state is StepState.OK and not hands.sent


def test_a_link_is_not_followed_but_replaced(tmp_path: Path, shell: Sequence[str]) -> None:
    target, path = tmp_path / "target", tmp_path / "path"
    target.write_text("untouched")
    path.symlink_to(target)
    assert twice(f"  - file: {{path: '{path}', content: mine}}\n", shell) == (f"-link {target}", "+mine")
    assert target.read_text() == "untouched" and not path.is_symlink()


def test_folders_links_and_absence(tmp_path: Path, shell: Sequence[str]) -> None:
    folder, link = tmp_path / "a" / "b", tmp_path / "l"
    assert twice(f"  - file: {{path: '{folder}', state: directory, mode: '0750'}}\n", shell) == (f"+directory {folder}",)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert twice(f"  - file: {{path: '{link}', state: link, target: '{folder}'}}\n", shell) == (f"+link {folder}",)
    assert link.readlink() == folder
    assert twice(f"  - file: {{path: '{link}', state: absent}}\n", shell) == (f"-link {link}",)
    (folder / ".hidden").touch()
    refused, _ = played_here(short(f"  - file: {{path: '{folder}', state: absent}}\n"), shell)
    assert refused.steps[0].state is StepState.REFUSED and "not empty" in str(refused.steps[0].why)
    diff = twice(f"  - file: {{path: '{folder}', state: absent, recursive: true}}\n", shell)
    assert diff == (f"-directory {folder} and all that is in it",) and not folder.exists()


@pytest.mark.parametrize("path", ["/", "/etc", "/usr/../etc", "etc"])
def test_what_is_the_systems_is_not_removed(path: str) -> None:
    steps = "  - file: {path: '{{ params.path }}', state: absent, recursive: true}\n"
    playbook = short(steps, "params: {path: {type: string}}\n")
    outcome, hands = played_here(playbook, params={"path": path})
    assert outcome.steps[0].state is StepState.REFUSED and not hands.sent


def test_a_content_that_is_not_valid_stays_out(tmp_path: Path, shell: Sequence[str]) -> None:
    path = tmp_path / "x"
    path.write_text("good")
    steps = f"  - file: {{path: '{path}', content: bad, validate: 'grep -q good \"$file\"'}}\n"
    outcome, _ = played_here(short(steps), shell)
    assert outcome.steps[0].state is StepState.FAILED and path.read_text() == "good"
    assert b"not valid" in outcome.steps[0].stderr
    assert [one.name for one in tmp_path.iterdir()] == ["x"]


def test_a_template_is_a_file_with_values(tmp_path: Path, shell: Sequence[str]) -> None:
    path = tmp_path / "x"
    steps = f"  - template: {{path: '{path}', content: \"{{{{ host.name }}}} {{{{ 7 }}}}\\n\"}}\n"
    assert twice(steps, shell) == ("+here 7",)


# --- packages ------------------------------------------------------------------------------------------------------

SHIMS = Path(__file__).parent.parent / "data" / "playbooks" / "shims"
"""What stands for package and service managers: each keeps what it has in a file beside itself."""
MANAGERS = {"apk": ("apk",), "dnf": ("rpm", "dnf"), "zypper": ("rpm", "zypper")}


@pytest.fixture(params=MANAGERS)
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A host that has this package manager alone, which keeps its packages in a file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    lay(folder, *MANAGERS[request.param])
    (folder / "installed").touch()
    return request.param, folder


def lay(folder: Path, *names: str) -> None:
    """Put stand-ins into a folder of programs."""
    for name in names:
        (folder / name).write_text((SHIMS / name).read_text())
        (folder / name).chmod(0o755)


def shelled(folder: Path) -> Sequence[str]:
    """Return a shell where `command -v` finds what is in the folder, and no package manager of this machine."""
    return ("unshare", "-m", "/bin/sh", "-c", f"{HIDING} PATH={folder}:$PATH exec /bin/sh")


HIDING = "for one in dpkg-query apt-get rpm dnf; do at=$(command -v $one) && mount --bind /dev/null $at; done;"


@pytest.mark.hosts
@pytest.mark.skipif(os.geteuid() != 0, reason="hides this machine's package manager in a mount namespace")
def test_packages_by_every_manager(manager: tuple[str, Path]) -> None:
    name, folder = manager
    shell = shelled(folder)
    diff = twice("  - package: {names: tool, refresh: true}\n", shell)
    along = ("+a-library-with-a-name-that-takes-a-line-of-its-own 1:3.1-2.el9",) if name == "dnf" else ()
    assert diff == (*{"apk": ("+tool 8.5.0-r0",), "dnf": ("+tool 2.0-1",), "zypper": ("+tool",)}[name], *along)
    installed = folder / "installed"
    installed.write_text(installed.read_text().replace("8.5.0-r0", "8.4.0-r0").replace("2.0-1", "1.0-1"))
    diff = twice("  - package: {names: [tool], state: latest}\n", shell)
    assert diff == (*(("-tool 8.4.0-r0", "+tool 8.5.0-r0") if name == "apk" else ("-tool 1.0-1", "+tool 2.0-1")), *along)
    (plan,) = foreseen_here(short("  - package: {names: [tool, other], state: absent}\n"), shell)
    assert (plan.forecast.why is not None) is (name == "zypper"), "it was not asked what goes along"
    assert twice("  - package: {names: [tool, other], state: absent}\n", shell)[0].startswith("-tool ")
    outcome, _ = played_here(short("  - package: {names: [tool, two]}\n"), shell)
    assert outcome.steps[0].data["manager"] == name
    assert [one["name"] for one in outcome.steps[0].data["packages"]] == ["tool", "two"]


def test_apt_says_what_is_there() -> None:
    playbook = short("  - package: {names: [dash, longarm-has-no-such-package]}\n")
    (plan,) = foreseen_here(playbook)
    assert plan.forecast.changes and plan.forecast.diff == ("+longarm-has-no-such-package",)
    assert "Unable to locate package longarm-has-no-such-package" in str(plan.forecast.why)


def test_a_plan_says_all_that_apt_would_remove_and_install() -> None:
    (plan,) = foreseen_here(short("  - package: {names: [perl-base], state: absent}\n"))
    said = subprocess.run(
        ("apt-get", "-s", "-q", "remove", "perl-base"), capture_output=True, text=True, check=True, env=ENGLISH
    )
    gone = {line.split()[1] for line in said.stdout.splitlines() if line.startswith("Remv ")}
    assert len(gone) > 1 and plan.forecast.diff[0].startswith("-perl-base ")
    assert {line[1:].split()[0] for line in plan.forecast.diff if line.startswith("-")} >= gone


ENGLISH = {**os.environ, "LC_ALL": "C"}


@pytest.mark.parametrize("name", ["longarm-has-none+", "das."])
def test_what_apt_would_take_for_a_sign_or_a_pattern_is_refused(name: str) -> None:
    playbook = short(f"  - package: {{names: ['{name}']}}\n")
    outcome, hands = played_here(playbook)
    assert outcome.steps[0].state is StepState.REFUSED and not hands.sent
    assert f"there is no package “{name}”" in str(outcome.steps[0].why)


def test_a_name_that_ends_in_a_sign_is_taken_where_a_package_is_called_so() -> None:
    (plan,) = foreseen_here(short("  - package: {names: [g++], state: present}\n"))
    assert plan.forecast.changes is not None and "no package" not in str(plan.forecast.why)


NEWER_ONCE_REFRESHED = """\
#!/bin/sh
at=$(dirname "$0")
case $(basename "$0") in
  dpkg-query) case $1$2$3 in *db:Status-Status*) printf 'installed %s\\n' "$(cat "$at/has")" ;; esac; exit ;;
  apt-cache) printf 'tool:\\n  Installed: x\\n  Candidate: %s\\n' "$(cat "$at/listed")"; exit ;;
esac
case $* in
  *update) cat "$at/newest" >"$at/listed" ;;
  '-s '*) printf 'Inst tool [%s] (%s lab:1 [amd64])\\nConf tool\\n' "$(cat "$at/has")" "$(cat "$at/listed")" ;;
  *install*) cat "$at/listed" >"$at/has" ;;
  *) exit 9 ;;
esac
"""


@pytest.mark.hosts
@pytest.mark.skipif(os.geteuid() != 0, reason="hides this machine's package manager in a mount namespace")
def test_the_newest_is_what_the_lists_say_once_they_are_up_to_date(tmp_path: Path) -> None:
    for name in ("dpkg-query", "apt-cache", "apt-get"):
        (tmp_path / name).write_text(NEWER_ONCE_REFRESHED)
        (tmp_path / name).chmod(0o755)
    for name, version in (("has", "1.0"), ("listed", "1.0"), ("newest", "2.0")):
        (tmp_path / name).write_text(version)
    shell = ("/bin/sh", "-c", f"PATH={tmp_path}:$PATH exec /bin/sh")
    playbook = short("  - package: {names: tool, state: latest, refresh: true}\n")
    (plan,) = foreseen_here(playbook, shell)
    assert plan.forecast.changes is None and "brought up to date first" in str(plan.forecast.why)
    assert (tmp_path / "listed").read_text() == "1.0", "a plan brings nothing up to date"
    first, _ = played_here(playbook, shell)
    assert first.steps[0].state is StepState.CHANGED and (tmp_path / "has").read_text() == "2.0"
    assert first.steps[0].data["packages"] == [{"name": "tool", "before": "2.0", "after": "2.0"}]
    second, hands = played_here(playbook, shell)
    assert second.steps[0].state is StepState.OK and len(hands.sent) == 1, "lists are brought up to date, no package is"
    (tmp_path / "newest").write_text("3.0")
    assert played_here(playbook, shell)[0].steps[0].state is StepState.CHANGED and (tmp_path / "has").read_text() == "3.0"


@pytest.mark.parametrize("name", ["-o=Dir::x", "a b", "$(id)", "a;b", "../x", "", "vim-", "a--", "-"])
def test_what_is_no_name_of_a_package_is_refused(name: str) -> None:
    playbook = short('  - package: {names: "{{ params.name }}"}\n', "params: {name: {type: string}}\n")
    outcome, hands = played_here(playbook, params={"name": name})
    assert outcome.steps[0].state is StepState.REFUSED and not hands.asked


# --- services ------------------------------------------------------------------------------------------------------

SERVICES = {"systemd": ("systemctl",), "openrc": ("rc-service", "rc-update"), "sysvinit": ("init",)}
SETTING_UP = {
    "systemd": "mkdir -p /run/systemd/system;",
    "openrc": "",
    "sysvinit": "mount -t tmpfs none /etc/init.d; mount --bind {folder} /opt; cp -p {folder}/init /etc/init.d/cron;",
}


def service_shell(kind: str, folder: Path) -> Sequence[str]:
    """Return a shell on a host whose services are managed so, in a mount namespace of its own."""
    lay(folder, *SERVICES[kind])
    (folder / "state").write_text("active=inactive\nunit=disabled\n")
    start = f"mount -t tmpfs none /run; {SETTING_UP[kind].format(folder=folder)} PATH={folder}:$PATH exec /bin/sh"
    return ("unshare", "-m", "/bin/sh", "-c", start)


@pytest.mark.hosts
@pytest.mark.skipif(os.geteuid() != 0, reason="makes a mount namespace")
@pytest.mark.parametrize("kind", ["systemd", "openrc", "sysvinit"])
def test_services_by_every_manager(kind: str, tmp_path: Path) -> None:
    shell = service_shell(kind, tmp_path)
    assert twice("  - service: {name: cron, state: started}\n", shell) == ("-runs: no", "+runs: yes")
    if kind == "systemd":
        assert twice("  - service: {name: cron, enabled: true}\n", shell)[1] == "+starts with the host: yes"
        assert twice("  - service: {name: cron, enabled: false, state: stopped}\n", shell)[3] == "+runs: no"
    restarted, hands = played_here(short("  - service: {name: cron, state: restarted}\n"), shell)
    assert restarted.steps[0].state is StepState.CHANGED and len(hands.sent) == 1
    assert restarted.steps[0].data == {"manager": kind, "active": True, "enabled": False}
    missing, hands = played_here(short("  - service: {name: nothing, state: started}\n"), shell)
    assert missing.steps[0].state is StepState.REFUSED and "there is no service nothing" in str(missing.steps[0].why)
    gone, _ = played_here(short("  - service: {name: nothing, state: stopped}\n"), shell)
    assert gone.steps[0].state is StepState.OK


def test_waiting_sees_ports_paths_and_scripts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        steps = f"""\
  - wait_for: {{port: {port}}}
  - wait_for: {{path: '{tmp_path}'}}
  - wait_for: {{path: '{tmp_path}/none', gone: true}}
  - wait_for: {{script: '[ "$word" = x ]'}}
    vars: {{word: "'x'"}}
"""
        outcome, _ = played_here(short(steps))
    assert [step.state for step in outcome.steps] == [StepState.OK] * 4
    with socket.socket() as taken:  # and listened at by nobody
        taken.bind(("127.0.0.1", 0))
        late, _ = played_here(short(f"  - wait_for: {{port: {taken.getsockname()[1]}}}\n    deadline: 20s\n    every: 5s\n"))
    assert late.steps[0].state is StepState.TIMED_OUT and late.steps[0].data["waited_s"] == 20


def test_every_row_of_the_table_is_tried() -> None:
    """A new action brings its tests: this list is what the tests of this folder do."""
    assert set(ACTIONS) == {
        *("ansible", "ask", "file", "include", "package", "powershell", "probe", "python", "reboot", "run"),
        *("service", "template", "wait_for"),
    }
