#!/bin/sh
# The part of a bundle that runs on the host: asks the questions of a lane one after another, ends those that
# are past their deadline, and frames what they say (frames.py). dash, bash and busybox ash; no files, no
# here-documents. Comments and indentation are stripped before it travels (script.py). What ends processes is in reaper.sh, what
# is seldom needed besides in detours.sh.
#
# Given: la_n the nonce, la_tok a second one that marks the environment of what a question starts (so that
# `env` in an answer cannot show the first), la_plain the questions that cannot end their shell, la_calm those of them
# that leave nothing behind, la_tells those of these that may sleep, la_wild where not all leave nothing behind, la_once where
# nothing may be asked twice, la_qI() one function for each question, la_seldom the text of detours.sh and reaper.sh; la_try
# and la_pw what becomes another user, without a password and where one may be asked for, la_tty where it is one that wants a
# terminal, la_other where that is not root (elevation.py).
# File descriptors: 3 stdin, open while we are wanted; 7 the real stderr; 8 the real stdout. A question gets none of them.
# Processes: main ($$) > guard (ends everything when stdin ends); > asker > the question, as long as all is brisk (la_brisk)
#            main > middle | dd (its stdout)           middle > lane | dd (its stderr)
#            lane > ticker (one USR1 each second)
#            lane > asker > the question | head (its stdout, capped), or without head if it is calm
#            lane > beside > middle | dd > lane … (what is asked while a slow question runs: la_spread)
# shellcheck disable=SC2034  # variables that only reaper.sh reads
# shellcheck disable=SC2154  # la_n, la_tok, la_plain, la_calm, la_tells, la_wild, la_once, la_seldom: the script around has them
# shellcheck disable=SC2086  # lists of pids and of questions are split on purpose
# shellcheck disable=SC2317  # functions are called by the script around, and by names made at run time
# shellcheck disable=SC2030,SC2031  # what a lane changes is for the lane
# shellcheck disable=SC3045  # ulimit -c: dash, bash and ash all have it

la_begin() {
	PATH=${PATH:-/usr/local/bin:/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin
	LC_ALL=C
	export PATH LC_ALL
	unset ENV BASH_ENV CDPATH
	umask 077
	ulimit -c 0
	cd /
	exec 3<&0 7>&2 8>&1
	la_nl='
'
	la_proc='' la_quick='' la_sid='' la_born='' la_low=$$ la_elders='' la_outs='' la_errs='' la_was='' la_switch='' la_filter='' la_again='' la_who=user la_part=0 la_o=0
	la_above='' la_middle='' la_recent='' la_tight='' la_beside='' la_depth=0 la_brisk='' la_stuck='' la_t=0
	if [ -r "/proc/$$/stat" ]; then
		la_proc=1
		[ -r "/proc/$$/task/$$/children" ] && la_quick=1
	fi
	command -v head >/dev/null && command -v dd >/dev/null && la_filter=1
	if [ "$la_proc" ]; then la_status "$$" Uid:; else la_uid=$(id -u); fi
	[ "$la_uid" = 0 ] && la_who=root
	# read now, and by all that follow, where it is needed in any case: at the end of a lane
	[ -z "$la_wild" ] || la_load la_kin
	trap 'la_t=$((la_t + 1))' USR1
	la_guard &
	la_watch=$!
	la_keep=" $$ $la_watch "
}

# What is seldom needed is read only then: it would cost each bundle 0.3 ms, and memory that each fork has to copy.
la_load() {
	eval "$la_seldom"
	"$@"
}
la_deserted() { la_load la_deserted; }
la_late() { la_load la_late; }
la_look() { la_load la_look; }
la_slay() { la_load la_slay "$@"; }
la_missed() { la_load la_missed; }
la_retry() { la_load la_retry "$@"; }
la_spread() { la_load la_spread "$@"; }
la_nudged() { la_load la_nudged "$@"; }
la_sudo() { la_load la_sudo "$@"; }

# The guard: when stdin has ended, nobody listens any more. Until then it passes on that we are nudged (exchange.py).
la_guard() {
	exec </dev/null >/dev/null 2>&1 7>&- 8>&-
	while read -r la_x <&3; do
		case $la_x in '#!') kill -USR1 "$$" ;; esac
	done
	la_deserted
}

la_leave() {
	kill -ALRM "$la_watch"
	exit "$1"
} 2>/dev/null

la_now() {
	la_up=-
	[ "$la_proc" ] && read -r la_up la_x </proc/uptime
}

# la_note MARK: one for both streams, to be written with the next: each write is a packet of its own on the way.
la_note() {
	la_o=$((la_o + 1))
	la_x="$la_nl$la_n $la_part $la_o $1$la_nl"
	la_outs=$la_outs$la_x la_errs=$la_errs$la_x
}

