"""A secret among the words of a program is told where it stands; what sh keeps to itself, or gives by a pipe, is not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory.errors import Place
from playbooks.issues import Grade, Issue
from playbooks.keys import Script
from playbooks.powershell_lint import check_powershell, secrets_in_looks
from playbooks.powershell_secrets import secrets_given_to_programs
from playbooks.secret_arguments import secrets_on_command_lines
from tests.conftest import SOAK, Measured

GIVEN = r"""
ssh-keygen -q -N "^$token" -f /x
%
mysql -p"^$token"
%
mysql --password=^$token
%
/usr/bin/printf '%s' "^$token"
%
x=$(mysql -p"^$token")
%
echo "$(curl -u "u:^$token" https://x)"
%
echo `mysql -p^$token`
%
[ "$(wc "^$token")" = 1 ]
%
while mysql -p"^$token"; do :; done
%
until curl -u "^$token" https://x; do :; done
%
if ! mysql -p"^$token"; then :; fi
%
exec mysql -p"^$token"
%
command -p mysql "^$token"
%
sudo -u x mysql -p"^$token"
%
( mysql -p"^$token" )
%
{ mysql -p"^$token"; }
%
true && mysql \
  -p"^$token"
%
case $word in
  a | (b) mysql -p"^$token" ;;
esac
%
x=$(case $word in a) mysql -p"^$token" ;; esac)
%
mysql <<END
$(mysql -p^$token)
END
%
mysql -p"^${token:-x}"
%
mysql "${other:+^$token}"
%
true; mysql >/dev/null 2>&1 -p"^$token" </dev/null
%
x='#'; mysql -p"^$token"
%
printf '%s' "$token" | mysql && mysql -p"^$token"
%
mysql <<'END'
it's "
END
mysql "^$token"
%
curl -u "$(printf %s:x "^$token")" https://x
%
echo $((1<<2)) "$((1<<x))"
curl "^$token"
%
(( x = 1 << 2 ))
curl "^$token"
%
echo $(( $(curl "^$token") + 1 ))
%
echo "$((1 + `curl "^$token"`))"
%
echo $((echo a) | cat); curl "^$token"
%
x='}a'; echo ${x#'}'}; curl "^$token"
%
echo "${x#'}'}" "${x:-it's}"; curl "^$token"
%
case $word in (a) x=1 ;; b) curl "^$token" ;; esac
%
case $word in
  a) case b in b) : ;; esac ;;
  c) curl "^$token" ;;
esac
%
x=`a`; curl "^$token"
%
cat <<-E
	a
	E
curl "^$token"
"""
FOLLOWED = r"""
pw="x:$token"; curl -u "^$pw" https://x
%
set -- a "$token"; mysql "^$2"
%
f() { mysql -p"^$1"; }
f "$token"
%
for one in a "$token"; do mysql "^$one"; done
%
"^$token"
%
a=$(printf %s "$token" | base64); curl -H "Authorization: Basic ^$a" https://x
%
curl -u "u:$(echo "^$token" | tr a b | sed s/a/b/ | cut -c1-9 | head -n 1)" https://x
%
a=`echo "$token"`; curl "^$a"
%
a=$(cat <<E
user = $token
E
); curl "^$a"
%
a=$(printf %s "$token" | openssl base64 -A); curl "^$a"
%
a=$(printf %s "$token" | sudo -n base64); curl "^$a"
%
b64() { printf %s "$1" | base64; }; curl "$(b64 "^$token")"
%
b64() { base64 -w0; }; a=$(printf %s "$token" | b64); curl "^$a"
%
put() { mysql "^$1"; }; put "$token"; set -- nginx; mysql "$1"
%
set -- a; f() { set -- "$1"; mysql "^$2"; }; f "$token"
%
sh <<E
mysql -p"^$token"
E
%
sudo -n /bin/bash -s <<E
true; mysql -p"^$token"
E
%
eval "curl ^$token"
%
eval 'curl "^$token"'
%
trap 'curl "^$token"' EXIT
%
x=$token; trap 'curl "^$x"' EXIT; x=1
%
printf '%s' "$token" | while read -r x; do curl "^$x"; done
%
while read -r x; do curl "^$x"; done <<E
$token
E
%
read -r x y <<E
a $token
E
curl "^$y"
%
: "${x:=$token}"; curl "^$x"
%
: "${x=$(printf %s "$token")}"; curl "^$x"
%
if true; then x=$token; else x=1; fi; curl "^$x"
%
x=$token; if true; then x=1; fi; curl "^$x"
%
x=$token; (x=1); curl "^$x"
%
x=$token; true && x=1; curl "^$x"
%
x=$token; case a in b) x=1 ;; esac; curl "^$x"
%
for one in 1 2; do curl "^$x"; x=$token; done
%
later() { curl "^$x"; }; x=$token; later; x=1
%
give() { x=$token; }; x=1; give; curl "^$x"
%
printf '%s' "$token" >/x | cat; printf '%s' "^$token" | xargs curl
%
exec "^$token"
"""
"""Each with a sign where the variable stands: what had to be followed there."""
KEPT = r"""
printf '%s' "$token" | mysql --stdin
%
echo "$token" >/dev/null; test -n "$token"; [ -n "$token" ] && mysql
%
{ printf '%s' "$token"; } | mysql; (printf '%s' "$token") | mysql
%
x="a b $token"; printf '%s' "$x" | mysql
%
x="$(printf '%s' "$token" | sha256sum)"; mysql "$x"
%
mysql <<END
$token
END
%
mysql <<-'END' --stdin
	$token $(mysql $token)
	END
