# Puts what is on stdin under $path, whole or not at all. $mode, $owner and $group may be empty; $validate judges it first.
# shellcheck shell=sh disable=SC2154 # variables that the bundle sets
umask 077
case $path in */*) folder=${path%/*} ;; *) folder=. ;; esac
file=$(mktemp "${folder:-/}/.longarm.XXXXXX") || exit 1
trap 'rm -f -- "$file"' EXIT
# dd, which every host has that runs a step: not every one has sync
said=$(dd of="$file" bs=65536 conv=fsync 2>&1) || { printf '%s\n' "$said" >&2; exit 1; }
if [ -n "$validate" ]; then
  (eval "$validate") || { printf 'the new content is not valid\n' >&2; exit 1; }
fi
if [ -n "$owner" ]; then chown -- "$owner" "$file" || exit 1; fi
if [ -n "$group" ]; then chgrp -- "$group" "$file" || exit 1; fi
chmod -- "${mode:-644}" "$file" || exit 1
mv -f -- "$file" "$path" || exit 1
trap - EXIT
if command -v restorecon >/dev/null 2>&1; then restorecon -- "$path" || exit 1; fi