# la_tell [MARK]: all marks noted, and this one. Where the reader of stderr is gone (a flood, if the end of a question was
# to be told), this one is left out: la_switch says that another lane has to tell it, and what stderr missed. Where the
# reader of stdout is gone, nobody knows what it still passed on: another part asks the last questions again.
la_tell() {
	la_x=''
	[ $# -eq 0 ] || la_x="$la_nl$la_n $la_part $((la_o + 1)) $1$la_nl"
	if printf %s "$la_errs$la_x" >&2; then
		la_errs='' la_again='' la_o=$((la_o + $#))
	else
		[ -z "$la_again" ] || exit 1
		la_again=1 la_switch=err la_x=''
		[ -z "$la_was" ] || la_outs="${la_outs% *} flood$la_nl"
	fi
	la_x=$la_outs$la_x la_outs='' la_was=''
	printf %s "$la_x" || la_switch=out$la_switch
}

# la_go PART QUESTION…: a part, each question as INDEX:DEADLINE:CAP.
la_go() {
	la_new=$1
	shift
	[ $# -gt 0 ] || return 0
	if la_light "$1"; then
		la_briskly "$@"
	else
		la_pipe both "$la_new" "$@"
	fi
	la_outs='' la_errs=''
}

# Whether main can ask a question itself. Root's main, where that is another one, hears no nudges.
la_light() {
	[ "$la_proc$la_filter:$la_boss$la_once" = 11: ] && ! la_headed "$1"
}

# la_briskly QUESTION…: as long as they are light main asks them itself, without lane, filters and ticker: six processes less. Where
# one takes long or floods we are nudged; it is ended, and asked again with all of these, as what follows is.
la_briskly() {
	la_marks=$la_o la_root=$$ la_part=$la_new la_o=0 la_switch='' la_brisk=1
	trap : PIPE
	la_note "open - longarm-bundle/1 $la_who"
	while [ $# -gt 0 ] && [ -z "$la_switch" ] && la_light "$1"; do
		la_ask "$@"
		[ "$la_switch" ] || shift
	done
	la_brisk=''
	case $la_switch$# in
	nudge*) la_nudged "$@" ;;
	0) la_tell "close - $((la_o + 1))" ;;
	*[a-z]*) la_leave 1 ;;
	*) la_pipe both '' "$@" ;;
	esac
	trap - PIPE
	la_part=0 la_o=$la_marks la_root='' la_switch=''
}

# la_pipe FILTERS PART QUESTION…: one lane, with filters made anew for what it has on stdout, stderr or both: a flood ends
# with its filter, and those that are left as they are have not passed on everything yet.
la_pipe() {
	la_x=$1
	shift
	case ${la_filter:-none}$la_x in
	none*) (la_lane "$@") ;;
	1err) la_pipe_err "$@" ;;
	1out) la_pipe_out la_lane "$@" ;;
	*) la_pipe_out la_pipe_err "$@" ;;
	esac
}

# ash tells at once that a filter was killed (la_late), in the midst of what the next lane says: so it tells nobody.
la_pipe_err() {
	exec 9>&1 2>/dev/null
	{
		exec 2>&1 >&9 9>&-
		la_lane "$@"
	} | dd bs=1024 count="$((1024 + 256 * $#))" 2>/dev/null >&7 3<&- 7>&- 8>&- 9>&-
	exec 2>&7 9>&-
}

# For all calm questions together 1 MiB and no more than 256 pieces, for each other one all that its head lets through.
la_pipe_out() {
	la_count=256
	for la_x; do
		la_count=$((la_count + 8))
		case $la_x in *:*:*) ! la_headed "$la_x" || la_count=$((la_count + ${la_x##*:} / 2048)) ;; esac
	done
	exec 6>&2 2>/dev/null
	{
		exec 2>&6 6>&-
		la_self
		la_middle=$la_me
		la_keep="$la_keep$la_me "
		"$@"
	} | dd bs=4096 count="$la_count" 2>/dev/null >&8 3<&- 6>&- 7>&- 8>&-
	exec 2>&6 6>&-
}

# Whether a question gets a filter of its own: all but calm ones, and those that are asked again.
la_headed() {
	case " $la_calm " in *" ${1%%:*} "*) ;; *) return 0 ;; esac
	case " $la_tight " in *" $1 "*) ;; *) return 1 ;; esac
}

# la_lane PART QUESTION…; without a number it goes on where another lane had to stop.
la_lane() {
	la_self
	la_above="$la_above ${la_root:-$$} $la_middle" la_root=$la_me la_switch='' la_middle='' la_ended=0
	trap 'la_t=$((la_t + 1))' USR1
	trap : PIPE
	la_ticker &
	la_tick=$!
	la_keep="$la_keep$la_me $la_tick "
	if [ "$1" ]; then
		la_x=$la_part la_part=$1 la_o=0
		[ "$la_x" != 0 ] || la_x=''
		la_note "open - longarm-bundle/1 $la_who${la_x:+ $la_x}"
	fi
	shift
	while [ $# -gt 0 ] && [ -z "$la_switch" ]; do
		la_ask "$@"
		[ -z "$la_given" ] || set -- "$1"
		case $la_switch in '' | late) shift ;; esac
	done
	if [ -z "$la_switch" ]; then
		# what was calm has left nothing behind
		la_found=''
		[ -z "$la_proc" ] || [ -z "$la_wild" ] || la_look 2>/dev/null
		if [ "$la_found" ]; then
			la_tell
			la_slay 10
		fi
		[ "$la_switch" ] || la_tell "close - $((la_o + 1))"
	fi
	kill "$la_tick"
	wait "$la_tick" 2>/dev/null
	case $la_switch in
	'') ;;
	late) la_pipe both '' "$@" ;;
	err) la_pipe err '' "$@" ;;
	*) la_retry "$@" ;;
	esac
}

