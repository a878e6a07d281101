"""What `longarm doctor --host` tells about becoming another user on the host, and what to do where that is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from console.examination import NOTE, OK, Row, row
from console.words import say
from inventory.errors import Text
from inventory.host import Become, BecomeMethod, Host
from remote.answer import Answer, Ended
from remote.bundle import denials
from remote.question import Question
from reports.known import known
from reports.visible import shortened

STEP = "other user"
RULES = Question(id="doctor.rules", script="sudo -n -l", deadline_s=5, max_bytes=4000)
"""What sudo allows the user; asked where root is refused for want of a password, since `sudo -n` does not tell why."""
_Advice: TypeAlias = Callable[[Become, str], Text | None]
"""Says what to do, given who is to be become and who logs in."""


def other_user(host: Host, login: str, answer: Answer, ending: str) -> Row:
    """Return the row of it, from the answer to `id -un`, asked as root where that can be had; `ending` is why it is not."""
    became = answer.stdout.decode("utf-8", "replace").strip() if answer.ended is Ended.EXITED else ""
    if became == login and not answer.denied:
        return row(STEP, OK, say(Text("not needed: the login is root")))
    if became == host.become.user:
        return row(STEP, OK, say(Text("{user} by {name}", user=became, name=host.become.method.value)))
    return row(STEP, NOTE, ending, advice(answer.denied or answer.why, host.become, login))


def wants_rules(host: Host, answer: Answer) -> bool:
    """Tell whether RULES may say more about a refusal."""
    told = denials.told(denials.NO_PASSWORD, host.become)
    return host.become.method is BecomeMethod.SUDO and answer.denied.startswith(told)


def allowed_by(rules: Answer) -> str:
    """Return a sentence with what sudo allows without a password, empty where it tells none; hostile text in it.

    >>> listed = b"User ops may run the following commands on node:\\n    (ALL) NOPASSWD: /bin/ls, /usr/bin/id\\n"
    >>> allowed_by(Answer(ended=Ended.EXITED, exit_status=0, stdout=listed))
    'without one it allows: (ALL) NOPASSWD: /bin/ls, /usr/bin/id'
    """
    lines = (line.strip() for line in rules.stdout.decode("utf-8", "replace").splitlines())
    found = "; ".join(line for line in lines if "NOPASSWD:" in line)
    return say(Text("without one it allows: {words}", words=shortened(found, 200))) if found else ""


def advice(why: str, become: Become, login: str) -> Text | None:
    """Return what to do about a refusal; None where it is what the inventory says, or in no words of ours."""
    told = known(why)
    said = told.params["said"] if isinstance(told, Text) and told.template == "{said}: {words}" else told
    found = _ADVICE.get(said.template) if isinstance(said, Text) else None
    return found(become, login) if found else None


def _allow(become: Become, login: str) -> Text:
    match become.method:
        case BecomeMethod.SUDO:
            return Text("allow it by visudo: {line}", line=f"{login} ALL=({become.user}) NOPASSWD: /bin/sh")
        case BecomeMethod.DOAS:
            return Text("allow it in /etc/doas.conf: {line}", line=f"permit nopass {login} as {become.user}")
        case _:
            return Text("name another way in the inventory: {example}", example=_another(become))


def _another(become: Become) -> str:
    return f"become: {{method: {'doas' if become.method is BecomeMethod.SUDO else 'sudo'}}}"


def _without_terminal(become: Become, login: str) -> Text:
    if become.method is BecomeMethod.SUDO:
        return Text("allow it without one: {line}", line=f"Defaults:{login} !requiretty")
    return _allow(become, login)


def _name_password(become: Become, login: str) -> Text:
    if become.method is BecomeMethod.SU:
        return Text("name it in the credential: {example}", example="become: {password: {prompt: …}}")
    example = "become: {password: {prompt: …}}"
    return Text("name it in the credential: {example}; or {other}", example=example, other=_allow(become, login))


def _check_rules(become: Become, _: str) -> Text:
    command = "doas -C /etc/doas.conf" if become.method is BecomeMethod.DOAS else "visudo -c"
    return Text("look on the host: {command}", command=command)


def _whose(become: Become, login: str) -> str:
    return become.user if become.method is BecomeMethod.SU else login


_ADVICE: dict[str, _Advice] = {
    denials.MISSING: lambda become, _: Text("name another way in the inventory: {example}", example=_another(become)),
    denials.NOT_ALLOWED: _allow,
    denials.NO_SHELL: _allow,
    denials.NO_PASSWORD: _name_password,
    denials.WRONG: lambda become, login: Text(
        "compare the password of the credential with that of {user}", user=_whose(become, login)
    ),
    denials.MUST_CHANGE: lambda become, login: Text("log in as {user} and change it: passwd", user=_whose(become, login)),
    denials.EXPIRED: lambda become, login: Text("look on the host: {command}", command=f"chage -l {_whose(become, login)}"),
    denials.TERMINAL: _without_terminal,
    denials.NOEXEC: lambda become, login: Text(
        "exempt the shell by visudo: {line}", line=f"{login} ALL=({become.user}) EXEC: NOPASSWD: /bin/sh"
    ),
    denials.POWERLESS: lambda *_: Text(
        "a container may be meant so: log in as root, or say {example}", example="become: {method: none}"
    ),
    denials.BROKEN: _check_rules,
    denials.NO_USER: lambda *_: Text("correct the inventory: {example}", example="become: {user: …}"),
    denials.NO_LOGIN: lambda become, _: Text("name another way in the inventory: {example}", example=_another(become)),
    denials.OWN_WORDS: _allow,
    denials.SLOW: lambda *_: Text("look at what it asks on the host: LDAP, sssd, DNS"),
}
