# Which package manager the host has, and for each of $names (one a line): "package NAME INSTALLED CANDIDATE", "-" for none;
# "unknown NAME" for what apt would take for something else (a sign at its end, a pattern), since no package is called so;
# "change NAME BEFORE AFTER" for all that the manager says it would do, "untried WHY" where it does not say;
# at the end "reboot yes|no", where the host says whether it needs one.
# shellcheck shell=sh disable=SC2154 # variables that the bundle sets
if command -v dpkg-query >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1; then
  manager=apt
  installed() {
    dpkg-query -W -f '${db:Status-Status} ${Version}\n' -- "$1" 2>/dev/null | while read -r status version; do
      case $status in installed | triggers-*) printf '%s\n' "$version" ;; esac
    done
  }
  candidate() { apt-cache policy -- "$1" | sed -n 's/^  Candidate: //p'; }
elif command -v rpm >/dev/null 2>&1; then
  if command -v dnf >/dev/null 2>&1; then manager=dnf
  elif command -v yum >/dev/null 2>&1; then manager=yum
  elif command -v zypper >/dev/null 2>&1; then manager=zypper
  else printf 'rpm without dnf, yum or zypper\n' >&2; exit 3; fi
  installed() { rpm -q --qf '%{VERSION}-%{RELEASE}\n' -- "$1" 2>/dev/null | { IFS= read -r one && case $one in *' '*) ;; *) printf '%s\n' "$one" ;; esac; }; }
  case $manager in
    zypper) candidate() { zypper --non-interactive --quiet info -- "$1" | sed -n 's/^Version *: *//p'; } ;;
    *) candidate() { "$manager" --quiet list --upgrades "$1" 2>/dev/null | awk -v name="$1." 'index($1, name) == 1 {print $2; exit}'; } ;;
  esac
elif command -v apk >/dev/null 2>&1; then
  manager=apk
  installed() { apk info -e -v "$1" 2>/dev/null | sed -n "s/^.*-\([0-9][^-]*-r[0-9]*\)\$/\1/p"; }
  candidate() { apk policy "$1" 2>/dev/null | sed -n 's/^  \([0-9][^:]*\):$/\1/p' | head -n 1; }
else
  printf 'no package manager that is known here\n' >&2
  exit 3
fi
printf 'manager %s\n' "$manager"
set -f
IFS='
'
# shellcheck disable=SC2086 # one name a line
set -- $names
unset IFS
todo=''
for name do
  here=$(installed "$name")
  newest=''
  if [ "$state" = latest ]; then newest=$(candidate "$name"); fi
  printf 'package %s %s %s\n' "$name" "${here:--}" "${newest:--}"
  case $manager-$name in
    apt-*+ | apt-*.*) apt-cache --all-names pkgnames -- "${name%%:*}" | grep -qxF -e "${name%%:*}" || { printf 'unknown %s\n' "$name"; continue; } ;;
  esac
  case $state in
    absent) [ -z "$here" ] || todo="$todo $name" ;;
    latest) [ -n "$here" ] && case $newest in '' | '(none)' | "$here") true ;; *) false ;; esac || todo="$todo $name" ;;
    *) [ -n "$here" ] || todo="$todo $name" ;;
  esac
done
# shellcheck disable=SC2086 # names, which have no spaces
tried() {
  case $manager-$state in
    apt-absent) LC_ALL=C apt-get -s -q remove -- $todo 2>&1; return ;;
    apt-*) LC_ALL=C apt-get -s -q install -- $todo 2>&1; return ;;
    apk-absent) apk del -s $todo 2>&1; return ;;
    apk-latest) apk add -s --upgrade $todo 2>&1; return ;;
    apk-*) apk add -s $todo 2>&1; return ;;
    dnf-absent | yum-absent) said=$(LC_ALL=C "$manager" -C --assumeno remove $todo 2>&1) ;;
    dnf-* | yum-*) said=$(LC_ALL=C "$manager" -C --assumeno install $todo 2>&1) ;;
    *) echo 'this cannot be tried'; return 1 ;;
  esac
  printf '%s\n' "$said" # which ends with a failure, since nobody said yes
  case $said in *'Transaction Summary'*) ;; *) return 1 ;; esac
}
would() {
  case $manager in
    apt)
      sed -n -e 's/^Inst \([^ ]*\) \[\([^] ]*\)\] (\([^ ]*\) .*/change \1 \2 \3/p' \
        -e 's/^Inst \([^ ]*\) (\([^ ]*\) .*/change \1 - \2/p' \
        -e 's/^Remv \([^ ]*\) \[\([^] ]*\)\].*/change \1 \2 -/p' -e 's/^Purg \([^ ]*\) \[\([^] ]*\)\].*/change \1 \2 -/p'
      ;;
    apk)
      sed -n -e 's/^([0-9/]*) Installing \([^ ]*\) (\([^ ]*\))$/change \1 - \2/p' \
        -e 's/^([0-9/]*) \(Up\|Down\)grading \([^ ]*\) (\([^ ]*\) -> \([^ ]*\))$/change \2 \3 \4/p' \
        -e 's/^([0-9/]*) Purging \([^ ]*\) (\([^ ]*\))$/change \1 \2 -/p'
      ;;
    *)
      awk '/^Transaction Summary/ { exit } /^[A-Z][a-z ]*:$/ { kind = substr($1, 1, 4); next }
        /^ / && NF == 1 { name = $1; next }
        /^ / && $1 != "replacing" { if (name == "") { name = $1; at = 3 } else at = 2; if (NF > at) print kind, name, $at; name = "" }' \
        | while read -r kind name version; do
          case $kind in
            Inst) printf 'change %s - %s\n' "$name" "$version" ;;
            Remo) printf 'change %s %s -\n' "$name" "$version" ;;
            Upgr | Down) before=$(installed "$name"); printf 'change %s %s %s\n' "$name" "${before:--}" "$version" ;;
          esac
        done
      ;;
  esac
}
if [ -n "$todo" ]; then
  if output=$(tried); then printf '%s\n' "$output" | would
  else printf 'untried %s\n' "$(printf '%s\n' "$output" | sed -e '/^$/d' -e 's/^E: //' | tail -n 1 | cut -c 1-200)"; fi
fi
if [ -e /run/reboot-required ] || [ -e /var/run/reboot-required ]; then
  printf 'reboot yes\n'
elif [ "$manager" = apt ]; then
  printf 'reboot no\n'
elif command -v needs-restarting >/dev/null 2>&1; then
  needs-restarting -r >/dev/null 2>&1
  case $? in 0) printf 'reboot no\n' ;; 1) printf 'reboot yes\n' ;; esac
fi
