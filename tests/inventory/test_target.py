"""Target expressions: what they choose, what they refuse, and that a careful reading and a naive one agree."""

import fnmatch
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.errors import LongarmError, NothingMatched
from inventory.host import CredentialReference, Host, Platform, Transport
from inventory.inventory import Group, Inventory
from inventory.matching import Listed
from inventory.target import AllOf, AnyOf, BadExpression, Not, Part, Tree, parse, select

OPS = CredentialReference(name="ops", user="ops", agent=True)
HOSTS = (
    Host(
        name="web01",
        address="10.0.0.1",
        groups=("berlin", "web"),
        site="berlin",
        customer="ООО «Ромашка»",
        tags=("front", "beta"),
    ),
    Host(name="web02", address="10.0.0.2", groups=("berlin", "web"), site="berlin", tags=("front",), port=2222, credential=OPS),
    Host(
        name="Web03", address="10.0.0.3", groups=("berlin", "web"), site="berlin", vars={"role": "app", "racks": ("a1", "a2")}
    ),
    Host(
        name="db1", address="10.0.1.1", groups=("db",), site="North Berlin", vars={"role": "primary", "disk": 500, "ssd": True}
    ),
    Host(
        name="db2", address="10.0.1.2", groups=("db",), site="paris", vars={"role": "replica", "ratio": 1.5, "note": "a=b, (c)"}
    ),
    Host(name="win1", address="10.0.2.1", site="paris", platform=Platform.WINDOWS, transport=Transport.WINRM),
    Host(
        name="10.0.3.1",
        address="10.0.3.1",
        transport=Transport.LOCAL,
        vars={"thresholds": {"fs-space": {"warning": 85}}, "a.b": 1, "empty": None},
    ),
)
GROUPS = ("berlin", "web", "db", "nobody")
INVENTORY = Inventory(hosts={host.name: host for host in HOSTS}, groups={name: Group(name=name) for name in GROUPS})


def chosen(expression: str) -> str:
    return " ".join(host.name for host in INVENTORY.select(expression).hosts)


@pytest.mark.parametrize(
    ("expression", "names"),
    {
        "all": "web01 web02 Web03 db1 db2 win1 10.0.3.1",
        "*": "web01 web02 Web03 db1 db2 win1 10.0.3.1",
        "db1": "db1",
        "WEB03": "Web03",
        "web": "web01 web02 Web03",
        "web*": "web01 web02 Web03",
        "?eb0?": "web01 web02 Web03",
        "web[01:02]": "web01 web02",
        "'db1'": "db1",
        "10.0.3.1": "10.0.3.1",
        # order is that of the inventory, each host once
        "db2, web01, web": "web01 web02 Web03 db2",
        "db,db,db1": "db1 db2",
        # precedence: not, and, or = comma
        "db1 or web and site=berlin": "web01 web02 Web03 db1",
        "(db1 or web) and site=berlin": "web01 web02 Web03",
        "not web and db": "db1 db2",
        "not (web, db)": "win1 10.0.3.1",
        "not not web": "web01 web02 Web03",
        "web,db and site=paris": "web01 web02 Web03 db2",
        "db1 OR Web01 AND NOT web02": "web01 db1",
        "web and not web01 and not web02": "Web03",
        "((((db1))))": "db1",
        " web01,db1 ": "web01 db1",
        "(web01)or(db1)": "web01 db1",
        # keys
        "site=berlin": "web01 web02 Web03",
        "site=*berlin": "web01 web02 Web03 db1",
        "site='North Berlin'": "db1",
        'site="north berlin"': "db1",
        "SITE = Paris": "db2 win1",
        "site!=paris": "web01 web02 Web03 db1 10.0.3.1",
        "customer='ООО «Ромашка»'": "web01",
        "customer=*ромашка*": "web01",
        "platform=windows": "win1",
        "transport=ssh": "web01 web02 Web03 db1 db2",
        "tag=front and tag=beta": "web01",
        "tag!=front": "Web03 db1 db2 win1 10.0.3.1",
        "group=berlin": "web01 web02 Web03",
        "group=*b": "web01 web02 Web03 db1 db2",
        "name=w*": "web01 web02 Web03 win1",
        "address=10.0.1.*": "db1 db2",
        "port=2222": "web02",
        "credential=ops": "web02",
        # variables
        "role=primary": "db1",
        "role=*": "Web03 db1 db2",
        "role!=primary": "web01 web02 Web03 db2 win1 10.0.3.1",
        "disk=500": "db1",
        "ssd=true": "db1",
        "ratio=1.5": "db2",
        "racks=a2": "Web03",
        "thresholds.fs-space.warning=85": "10.0.3.1",
        "a.b=1": "10.0.3.1",
        "note='a=b, (c)'": "db2",
        "'role'=app": "Web03",
    }.items(),
)
def test_what_an_expression_chooses(expression: str, names: str) -> None:
    assert chosen(expression) == names


