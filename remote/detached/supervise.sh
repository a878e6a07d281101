#!/bin/sh
# The supervisor of one command: keeps what it says, its deadline, and how it ended, in the folder that start.sh made, whose
# lock it holds (descriptor 8) as long as it lives. Its own stdout goes to whoever waits for its end, and says nothing.
# Behind ../bundle/processes.sh and ../bundle/reaper.sh. Given: la_id, la_deadline; la_most, la_tail (bytes of stdout: in all, and
# of these the last ones); la_q0, the command.
# Processes: supervisor > the command; > a spooler for each stream (> dd); > guard, which ends all at the deadline (> sleep).
# Descriptors: 3 and 4 the two ends of the command's stdout, 5 and 6 of its stderr.
# shellcheck disable=SC2154,SC2034  # variables that processes.sh and reaper.sh read and set

la_supervise() {
	exec </dev/null 2>/dev/null
	unset LONGARM_D
	la_folder=$PWD
	cd /
	la_nl='
'
	la_proc='' la_quick='' la_sid='' la_born='' la_low=$$ la_elders='' la_boss='' la_once='' la_beside='' la_tok=$la_id la_root=$$
	if [ -r "/proc/$$/stat" ]; then
		la_proc=1
		[ -r "/proc/$$/task/$$/children" ] && la_quick=1
		la_stat "$$" && printf '%s %s\n' "$$" "$la_start" >"$la_folder/sup"
	fi
	la_in_scope
	mkfifo "$la_folder/o" "$la_folder/e" || exit
	# shellcheck disable=SC2094 # both ends of a pipe
	exec 7<>"$la_folder/o" 3<"$la_folder/o" 4>"$la_folder/o"
	# shellcheck disable=SC2094 # both ends of a pipe
	exec 7<>"$la_folder/e" 5<"$la_folder/e" 6>"$la_folder/e" 7>&-
	# who comes first says whether it runs at all
	set -C
	printf 'go\n' >"$la_folder/begun" || exit
	set +C
	la_since=$(la_uptime)
	la_spool out "$la_most" <&3 &
	la_out=$!
	la_spool err 65536 <&5 &
	la_err=$!
	la_command &
	la_job=$!
	la_guard &
	la_timer=$!
	exec 3<&- 4>&- 5<&- 6>&-
	la_keep=" $$ $la_out $la_err $la_timer "
	la_stat "$la_job" && printf '%s %s\n' "$la_job" "$la_start" >"$la_folder/cmd"
	wait "$la_job"
	la_status=$?
	kill "$la_timer"
	wait "$la_timer"
	case $? in 3) la_how=late ;; *) la_how='done' ;; esac
	la_conclude
}

# la_scope: who is in the scope that systemd has made for us (start.sh), whatever it has done to be found no more.
la_in_scope() {
	la_scope=''
	while read -r la_x; do
		case $la_x in
		"0::/"*"/longarm-$la_id.scope") la_y=/sys/fs/cgroup/${la_x#*::/} ;;
		*":name=systemd:/"*"/longarm-$la_id.scope") la_y=/sys/fs/cgroup/systemd/${la_x#*:name=systemd:/} ;;
		*) continue ;;
		esac
		[ ! -r "$la_y/cgroup.procs" ] || la_scope=$la_y/cgroup.procs
	done </proc/self/cgroup
}

la_uptime() {
	read -r la_up la_x </proc/uptime || la_up=0.00
	printf %s "${la_up%.*}${la_up#*.}"
}

# Nothing of ours but the name of its mark.
la_command() {
	exec </dev/null >&4 2>&6 3<&- 4>&- 5<&- 6>&- 8<&-
	LONGARM_Q=$la_id.0.
	export LONGARM_Q
	la_q0
}

