"""What a script for sh that only looks must not do: change the host, which `--plan` would do too then."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from inventory.errors import Text
from playbooks.issues import Grade
from playbooks.shell_calls import Call, calls_in, commands_in, functions_in
from playbooks.shell_commands import ShellReader
from playbooks.shell_dangers import Told, items_of
from playbooks.shell_programs import bare
from playbooks.shell_tree import Block, Word

_SETTLED: Final = re.compile(r"/dev/(?:null|zero|full|stdout|stderr|tty|fd/[0-9]+)")
"""Where to write changes nothing."""
_ALWAYS: Final = frozenset(
    (
        *("adduser", "blkdiscard", "chattr", "chgrp", "chmod", "chown", "chpasswd", "cp", "deluser", "groupadd", "groupdel"),
        *("halt", "insmod", "install", "killall", "killall5", "ln", "mkdir", "mkfifo", "mknod", "mv", "passwd", "pkill"),
        *("poweroff", "reboot", "renice", "rm", "rmdir", "rmmod", "rsync", "setfacl", "shred", "swapoff", "touch", "truncate"),
        *("umount", "unlink", "update-grub", "update-initramfs", "useradd", "userdel", "usermod"),
    )
)
_MANAGERS: Final = frozenset(("apk", "apt", "apt-get", "aptitude", "dnf", "yum", "zypper"))
_MANAGING: Final = frozenset(
    (
        *("add", "autoremove", "clean", "del", "dist-upgrade", "distro-sync", "downgrade", "erase", "fix", "full-upgrade"),
        *("install", "purge", "reinstall", "remove", "update", "upgrade"),
    )
)
_PRETENDING: Final = frozenset(("-s", "--simulate", "--dry-run", "--just-print", "--recon", "--no-act", "--assumeno", "-S"))
_NUMBERS: Final = re.compile(r"(?:\$!|\$\w+|\s)*")
"""Of processes that the script has begun."""
_UNITS: Final = frozenset(
    (
        *("condrestart", "daemon-reexec", "daemon-reload", "disable", "enable", "force-reload", "halt", "isolate", "kill"),
        *(
            "mask",
            "poweroff",
            "preset",
            "reboot",
            "reenable",
            "reload",
            "reload-or-restart",
            "reset-failed",
            "restart",
            "revert",
        ),
        *("set-default", "set-property", "start", "stop", "try-restart", "unmask"),
    )
)
_NETWORK: Final = frozenset(("add", "append", "change", "delete", "del", "flush", "replace", "set"))
_RULES: Final = re.compile(r"-[ADFINPXZ]|--(?:append|delete|flush|insert|new-chain|policy|delete-chain|zero)")


def _words(call: Call) -> list[str]:
    return [bare(word) for word in call.operands]


_SOMETIMES: Final[dict[str, Callable[[Call], bool]]] = {
    "crontab": lambda call: not call.has("l"),
    "date": lambda call: call.has("", "--set") or "-s" in call.texts,
    "dd": lambda call: any(one.startswith("of=") and not _SETTLED.fullmatch(one[3:]) for one in call.texts),
    "dpkg": lambda call: call.has("irP", "--install", "--remove", "--purge", "--configure", "--unpack"),
    "find": lambda call: "-delete" in call.texts,
    "hostnamectl": lambda call: any(one.startswith("set-") for one in _words(call)),
    "hwclock": lambda call: call.has("wsu", "--systohc", "--hctosys", "--set"),
    "ip": lambda call: bool(_NETWORK & set(_words(call)[1:2])),
    "ip6tables": lambda call: any(map(_RULES.fullmatch, call.texts)),
    "iptables": lambda call: any(map(_RULES.fullmatch, call.texts)),
    "journalctl": lambda call: any(one.startswith(("--vacuum", "--rotate", "--flush")) for one in call.texts),
    "kill": lambda call: not call.has("lL") and not set(call.texts[:1]) & {"-0"} and call.texts[:2] != ("-s", "0"),
    "logrotate": lambda call: not call.has("d", "--debug"),
    "modprobe": lambda call: not call.has("nDc", "--dry-run", "--show-depends", "--showconfig"),
    "mount": lambda call: call.has("a") or len(_words(call)) > len({"-t", "-o", "-O"} & set(call.texts)),
    "nft": lambda call: bool({"add", "create", "delete", "flush", "insert", "replace"} & set(_words(call)[:1])),
    "perl": lambda call: call.has("i"),
    "rpm": lambda call: call.has("", "--install", "--upgrade", "--erase") or bool(re.match(r"-[iUFe]", (*call.texts, "")[0])),
    "sed": lambda call: call.has("", "--in-place") or any(re.match(r"-[nErsuz]*i", one) for one in call.options),
    "sysctl": lambda call: call.has("wp", "--write", "--load", "--system") or any("=" in one for one in _words(call)),
    "timedatectl": lambda call: any(one.startswith("set-") for one in _words(call)),
}
"""Programs that change something only when they are told so."""


def changes_in_look(text: str) -> Iterator[tuple[int, Told]]:
    """Yield what obviously changes the host in a script that is to look only, with its place in characters."""
    tree = ShellReader(text).script()
    functions, calls = functions_in(tree), list(calls_in(tree))
    own = _temporary(tree, calls)
    found = dict[int, str]()
    for call in calls:
        if (call.in_path or call.name not in functions) and _changes(call, own, tree):
            found.setdefault(call.offset, call.name)
    for item in items_of(tree):
        for word in item.writes:
            if not _harmless(word, own):
                found.setdefault(word.offset, f">{bare(word)}")
    for offset, what in sorted(found.items()):
        yield offset, told_of_look(what)


def told_of_look(what: str) -> Told:
    """Return what is said of a command that changes something where nothing is to be changed."""
    return Told(
        code="looks",
        text=Text("a script that only looks is run by a plan too, and “{what}” changes the host", what=what[:60]),
        hint=Text("leave it out, or make it a step of its own with retry: guarded, idempotent or never"),
        grade=Grade.ERROR,
    )


def _changes(call: Call, own: frozenset[str], tree: Block) -> bool:
    """Tell whether a call changes more than the script's own temporary files and processes."""
    name = call.name
    if name == "mktemp":
        return not call.has("u", "--dry-run") and not any(word.offset < call.offset for word in _made(tree, own))
    if name in _ALWAYS or name == "tee":
        words = call.operands[1:] if name in ("chmod", "chown", "chgrp") else call.operands
        words = words[-1:] if name in ("cp", "mv", "ln", "install") else words
        return not (name == "tee" and not words) and not (words and all(_harmless(word, own) for word in words))
    if name in _MANAGERS:
        return bool(_MANAGING & set(_words(call)[:1])) and not (_PRETENDING & set(call.texts))
    if name == "systemctl":
        return bool(_UNITS & set(_words(call)[:1]))
    if name in ("service", "rc-service"):
        return bool(_UNITS & set(_words(call)[1:2]))
    if name == "kill" and call.operands and all(_own_process(word, tree) for word in call.operands):
        return False
    return (
        name in _SOMETIMES
        and _SOMETIMES[name](call)
        and not (name in ("sed", "perl") and call.operands and all(_harmless(word, own) for word in call.operands[-1:]))
    )


