"""What scripts for sh must not run (T7, T20), as sh reads them: by commands, and not by the letters of a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from inventory.errors import Text
from playbooks.issues import Grade
from playbooks.shell_calls import Call, calls_in, calls_of, functions_in, reads_stdin, told_script
from playbooks.shell_commands import ShellReader
from playbooks.shell_programs import SHELLS, bare
from playbooks.shell_tree import Block, Item, SimpleCommand, Word
from playbooks.shell_values import Values, values_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is said of a danger, and what to write instead."""

    code: str
    text: Text
    hint: Text
    grade: Grade = Grade.ERROR


EVAL: Final = Told(code="danger.eval", text=Text("eval makes text into commands"), hint=Text("values are in variables already"))
RUN_VALUE: Final = Told(
    code="danger.eval",
    text=Text("a value becomes a command"),
    hint=Text('case "$value" in start | stop) program "$value" ;; esac'),
)
SHELL_C: Final = Told(
    code="danger.shell_c",
    text=Text("a value becomes the text of a command"),
    hint=Text("""sh -c '… "$1"' sh "$value\""""),
)
PROGRAM: Final = Told(
    code="danger.shell_c",
    text=Text("a value becomes the text of a program"),
    hint=Text("""value="$value" awk '… ENVIRON["value"] …\'"""),
)
REBOOT: Final = Told(
    code="danger.reboot",
    text=Text("a reboot that is not the action reboot proves nothing and looks like a lost host"),
    hint=Text("reboot: {}"),
)
RM: Final = Told(
    code="danger.rm",
    text=Text("rm -r of something that may be empty, or of much more than is meant"),
    hint=Text('"${dir:?}/name", or the action file with state: absent'),
)
FIND: Final = Told(
    code="danger.rm",
    text=Text("find deletes below something that may be empty, or everything"),
    hint=Text('find "${dir:?}" -xdev -name … -delete'),
)
DISK: Final = Told(code="danger.disk", text=Text("it overwrites a disk"), hint=Text("no playbook does that"))
PERMISSIONS: Final = Told(
    code="danger.permissions",
    text=Text("everybody may write what this makes"),
    hint=Text('the action file with mode: "0644"'),
)
PIPE: Final = Told(
    code="danger.pipe_to_shell",
    text=Text("what a server says is run unseen"),
    hint=Text("put the file beside the playbook, or install a package"),
)
KILL_ALL: Final = Told(code="danger.kill_all", text=Text("it ends everything on the host"), hint=Text("name the processes"))
FIREWALL: Final = Told(
    code="danger.firewall",
    text=Text("it takes away all rules of the firewall"),
    hint=Text("change the one rule that is meant"),
    grade=Grade.WARNING,
)

_RECURSIVE: Final = re.compile(r"-[A-Za-z]*[rR][A-Za-z]*|--recursive")
_MUCH: Final = re.compile(r"/\S{0,12}|~.*|[./]*\*.*", re.DOTALL)
"""A folder of the system, a home, everything that is here."""
_STOPS: Final = frozenset(("halt", "poweroff", "reboot", "shutdown"))
_STOPPING: Final = _STOPS | {"kexec", "soft-reboot"}
"""As words of systemctl and loginctl."""
_TARGET: Final = re.compile(r"(?:halt|kexec|poweroff|reboot|soft-reboot|shutdown|ctrl-alt-del|runlevel[06])\.target")
_STARTING: Final = frozenset(("isolate", "restart", "start"))
_SYSRQ: Final = "/proc/sysrq-trigger"
_DISKS: Final = re.compile(r"/dev/(?:sd|hd|vd|xvd|nvme|mmcblk|md|dm-|mapper/|disk/)")
_DESTROYS: Final = frozenset(("blkdiscard", "mke2fs", "sgdisk", "shred", "wipefs"))
_FETCHES: Final = frozenset(("curl", "wget"))
_OCTAL: Final = re.compile(r"[0-7]{1,5}")
_CLAUSE: Final = re.compile(r"([ugoa]*)[=+]([rwxXst]*)")
_PROGRAM_BEHIND: Final = {"node": "-e", "perl": "-e", "php": "-r", "python": "-c", "python3": "-c", "ruby": "-e"}
_AWKS: Final = frozenset(("awk", "gawk", "mawk", "nawk"))
_RUNS: Final = re.compile(r"[/|#,][gpiIm0-9]*e[gpiIm0-9]*$")
"""The end of a substitution of sed that runs what it gives."""
_NOWHERE: Final = frozenset(("-H", "-L", "-P"))
"""Options of find that stand before where it begins."""


def dangers_of_sh(text: str, values: frozenset[str] = frozenset()) -> Iterator[tuple[int, Told]]:
    """Yield each danger of a script with its place, in characters; `values` are variables with texts that nobody knows."""
    tree = ShellReader(text).script()
    known, functions, told = values_in(tree, values), functions_in(tree), set[tuple[int, str]]()
    for offset, danger in (*_of_calls(text, tree, known, functions), *_of_redirections(tree)):
        if (offset, danger.code) not in told:
            told.add((offset, danger.code))
            yield offset, danger


