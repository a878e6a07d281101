"""What looks like a secret in files that nobody declared anything about, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from diagnostics.redaction import ruled
from diagnostics.secret_patterns import LOOKS_SECRET, LOOKS_SECRET_IN_COMMAND

SECRETS = {
    # settings, environments
    "PGPASSWORD=leak": "PGPASSWORD=***",
    "DB_PASSWORD=leak,leak;leak&leak leak": "DB_PASSWORD=***",
    "export AWS_SECRET_ACCESS_KEY=leak": "export AWS_SECRET_ACCESS_KEY=***",
    "client_secret=leak": "client_secret=***",
    "smtp_pass = leak": "smtp_pass = ***",
    "# db.password = leak": "# db.password = ***",
    "password: my leak phrase": "password: ***",
    "password = 'leak leak' # old": "password = '***' # old",
    "'password' => 'leak',": "'password' => '***',",
    "$config['db_password'] = 'leak';": "$config['db_password'] = '***';",
    "[app]\npassword:=leak\nuser=bob": "[app]\npassword:=***\nuser=bob",
    "token: |\n  leak\n  leak\nuser: bob": "token: ***\n***\n\nuser: bob",
    "requirepass leak": "requirepass ***",
    "machine h login u password leak": "machine h login u password ***",
    "SECRET_KEY_BASE=leak": "SECRET_KEY_BASE=***",
    "password:\n  leak\nuser: bob": "password:\n***\nuser: bob",
    "password: | # note\n  leak\nuser: bob": "password: ***\n***\nuser: bob",
    "- password: |\n    leak\n  user: bob": "- password: ***\n***\n  user: bob",
    "passwords:\n- leak\n- leak\nuser: bob": "passwords:\n***\n\nuser: bob",
    "password: 'it''s a leak'": "password: '***'",
    'password: "leak one\n  leak two"\nuser: bob': 'password: "***\n"\nuser: bob',
    "define('DB_PASSWORD', 'leak');": "define('DB_PASSWORD', '***');",
    # JSON, XML
    '{"password":\n "leak"}': '{"password":\n***',
    '{"passwords": ["leak", "leak"], "n": 1}': '{"passwords": [***], "n": 1}',
    '"passwords": [\n  "leak",\n  "leak"\n]': '"passwords": [\n***\n\n]',
    '{"access_token":"leak","token_type":"Bearer"}': '{"access_token":"***","token_type":"Bearer"}',
    '{"password": "a leak \\" leak", "user": "bob"}': '{"password": "***", "user": "bob"}',
    'body={\\"password\\": \\"a leak\\", \\"user\\": \\"bob\\"}': 'body={\\"password\\": \\"***\\", \\"user\\": \\"bob\\"}',
    '{"sessionToken": "leak"}': '{"sessionToken": "***"}',
    "<Password>leak leak</Password>": "<Password>***</Password>",
    '<ds:password type="x">leak</ds:password>': '<ds:password type="x">***</ds:password>',
    '<add key="DbPassword" value="leak leak"/>': '<add key="DbPassword" value="***"/>',
    # lines of a log, addresses, headers
    "10:00 user=anna password=leak ok": "10:00 user=anna password=*** ok",
    "10:00 user=anna password=leak,leak ok": "10:00 user=anna password=*** ok",
    "10:00 Server=x;Password=leak;Database=y": "10:00 Server=x;Password=***;Database=y",
    "GET /x?user=a&token=leak&z=1": "GET /x?user=a&token=***&z=1",
    "redis://:leak@h:1/0": "redis://:***@h:1/0",
    "pg://bot:le@leak@h/x": "pg://bot:***@h/x",
    "Authorization: leak": "Authorization: ***",
    "Proxy-Authorization: Token leak leak": "Proxy-Authorization: ***",
    'Authorization: Digest username="leak", response="leak"': "Authorization: ***",
    "-H 'Authorization: Bearer leak' -H 'Host: h'": "-H 'Authorization: ***' -H 'Host: h'",
    "Set-Cookie: session=leak; Path=/": "Set-Cookie: ***",
    "Authorization:\n Bearer leak": "Authorization:\n***",
    "Server=x;Pwd=/leak;Uid=y": "Server=x;Pwd=***;Uid=y",
    "pg://bot:it's-a-leak@h/x": "pg://bot:***@h/x",
    "connect password=le'ak ok": "connect password=*** ok",
    # commands, SQL
    "mysql --password=le\\'ak db": "mysql --password=*** db",
    "PASSWORD='it'\\''s a leak' db": "PASSWORD='***' db",
    "tool --password leak --verbose": "tool --password *** --verbose",
    "tool --api-key='leak leak' --verbose": "tool --api-key='***' --verbose",
    "curl -s -u bob:leak http://h": "curl -s -u bob:*** http://h",
    "mysql -u root -pleak db": "mysql -u root -p*** db",
    "sshpass -p leak ssh h": "sshpass -p *** ssh h",
    "ALTER ROLE bob PASSWORD 'leak';": "ALTER ROLE bob PASSWORD '***';",
    # by their form
    "root:$6$abcdefgh$leak/leak:19000:0": "root:***:19000:0",
    "got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.leak": "got ***",
    "remote: ghp_leakleakleakleakleakleak": "remote: ***",
}
INNOCENT = (
    "PWD=/root",
    "sudo: anna : TTY=pts/0 ; PWD=/home/anna ; USER=root",
    "token:\n  enabled: true",
    "GET /reset/token12345 HTTP/1.1",
    "Failed password for root from 192.0.2.7",
    "PasswordAuthentication no",
    "Accepted password for anna",
    '"token_type":"Bearer"',
    "proxy_pass http://127.0.0.1:8080;",
    "tool --password-file /etc/x",
    "http://h:80/path?mail=x",
    "12 tokens used",
    "price: $1$ or $5$",
)


@pytest.mark.parametrize("text", SECRETS)
def test_what_looks_like_a_secret_is_starred_whole(text: str) -> None:
    assert ruled(LOOKS_SECRET, text.encode()).decode() == SECRETS[text]


@pytest.mark.parametrize("text", INNOCENT)
def test_what_does_not_is_left(text: str) -> None:
    assert ruled(LOOKS_SECRET, text.encode()).decode() == text


def test_what_follows_a_secret_in_a_command_is_told() -> None:
    said = b"PASSWORD=leak rm -rf /srv/data; TOKEN='a leak' systemctl stop db"
    assert ruled(LOOKS_SECRET_IN_COMMAND, said) == b"PASSWORD=*** rm -rf /srv/data; TOKEN='***' systemctl stop db"


def test_the_words_that_a_rule_is_near_leave_nothing_out() -> None:
    everywhere = [replace(rule, near=()) for rule in LOOKS_SECRET]
    for text in (*SECRETS, *INNOCENT):
        data = f"a line\n{text}\nanother\n{text.upper()}\n{text}".encode()
        assert ruled(LOOKS_SECRET, data) == ruled(everywhere, data)


@pytest.mark.parametrize(
    "piece",
    [
        "-",
        " ",
        "a",
        "password",
        "password_key",
        "<",
        "://",
        "curl ",
        "curl -u a",
        "mysql ",
        "login ",
        ",",
        "eyJ",
        " password: |\n",
        "key='",
        "\\",
        "password=a,",
        'password="\\\\',
        "$1$aaaaaaaa",
        "token: \n",
        "<password ",
        "'password'=>",
        "token1111111111111111111111111111111111111111 ",
        "1",
        "mariadb-",
        "accesskey",
        "access_key_",
        ".eyj eyJaaaaaaaa-",
        "password:\n  a",
        "password: [\n",
        "password='a''",
        "- ",
    ],
)
@pytest.mark.timeout(60)
def test_each_rule_walks_through_a_megabyte_once(piece: str) -> None:
    """One that reads a place twice takes minutes for as much, or for ever: such a host stops the one loop of all."""
    data = b"token" + (piece * (2**20 // len(piece))).encode()
    assert ruled(LOOKS_SECRET, data).count(b"\n") == data.count(b"\n")
