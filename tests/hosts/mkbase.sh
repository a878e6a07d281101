#!/bin/sh
# mkbase.sh FLAVOUR OUTDIR: the root filesystem that hosts of one flavour are copies of.
#   systemd   Debian with systemd as PID 1, sshd and sudo; users root, ops (sudo without password), plain (no sudo);
#             packages that a host may get later lie in /srv/debs and /srv/sysvinit
#   sysvinit  the same with init and its scripts of System V in the place of systemd: made of $3, a base of the first kind
#   busybox   busybox and dropbear, nothing else: no bash, coreutils, sudo, python, package manager
# Needs root and, from Debian: mmdebstrap, busybox-static, dropbear-bin. Uses the machine's own apt sources and settings.
set -eu
flavour=$1 out=$2
later() { # FOLDER PACKAGE…: what they take that is not installed yet
  printf 'mkdir -p "$1%s/partial" && APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -qq -y --no-install-recommends --download-only' "$1"
  printf ' -o Dir::Cache::archives="$1%s" install' "$1"
  shift
  printf ' %s' "$@"
}
users() { # ROOT: who can log in, each with the key that the lab puts there
  chroot "$1" useradd -m -s /bin/bash ops
  printf 'ops ALL=(ALL) NOPASSWD: ALL\n' >"$1/etc/sudoers.d/ops"
  chroot "$1" useradd -m -s /bin/bash plain
}
case $flavour in
busybox)
  for d in bin sbin usr/bin usr/sbin etc/dropbear proc sys dev run tmp var/log var/run root home/ops; do mkdir -p "$out/$d"; done
  cp "$(command -v busybox)" "$out/bin/busybox"
  chroot "$out" /bin/busybox --install -s
  cp /usr/sbin/dropbear "$out/usr/sbin/dropbear"
  ldd /usr/sbin/dropbear | grep -o '/[^ ]*' | while read -r lib; do
    mkdir -p "$out/${lib%/*}"
    cp -L "$lib" "$out/$lib"
  done
  printf 'root:x:0:0:root:/root:/bin/sh\nops:x:1000:1000::/home/ops:/bin/sh\n' >"$out/etc/passwd"
  printf 'root:x:0:\nops:x:1000:\n' >"$out/etc/group"
  printf 'root:*:19000:0:99999:7:::\nops:*:19000:0:99999:7:::\n' >"$out/etc/shadow"
  printf '/bin/sh\n' >"$out/etc/shells"
  chmod 640 "$out/etc/shadow"
  chown 1000:1000 "$out/home/ops"
  chmod 1777 "$out/tmp"
  chmod 700 "$out/root"
  printf '::sysinit:/bin/hostname -F /etc/hostname\n::respawn:/usr/sbin/dropbear -F -E -R -p 22\n' >"$out/etc/inittab"
  ;;
systemd)
  settings=$(mktemp)
  trap 'rm -f "$settings"' EXIT
  apt-config dump Acquire >"$settings"
  mmdebstrap --quiet --mode=root --variant=minbase \
    --include=openssh-server,sudo,iproute2,procps,systemd,systemd-sysv,dbus,cron \
    --aptopt="$settings" --aptopt='Apt::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt=force-unsafe-io \
    --customize-hook="$(later /srv/debs chrony dnsmasq logrotate ssl-cert)" \
    --customize-hook="$(later /srv/sysvinit sysvinit-core)" \
    bookworm "$out" - </etc/apt/sources.list.d/debian.sources
  rm -f "$out"/etc/apt/sources.list.d/* "$out"/etc/ssh/ssh_host_* "$out"/var/cache/apt/*.bin
  rm -rf "$out"/var/lib/apt/lists/*
  : >"$out/etc/apt/sources.list"
  : >"$out/etc/machine-id"
  users "$out"
  for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer dpkg-db-backup.timer systemd-timesyncd.service; do
    ln -sf /dev/null "$out/etc/systemd/system/$unit"
  done
  ln -sf /lib/systemd/system/multi-user.target "$out/etc/systemd/system/default.target"
  ;;
sysvinit)
  cp -a --reflink=auto "$3" "$out"
  rm "$out/.built"
  chroot "$out" sh -c 'exec >/dev/null 2>&1
    dpkg --force-depends --purge libpam-systemd systemd-sysv dbus-user-session systemd
    dpkg -i /srv/sysvinit/*.deb'
  ;;
*)
  echo "mkbase.sh: unknown flavour $flavour" >&2
  exit 2
  ;;
esac
