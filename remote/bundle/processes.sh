#!/bin/sh
# What is known of single processes, from /proc and by builtins alone: for bundles (runner.sh) and for the supervisor of a
# detached command (../detached/supervise.sh). Given: la_proc where there is a /proc.
# shellcheck disable=SC2154,SC2034  # variables that the scripts around set, and those that they read
# shellcheck disable=SC2086  # fields are split on purpose

# la_me: the pid of this very subshell (read would take /proc/self/stat byte by byte, 300 system calls).
la_self() {
	if [ "$la_proc" ]; then
		la_x=${OLDPWD-}
		cd -P /proc/self && la_me=${PWD##*/}
		cd /
		OLDPWD=$la_x
	else
		la_me=$(exec sh -c 'echo "$PPID"')
	fi
}

# What /proc/PID/status says up to the line named (shorter than stat: read takes it byte by byte): la_name, la_pp, la_uid.
la_status() {
	while read -r la_x la_y la_z la_line; do
		case $la_x in
		Name:) la_name=$la_y ;;
		PPid:) la_pp=$la_y ;;
		Uid:) la_uid=$la_z ;;
		esac
		[ "$la_x" != "$2" ] || return 0
	done <"/proc/$1/status"
	return 1
}

# The name of a process may hold anything, newlines and parentheses too: what counts follows the last one.
la_stat() {
	la_line=''
	while IFS= read -r la_x || [ "$la_x" ]; do la_line="$la_line$la_x "; done <"/proc/$1/stat" || return 1
	set -- ${la_line##*) }
	[ $# -gt 19 ] || return 1
	la_state=$1 la_pp=$2 la_ses=$4
	shift 19
	la_start=$1
}
