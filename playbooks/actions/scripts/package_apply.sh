# Installs, upgrades or removes $names (one a line) with $manager. Signatures are verified: there is no way around that here.
# The last line says so where no package was changed.
# shellcheck shell=sh disable=SC2154 # variables that the bundle sets
set -f
IFS='
'
# shellcheck disable=SC2086 # one name a line, none of them begins with a dash: decided before
set -- $names
unset IFS
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
apt() { apt-get -y -q -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"; }
packages() {
  case $manager in
    apt) dpkg-query -W -f '${Package}:${Architecture} ${Version} ${db:Status-Status}\n' ;;
    apk) apk info -v 2>/dev/null ;;
    *) rpm -qa 2>/dev/null | sort ;;
  esac
}
before=$(packages)
if [ -n "$refresh" ]; then
  case $manager in
    apt) apt update || exit 1 ;;
    dnf | yum) "$manager" -y makecache || exit 1 ;;
    zypper) zypper --non-interactive refresh || exit 1 ;;
    apk) apk update || exit 1 ;;
  esac
fi
for name do # apt takes what no package is called for a pattern, or for a name with a sign
  case $manager-$name in
    apt-*+ | apt-*.*)
      apt-cache --all-names pkgnames -- "${name%%:*}" | grep -qxF -e "${name%%:*}" || { printf 'there is no package %s\n' "$name" >&2; exit 1; }
      ;;
  esac
done
case $manager-$action in
  apt-remove) apt remove -- "$@" ;;
  apt-*) apt install -- "$@" ;;
  dnf-remove | yum-remove) "$manager" -y remove "$@" ;;
  dnf-* | yum-*) "$manager" -y install "$@" ;;
  zypper-remove) zypper --non-interactive remove -- "$@" ;;
  zypper-*) zypper --non-interactive install -- "$@" ;;
  apk-remove) apk del "$@" ;;
  apk-upgrade) apk add --upgrade "$@" ;;
  apk-*) apk add "$@" ;;
esac || exit
[ "$before" != "$(packages)" ] || printf 'no package was changed\n'
