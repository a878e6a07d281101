"""Lint: what it stops, where, what it says to write instead, and what it lets pass; its edits make a playbook better."""

from __future__ import annotations

from pathlib import Path

import pytest

from diagnostics.library import Library, load_library
from inventory.errors import InvalidFile, Place
from playbooks import lint, shell_lint
from playbooks.demands import demands_of
from playbooks.issues import Grade
from playbooks.lint import Linted, lint_playbook
from playbooks.load import load_playbook
from playbooks.mending import mend
from playbooks.model import Risk, Tier
from tests.playbooks.playing import HEAD as SHORT

DATA = Path(__file__).parent.parent / "data" / "playbooks"
HEAD = """\
playbook: p
title: {en: P, ru: П}
kind: repair
maintenance: corrective
tier: L2
risk: disruptive
platforms: [%s]
fixes: [fs-space]
params:
  dir: {type: path, default: /var/tmp}
  word: {type: string, default: x}
  count: {type: int, default: 3}
  token: {type: secret}
verify: [fs-space]
steps:
  - run: printf '%%s' "$dir" "$word" "$count" "$token" >/dev/null
"""


@pytest.fixture(scope="module")
def library() -> Library:
    return load_library()


def linted(tmp_path: Path, library: Library, script: str, action: str = "run") -> Linted:
    path = tmp_path / "p.yaml"
    head = HEAD % ("windows" if action == "powershell" else "linux")
    if action == "powershell":
        head = head.replace("""  - run: printf '%s' "$dir" "$word" "$count" "$token" >/dev/null\n""", "")
    lines = "".join(f"      {line}\n" for line in script.splitlines())
    path.write_text(f"{head}  - {action}: |\n{lines}")
    return lint_playbook(path, library)


def codes(found: Linted) -> set[str]:
    return {issue.code for issue in found.issues if issue.code not in ("unused", "rollback")}


STOPPED = {
    "danger.eval": ['eval "$word"', "true; eval ls"],
    "danger.shell_c": ['sh -c "ls $dir"', 'bash -c "$word"', "sh -c $word"],
    "danger.reboot": [
        *("reboot", "shutdown -r now", "systemctl reboot", "systemctl --force reboot", "/sbin/reboot", "init 6"),
        *("if true; then reboot; fi", "true && reboot", "sudo reboot"),
    ],
    "danger.rm": [
        *('rm -rf "$dir"', 'rm -rf "$dir"/*', "rm -rf /", "rm -rf /etc", "rm -r -f ~/x", "rm -fr ./*", 'rm -rf -- "$dir/x"'),
        *('find "$dir" -type f -delete', "find / -name core -exec rm {} +"),
    ],
    "danger.disk": ["mkfs.ext4 /dev/sdb", "dd if=/dev/zero of=/dev/sda", "cat x >/dev/sda", "wipefs -a /dev/sdb"],
    "danger.permissions": ["chmod 777 /tmp/x", "chmod -R a+rwx /srv", "chmod o+w /etc/passwd"],
    "danger.unsigned": [
        *("apt-get install --allow-unauthenticated x", "apt-get -o APT::Get::AllowUnauthenticated=true install x"),
        *(
            "yum --nogpgcheck install x",
            "zypper --no-gpg-checks install x",
            "apk add --allow-untrusted x",
            "rpm -i --nosignature x.rpm",
        ),
        *("echo 'deb [trusted=yes] http://x y z' >/etc/apt/sources.list", "echo gpgcheck=0 >/etc/yum.conf"),
    ],
    "danger.insecure": [
        "curl -k https://x",
        "curl -sSk https://x",
        "wget --no-check-certificate https://x",
        "ssh -o StrictHostKeyChecking=no x",
    ],
    "danger.pipe_to_shell": ["curl -s https://x | sh", "wget -qO- https://x | sudo bash"],
    "danger.kill_all": ["kill -9 -1", "killall5"],
    "danger.secret": ['echo "a; b"; mysql -p"$token"', 'curl -H "x: ${token}" https://x'],
    "danger.secret_environment": ['export TOKEN="$token"', 'TOKEN="$token" env'],
    "danger.arithmetic": ["echo $((word + 1))", "echo $(( $word * 2 ))"],
    "SC2086": ["ls $dir", "echo $word"],
    "SC2046": ["ls $(cat x)"],
    "SC2154": ['echo "$wrod"', 'echo "$nothing"'],
    "danger.firewall": ["iptables -F", "ufw disable"],
}
PASSED = [
    'rm -rf "${dir:?}/cache"',
    "rm -f /var/tmp/x",
    'rm -r /var/lib/longarm-test/x',
    "echo reboot",
    "# reboot now\ntrue",
    "printf '%s' \"$token\" | mysql --password-stdin",
    '[ -n "$token" ] && echo "is there"',
    "printf 'it is; %s' \"$token\" | cat",
    "echo $((count + 1))",
    'sh -c \'echo "$1"\' sh "$word"',
    "curl -fsS https://x -o /dev/null",
    "systemctl restart cron",
    "kill -9 123",
    "chmod 0644 /etc/motd",
    'find "${dir:?}" -xdev -name "*.old" -delete',
    'for one in a b; do echo "$one"; done',
    'lines=$(wc -l <"$dir/x"); echo "$lines"',
    "dd if=/dev/zero of=/dev/null count=1",
    "eval_count=1; echo \"$eval_count\"",
]  # fmt: skip