# (exec: bash has dd as a child of its own, which nobody would know for a helper of what is to be kept.)
# The head of a stream as it comes, piece by piece; once it is too much, the end of it. Fails where that is so (1), or where
# something could not be written (3): the command must not be stopped by it.
la_spool() {
	exec >/dev/null 3<&- 4>&- 5<&- 6>&- 8<&-
	la_read=0 la_how=1
	while
		la_x=$(exec dd bs=16384 count=64 conv=fsync 2>&1 >>"$la_folder/$1") || la_how=3
		la_x=${la_x%%" records in"*}
		la_x=${la_x##*"$la_nl"}
		case $la_x in *[!0-9+]* | +* | *+) la_how=3 ;; *+*) la_count=$((${la_x%+*} + ${la_x#*+})) ;; *) la_how=3 ;; esac
		[ "$la_how" = 1 ]
	do
		la_read=$((la_read + la_count))
		la_size=$((la_read * 16384))
		[ "$la_size" -le "$2" ] || la_size=$(($(exec wc -c <"$la_folder/$1")))
		[ "$la_count" -eq 64 ] || return "$((la_size > $2))"
		[ "$la_size" -le "$2" ] || break
	done
	tail -c 65536 >"$la_folder/$1.rest"
	return "$la_how"
}

# At the deadline all that the command started is ended. Where something outlives that, the supervisor may wait for ever: then
# it is ended too, and its work is done here, as it is where it was killed before.
la_guard() {
	exec >/dev/null 3<&- 4>&- 5<&- 6>&- 8<&-
	# Before there is a sleep, it is the command that this names, and that has ended by then. Not by a signal that the shell
	# handles: between fork and exec it would be lost (one of 80 on a busy machine).
	trap 'kill -KILL "$!"; wait "$!"; exit' TERM
	sleep "$la_deadline" &
	wait "$!"
	trap '' TERM
	la_alone=''
	if [ "$la_proc" ] && { ! la_stat "$$" || [ "$la_state" = Z ]; }; then
		# not what a command that is through has left behind
		read -r la_x la_y <"$la_folder/cmd" && la_stat "$la_x" && [ "$la_start" = "$la_y" ] || exit
		la_alone=1
	fi
	la_self
	la_keep=" $$ $la_me $la_out $la_err "
	for la_try in 1 2 3; do
		[ "$la_proc" ] || kill -KILL "$la_job"
		la_slay 9
		[ "$la_found" ] || break
		sleep 1
	done
	[ "$la_found$la_alone" ] || exit 3
	kill -KILL "$$"
	la_how=late la_status=- la_timer=''
	la_conclude
}

# What the command left behind may hold its streams, as services do: then we do not wait for their ends.
la_conclude() {
	la_ms=$((($(la_uptime) - la_since) * 10))
	[ "$la_how" = late ] || { [ -z "$la_proc" ] && la_found=' '; } || la_look
	if [ "$la_found" ]; then
		trap "la_out='' la_err=''" USR1
		while sleep 2; do kill -USR1 "$$"; done &
		la_nap=$!
	fi
	[ -z "$la_out" ] || wait "$la_out"
	la_x=$?
	la_cut out "${la_out:+$la_x}" "$la_most" "$la_tail"
	la_cuts=$la_cut
	[ -z "$la_err" ] || wait "$la_err"
	la_x=$?
	la_cut err "${la_err:+$la_x}" 65536 32768
	[ -z "${la_nap-}" ] || kill "$la_nap"
	printf '%-511s\n' "$la_how $la_status $la_ms $la_cuts $la_cut $la_found ." | dd of="$la_folder/rc.new" conv=notrunc,fsync &&
		mv -f "$la_folder/rc.new" "$la_folder/rc"
}

# la_cut: how much of a stream was dropped (-1: nobody knows), given how its spooler ended; empty: it goes on. Its last bytes are
# kept apart.
la_cut() {
	la_cut=0
	case $2 in
	0 | '') ;;
	1)
		la_cut=-1
		[ -e "$la_folder/$1.rest" ] || la_cut=$(($(wc -c <"$la_folder/$1") - $3))
		cat "$la_folder/$1" "$la_folder/$1.rest" | tail -c "$4" >"$la_folder/$1.tail" || rm -f "$la_folder/$1.tail"
		;;
	*) la_cut=-1 ;;
	esac
}