@pytest.mark.parametrize(
    ("expression", "part", "nearest"),
    [
        ("wev01", "wev01", "web01"),
        ("nobody", "nobody", ""),
        ("wbe and db1", "wbe", "web"),
        ("web*x", "web*x", "web"),
        ("not zzz", "zzz", ""),
        ("db1, not wbe01", "wbe01", "web01"),
        ("web[01:04]", "web04", "web02"),
        ("site=pariss", "site=pariss", "site=paris"),
        ("site='north berlln'", "site='north berlln'", "site='North Berlin'"),
        ("site!=pariss", "site!=pariss", "site=paris"),
        ("sitte=paris", "sitte=paris", "site"),
        ("rolle=app", "rolle=app", "role"),
        ("role=ap", "role=ap", "role=app"),
        ("empty=null", "empty=null", ""),
        ("site='par*'", "site='par*'", "site=paris"),
        ("'web*'", "'web*'", "web"),
        ("web and db", "web and db", ""),
        ("not all", "not all", ""),
        ("all and not ( web and db1 ) , db", "( web and db1 )", ""),
        ("all and not not not (web and (db))", "(web and (db))", ""),
        ("web[1", "web[1", "web01"),
        ("web[9:1]", "web[9:1]", "web01"),
        ("Role=app", "Role=app", "role"),
    ],
)
def test_what_matches_nothing_is_an_error_with_the_nearest_names(expression: str, part: str, nearest: str) -> None:
    with pytest.raises(NothingMatched) as caught:
        INVENTORY.select(expression)
    assert caught.value.expression == expression
    assert caught.value.part.strip("'") == part.strip("'") and (nearest in caught.value.nearest if nearest else True)


def test_an_empty_inventory_matches_nothing() -> None:
    for expression in ("all", "*", "site=berlin", "not all"):
        with pytest.raises(NothingMatched):
            Inventory().select(expression)


