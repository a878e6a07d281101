# in_folder: goes to the folder of the part, which nobody but us can enter, whatever its path leads to by now; 27 where it is
# another. Whose folder it lies in may rename it and put a link in its place. Given: part.
in_folder() {
	cd -P "${part%/*}" 2>/dev/null || exit 27
	# shellcheck disable=SC2046 # words of a line
	set -- $(LC_ALL=C ls -ldn .)
	case $1:$3 in drwx--[-S]---*:"$(id -u)") ;; *) exit 27 ;; esac
	part=./${part##*/}
}
# in_part: the same, and the part is there. No other folder of ours has a file of its name, which is random.
in_part() {
	in_folder
	[ -f "$part" ] && [ ! -L "$part" ] || exit 27
}
