#!/bin/sh
# What a bundle seldom comes to on the host: a question that is slow, a flood, an end that came together with a tick, sudo.
# Travels as text beside runner.sh, whose names and variables these are, and is read by the shell that needs it (la_load).
# shellcheck disable=SC2154,SC2034  # variables that runner.sh sets, and those that it reads
# shellcheck disable=SC2086  # lists of pids and of questions are split on purpose
# shellcheck disable=SC2317  # functions are called by runner.sh
# shellcheck disable=SC2030,SC2031  # what a lane changes is for the lane

# la_retry QUESTION…: on in a new part, from the last questions whose ends may not have passed the filter of stdout: each
# of them, and the one that was about to be asked, with a filter of its own. Those fit: a second time it is not a flood.
# Not where something may be run only once (la_once).
la_retry() {
	[ -z "$la_once" ] || exit 1
	la_x=$((la_part % 100))
	[ "$la_x" -lt 8 ] || { [ "$la_x" -lt 90 ] && [ "$la_ended" -gt 2 ]; } || exit 1
	la_tight="$la_tight $la_recent ${1-}"
	set -- "$((la_part + 4))" $la_recent "$@"
	la_recent=''
	case $la_switch in
	out) la_pipe out "$@" ;;
	*) la_pipe both "$@" ;;
	esac
}

# la_nudged QUESTION OTHER…: our side has waited long enough for the question that main asks, or has got more than enough of it. It
# is ended, and asked in a new part with what its deadline has left. What cannot be killed is told if the second one is late too.
la_nudged() {
	la_slay 9
	la_stuck=$la_found
	la_keep="$la_keep$la_job $la_found"
	la_now
	la_x=$((la_max - (1${la_up%.*}${la_up#*.} - 1${la_began%.*}${la_began#*.}) / 100))
	[ "$la_x" -gt 0 ] || la_x=0
	shift
	set -- "$((la_part + 4))" "$la_i:$la_x:$la_cap" "$@"
	la_tight=$2
	la_pipe both "$@"
}

# The end of the question came together with a tick. Either wait was interrupted (128 and the number of the signal), then it
# can be asked again; or it was over, then its status is right and dash and ash have forgotten it (127). Where neither is
# certain (bash loses some, and tells of the signal twice) no status is told.
la_missed() {
	la_x=$la_status
	wait "$la_job" 2>/dev/null
	la_status=$?
	case $la_status in
	127) la_status=$la_x ;;
	"$la_x") ;;
	*) return ;;
	esac
	[ "$la_status" -lt 128 ] || la_told=1
}

# la_spread QUESTION OTHER…: a question that has run for half a second must not hold up the others. They are asked by a
# lane beside it; what the slow one says stays in its pipes meanwhile, since its filters are stopped: two writers at once
# would write into each other's frames. Its payload goes on (`more`) once the others are over, and then its deadline counts.
la_spread() {
	[ $# -gt 1 ] && [ "$la_proc$la_filter" = 11 ] && [ "$la_depth" -lt 6 ] && [ -z "$la_given" ] || return
	la_now
	[ "$((1${la_up%.*}${la_up#*.} - 1${la_began%.*}${la_began#*.}))" -ge 50 ] || return
	shift
	la_held=''
	for la_parent in $la_above; do
		[ "$la_quick" ] || la_scan 2>/dev/null
		la_kids "$la_parent" 2>/dev/null
		for la_p in $la_list; do
			case $la_keep in *" $la_p "*) ;; *) la_held="$la_held $la_p" ;; esac
		done
	done
	kill -STOP $la_held 2>/dev/null
	if la_stopped $la_held 2>/dev/null; then
		la_given=1
		la_aside "$@" &
		la_other=$!
		la_keep="$la_keep$la_other "
		while la_seen=$la_t; la_await "$la_other"; [ "$la_t" -ne "$la_seen" ]; do
			kill -0 "$la_other" 2>/dev/null || break
		done
		la_o=$((la_o + 1))
		printf %s "$la_nl$la_n $la_part $la_o more $la_i$la_nl" >&7
		printf %s "$la_nl$la_n $la_part $la_o more $la_i$la_nl" >&8
	fi
	kill -CONT $la_held 2>/dev/null
	[ "$la_t" -le "$la_max" ] || la_t=$la_max
	[ "$la_given" ]
}