def _of_calls(text: str, tree: Block, known: Values, functions: frozenset[str]) -> Iterator[tuple[int, Told]]:
    if ":" in functions:
        yield max(text.find(":()"), 0), KILL_ALL
    for call in calls_in(tree):
        if call.name in functions and not call.in_path:
            continue
        for danger in (*_made_commands(call, known), *_named(call, text)):
            yield call.offset, danger


def _of_redirections(block: Block) -> Iterator[tuple[int, Told]]:
    """Yield where a redirection does what no playbook does."""
    for item in items_of(block):
        for word in item.writes:
            yield from ((word.offset, danger) for danger in _written(bare(word)))


def items_of(block: Block) -> Iterator[Item]:
    """Yield everything that a script is made of, what stands within others included."""
    for _, items in block.parts:
        for item in items:
            yield item
            if isinstance(item, Block):
                yield from items_of(item)
            if isinstance(item, SimpleCommand):
                for word in item.all_words:
                    for inner in word.inside:
                        yield from items_of(inner)


def _written(path: str) -> Iterator[Told]:
    if path == _SYSRQ:
        yield REBOOT
    elif _DISKS.match(path):
        yield DISK


# texts that become commands


def _made_commands(call: Call, known: Values) -> Iterator[Told]:
    """Yield where a text that is not the script's own is run."""
    first = call.operands[:1]
    if call.name == "eval":
        yield EVAL
    elif call.made:
        pass  # that the text is made is told where it stands
    elif call.name == "alias":
        yield from (EVAL for word in call.operands if known.strange(word))
    elif call.name == "trap":
        yield from (EVAL for word in first if known.strange(word))
    elif call.name in (".", "source"):
        yield from (SHELL_C for word in first if known.strange(word))
    elif call.variable and known.runs_unknown(call.variable):
        yield RUN_VALUE
    elif (program := _program(call)) is not None and known.strange(program):
        yield PROGRAM
    elif (told := told_script(call)) is not None:
        if told.uses or told.inside or ("{}" in told.text and {"find", "xargs"} & set(call.before)):
            yield SHELL_C
    elif call.name in SHELLS and "xargs" in call.before and call.has("c"):
        yield SHELL_C
    if reads_stdin(call):
        yield from _fed(call)


def _program(call: Call) -> Word | None:
    """Return the word that is a program in a language of its own."""
    if call.name in _AWKS:
        words = list(call.words[1:])
        while words and (text := bare(words[0])).startswith("-") and text != "--":
            if text in ("-f", "--file"):
                return None
            words = words[2:] if text in ("-v", "-F") else words[1:]
        return next((word for word in words if bare(word) != "--"), None)
    if call.name == "sed":
        return next((word for word in call.operands[:1] if _RUNS.search(bare(word))), None)
    option = _PROGRAM_BEHIND.get(call.name)
    at = call.texts.index(option) + 2 if option in call.texts else len(call.words)
    return call.words[at] if at < len(call.words) else None


def _fed(call: Call) -> Iterator[Told]:
    """Yield where what a shell reads is not written in the script."""
    if any(word.uses or word.inside for word in call.command.given):
        yield SHELL_C
    if call.command.fed or not call.upstream:
        return
    names = {one.name for item in call.upstream for one in calls_of(item)}
    if names & _FETCHES:
        yield PIPE
    elif not all(_is_literal(item) for item in call.upstream):
        yield SHELL_C


def _is_literal(item: Item) -> bool:
    """Tell whether what a command writes stands in the script."""
    if not isinstance(item, SimpleCommand) or not item.words:
        return False
    words = (*item.words, *item.given)
    only = bare(item.words[0]) in ("echo", "printf") or (bare(item.words[0]) == "cat" and len(item.words) == 1)
    return only and not any(word.uses or word.inside for word in words)


# programs that are known by their names


def _named(call: Call, text: str) -> Iterator[Told]:
    """Yield what a program does that no playbook does like this."""
    match call.name:
        case "rm":
            yield from [RM] if _removes_much(call, text) else []
        case "find":
            yield from [FIND] if _finds_much(call, text) else []
        case "chmod":
            yield from [PERMISSIONS] if any(_opens(bare(word)) for word in call.operands[:1]) else []
        case "install" | "mkdir" | "mkfifo":
            yield from [PERMISSIONS] if any(map(_opens, _modes(call))) else []
        case "kill":
            yield from [KILL_ALL] if "-1" in call.texts[1:] else []
        case "killall5":
            yield KILL_ALL
        case "pkill":
            yield from [KILL_ALL] if call.has("uU") and [*map(bare, call.operands)] in (["root"], ["0"]) else []
        case "iptables" | "ip6tables" | "nft" | "ufw":
            yield from [FIREWALL] if _opens_firewall(call) else []
    yield from _to_disks(call)
    if _stops(call):
        yield REBOOT