# What runs beside us gives up our streams by `exec`: redirections of a function are saved, and ash and dash let
# the saved copies live on in what it starts.
# Takes its sleep with it when it is told to end.
la_ticker() {
	exec </dev/null >/dev/null 2>&1 3<&- 7>&- 8>&-
	trap 'kill "$la_nap"; exit' TERM
	while
		sleep 1 &
		la_nap=$!
		wait "$la_nap"
	do kill -USR1 "$la_root" || exit; done
}

# la_ask QUESTION OTHER…: the question; the others too if it is slow (la_given).
la_ask() {
	la_given='' la_i=${1%%:*} la_cap=${1##*:} la_max=${1#*:}
	la_max=${la_max%:*} la_how=ok la_left='' la_t=0
	[ "$la_was" ] || la_now
	la_began=$la_up
	la_tell "begin $la_i $la_up $la_who"
	[ -z "$la_switch" ] || return
	la_told='' la_at=$la_o
	if [ "$la_filter" ] && la_headed "$1"; then
		la_told=1
		la_put | head -c "$((la_cap + 128))" 2>/dev/null 3<&- 7>&- 8>&- &
		la_job=$!
		la_keep="$la_keep$la_job "
	else
		case " $la_tells " in *" $la_i "*) [ "$la_brisk" ] || la_told=1 ;; esac
		la_put &
		la_job=$!
	fi
	while la_seen=$la_t; la_await "$la_job"; [ "$la_t" -ne "$la_seen" ]; do
		[ -z "$la_brisk" ] || { la_switch=nudge; return; }
		# gone and not noticed: bash 5.2 loses children that end while a trap interrupts wait; or capped, and it goes on
		kill -0 "$la_job" 2>/dev/null || { la_slay 9; la_missed; break; }
		la_spread "$@" && continue
		[ "$la_t" -le "$la_max" ] || la_late || break
	done
	# bash may tell of a nudge a second time, as of a signal that ended the question
	[ -z "$la_brisk" ] || [ "$la_status" -lt 128 ] || { la_switch=nudge; return; }
	la_now
	[ "$la_told$la_how" != ok ] || la_outs="$la_outs$la_nl$la_n $la_part $la_at status $la_i $la_status$la_nl"
	la_note "end $la_i $la_up $la_how$la_left"
	la_recent="${la_recent##* } $1" la_ended=$((la_ended + 1))
	[ "$la_switch" ] || la_was=$la_how
}

# la_await PID: la_status, or a tick (la_t). bash may tell of one a second time, when a shell that was forked since waits for
# its first child: nothing has ended then (measured: the output of a question came with the next one's). dash and ash have
# forgotten by the second time what they have told (127).
la_await() {
	wait "$1" 2>/dev/null
	la_status=$?
	if [ "$la_t" -eq "$la_seen" ] && [ "$la_status" -gt 128 ]; then
		la_x=$la_status
		wait "$1" 2>/dev/null
		la_status=$?
		[ "$la_status" -ne 127 ] || la_status=$la_x
	fi
}

# The exit status goes through the same pipe as the output: it arrives whole only if the output did. Without a filter in
# between it can be told together with the end: each write is a packet of its own on the way. Not of one that sleeps: that
# ends together with a tick more often than others, and then dash and ash have forgotten its status (la_missed).
# Then what could end this shell, or change it, is asked in one more (la_plain: script.py). The nonce is a parameter
# meanwhile: functions have their own, so no question sees it.
la_put() {
	exec </dev/null 3<&- 7>&- 8>&-
	set -- "$la_n"
	case "$la_told $la_plain " in
	' '* | *" $la_i "*) la_run ;;
	*) (la_run) ;;
	esac
	la_status=$?
	[ "$la_told" ] || exit "$la_status"
	printf '\n%s %s %s status %s %s\n' "$1" "$la_part" "$la_o" "$la_i" "$la_status"
}

la_run() {
	LONGARM_Q=$la_tok.$la_i.
	export LONGARM_Q
	unset la_n la_x
	"la_q$la_i"
}

# la_main USER ROOT EITHER: the questions of each privilege, as lists; la_asks: the functions of those that want root.
la_main() {
	la_begin
	la_note "open - longarm-bundle/1 $la_who"
	if [ "$la_who" = root ]; then
		eval "$la_asks"
		la_go 1 $1 $2 $3
	else
		la_go 1 $1
		[ -z "$la_other" ] || set -- "$1" '' "$3"
		[ -z "$2$3" ] || la_sudo "$2 $3" || [ -z "$3" ] || { eval "$la_asks" && la_go 3 $3; }
	fi
	la_tell "done - $((la_o + 1))"
	la_leave 0
}
