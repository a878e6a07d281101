# Which package manager the host has, and for each of $names (one a line): "name installed candidate", "-" for none;
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
printf '%s\n' "$names" | while IFS= read -r name; do
  here=$(installed "$name")
  newest=''
  if [ "$state" = latest ]; then newest=$(candidate "$name"); fi
  printf 'package %s %s %s\n' "$name" "${here:--}" "${newest:--}"
done
if [ -e /run/reboot-required ] || [ -e /var/run/reboot-required ]; then
  printf 'reboot yes\n'
elif [ "$manager" = apt ]; then
  printf 'reboot no\n'
elif command -v needs-restarting >/dev/null 2>&1; then
  needs-restarting -r >/dev/null 2>&1
  case $? in 0) printf 'reboot no\n' ;; 1) printf 'reboot yes\n' ;; esac
fi
