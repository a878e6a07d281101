"""Who may do what: every cell of the table, every place where a role counts, and that no check could be left out unseen."""

from __future__ import annotations

import itertools
import os
import pwd
from pathlib import Path
from types import ModuleType

import pytest

from inventory.documents import parse_document
from inventory.errors import InvalidFile
from playbooks.model import Risk, Tier
from runner import callers, roles
from runner.config import Approvals, Config, load_config, parse_config
from runner.roles import TABLE, Action, Caller, Denied, Grant, Role, Roles, Where, Whose, decide
from tests.mutants import Mutant, letting_through

MATRIX = Path(__file__).parents[1] / "data" / "roles" / "matrix.txt"
SOURCE = Path(roles.__file__)
CELLS = [*itertools.product(Action, Whose, Risk, Tier)]


def expected() -> dict[tuple[str, str, str, str], str]:
    """Return the least role by action, whose, risk and tier, as the matrix has it."""
    cells = {}
    for line in MATRIX.read_text().splitlines():
        if line.startswith("#"):
            continue
        action, whose, *words = line.replace("|", " ").split()
        for (risk, tier), least in zip(itertools.product(Risk, Tier), words, strict=True):
            cells[action, whose, risk.value, tier.value] = least
    return cells


EXPECTED = expected()


def wrong(module: ModuleType) -> list[str]:
    """Return the cells and places in which a module decides otherwise than is written down here."""
    found = []
    at = [module.Where(customer="acme", site="berlin")]
    for (action, whose, risk, tier), role in itertools.product(CELLS, (None, *module.Role)):
        everybody = module.Roles(grants=() if role is None else (module.Grant(role=role, users=("olga",)),))
        olga = module.Caller(name="olga", uid=1001)
        said = module.decide(
            everybody,
            olga,
            module.Action(action),
            where=at,
            tier=tier,
            risk=risk,
            whose=module.Whose(whose),
        )
        least = EXPECTED[action.value, whose.value, risk.value, tier.value]
        may = role is not None and least != "-" and role.rank >= module.Role(least).rank
        if isinstance(said, module.Allowed) != may:
            found.append(f"{role}: {action} {whose} {risk} {tier}")
    return found + _wrong_places(module)


PLACES: list[tuple[dict[str, tuple[str, ...]], list[tuple[str | None, str | None]], bool]] = [
    ({}, [("acme", "berlin"), (None, None)], True),
    ({}, [], True),
    ({"customers": ("acme",)}, [("acme", "berlin")], True),
    ({"customers": ("acme",)}, [("ACME", None)], True),
    ({"customers": ("acme",)}, [("zeta", "berlin")], False),
    ({"customers": ("acme",)}, [(None, "berlin")], False),
    ({"customers": ("acme",)}, [("acme", None), ("zeta", None)], False),
    ({"customers": ("acme",)}, [], False),
    ({"sites": ("berlin",)}, [("acme", "berlin"), ("zeta", "Berlin")], True),
    ({"sites": ("berlin",)}, [("acme", "potsdam")], False),
    ({"sites": ("berlin",)}, [("acme", None)], False),
    ({"sites": ("berlin",)}, [], False),
    ({"customers": ("acme",), "sites": ("berlin",)}, [("acme", "potsdam")], False),
    ({"customers": ("acme",), "sites": ("berlin",)}, [("acme", "*")], True),
    ({"customers": ("acme",), "sites": ("berlin",)}, [("zeta", "*")], False),
    ({"customers": ("acme", "zeta"), "sites": ("berlin",)}, [("zeta", "berlin")], True),
]


def _wrong_places(module: ModuleType) -> list[str]:
    found = []
    for (where, scopes, may), by_group in itertools.product(PLACES, (False, True)):
        named = {"groups": ("support",)} if by_group else {"users": ("olga",)}
        everybody = module.Roles(grants=(module.Grant(role=module.Role.L2, **named, **where),))
        for name, groups in (("olga", {"support"}), ("ivan", {"wheel"}), ("ivan", set())):
            caller = module.Caller(name=name, uid=1001, groups=frozenset(groups))
            at = [module.Where(customer=customer, site=site) for customer, site in scopes]
            said = module.decide(everybody, caller, module.Action.REPAIR, where=at, tier=Tier.L2, risk=Risk.REVERSIBLE)
            if isinstance(said, module.Allowed) != (may and name == "olga"):
                found.append(f"{name}: {where} {scopes} {named}")
    return found


def test_every_cell_and_every_place_is_decided_as_it_is_written_down() -> None:
    assert len(EXPECTED) == len(CELLS) == len(Action) * 2 * 3 * 3
    assert wrong(roles) == []


def _mutants() -> list[Mutant]:
    """Return the module with leave in place of each refusal, and without a row of the table or with another cell."""
    refusing = [*letting_through(SOURCE, {"Denied": "Allowed(role=Role.L1)", "False": "True"})]
    assert len(refusing) > 4
    text = SOURCE.read_text()
    changed = []
    for row in TABLE.strip().splitlines()[1:]:
        line = text[: text.index(row)].count("\n") + 1
        changed.append(Mutant(SOURCE, line, text.replace(f"{row}\n", "", 1)))
        action, of, tier, *least = row.split()
        versions = [[action, of, "-" if tier == "heeded" else "heeded", *least]] if {*least} & {"L1", "L2"} else []
        versions += [
            [action, of, tier, *least[:i], "L1" if word != "L1" else "L2", *least[i + 1 :]] for i, word in enumerate(least)
        ]
        changed += [Mutant(SOURCE, line, text.replace(row, " ".join(words), 1)) for words in versions]
    return refusing + changed