@pytest.mark.parametrize(
    ("expression", "column", "says"),
    [
        ("", 1, "a name is missing at the end"),
        ("   ", 4, "a name is missing at the end"),
        ("web01 web02", 7, "“web02” follows without"),
        ("web and", 8, "a name is missing at the end"),
        ("and web", 1, "a name is missing before “and”"),
        ("web or or db", 8, "a name is missing before “or”"),
        ("web,,db", 5, "a name is missing before “,”"),
        ("web,", 5, "a name is missing at the end"),
        ("(web", 1, "this parenthesis is never closed"),
        ("web and (db or (all)", 9, "this parenthesis is never closed"),
        ("web)", 4, "this parenthesis was never opened"),
        ("()", 2, "a name is missing before “)”"),
        ("not", 4, "a name is missing at the end"),
        ("site=", 6, "a value is missing after “site=”"),
        ("site=''", 6, "a value is missing after “site=”"),
        ("site= and web", 7, "a value is missing after “site=”"),
        ("=berlin", 1, "a name is missing before “=”"),
        ("site=a=b", 7, "“=” has no key before it"),
        ("(web) = x", 7, "“=” has no key before it"),
        ("site==x", 6, "a value is missing after “site=”"),
        ("!web", 1, "“!” is not understood here"),
        ("site='Nord", 6, "“'” is not understood here"),
        ("база and (", 11, "a name is missing at the end"),
        ("(" * 100_000, 65_536, "at most 65536 characters"),
        ("(" * 60_000, 51, "parentheses nest deeper than 50"),
        ("not " * 16_000, 64_001, "a name is missing at the end"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_column(expression: str, column: int, says: str) -> None:
    with pytest.raises(BadExpression) as caught:
        INVENTORY.select(expression)
    assert caught.value.column == column and says in str(caught.value) and f"column {column}:" in str(caught.value)


def test_long_expressions_are_read() -> None:
    assert chosen("not " * 16_000 + "web01") == "web01"
    assert chosen(",".join(["web01"] * 9_000)) == "web01"
    assert chosen("(" * 50 + "db1" + ")" * 50) == "db1"


# A naive evaluator: one host at a time, straight from the sentence in docs/inventory.md.


def naive_part(part: Part, host: Host) -> bool:
    value = part.value.lower()
    if part.key is None:
        if value == "all" and not part.literal:
            return True
        if "*" in value and not part.literal:
            return fnmatch.fnmatchcase(host.name.lower(), value)
        return value in (host.name.lower(), *host.groups)
    known: dict[str, Callable[[], list[object]]] = {
        "site": lambda: [host.site],
        "tag": lambda: list(host.tags),
        "group": lambda: list(host.groups),
        "role": lambda: [host.vars.get("role")],
    }
    texts = [str(text).lower() for text in known[part.key]() if text is not None]
    return any(fnmatch.fnmatchcase(text, value) if not part.literal else text == value for text in texts)


def naive(tree: Tree, host: Host) -> bool:
    match tree:
        case Part():
            return naive_part(tree, host) is not tree.negated
        case Not():
            return not naive(tree.operand, host)
        case AllOf():
            return all(naive(operand, host) for operand in tree.operands)
        case AnyOf():
            return any(naive(operand, host) for operand in tree.operands)


def parts(tree: Tree) -> list[Part]:
    match tree:
        case Part():
            return [tree]
        case Not():
            return parts(tree.operand)
        case AllOf() | AnyOf():
            return [part for operand in tree.operands for part in parts(operand)]


def excluded(tree: Tree) -> list[Tree]:
    match tree:
        case Part():
            return []
        case Not():
            return [tree.operand, *excluded(tree.operand)]
        case AllOf() | AnyOf():
            return [operand for inner in tree.operands for operand in excluded(inner)]


def written(tree: Tree, inside: int = 0) -> str:
    """Return a tree as text, with the parentheses that precedence asks for and no others."""
    match tree:
        case Part():
            return tree.text
        case Not():
            return f"not {written(tree.operand, 3)}"
        case AllOf():
            text, binds = " and ".join(written(operand, 2) for operand in tree.operands), 1
        case AnyOf():
            text, binds = " or ".join(written(operand, 1) for operand in tree.operands), 0
    return f"({text})" if binds < inside else text


NAMES = [*(host.name for host in HOSTS if host.name.isalnum()), *GROUPS, "all", "web*", "*1", "x*", "missing"]
BARE = st.sampled_from(NAMES).map(lambda name: Part(name, None, name))
KEYED = st.builds(
    lambda key, operator, value: Part(f"{key}{operator}{value}", key, value, negated=operator == "!="),
    st.sampled_from(["site", "tag", "group", "role"]),
    st.sampled_from(["=", "!="]),
    st.sampled_from(["berlin", "paris", "*", "b*", "front", "web", "primary", "nothing", "*r*"]),
)
PARTS = BARE | KEYED


def unnested(kind: type[AllOf] | type[AnyOf], operands: list[Tree]) -> Tree:
    return kind(tuple(inner for tree in operands for inner in (tree.operands if isinstance(tree, kind) else (tree,))))


def negated(tree: Tree) -> Tree:
    return tree.operand if isinstance(tree, Not) else Not(tree)


TREES: st.SearchStrategy[Tree] = st.recursive(
    PARTS,
    lambda inner: (
        inner.map(negated)
        | st.lists(inner, min_size=2, max_size=3).map(lambda trees: unnested(AllOf, trees))
        | st.lists(inner, min_size=2, max_size=3).map(lambda trees: unnested(AnyOf, trees))
    ),
    max_leaves=8,
)


@given(tree=TREES)
def test_what_is_written_is_what_is_read(tree: Tree) -> None:
    def flat(tree: Tree) -> Tree:  # parentheses around equals make a tree deeper, not different
        match tree:
            case Part():
                return tree
            case Not():
                return Not(flat(tree.operand))
            case AllOf():
                return unnested(AllOf, [flat(operand) for operand in tree.operands])
            case AnyOf():
                return unnested(AnyOf, [flat(operand) for operand in tree.operands])

    assert flat(parse(written(tree))) == flat(tree)
    assert flat(parse(written(tree).replace(" or ", ",").replace("(", "( ").replace(")", " )"))) == flat(tree)


@given(tree=TREES)
def test_hosts_are_those_that_a_naive_reading_finds(tree: Tree) -> None:
    positive = [Part(part.text, part.key, part.value) for part in parts(tree)]
    lost = [tree for tree in [*positive, *excluded(tree)] if not any(naive(tree, host) for host in HOSTS)]
    expected = [host for host in HOSTS if naive(tree, host)]
    try:
        selection = INVENTORY.select(written(tree))
    except NothingMatched as error:
        assert lost or not expected, error.part
    else:
        assert not lost and list(selection.hosts) == expected and selection.expression == written(tree)


@given(st.text("web01*?[:]()=!,'\" nota drx-\\\n\0ж", max_size=40) | st.text())
def test_any_text_gives_hosts_or_one_of_two_errors(text: str) -> None:
    try:
        selection = INVENTORY.select(text)
    except (BadExpression, NothingMatched) as error:
        assert isinstance(error, LongarmError)
    else:
        assert selection.hosts and set(selection.hosts) <= set(HOSTS)


class Watched(Listed):
    """Hosts that note which keys were looked up."""

    def __init__(self) -> None:
        super().__init__(HOSTS)
        self.looked_up: list[str] = []

    def column(self, key: str) -> Iterator[tuple[str, tuple[int]]]:
        self.looked_up.append(key)
        return super().column(key)


@pytest.mark.parametrize(("expression", "keys"), [("all", []), ("ALL", []), ("web*", ["name"])])
def test_nothing_is_looked_up_that_the_expression_does_not_need(expression: str, keys: list[str]) -> None:
    hosts = Watched()
    assert select(expression, hosts, GROUPS).hosts
    assert hosts.looked_up == keys
