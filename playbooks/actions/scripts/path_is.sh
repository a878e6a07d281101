# Exits with 0 where there is something at $path.
# shellcheck shell=sh disable=SC2154 # variables that the bundle sets
[ -e "$path" ] || [ -L "$path" ]
