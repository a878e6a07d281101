#!/bin/sh
# PID 1 of a host until it hands over to the host's own init. $1: the host's folder (its root is $1/root).
# Mount, UTS, IPC, PID, cgroup, time and network namespaces are already its own.
set -e
d=$1
R=$1/root
mount --make-rprivate /
hostname "$(cat "$R/etc/hostname")"
mount --bind "$R" "$R"
mount -t proc -o nosuid,nodev,noexec proc "$R/proc"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$R/sys"
mount -t tmpfs -o mode=755,nosuid,size=4m tmpfs "$R/dev"
node() { mknod -m 666 "$R/dev/$1" c "$2" "$3"; }
node null 1 3
node zero 1 5
node full 1 7
node random 1 8
node urandom 1 9
node tty 5 0
mkdir "$R/dev/pts" "$R/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$R/dev/pts"
ln -s pts/ptmx "$R/dev/ptmx"
ln -s /proc/self/fd "$R/dev/fd"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$R/dev/shm"
mount -t tmpfs -o mode=755,nosuid,nodev,size=64m tmpfs "$R/run"
mkdir -p "$R/run/lock"
for c in /sys/fs/cgroup/unified /sys/fs/cgroup; do
  [ -e "$c/cgroup.procs" ] && { mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$R/sys/fs/cgroup"; break; }
done
# nothing inside may turn a knob of the real machine: sysctls are read-only, the host's own network's excepted
mount --bind "$R/proc/sys" "$R/proc/sys"
mount --bind "$d/boot_id" "$R/proc/sys/kernel/random/boot_id"
mount -o remount,bind,ro "$R/proc/sys"
mount --bind "$R/proc/sys/net" "$R/proc/sys/net"
mount -o remount,bind,rw "$R/proc/sys/net"
[ ! -e "$R/proc/sysrq-trigger" ] || mount --bind /dev/null "$R/proc/sysrq-trigger"
cd "$R"
pivot_root . .
umount -l .
exec env -i container=lab PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=linux chroot . /sbin/init
