"""What only seems to put a secret on a command line is a warning at most: no good script is refused."""

from __future__ import annotations

import pytest

from playbooks.issues import Grade
from tests.playbooks.test_secret_arguments import each, told

WARNED = r"""
write() { printf '%s\n' "$2" > "$1"; chmod 600 "$1"; }; write /etc/app.key "$token"
%
set_pw() { printf '%s:%s\n' "$1" "$2" | chpasswd; passwd -u "$1"; }; set_pw app "$token"
%
add() { file=$1; shift; printf '%s' "$*" >> "$file"; chmod 600 "$file"; }; add /etc/k "$token"
%
n=$(printf '%s' "$token" | grep -c .); logger "$n"
%
n=$(printf '%s' "$token" | awk '{print length}'); logger "short: $n"
%
logger "short: $(printf '%s' "$token" | awk '{print length}')"
%
x=$(printf '%s' "$token" | head -c 0; hostname); logger "$x"
%
busybox printf '%s' "$token" | chpasswd
%
time printf '%s' "$token" > f
%
f() { curl "$x"; }; x=$token; printf '%s' "$x" > f; x=http://a; f
%
. ./lib.sh; must [ -n "$token" ]
%
alias say='printf %s'; say "$token"
%
function put { printf '%s' "$1" > f; }; put "$token"
%
$say "$token"
%
curl -u "${token%%:*}" https://x
%
token=${token#x}; curl "$token"
%
f() { local token; curl "$token"; }; f
%
curl "$(if [ "$x" ]; then printf %s "$token"; fi)"
%
try() { "$@" || exit 1; }; try mysql -p"$token"
%
su app <<E
mysql -p"$token"
E
%
sudo -n -u app bash -eu -s x <<E
mysql -p"$token"
E
"""
PASSED = r"""
sudo -u app sh -c 'cat > ~/.pgpass' <<EOF
*:*:*:app:$token
EOF
%
sudo sh -c 'chpasswd' <<EOF
app:$token
EOF
%
flock /run/l sh -c 'cat > /etc/k' <<EOF
key $token
EOF
%
su -s /bin/sh app -c 'app config set' <<E
password $token
E
%
/opt/app/bin/setpw --shell bash <<E
set $token
E
%
psql -v SHELL=/bin/sh <<E
alter role x password $token
E
%
sh /opt/script.sh <<E
set $token
E
%
printf '%s' "$token" | { cat > /etc/k; while read -r l; do chown root "$l"; done < /etc/list; }
%
time -p put "$token"; put() { printf '%s' "$1" > f; }
%
f() { local token; read -r token </x; curl "$token"; }; f
%
try() { "$@" || exit 1; }; try printf '%s' "$token"
%
must() { "$@" || exit 1; }; must [ -n "$token" ]
%
\printf '%s' "$token"
%
[[ -n "$token" ]]
%
while read -r x <<E; do curl "$x"; done
a
E
%
printf '%s' "$token" | while read -r x <<'E'; do curl "$x"; done
a
E
"""
POWERSHELL_WARNED = r"""
function Set-K { param($Path,$Value) Set-Content $Path $Value; icacls.exe $Path /grant x }; Set-K -Path C:\k -Value $token
%
$o = @{Name='svc'; Password=$token; Path='C:\x'}; icacls.exe $o.Path /grant x
%
& $b $token
%
$x = $token; Set-It $x; $x = 'a'; prog.exe $x
%
sc C:\k $token
%
. .\lib.ps1; writekey $token
%
Invoke-Expression "Set-It $token"
%
iex -Command "Set-It $token"
%
iex "if (1) { Set-It $token }"
%
iex "net stop x; Set-It $token"
%
iex "return $token"
%
iex '(
'+$token
%
$token = 'a' + $token; prog.exe $token
%
prog.exe $token.Substring(0, 0)
"""
POWERSHELL_PASSED = r"""
$psi.PasswordInClearText = $token; [Diagnostics.Process]::Start($psi)
%
& 'C:\ops\Set-Thing.ps1' -Password $token
%
& "C:\ops and more\Set-Thing.ps1" -Password $token
%
$b = { param($p) Set-Thing $p }; & $b $token
%
Invoke-Sqlcmd2 -Password $token; Write-S3Object -Key $token
%
$h = [Security.Cryptography.SHA256]::Create().ComputeHash([Text.Encoding]::UTF8.GetBytes($token)); prog.exe $h
%
$x = -not $token; prog.exe $x
%
$x = [string]::IsNullOrEmpty($token); prog.exe $x
%
$x = switch ($token) { a { 1 } default { 2 } }; prog.exe $x
%
$x = if ($a) { 1 } elseif ($token) { 2 }; prog.exe $x
%
irm https://x -Headers @{ Authorization = "Bearer $token" }
%
prog.exe $token.Length ($token -eq 'x') (Get-Hash $token)
"""
POWERSHELL_ENVIRONMENT = r"""
$psi.EnvironmentVariables['PW'] = $token; [Diagnostics.Process]::Start($psi)
%
$psi.Environment['PW'] = $token; [Diagnostics.Process]::Start($psi)
%
$psi.EnvironmentVariables.Add('PW', $token); [Diagnostics.Process]::Start($psi)
"""
CERTAIN = r"""
mysql -p"$token"
%
curl -u "user:$token" https://x
%
ssh-keygen -N "$token" -f /x
%
time mysql -p"$token"
%
busybox wget --header "x: $token" https://x
%
. ./lib.sh; /usr/bin/mysql -p"$token"
%
put() { mysql -p"$token"; }; put
"""
POWERSHELL_CERTAIN = r"""
net user x $token
%
Invoke-Expression "net user x $token"
%
. .\lib.ps1; net.exe user x $token
%
iex -Command ("net.exe user x " + $token)
%
cmdkey.exe /pass:$token a,$token
"""


def test_functions_that_run_each_other_are_gone_through_once() -> None:
    wrappers = 'a() { "$@"; }; b() { time "$@"; "$@"; }; '
    assert graded(f'{wrappers}{"a time b " * 2000}printf %s "$token"', "sh") <= {("danger.secret_followed", Grade.WARNING)}
    assert graded(f'{wrappers}{"a time b " * 20}mysql "$token"', "sh") == {("danger.secret_followed", Grade.WARNING)}


def graded(script: str, shell: str) -> set[tuple[str, Grade]]:
    return {(issue.code, issue.grade) for issue in told(script, shell)}


@pytest.mark.parametrize(("shell", "script"), each(WARNED, POWERSHELL_WARNED))
def test_what_had_to_be_followed_is_a_warning_of_its_own(shell: str, script: str) -> None:
    assert graded(script, shell) == {("danger.secret_followed", Grade.WARNING)}


@pytest.mark.parametrize(("shell", "script"), each(PASSED, POWERSHELL_PASSED))
def test_what_gives_a_secret_to_no_command_line_passes(shell: str, script: str) -> None:
    assert graded(script, shell) == set()


@pytest.mark.parametrize(("shell", "script"), each("TOKEN=$token mysql", POWERSHELL_ENVIRONMENT))
def test_members_that_are_the_environment_are_told_as_that_alone(shell: str, script: str) -> None:
    assert graded(script, shell) == {("danger.secret_environment", Grade.WARNING)}


@pytest.mark.parametrize(("shell", "script"), each(CERTAIN, POWERSHELL_CERTAIN))
def test_what_cannot_be_otherwise_is_an_error(shell: str, script: str) -> None:
    assert graded(script, shell) == {("danger.secret", Grade.ERROR)}