@pytest.mark.parametrize(("code", "scripts"), STOPPED.items(), ids=list(STOPPED))
def test_what_is_dangerous_is_told(tmp_path: Path, library: Library, code: str, scripts: list[str]) -> None:
    found = linted(tmp_path, library, "\n".join(scripts))
    told = {issue.place.line for issue in found.issues if issue.code == code}
    first = len((HEAD % "linux").splitlines()) + 2
    assert told >= {first + number for number in range(len(scripts))}, [str(issue) for issue in found.issues]
    assert all(issue.hint is not None for issue in found.issues if issue.code.startswith("danger"))
    if code not in ("danger.firewall", "danger.secret_environment"):
        assert all(issue.grade is Grade.ERROR for issue in found.issues if issue.code == code)


def test_what_is_not_dangerous_passes(tmp_path: Path, library: Library) -> None:
    found = linted(tmp_path, library, "\n".join(PASSED))
    assert not [str(issue) for issue in found.errors]


POWERSHELL = {
    "danger.eval": ["Invoke-Expression $word", "& ([ScriptBlock]::Create($word))"],
    "danger.reboot": ["Restart-Computer -Force", "shutdown /r /t 0"],
    "danger.unsigned": ["Install-Module x -SkipPublisherCheck", "Set-ExecutionPolicy Bypass"],
    "danger.pipe_to_shell": ["irm https://x | iex"],
    "powershell.syntax": ["if (1) { 'a"],
    "powershell.variable": ["Get-Item $wrod"],
    "danger.secret": [
        *("net user $word $token", "& 'C:\\a b.exe' \"--password=$Token\"", "Start-Process a.exe -ArgumentList $token"),
        "1..2 | ForEach-Object { cmdkey.exe /pass:$token }",
    ],
}


@pytest.mark.parametrize(("code", "scripts"), POWERSHELL.items(), ids=list(POWERSHELL))
def test_powershell_is_read_too(tmp_path: Path, library: Library, code: str, scripts: list[str]) -> None:
    for script in scripts:
        assert code in codes(linted(tmp_path, library, script, "powershell")), script


def test_a_secret_is_for_scripts_of_windows_that_change_something(tmp_path: Path, library: Library) -> None:
    good = "Set-Thing -Password (ConvertTo-SecureString $token -AsPlainText -Force)\n$token | program.exe --stdin"
    assert not linted(tmp_path, library, good, "powershell").errors
    for more in ("retry: read", "unless: if ($token) { exit 1 }", "plan: Write-Output $token"):
        linted(tmp_path, library, good, "powershell")
        path = tmp_path / "p.yaml"
        path.write_text(f"{path.read_text()}    {more}\n")
        (issue,) = [issue for issue in lint_playbook(path, library).errors if issue.code == "danger.secret"][:1]
        assert "not given to a script that only looks at a Windows host" in str(issue), more


def test_good_powershell_passes(tmp_path: Path, library: Library) -> None:
    script = (
        "$item = Get-Item -LiteralPath $dir\nforeach ($one in 1..$count) { Write-Output $one $item.Name $_ $env:TEMP $word }"
    )
    assert not linted(tmp_path, library, script, "powershell").errors