%
awk '{print $token}' /x
%
mysql ${token:+--password} "${#token}"
%
printf '%s' \
  "$token" | mysql
%
f() { printf '%s' "$1"; }; f "$token" | mysql
%
case "$token" in a | b) mysql ;; *) : ;; esac; mysql
%
command printf '%s' "$token"
%
mysql # -p"$token"
%
mysql '$token' \$token "\$token"
%
while read -r x; do :; done <"$token"
%
mysql $((1 + 2)); : "$token"
%
mysql --password-file="$tokens" "$token_file"
%
if [ "$token" = a ]; then mysql; fi; until test "$token"; do mysql; done
%
x=$(printf '%s' "$token" | openssl passwd -6 -stdin); usermod -p "$x" y
%
x=$(printf '%s' "$token" | openssl dgst -sha256 | cut -d' ' -f2); curl "$x"
%
curl "$({ printf %s "$token"; echo; } | sha256sum | cut -c1-8)"
%
x=$(printf '%s' "$token" | mkpasswd -s); usermod -p "$x" y; y=$(printf '%s' "$token" | cryptpw); usermod -p "$y" y
%
x=$(printf '%s' "$token" | mysql --stdin -e 'select 1'); systemctl restart "$x"
%
hash() { printf %s "$1" | sha256sum; }; curl "$(hash "$token")"
%
x=$(printf '%s' "$token" >/x; cat /y); curl "$x"
%
check() { systemctl is-active "$1"; }; put() { printf %s "$1" | chpasswd; }; put "$token"; check nginx
%
set -- "$token"; printf '%s' "$1" | chpasswd; set -- nginx; systemctl restart "$1"
%
set -- "$token"; check() { systemctl is-active "$1"; }; check nginx
%
x=$token; unset x; x=1; curl "$x"
%
x=$token; x=1; curl "$x"
%
curl "$x"; x=$token
%
x=$token; unset x; f() { :; }; f; curl "$x"
%
x=$token; if true; then x=1; else x=2; fi; curl "$x"
%
x=$(x=$token; echo a); curl "$x"
%
(x=$token); curl "$x"
%
echo "$token" | read -r x; curl "$x"
%
for x in "$token"; do :; done; for x in a b; do curl "$x"; done
%
sh <<'E'
mysql -p"$token"
E
%
sh <<E
printf '%s' "$token" | mysql
E
%
trap 'rm -f /x' EXIT; eval 'printf %s "$token" | mysql'
%
mysql "${x#$y}" '${x#'"'}'" '$token'
%
x=$((1 << 2)); (( y = x << 2 )); : "$token"
%
case a in (a) x=$(case b in b) echo $((1 << 2)) ;; esac) ;; esac
printf '%s' "$token" | mysql
%
mysql <<E
$((1 << 2)) $token
E
%
export HOME=/root; token_file=/x; export token_file
%
if PW=1 mysql; then x=a; fi; mysql "$x"
"""
ENVIRONMENT = r"""
PW="^$token" mysql
%
export PW="^$token"
%
PGPASSWORD=$token; export ^PGPASSWORD; psql
%
export ^token; psql
%
export PGPASSWORD; PGPASSWORD=^$token; psql
%
set -a; PGPASSWORD=^$token; psql
%
PW=$(printf %s "^$token" | base64) mysql
"""
"""Who is no user of the host cannot read the environment of a program: a warning."""
POWERSHELL_ENVIRONMENT = r"""
$env:PGPASSWORD = ^$token; psql
%
${env:PGPASSWORD} = "x" + ^$token; psql
%
[Environment]::SetEnvironmentVariable("PGPASSWORD", ^$token); psql
"""
POWERSHELL_GIVEN = r"""
Invoke-Expression "net user x ^$token"
%
iex "net user x ^$token"
%
net user x ^$token
%
net.exe user x "p^$Token"
%
& 'C:\a b.exe' "--password=^${token}"
%
Start-Process a.exe -ArgumentList "x", ^$token
%
saps a.exe ^$token
%
1..2 | ForEach-Object { cmdkey.exe /pass:^$token }
%
Invoke-Command -ScriptBlock { net user x ^$using:token }
%
cmd /c "net user x ^$token"
%
curl.exe -u ("x:" + ^$token) https://x
%
if (net user x ^$token) { 1 }
"""
POWERSHELL_FOLLOWED = r"""
Invoke-WmiMethod -Class win32_process -Name Create -ArgumentList "net user x ^$token"
%
$a = @("user", "x", $token); net ^@a
%
$a = @{ Password = $token }; net ^@a
%
"net user x ^$token" | Invoke-Expression
%
Invoke-CimMethod -ClassName Win32_Process -MethodName Create -Arguments @{ CommandLine = "net user x ^$token" }
%
$token | Where-Object { $_ } | ForEach-Object { sc.exe start ^$_ }
%
$x = $token -replace "a", "b"; sc.exe start ^$x
%
$x = $token.Trim(); sc.exe start ^$x
%
$x = Write-Output $token; sc.exe start ^$x
%
function Get-It($word) { "x:" + $word }
net user x (Get-It ^$token)
%
function Set-It { net user x ^$args }
Set-It $token
%
function Set-It { process { net user x ^$_ } }
$token | Set-It
%
function Set-It { net user x ^$script:it }
$it = $token; Set-It
%
$x = if ($a) { $token }; sc.exe start ^$x
%
$env:PGPASSWORD = "x"; $x = [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($token)); curl.exe -H ^$x
%
$pw = "x" + $token
net user x ^$pw
%
$start.Arguments = "a ^$token"
%
$start.ArgumentList.Add(^$token)
%
[Diagnostics.Process]::Start("net", "user x ^$token")
%
function Set-It($word) { net user x ^$word }
Set-It $token
%
foreach ($one in $token) { net user x ^$one }
%
$token | ForEach-Object { net user x ^$_ }
%
New-ScheduledTaskAction -Execute a.exe -Argument "-p ^$token"
"""
POWERSHELL_KEPT = r"""
$token | Set-Content x; Get-Service | ForEach-Object { sc.exe start $_.Name }
%
$token | ForEach-Object { Set-Thing $_ }; Get-Service | ForEach-Object { sc.exe start $_.Name }
%
function Set-It($word) { Set-Thing $word }
Set-It $token; $word = "a"; sc.exe start $word
%
function Set-It($word) { Set-Thing $word }
function Start-It($word) { sc.exe start $word }
Set-It $token; Start-It nginx
%
function Set-It { Set-Thing $args }
Set-It $token; sc.exe start $args
%
$ok = $token -eq "x"; sc.exe start $ok; $no = -not $token -or $b; sc.exe start $no $token.Length $token.StartsWith("a")
%
$n = $token.Length; sc.exe start $n
%
Invoke-CimMethod -ClassName X_User -MethodName Set -Arguments @{ Password = $token }
%
$x = if ($token) { 1 } else { 2 }; sc.exe start $x
%
$text = ".Arguments = $token"
%
function Get-It($word) { Get-Hash $word }
net user x (Get-It $token)
%
$token | & net.exe --stdin
%
Set-LocalUser -Name x -Password (ConvertTo-SecureString $token -AsPlainText -Force)
%
$secure = ConvertTo-SecureString $token -AsPlainText -Force; Start-Process a.exe -Credential (New-Object C x, $secure)
%
echo $token | Out-Null; write $token; $token | % { Set-Thing $_ }; $token | ? { $_ } | select -First 1
%
Microsoft.PowerShell.Utility\Write-Output $token
%
& { Set-Thing $token }
%
function Set-It($word) { Set-Thing $word }
Set-It $token; net user x
%
net user x '$token' "`$token" $tokens
%
program.exe (Get-Hash $token)
%
$start.UserName = $token; $list.Add($token); [Net.NetworkCredential]::new("", $token)
"""


def scripts(text: str) -> list[str]:
    return [one.strip("\n") for one in text.split("\n%\n")]


def told(script: str, shell: str) -> list[Issue]:
    place = Place("p.yaml", 1, 1)
    look = secrets_on_command_lines if shell == "sh" else secrets_given_to_programs
    return [*look(Script(text=script, place=place, body=place), frozenset(["token"]))]


def each(sh: str, powershell: str) -> list[tuple[str, str]]:
    return [(shell, one) for shell, text in (("sh", sh), ("powershell", powershell)) for one in scripts(text)]


def places(marked: str, shell: str) -> tuple[list[Issue], list[tuple[int, int]], list[tuple[int, int]]]:
    """Return what is told of a script, where, and where its sign stands."""
    before, _, behind = marked.partition("^")
    found = told(before + behind, shell)
    expected = before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1
    return found, [(issue.place.line, issue.place.column) for issue in found], [expected]


@pytest.mark.parametrize(("shell", "marked"), each(GIVEN, POWERSHELL_GIVEN))
def test_a_secret_that_becomes_an_argument_is_told_where_it_stands(shell: str, marked: str) -> None:
    found, seen, expected = places(marked, shell)
    assert seen == expected
    assert {(issue.code, issue.grade) for issue in found} == {("danger.secret", Grade.ERROR)}


@pytest.mark.parametrize(("shell", "marked"), each(FOLLOWED, POWERSHELL_FOLLOWED))
def test_a_secret_that_is_followed_to_an_argument_is_a_warning_where_it_stands(shell: str, marked: str) -> None:
    found, seen, expected = places(marked, shell)
    assert seen == expected
    assert {(issue.code, issue.grade) for issue in found} == {("danger.secret_followed", Grade.WARNING)}


@pytest.mark.parametrize(("shell", "marked"), each(ENVIRONMENT, POWERSHELL_ENVIRONMENT))
def test_a_secret_that_becomes_part_of_an_environment_is_a_warning_where_that_happens(shell: str, marked: str) -> None:
    found, seen, expected = places(marked, shell)
    assert seen == expected
    assert {(issue.code, issue.grade) for issue in found} == {("danger.secret_environment", Grade.WARNING)}


@pytest.mark.parametrize(("shell", "script"), each(KEPT, POWERSHELL_KEPT))
def test_a_secret_that_the_shell_keeps_to_itself_is_not_told(shell: str, script: str) -> None:
    assert not [f"{issue.place}: {issue.text}" for issue in told(script, shell)]


PIECES = [
    "$(",
    "${",
    "${a:=",
    "$((",
    "((",
    "<<E\n",
    "\nE\n",
    "<<-E ",
    "case x in ",
    "esac ",
    "f() ",
    "$token ",
    "${token#",
    "word ",
]
PIECES += [
    "{ ",
    "} ",
    "if ",
    "then ",
    "else ",
    "fi ",
    "while ",
    "do ",
    "done ",
    "for a in ",
    "trap '",
    "sh <<E\n",
    "x=$y;",
    "export a=",
]
PIECES += [*"'\"`$(){}<>|&;#\\ \n=", ";;", "&&", "set -- ", "read x ", "eval '"]


@settings(max_examples=20_000 if SOAK else 150)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=40).map("".join))
def test_whatever_stands_in_a_script_it_is_read_to_its_end(text: str) -> None:
    for shell in ("sh", "powershell"):
        for issue in told(text, shell):
            assert issue.place.line <= text.count("\n") + 1


@pytest.mark.parametrize(
    "nested", ["$(", "(", '"${a', "`", '"${a:=$(', "{ ", "if ", "$((", "$(trap '", "cat <<E\n$(", "sh <<E\n", "a|"]
)
@pytest.mark.timeout(60)
def test_what_is_made_to_be_slow_is_read_to_its_end(nested: str, measured: Measured) -> None:
    """What is read twice in each level would take years."""
    text = nested * ((100_000 if SOAK else 10_000) // len(nested))
    began = time.process_time()
    issues = told(text, "sh")
    assert all(issue.place.line <= text.count("\n") + 1 for issue in issues)
    measured(f"{nested!r} nested in 100 kB for sh: {time.process_time() - began:.2f} s of CPU")


@pytest.mark.parametrize("nested", ["(", "((1", "$(", "{ ", "a (", "a | ", "a | % { ", "function f { ", '"$(', "$x = $y;"])
@pytest.mark.timeout(60)
def test_powershell_is_read_however_deep_it_is_nested(nested: str) -> None:
    text = nested * (4000 // len(nested))
    told(text, "powershell")
    shown = Script(text=text, place=Place("p.yaml", 1, 1))
    assert {issue.code for issue in check_powershell(shown, ())} <= {"powershell.syntax", "powershell.variable"}
    assert len([*secrets_in_looks(shown, frozenset(["x"]))]) == text.count("$x")


def test_assignments_against_the_order_of_the_text_are_followed_so_far_and_no_further() -> None:
    def chain(length: int) -> str:
        return f"while :; do curl $x0; {''.join(f'x{at}=$x{at + 1}; ' for at in range(length))}x{length}=$token; done"

    def powershell(length: int) -> str:
        return f"curl.exe $x0; {''.join(f'$x{at}=$x{at + 1}; ' for at in range(length))}$x{length}=$token"

    for shell, made in (("sh", chain), ("powershell", powershell)):
        assert [issue.grade for issue in told(made(8), shell)] == [Grade.WARNING]
        assert [issue.grade for issue in told(made(2000), shell)] == [Grade.NOTE]
