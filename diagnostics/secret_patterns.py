"""What looks like a secret in a text that nobody declared anything about: files from hosts, and commands that people type.

Rather too much is taken for one than too little: what is starred can be looked up on the host, what leaked cannot be called
back. A value in quotes is starred to the quote that closes it, another one in a file to the end of its line if its name is the
first thing there (settings, .env, YAML), else to what may begin another `name=value`. No rule reads a place twice, whatever a
host may write: all of them run on the one loop.
"""

from __future__ import annotations

import re
from typing import Final

from diagnostics.probe import Redaction

_KEYS: Final = (b"api", b"private", b"secret", b"access", b"account", b"encryption", b"signing", b"shared", b"master")
_NAME: Final = (
    rb"(?:pass(?:word|wd|phrase|code)s?|secrets?|tokens?|credentials?|signature"
    rb"|(?<=;)pwd|pwd(?=[\"'\\]*[ \t]*[:=][ \t]*[\"']?[^/\s])"
    rb"|(?:" + b"|".join(_KEYS) + rb")[_.-]?key|(?<=[_.-])(?:pass|pw|pwd|auth))"
    rb"(?:[_.-]?(?:value|text|hash|access[_-]?key|key|base(?:64)?|[0-9]{1,3})){0,4}+"
)
"""What a name ends in, whatever stands before it. PWD with a path is a folder, but not in a list of settings for a database."""
_NAMED: Final = (
    *(b"pass", b"secret", b"token", b"credential", b"pwd", b"signature", b"_pw", b"-pw", b".pw", b"_auth", b"-auth", b".auth"),
    *(kind + between + b"key" for kind in _KEYS for between in (b"", b"_", b"-", b".")),
)
"""One of these is in each such name."""
_HEADED: Final = (*_NAMED, b"authorization", b"cookie")
_IS: Final = rb"\\*[\"']?\]?[ \t]*(?>=>|:=|[:=])[ \t]*+"
_TO_QUOTE: Final = rb"(?:(?!(?P=quote))(?:\\[^\n]|[^\\\n]))*+"
_CLOSED: Final = rb"(?P<quote>\\*[\"'])(?P<secret>" + _TO_QUOTE + rb"(?:(?P=quote)(?:\\[\"'])?(?P=quote)" + _TO_QUOTE + rb")*+)"
"""What follows a quote, to the one that closes it: twice it is a quote in what is quoted, and for a shell `'\''` is one."""
_BARE: Final = rb"(?!\\*[\"']|\[)"
"""Here begins neither what is in quotes nor a list."""
_IN_WORD: Final = rb"[^\s\"',;&]|[,;&](?![\w.-]*+[=:]|\s|\Z)|(?<=[^\s=:])[\"'](?![\s,;&)}\]>|/:]|\Z)"
_FIRST: Final = rb"^[ \t#;/-]*+(?:(?:export|set|setx|env|arg|environment=)[ \t]*)?[\"']?[\w.-]{0,80}?"
_KEY: Final = rb"^(?P<in>[ \t]*+)(?P<item>-[ ])?[{(\[]?[ \t]*+[\"']?[\w.-]{0,80}?(?:authorization|cookie|" + _NAME + rb")" + _IS
_DEEPER: Final = rb"(?P=in)(?(item)[ \t][ \t])[ \t]++"
_LINES, _END = rb"(?:[A-Za-z0-9+/=]++\r?\n)", rb"-----END [A-Z ]*PRIVATE KEY"
_CASELESS: Final = re.IGNORECASE | re.MULTILINE


def _rule(pattern: bytes, *near: bytes, flags: int = 0) -> Redaction:
    return Redaction(pattern=re.compile(pattern, flags), near=near)


