# Makes the part of a file beside its target, for us alone. Given: path, part.
[ ! -d "$path" ] || exit 23
dir=${path%/*}/
[ -d "$dir" ] || exit 22
[ -f "$path" ] || [ ! -e "$path" ] || exit 24
# where everyone may rename files, one of them could make root write elsewhere
case $(id -u):$(LC_ALL=C ls -ldn "$dir") in 0:d???????w[!tT]*) exit 26 ;; esac
set -C
: >"$part"