def _harmless(word: Word, own: frozenset[str]) -> bool:
    """Tell whether to write there changes nothing that was there before, or stays."""
    return bool(_SETTLED.fullmatch(bare(word))) or (
        bool(word.uses) and bare(word).startswith("$") and word.uses[0].name in own and ".." not in word.text
    )


def _made(tree: Block, own: frozenset[str]) -> Iterator[Word]:
    """Yield the assignments that make the script's own temporary files."""
    for command in commands_in(tree):
        yield from (word for name, word in command.assigned if name in own)


def _temporary(tree: Block, calls: list[Call]) -> frozenset[str]:
    """Return the variables with the name of a temporary file that the script makes and removes again, and nothing else."""
    assigned = [one for command in commands_in(tree) for one in command.assigned]
    made = {name for name, word in assigned if _is_temporary(word)}
    made -= {name for name, word in assigned if not _is_temporary(word)}
    removed = {
        use.name for call in calls if call.name in ("rm", "rmdir", "unlink") for word in call.operands for use in word.uses
    }
    return frozenset(made & removed)


def _is_temporary(word: Word) -> bool:
    commands = [command for block in word.inside for command in commands_in(block)]
    return not word.uses and len(commands) == 1 and bool(commands[0].words) and bare(commands[0].words[0]) == "mktemp"


def _own_process(word: Word, tree: Block) -> bool:
    """Tell whether a word is the number of a process that the script has begun."""
    if bare(word) in ("$!", "$$"):
        return True
    names = {use.name for use in word.uses}
    texts = [bare(one).partition("=")[2] for command in commands_in(tree) for name, one in command.assigned if name in names]
    return any("$!" in text for text in texts) and all(map(_NUMBERS.fullmatch, texts))