_WORD: Final = (
    _rule(_NAME + _IS + _CLOSED, *_NAMED, flags=_CASELESS),
    _rule(_NAME + _IS + rb"(?P<secret>" + _BARE + rb"(?:" + _IN_WORD + rb")++)", *_NAMED, flags=_CASELESS),
)
_LATER_LINES: Final = (
    # the lines of a scalar of YAML (8.1), deeper than its name
    _rule(
        _KEY + rb"[|>][-+0-9]*(?:[ \t]+#[^\n]*)?[ \t]*\r?\n"
        rb"(?P<secret>(?:" + _DEEPER + rb"[^\n]*+(?:\n|\Z)|[ \t]*+\r?\n)++)",
        *_HEADED,
        flags=_CASELESS,
    ),
    # a value, or a list of them, that stands below its name
    _rule(
        _KEY + rb"\r?\n(?P<secret>(?:(?P=in)[ \t]*-[ \t][^\n]*+(?:\n|\Z))++"
        rb"|" + _DEEPER + rb"(?![\w.-]+[\"']?[ \t]*[:=](?:[ \t]|\r?$))[^\n]*+)",
        *_HEADED,
        flags=_CASELESS,
    ),
    # the lines of a list, and what is quoted over several of them
    _rule(_KEY + rb"\[[ \t]*\r?\n(?P<secret>(?:[ \t]+[^\]\n]*+\n)++)", *_HEADED, flags=_CASELESS),
    _rule(
        _KEY + rb"(?P<quote>[\"'])(?P<secret>" + _TO_QUOTE + rb"\n(?:[ \t]+" + _TO_QUOTE + rb"(?:\n|\Z|(?=(?P=quote))))++)",
        *_HEADED,
        flags=_CASELESS,
    ),
)
_FIRST_IN_LINE: Final = (
    _rule(_FIRST + _NAME + _IS + _CLOSED, *_NAMED, flags=_CASELESS),
    _rule(_FIRST + _NAME + _IS + rb"(?P<secret>" + _BARE + rb"[^\r\n]++)", *_NAMED, flags=_CASELESS),
)
_ELSEWHERE: Final = (
    _rule(_NAME + _IS + rb"\[(?P<secret>[^\]\n]++)", *_NAMED, flags=_CASELESS),
    _rule(rb"(?<![\w-])--?(?!-)[\w-]{0,40}?" + _NAME + rb"[ \t]+" + _CLOSED, *_NAMED, flags=_CASELESS),
    _rule(
        rb"(?<![\w-])--?(?!-)[\w-]{0,40}?" + _NAME + rb"[ \t]+(?P<secret>(?!-)" + _BARE + rb"(?:" + _IN_WORD + rb")++)",
        *_NAMED,
        flags=_CASELESS,
    ),
    # RFC 9110, 11.6.2, and RFC 6265: to the end of what carries it; the parameters of Digest are in quotes
    _rule(rb"\b(?:authorization|cookie)" + _IS + _CLOSED, b"authorization", b"cookie", flags=_CASELESS),
    _rule(
        rb"\b(?:authorization|cookie)" + _IS + rb"(?P<secret>digest[^\r\n]*+|" + _BARE + rb"[^\r\n\"']++)",
        *(b"authorization", b"cookie"),
        flags=_CASELESS,
    ),
    # <name>value</name>, key="name" value="value" of .NET, define('NAME', 'value') of PHP
    _rule(rb"<[\w.:-]{0,80}?" + _NAME + rb"(?:[ \t][^<>]*+)?>(?P<secret>[^<]++)<", flags=_CASELESS),
    _rule(
        rb"\b(?:key|name)=[\"'][^\"'<>\n]{0,80}?" + _NAME + rb"[\"'][ \t]+value=" + _CLOSED,
        *_NAMED,
        flags=_CASELESS,
    ),
    _rule(rb"\bdefine\([ \t]*[\"'][^\"'\n]{0,80}?" + _NAME + rb"[\"'][ \t]*,[ \t]*" + _CLOSED, b"define(", flags=_CASELESS),
    # SQL, netrc, redis, what curl, sshpass and mysql are told
    _rule(rb"\b(?:identified[ \t]+by|password)[ \t]+(?=')" + _CLOSED, b"identified", b"password", flags=_CASELESS),
    _rule(
        rb"\b(?:login[ \t]+\S+[ \t]+password|requirepass|masterauth)[ \t]+(?P<secret>\S++)",
        *(b"password", b"requirepass", b"masterauth"),
        flags=_CASELESS,
    ),
    _rule(rb"\b(?:curl|wget)\b[^\n]{0,200}?[ \t](?:-u|--user)[ =]?[\"']?[^\s:\"']+:(?P<secret>[^\s\"']++)", b"curl", b"wget"),
    _rule(
        rb"(?<![\w-])(?:sshpass|mysql\w{0,20}+|mariadb[\w-]{0,20}+)[^\n|;]{0,200}?[ \t]-p[ \t]?(?P<secret>[^\s\"']++)",
        *(b"sshpass", b"mysql", b"mariadb"),
    ),
    # the password of an address (RFC 3986, 3.2.1), whose user may be empty
    _rule(rb"://[^\s:/@\"<>]*+:(?P<secret>[^\s/\"<>]+)@"),
    # by their form alone: JSON Web Tokens (RFC 7519), hashes of crypt(5), tokens of GitHub, GitLab, Slack
    _rule(rb"(?<![\w-])eyJ[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]*+", b".eyj"),
    _rule(rb"\$(?:[1567]|2[abxy]|g?y|apr1|argon2id?)\$[./A-Za-z0-9$,=+-]{8,}+"),
    _rule(
        rb"\b(?:gh[pousr]_\w{20,}+|glpat-[\w-]{16,}+|xox[abprs]-[\w-]{10,}+)",
        *(b"gh%c_" % kind for kind in b"pousr"),
        *(b"glpat-", b"xox"),
    ),
)
LOOKS_SECRET: Final = (
    _rule(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----(?P<secret>.*?)(?:-----END|\Z)", flags=re.DOTALL),
    # its beginning was left out; lines that lead to no such end are passed over as one: 150 KB of base64 took 29 s
    _rule(rb"^(?:" + _LINES + rb"++(?!" + _END + rb"))?+(?P<secret>" + _LINES + rb"*+)", flags=re.MULTILINE),
    *(*_LATER_LINES, *_FIRST_IN_LINE, *_WORD, *_ELSEWHERE),
)
"""Rules of `diagnostics.redaction.ruled` for files."""
LOOKS_SECRET_IN_COMMAND: Final = (*_WORD, *_ELSEWHERE)
"""The same for a command: a value ends where its word does, or all that follows `PASSWORD=x` would be hidden."""
