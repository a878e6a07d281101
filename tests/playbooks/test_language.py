"""The language of playbooks: every key of every action is read, the schema says what the loader says, mistakes have places."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from diagnostics.library import Library, load_library
from inventory.documents import load_document, parse_document, plain
from inventory.errors import InvalidFile
from playbooks.actions import ACTIONS
from playbooks.json_schema import playbook_schema
from playbooks.keys import Form, Key
from playbooks.load import SHIPPED, load_playbook, read_playbook
from playbooks.model import Kind, OnFailure, Retry, Risk
from playbooks.reading import unfrozen
from playbooks.reference import PAGE, in_line

DATA = Path(__file__).parent.parent / "data" / "playbooks"
EVERY = (DATA / "every-action.yaml").read_text()


@pytest.fixture(scope="module")
def library() -> Library:
    return load_library()


def test_every_action_and_every_key_is_read(library: Library) -> None:
    playbook = load_playbook(DATA / "every-action.yaml", library)
    assert (playbook.kind, playbook.risk) == (Kind.REPAIR, Risk.DISRUPTIVE)
    assert {step.action for step in playbook.steps} | {"powershell"} == set(ACTIONS)
    mark = playbook.steps[2]
    assert (mark.retry, mark.attempts, mark.on_failure) == (Retry.GUARDED, 2, OnFailure.ROLL_BACK)
    assert [step.name for step in mark.rollback] == ["Take the mark away"]
    assert playbook.verify is not None and (playbook.verify.settle_s, playbook.verify.samples) == (30, 3)
    assert playbook.params["keep"].default == 200 * 1024**2
    assert playbook.params["token"].required


def test_what_belongs_to_a_playbook_is_in_its_digest(library: Library, tmp_path: Path) -> None:
    for path in DATA.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    before = load_playbook(tmp_path / "every-action.yaml", library).digest
    digests = {before}
    for name in ("functions.py", "site.yml", "small.yaml", "every-action.yaml"):
        path = tmp_path / name
        path.write_text(path.read_text() + "# more\n")
        digests.add(load_playbook(tmp_path / "every-action.yaml", library).digest)
    assert len(digests) == 5


@pytest.mark.parametrize("path", sorted([*DATA.glob("*.yaml"), *SHIPPED.glob("*.yaml")]), ids=lambda path: path.name)
def test_the_schema_takes_what_the_loader_takes(path: Path) -> None:
    schema = playbook_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(unfrozen(plain(load_document(path))))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kind: repair", "kind: repairs"),
        ("retry: guarded", "retry: once"),
        ("privilege: root", "privilege: admin"),
        ("state: present", "state: there"),
        ("risk: disruptive\n", ""),
        ("on_failure: roll_back", "on_failure: rollback"),
        ("  - name: Look again\n    probe: log.size\n", "  - name: Look again\n"),
        ("{type: secret}", "{type: secret, default: x}"),
        ("deadline: 2m", "deadline: soon"),
        ("samples: 3", "samples: 0"),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(library: Library, old: str, new: str) -> None:
    assert old in EVERY
    node = parse_document(EVERY.replace(old, new, 1).encode(), "p.yaml")
    assert list(jsonschema.Draft202012Validator(playbook_schema()).iter_errors(unfrozen(plain(node))))
    with pytest.raises(InvalidFile):
        read_playbook(node, "", library, folder=DATA)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("f.bytes > params", "f.byte > params", "p.yaml:26:44: “byte” is not declared here"),
        (
            "params.really\n    run",
            "params.realy\n    run",
            "p.yaml:26:75: “realy” is not declared here (did you mean really?)",
        ),
        ("    run: journalctl", "    rum: journalctl", "p.yaml:27:5: a step needs an action (did you mean run?)"),
        ("    privilege: root\n", "    privilege: root\n    python: a.py:b\n", "a step has one action, not run and python"),
        ("retry: guarded", "retry: never", "what is never repeated has no “attempts”"),
        ('    creates: "{{ params.mount }}/mark"\n', "", "a guarded step needs “unless” or “creates”"),
        ("{{ params.mount }}/mark", "{{ params.mont }}/mark", "“mont” is not declared here (did you mean mount or count?)"),
        ("{{ params.mount }}/mark", "{{ params.token }}/mark", "it is a secret: only scripts get it, as $token"),
        ("{{ params.mount }}/mark", "{{ params.mount", "the template is not understood"),
        ("{{ params.mount }}/mark", "{{ params.mount() }}", "call is not allowed in a template"),
        ("{{ params.mount }}/mark", "{% set x = 1 %}", "is not allowed in a template"),
        ("{{ peer | upper }}", "{{ peer | uper }}", "there is no filter “uper” (did you mean upper?)"),
        ("{{ peer | upper }}", "{{ pear | upper }}", "there is no “pear” here (did you mean peer"),
        ("results.sizes.value.free > 0", "results.sizes.value.fre > 0", "“fre” is not declared here (did you mean free?)"),
        ("results.vacuum.changed", "results.marks.changed", "“marks” is not declared here"),
        (
            "register: {name: sizes, parse: json, shape: {free: int bytes}}",
            "register: {name: sizes, parse: json}",
            "json needs the shape",
        ),
        ("shape: {free: int bytes}", "shape: {free: integer}", "not a type: integer"),
        ("register: vacuum", "register: result", "“result” is not a name"),
        ("register: marks", "register: vacuum", "there is a result “vacuum” already"),
        ("probe: log.size", "probe: net.if", "the probe “net.if” is not among the playbook's needs"),
        ("needs: [fs.stat, log.size]", "needs: [fs.stat, log.sizes]", "there is no probe “log.sizes” (did you mean log.size"),
        ("fixes: [fs-space]", "fixes: [fs-spce]", "there is no check “fs-spce” (did you mean fs-space"),
        ("{checks: [fs-space]", "{checks: [fs-spce]", "there is no check “fs-spce” (did you mean fs-space"),
        (
            "playbook: small, params: {what: params.word}",
            "playbook: smal, params: {what: params.word}",
            "there is no playbook “smal” (did you mean small?)",
        ),
        ("params: {what: params.word}", "params: {wat: params.word}", "“small” has no parameter “wat” (did you mean what?)"),
        ("params: {what: params.word}", "params: {what: params.really}", "the parameter “what” is of the type string"),
        ("params: {what: params.word}", "params: {}", "“small” needs the parameter “what”"),
        ("python: functions.py:rebuild", "python: functions.py", "a function is named with its file"),
        ("python: functions.py:rebuild", "python: none.py:rebuild", "“none.py” cannot be used"),
        ("python: functions.py:rebuild", "python: ../functions.py:rebuild", "is not a path below the playbook's folder"),
        ("playbook: site.yml", "role: site", "there is no folder “site” beside the playbook"),
        ("playbook: site.yml, ", "", "“ansible” takes one of playbook, role"),
        ("file:\n      path: /var", "file:\n      state: absent\n      path: /var", "“content” does not go with state: absent"),
        ("path: /etc/motd", "path: etc/motd", "“etc/motd” is not an absolute path"),
        ('mode: "0640"', 'mode: "rw-r"', "“rw-r” is no mode"),
        ("{service: cron}", "{service: cron, port: 22}", "“wait_for” waits for one of path, port, service, script"),
        ("{service: cron}", "{port: params.word}", "str where int is needed"),
        ("default: hello", "default: HELLO", "“word” must match [a-z]+, not “HELLO”"),
        ("default: 3,", "default: 30,", "“count” is at most 10"),
        ("default: 200 MiB", "default: 200 apples", "“keep” must be a size such as 200 MiB or 2 GB"),
        ("default: low", "default: lo", "“level” is one of low, high, not “lo”"),
        ("[db01, db02]", "[db01, -o]", "“peers” is a list of host names"),
        ("  mount: {type: path", "  Mount: {type: path", "“Mount” cannot be the name of a parameter"),
        (
            "  word: {type: string, default: hello, pattern",
            "  word: {type: bool, default: true, pattern",
            "“pattern” is of string, not of bool",
        ),
        ("typical: 2m, at_most: 1h", "typical: 2h, at_most: 1h", "“typical” is not longer than “at_most”"),
        ("loop: params.peers", "loop: params.word", "str where list is needed"),
        ("platforms: [linux]", "platforms: [linux, windows]", "“run” does not work on windows"),
        ('run: journalctl --vacuum-size="$keep"', "run: ''", "the script is empty"),
        ("kind: repair", "kind: diagnostic", "a diagnostic playbook has no “steps”"),
        ("        retry: idempotent\n", "        loop: params.peers\n", "a step that undoes another has no “loop”"),
        ("ask:\n      question", "ask:\n      qestion", "has no key “qestion” (did you mean question?)"),
    ],
)
def test_a_mistake_is_told_with_its_place(library: Library, old: str, new: str, expected: str) -> None:
    assert old in EVERY
    with pytest.raises(InvalidFile) as caught:
        read_playbook(parse_document(EVERY.replace(old, new, 1).encode(), "p.yaml"), "", library, folder=DATA)
    assert expected in str(caught.value)
    assert all(problem.place.line > 0 for problem in caught.value.problems)


def test_playbooks_that_include_each_other_are_refused(library: Library, tmp_path: Path) -> None:
    small = (DATA / "small.yaml").read_text()
    for name, other in (("one", "two"), ("two", "one")):
        text = small.replace("playbook: small", f"playbook: {name}").replace(
            "steps:\n", f"steps:\n  - include: {{playbook: {other}, params: {{what: params.what}}}}\n"
        )
        (tmp_path / f"{name}.yaml").write_text(text)
    with pytest.raises(InvalidFile, match="playbooks include each other: one → two → one"):
        load_playbook(tmp_path / "one.yaml", library)


def keys_below(key: Key) -> list[Key]:
    return [key, *(inner for below in key.below for inner in keys_below(below))]


@pytest.mark.parametrize("action", ACTIONS.values(), ids=lambda action: action.name)
def test_every_key_says_what_it_is(action: Any) -> None:
    for key in (one for top in (action.main, *action.beside) for one in keys_below(top)):
        assert str(key.says).endswith((".", "?")) or ":" in str(key.says), key.name
        assert key.form is Form.LITERAL or key.type is Key(name="x", says=key.says).type, f"{key.name} has one form"


def test_the_documentation_is_made_from_the_declarations() -> None:
    page = PAGE.read_text()
    assert page == in_line(page), "python -m playbooks.reference"
    assert all(f"### `{name}`" in page for name in ACTIONS)
