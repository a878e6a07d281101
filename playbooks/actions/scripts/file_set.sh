# Sees to a folder, a link, ownership or absence. $what: directory, link, own, absent, absent_all.
# shellcheck shell=sh disable=SC2154 # variables that the bundle sets
case $what in
  directory) (umask 022 && mkdir -p -- "$path") || exit 1 ;;
  link) ln -sfn -- "$target" "$path" || exit 1 ;;
  absent) if [ -d "$path" ] && [ ! -L "$path" ]; then rmdir -- "$path"; else rm -f -- "$path"; fi; exit ;;
  absent_all) rm -rf -- "$path"; exit ;;
esac
if [ -n "$owner" ]; then chown -h -- "$owner" "$path" || exit 1; fi
if [ -n "$group" ]; then chgrp -h -- "$group" "$path" || exit 1; fi
if [ -n "$mode" ]; then chmod -- "$mode" "$path" || exit 1; fi