@pytest.mark.parametrize(
    ("old", "new", "code", "grade"),
    [
        ("verify: [fs-space]\n", "", "verify", Grade.ERROR),
        ("verify: [fs-space]", "verify: [fs-inodes]", "verify", Grade.WARNING),
        ("fixes: [fs-space]\n", "", "fixes", Grade.WARNING),
        ("risk: disruptive", "risk: read", "risk", Grade.ERROR),
        ("risk: disruptive", "risk: reversible", "rollback", Grade.NOTE),
        ("verify: [fs-space]\n", "verify: [fs-space]\n  # x\n", "", Grade.NOTE),
        (
            "  word: {type: string, default: x}\n",
            "  word: {type: string, default: x}\n  more: {type: bool}\n",
            "unused",
            Grade.WARNING,
        ),
    ],
)
def test_what_a_playbook_says_of_itself_is_held_against_it(
    tmp_path: Path, library: Library, old: str, new: str, code: str, grade: Grade
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text((HEAD % "linux").replace(old, new))
    found = {(issue.code, issue.grade) for issue in lint_playbook(path, library).issues}
    assert ((code, grade) in found) is bool(code), found


def test_a_reboot_is_disruptive(tmp_path: Path, library: Library) -> None:
    path = tmp_path / "p.yaml"
    path.write_text((HEAD % "linux").replace("risk: disruptive", "risk: reversible") + "  - reboot: {}\n")
    assert any("disruptive" in str(issue.text) for issue in lint_playbook(path, library).errors)


def test_without_shellcheck_that_is_said(tmp_path: Path, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint, "shellcheck", lambda: None)
    found = linted(tmp_path, library, "ls $dir")
    assert [str(text) for text in found.unseen] == ["shellcheck is not installed: 2 scripts were looked at without it"]


def test_without_the_powershell_parser_that_is_said(tmp_path: Path, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playbooks.lint.parser", lambda: None)
    monkeypatch.setattr("playbooks.powershell_lint.parser", lambda: None)
    found = linted(tmp_path, library, "if (1) { 'a", "powershell")
    assert [str(text) for text in found.unseen] == ["tree-sitter-pwsh is not installed: 1 scripts were not parsed"]


def test_the_program_is_found() -> None:
    assert shell_lint.shellcheck()


def test_fix_quotes_and_spells(tmp_path: Path, library: Library) -> None:
    path = tmp_path / "p.yaml"
    text = HEAD % "linux" + "  - run: |\n      ls $dir\n      echo $word $count\n    privelege: root\n"
    path.write_text(text)
    path.chmod(0o640)
    assert mend(path, library) > 0
    mended = path.read_text()
    assert '      ls "$dir"\n' in mended and "privilege: root" in mended
    assert 'echo "$word" "$count"' in mended
    assert not lint_playbook(path, library).errors
    assert path.stat().st_mode & 0o777 == 0o640
    assert mend(path, library) == 0 and path.read_text() == mended
    assert [one.name for one in tmp_path.iterdir()] == ["p.yaml"]


def test_what_cannot_be_mended_is_left_as_it_is(tmp_path: Path, library: Library) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(HEAD % "linux" + "  - run: eval ls\n    nonsense_without_like: 1\n")
    before = path.read_text()
    assert mend(path, library) == 0 and path.read_text() == before


@pytest.mark.parametrize("path", sorted(DATA.glob("*.yaml")), ids=lambda path: path.name)
def test_our_own_examples_have_no_errors(library: Library, path: Path) -> None:
    assert not [str(issue) for issue in lint_playbook(path, library).errors]


def test_what_undoes_a_step_of_a_loop_has_its_item_and_no_other_has_one(tmp_path: Path, library: Library) -> None:
    steps = 'steps:\n  - run: mend "$item"\n    loop: \'["a", "b"]\'\n    rollback: [{run: unmend "$item"}]\n'
    path, head = tmp_path / "short.yaml", SHORT.replace("kind: repair", "kind: patch")
    path.write_text(head + steps)
    assert [str(issue) for issue in lint_playbook(path, library).errors] == []
    path.write_text(head + steps.replace('    loop: \'["a", "b"]\'\n', ""))
    assert [issue.place.line for issue in lint_playbook(path, library).errors] == [9, 10]
    arithmetic = steps.replace('unmend "$item"', "echo $((item + 1))")
    path.write_text(head + arithmetic)
    assert [issue.place.line for issue in lint_playbook(path, library).errors] == [11], "an item that is a text"


def test_playbooks_that_conflict_are_not_done_in_one_run(tmp_path: Path, library: Library) -> None:
    head = SHORT.replace("playbook: short", "playbook: %s")
    for name, more in (("one", "conflicts: [two]\n"), ("two", ""), ("three", "")):
        (tmp_path / f"{name}.yaml").write_text(head % name + more + "steps:\n  - run: 'true'\n")
    both = "steps:\n  - include: three\n  - include: two\n  - include: one\n"
    (tmp_path / "all.yaml").write_text(head % "all" + both)
    with pytest.raises(InvalidFile, match="“one” and “two” conflict: one run cannot do both") as told:
        load_playbook(tmp_path / "all.yaml", library)
    assert str(told.value).startswith(f"{tmp_path}/all.yaml:")
    assert "(include one of them; the other is a repair of its own)" in str(told.value)
    (tmp_path / "all.yaml").write_text(head % "all" + "conflicts: [three]\n" + "steps:\n  - include: three\n")
    with pytest.raises(InvalidFile, match="“three” and “all” conflict"):
        load_playbook(tmp_path / "all.yaml", library)


READ = "is disruptive, and what includes it says read"


@pytest.mark.parametrize(
    ("tier", "risk", "told"),
    [
        ("L1", "read", [("is for L3, and what includes it says L1", "tier: L3"), (READ, "risk: disruptive")]),
        ("L3", "reversible", [("is disruptive, and what includes it says reversible", "risk: disruptive")]),
        ("L2", "disruptive", [("is for L3, and what includes it says L2", "tier: L3")]),
        ("L3", "disruptive", []),
    ],
)
def test_who_may_run_what_is_included_is_said_by_what_includes_it(
    tmp_path: Path, library: Library, tier: str, risk: str, told: list[tuple[str, str]]
) -> None:
    path = tmp_path / "nightly.yaml"
    head = SHORT.replace("playbook: short", "playbook: nightly").replace("tier: L2", f"tier: {tier}")
    head = head.replace("risk: reversible", f"risk: {risk}") + "needs: [pkg.deb, blk.md]\nverify: [pkg-reboot]\n"
    path.write_text(head + "steps:\n  - include: {playbook: reboot}\n")
    at = Place(str(path), path.read_text().count("\n"), 25)
    found = [(issue.place, str(issue.text), str(issue.hint)) for issue in lint_playbook(path, library).errors]
    assert found == [(at, f"“reboot” {words}", hint) for words, hint in told]


def test_what_is_included_deep_inside_counts_too(tmp_path: Path, library: Library) -> None:
    head = SHORT.replace("playbook: short", "playbook: %s")
    (tmp_path / "inner.yaml").write_text((head % "inner").replace("tier: L2", "tier: L3") + "steps:\n  - run: 'true'\n")
    (tmp_path / "middle.yaml").write_text((head % "middle").replace("tier: L2", "tier: L3") + "steps:\n  - include: inner\n")
    (tmp_path / "outer.yaml").write_text((head % "outer").replace("tier: L2", "tier: L3") + "steps:\n  - include: middle\n")
    asked = demands_of(load_playbook(tmp_path / "outer.yaml", library))
    assert (asked.tier, asked.risk, asked.names) == (Tier.L3, Risk.REVERSIBLE, ("outer", "middle", "inner"))
    for name in ("outer", "middle"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(path.read_text().replace("tier: L3", "tier: L2"))
        with pytest.raises(InvalidFile, match=f"^{path}:[0-9]+:14: “[a-z]+” is for L3, and what includes it says L2"):
            load_playbook(path, library)


def test_a_playbook_that_nobody_knows_keeps_nothing_off(tmp_path: Path, library: Library) -> None:
    path = tmp_path / "short.yaml"
    path.write_text(SHORT + "conflicts: [rebot, restart-service]\nsteps:\n  - run: 'true'\n")
    told = [issue for issue in lint_playbook(path, library).issues if issue.code == "conflicts"]
    assert [(str(one.text), str(one.hint), one.grade.value) for one in told] == [
        ("it conflicts with “rebot”, which neither ships nor lies beside it", "did you mean reboot, remount?", "warning")
    ]