def test_no_check_could_be_left_out_of_it_and_no_cell_changed_without_a_test_that_fails() -> None:
    made = _mutants()
    assert len(made) > 100
    source = SOURCE.read_text().splitlines()
    unseen = [f"{mutant}: {source[mutant.line - 1]}" for mutant in made if not wrong(mutant.load())]
    assert unseen == []


def test_what_no_row_names_is_denied_to_everybody() -> None:
    admin = Roles(grants=(Grant(role=Role.ADMIN, users=("olga",)),))
    for action in Action:
        rows = [line.split()[:2] for line in TABLE.strip().splitlines()[1:] if line.split()[0] == action.value]
        named = {word for _, of in rows for word in (("own", "others") if of == "any" else (of,))}
        for whose in {one.value for one in Whose} - named:
            said = decide(admin, Caller(name="olga", uid=1), action, whose=Whose(whose))
            assert isinstance(said, Denied), (action, whose)


def test_the_keeper_of_a_desk_that_names_nobody_is_alone_and_others_are_nobody() -> None:
    longarm, olga = Caller(name="longarm", uid=990), Caller(name="olga", uid=1001, groups=frozenset({"longarm"}))
    assert Config().roles().of(olga, None) is Role.ADMIN
    assert (Config().roles("longarm").of(longarm, None), Config().roles("longarm").of(olga, None)) == (Role.ADMIN, None)
    named = Config(grants=())
    assert (named.roles().of(longarm, None), named.roles("longarm").of(longarm, None)) == (None, None)


def test_the_greatest_of_several_roles_counts_and_only_where_it_is_held() -> None:
    everybody = Roles(
        grants=(
            Grant(role=Role.L1, groups=("all",)),
            Grant(role=Role.L3, users=("olga",), customers=("acme",)),
            Grant(role=Role.L2, users=("olga",)),
        )
    )
    olga = Caller(name="olga", uid=1001, groups=frozenset({"all"}))
    held = [everybody.of(olga, scope) for scope in (Where(customer="acme"), Where(customer="zeta"), None)]
    assert held == [Role.L3, Role.L2, Role.L2]


MISTAKES = [
    ("roles: [{role: L4, users: [a]}]", 1, 16, "“role” cannot be “L4”"),
    ("roles: [{users: [a]}]", 1, 9, "a role needs the key “role”"),
    ("roles: [{role: L2}]", 1, 9, "a role is for somebody: users, groups, or both"),
    ("roles: [{role: L2, users: [a], customers: []}]", 1, 43, "“customers” names nobody: leave it out, or say whom"),
    ("roles:\n- role: L2\n  users: [a]\n  sites:\n", 4, 9, "“sites” names nobody: leave it out, or say whom"),
    ("roles: [{role: L2, users: [a], customer: x}]", 1, 32, "a role has no key “customer”"),
    ("roles: L2", 1, 8, "“roles” must be a list"),
    ("rolls: []", 1, 1, "the configuration has no key “rolls”"),
    ("approvals: {from: risky}", 1, 19, "“from” cannot be “risky”"),
    ("approvals: {valid: 0s}", 1, 20, "a deadline is longer than 0 s"),
    ("approvals: {valid: soon}", 1, 20, "“valid” must be a duration such as 90s, 2m or 1h"),
    ("approvals: {until: 4h}", 1, 13, "“approvals” has no key “until”"),
]


@pytest.mark.parametrize(("text", "line", "column", "said"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_a_mistake_in_the_configuration_is_told_at_its_place(text: str, line: int, column: int, said: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        parse_config(parse_document(text.encode(), "config.yaml"))
    first = caught.value.problems[0]
    assert (first.place.line, first.place.column) == (line, column) and said in str(first)


def test_which_repairs_need_a_second_person() -> None:
    grants = (Grant(role=Role.L2, users=("olga",)),)
    alone, several = Config(), Config(grants=grants)
    assert [[config.second_person(["tidy"], risk) for risk in Risk] for config in (alone, several)] == [
        [False, False, False],
        [False, False, True],
    ]
    said = Config(grants=grants, approvals=Approvals(least=None, playbooks=("tidy",)))
    assert [said.second_person([name], Risk.DISRUPTIVE) for name in ("tidy", "other")] == [True, False]


def test_a_configuration_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    assert load_config(tmp_path) == Config()
    path = tmp_path / "config.yaml"
    path.write_text("roles: []\n")
    path.chmod(0o666)
    with pytest.raises(InvalidFile, match="everyone on this machine may write this file"):
        load_config(tmp_path)
    path.chmod(0o644)
    assert load_config(tmp_path) == Config(grants=())


def test_a_caller_is_an_account_with_its_groups_and_behind_sudo_the_one_who_called_it() -> None:
    account = pwd.getpwuid(os.getuid())
    own = callers.caller_in_process({})
    assert (own.name, own.uid) == (account.pw_name, account.pw_uid)
    daemon = pwd.getpwnam("daemon")
    behind = callers.caller_in_process({"SUDO_UID": str(daemon.pw_uid)})
    assert behind == callers.caller_named("daemon") == callers.caller_of(daemon.pw_uid) and "daemon" in behind.groups
    assert callers.caller_in_process({"SUDO_UID": "-1"}) == callers.caller_in_process({"SUDO_UID": "9" * 99}) == own
    stranger = callers.caller_of(4_000_000_001)
    assert (stranger.name, stranger.groups, callers.caller_named("nobody-of-this-name")) == ("4000000001", frozenset(), None)
