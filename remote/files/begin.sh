# Makes a folder beside the target for us alone, and the part of the file in it. Given: path, part.
roots_way() {
	above=/ rest=${1#/}
	while [ "$rest" ]; do
		# shellcheck disable=SC2046 # words of a line
		set -- $(LC_ALL=C ls -ldn "$above")
		case $1:$3 in d????-??-*:0) ;; *) exit 31 ;; esac
		above=$above${rest%%/*}/ rest=${rest#*/}
	done
}
[ ! -d "$path" ] || exit 23
dir=${path%/*}/
[ -d "$dir" ] || exit 22
cd -P "$dir" 2>/dev/null || exit 25
[ -f "./${path##*/}" ] || [ ! -e "./${path##*/}" ] || exit 24
if [ "$(id -u)" = 0 ]; then
	case $(LC_ALL=C ls -ldn .) in d???????w[!tT]*) exit 26 ;; esac
	# there is a link on the way: only root may put one there, or anybody leads root elsewhere
	[ "$(pwd -P)/" = "$dir" ] || roots_way "$dir"
fi
umask 077
folder=${part%/*}
mkdir -m 700 "./${folder##*/}" && cd -P "./${folder##*/}" || exit
set -C
: >"./${part##*/}"
