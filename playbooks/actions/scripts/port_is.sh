# Exits with 0 where something listens on the TCP port $port.
# shellcheck shell=sh disable=SC2154 # variables that the bundle sets
port=$(printf '%04X' "$port") || exit 2
found=1
for file in /proc/net/tcp /proc/net/tcp6; do
  [ -r "$file" ] || continue
  while read -r _ local _ state _; do
    case $state-$local in 0A-*:"$port") found=0 ;; esac
  done <"$file"
done
exit "$found"