def _to_disks(call: Call) -> Iterator[Told]:
    """Yield where a program writes to what no playbook writes to."""
    match call.name:
        case "tee":
            yield from (danger for word in call.operands for danger in _written(bare(word)))
        case "cp" | "mv":
            yield from (danger for word in call.operands[1:][-1:] for danger in _written(bare(word)))
        case "dd":
            yield from (danger for one in call.texts if one.startswith("of=") for danger in _dd(one[3:]))
        case name if name in _DESTROYS or re.fullmatch(r"mkfs(?:\.\w+)?", name):
            yield DISK


def _dd(path: str) -> Iterator[Told]:
    yield from _written(path) if path == _SYSRQ else [DISK] if path.startswith("/dev/") and path != "/dev/null" else []


def _unsure(word: Word, text: str) -> bool:
    """Tell whether a word may be empty, or anything: what stands in it is not held to be there by `:?`."""
    return bool(word.inside) or any(not text.startswith(f"${{{use.name}:?", use.offset) for use in word.uses)


def _removes_much(call: Call, text: str) -> bool:
    if not any(_RECURSIVE.fullmatch(option) for option in call.options):
        return False
    if "xargs" in call.before and not _found_whole(call, text):
        return True
    return any(_unsure(word, text) or _MUCH.fullmatch(bare(word)) for word in call.operands)


def _found_whole(call: Call, text: str) -> bool:
    """Tell whether xargs gets names from `find -print0`, which begins somewhere, and takes them whole."""
    own = [bare(word) for word in call.command.words if word.offset < call.offset]
    source = [one for item in call.upstream[-1:] for one in calls_of(item)]
    whole = any(re.fullmatch(r"-[a-z]*0[a-z]*|--null", one) for one in own)
    return whole and bool(source) and source[0].name == "find" and not _begins_anywhere(source[0], text)


def _finds_much(call: Call, text: str) -> bool:
    deletes = "-delete" in call.texts
    runs = ("-exec", "-execdir", "-ok", "-okdir")
    deletes |= any(
        one in runs and then.rpartition("/")[2] == "rm" for one, then in zip(call.texts, call.texts[1:], strict=False)
    )
    return deletes and _begins_anywhere(call, text)


def _begins_anywhere(call: Call, text: str) -> bool:
    """Tell whether find may begin at the root, or where nobody knows."""
    words = [word for word in call.words[1:] if bare(word) not in _NOWHERE]
    end = next((at for at, word in enumerate(words) if bare(word)[:1] in ("-", "(", "!")), len(words))
    return end == 0 or any(_unsure(word, text) or re.fullmatch(r"/+\.?|/\*", bare(word)) for word in words[:end])


def _opens(mode: str) -> bool:
    """Tell whether everybody may write what has this mode; with the sticky bit, as on /tmp, nobody's files are touched.

    >>> [_opens(mode) for mode in ("666", "0777", "1777", "0664", "a=rwx", "o+w", "u+w", "o-w")]
    [True, True, False, False, True, True, False, False]
    """
    if _OCTAL.fullmatch(mode):
        bits = int(mode, 8)
        return bool(bits & 0o002) and not bits & 0o1000
    clauses = [match for clause in mode.split(",") if (match := _CLAUSE.fullmatch(clause))]
    sticky = any("t" in match[2] for match in clauses)
    return not sticky and any({"o", "a"} & set(match[1]) and "w" in match[2] for match in clauses)


def _modes(call: Call) -> Iterator[str]:
    """Yield the modes that a program is told by `-m` or `--mode`."""
    for option, behind in zip(call.texts, (*call.texts[1:], ""), strict=True):
        if option == "-m":
            yield behind
        elif option.startswith(("-m", "--mode=")):
            yield option.partition("=")[2] if option.startswith("--") else option[2:]


def _opens_firewall(call: Call) -> bool:
    match call.name:
        case "nft":
            return tuple(one for one in call.texts if not one.startswith("-"))[:2] == ("flush", "ruleset")
        case "ufw":
            return "disable" in call.texts
    return any(one in ("-F", "--flush") for one in call.texts)


def _stops(call: Call) -> bool:
    """Tell whether a call ends the system, or starts it anew."""
    texts = [bare(word) for word in call.operands]
    match call.name:
        case "shutdown":
            return not call.has("c")
        case "init" | "telinit":
            return texts[:1] in (["0"], ["6"])
        case "kexec":
            return call.has("e", "--exec")
        case "systemctl":
            wanted = bool(_STARTING & set(texts)) and any(map(_TARGET.fullmatch, texts))
            return wanted or any(one in _STOPPING for one in texts[:1])
        case "loginctl":
            return any(one in _STOPPING for one in texts[:1])
    return call.name in _STOPS