# What was told to stop does so only when it is scheduled next, and a write that has begun ends first.
la_stopped() {
	la_round=0
	for la_p; do
		while la_stat "$la_p"; do
			case $la_state in T | t | Z | X) break ;; esac
			la_round=$((la_round + 1))
			[ "$la_round" -lt 200 ] || return
		done
	done
}

# A part of its own, numbered so that it meets neither the one it stands beside nor those that may replace that.
la_aside() {
	la_self
	la_beside="$la_beside $la_i" la_depth=$((la_depth + 1)) la_root=$la_me la_above='' la_middle='' la_recent=''
	la_new=$((la_part + 100)) la_part=0
	la_pipe both "$la_new" "$@"
}

# Questions for another user as a second script; where that is refused and a password may help (la_pw), once more with it.
# Succeeds if the other user ran the script to its end (77).
la_sudo() {
	la_tell 'sudo -'
	la_y=1
	[ -z "$la_try" ] || la_root '' "$1"
	if [ "$la_y" = 1 ] && [ "$la_pw$la_tty" ]; then
		# what comes on stdin now is for sudo: la_root sees its end
		{
			kill -ALRM "$la_watch"
			wait "$la_watch"
		} 2>/dev/null
		la_tell 'sudoask -'
		la_root ask "$1"
		la_guard &
		la_watch=$!
		la_keep="$la_keep$la_watch "
	fi
	la_tell "sudone - $la_y"
	[ "$la_y" = 77 ]
}

# What we are told next. bash leaves the last line of the script, a comment, to the guard, which may be gone before it read it.
la_hear() {
	while IFS= read -r la_x <&3; do
		case $la_x in '#'*) ;; *) return ;; esac
	done
	la_x=''
}

# The script goes through one pipe that stays open as long as our own stdin does. Where a password may be asked for
# (elevation.py) it follows once the other shell is there: it would be taken for further attempts. la_y: how it ended.
la_root() {
	{
		exec 2>/dev/null 7>&- 8>&-
		la_self
		printf '%s\n' "$la_me"
		if [ "$1" ]; then
			la_hear
			case $la_x in =*)
				printf '%s\n' "${la_x#=}"
				la_hear
				;;
			esac
			[ "$la_x" = go ] || exit
		fi
		# sudo's noexec is a library in front of all: no program would start, so nothing is begun
		printf '%s\n' '{' 'case ${LD_PRELOAD-} in *noexec*) echo noexec >&2; exit 126 ;; esac'
		printf '%s\n' "la_other=$la_other la_n=$la_n la_tok=$la_tok la_boss=$$ la_plain='$la_plain' la_calm='$la_calm' la_tells='$la_tells' la_wild=$la_wild la_once=$la_once" "$la_text" "$la_seldom" "$la_asks" la_begin "la_go 2 $2" 'la_leave 77' '}'
		while read -r la_x <&3; do :; done
	} | {
		exec 3<&- 7>&- 8>&-
		read -r la_holder
		if [ -z "$1" ]; then
			eval "$la_try"
		elif [ "$la_tty" ]; then
			la_lend
		else
			# from where only root can put it, whatever PATH says
			(PATH=/usr/bin:/bin:/usr/local/bin:/run/wrappers/bin; eval "$la_pw")
		fi
		la_x=$?
		kill -KILL "$la_holder" 2>/dev/null
		exit "$la_x"
	}
	la_y=$?
}

# For what wants a terminal (terminal.py): offers our stdin and the ends of three pipes, to stdout, to stderr and for how it
# ended, until somebody has taken them over and ends the offer; or until it is withdrawn, then our stdin ends.
la_lend() {
	exec 5>&1 6>&2
	la_x=$(
		exec 4>&1
		{ { la_offer 2>&1 >&9 5>&- 6>&- 9>&- | cat >&6 4>&- 5>&- 9>&-; } 9>&1 | cat >&5 4>&- 6>&-; } 2>/dev/null
	)
	return "${la_x:-1}"
}

la_offer() {
	la_self
	printf '%s\n' "$la_me"
	read -r la_x
}
