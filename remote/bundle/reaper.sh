#!/bin/sh
# What ends processes on the host, and how they are found: travels as text beside runner.sh, whose names and variables these
# are, and is read by the shell that needs it (la_load).
#
# A question may start anything: children, orphans, daemons in sessions of their own, what forks while we look. Who is ours is
# told by descent, by session, and by the mark in the environment (LONGARM_Q); all is read with builtins, from /proc alone.
# shellcheck disable=SC2154,SC2034  # variables that runner.sh sets, and those that it reads
# shellcheck disable=SC2086  # lists of pids are split on purpose
# shellcheck disable=SC2317  # functions are called by runner.sh

# Nobody listens any more. Main is stopped first, it could go on to the next part. It may be about to dismiss the guard: that
# comes too late now, or main would stay stopped for ever. By SIGALRM, which nobody ignores.
la_deserted() {
	trap '' ALRM
	# not that of another user than root: sudo stops itself with it, and only root can let that go on; it has one part
	case $la_boss:$la_other in ?*:?*) ;; *) kill -STOP "$$" ;; esac
	la_self
	# where main was killed, its lanes are orphans without a mark: what was started in its session after us is theirs
	la_stat "$la_me" && case " $$ ${la_boss:+$la_boss $PPID} " in *" $la_ses "*) la_sid=$la_ses la_born=${la_boss:+$la_start} ;; esac
	la_keep=" $la_me " la_root=$$
	la_slay 9
	# without /proc nothing can be looked up: our process group, if we lead one
	[ "$la_proc" ] || kill -KILL -- "-$$"
	kill -KILL "$$"
	# sudo stops itself together with its child
	[ -z "$la_boss" ] || kill -CONT "$PPID"
}

# Past its deadline: fails where something outlives SIGKILL and may still write: go on in a new lane, with pipes of its own.
la_late() {
	la_how=late
	if [ "$la_proc" ]; then
		la_slay 10
		[ "$la_found" ] || [ "$la_t" -gt "$((la_max + 2))" ] || return 0
		for la_p in $la_found $la_stuck; do
			[ "${#la_left}" -gt 300 ] || ! [ -e "/proc/$la_p" ] || la_left="$la_left $la_p"
		done
		for la_parent in $la_above; do
			la_kids "$la_parent" 2>/dev/null
			for la_p in $la_list; do
				case $la_keep in *" $la_p "*) ;; *) kill -KILL "$la_p" ;; esac
			done
		done
	else
		la_how=blind
	fi
	kill -KILL "$la_job"
	la_keep="$la_keep$la_job $la_found"
	la_switch=late
	return 1
}

# Ends all that the questions of this lane started; la_found: the pids that are still there.
# First everything is stopped, or it could fork while we look. la_slay ROUNDS: before the 10th it waits for a tick.
la_slay() {
	[ "$la_proc" ] || return 0
	la_dead=' ' la_round=0
	while la_look; [ "$la_found" ] && [ "$la_round" -lt "$1" ]; do
		la_new=''
		for la_p in $la_found; do
			case $la_dead in *" $la_p "*) ;; *) la_new="$la_new$la_p " ;; esac
		done
		if [ "$la_new" ]; then
			kill -STOP $la_new
			la_dead="$la_dead$la_new"
		else
			kill -KILL $la_found
			la_round=$((la_round + 1))
			[ "$la_round" -lt 10 ] || wait "$la_tick"
		fi
	done 2>/dev/null
}

# la_found: living processes that a question started: the children of la_root, orphans that are of our session
# or carry the mark in their environment, the children of these; and what was found before, la_dead: its parent may
# be gone by now; and who is in la_scope, the members of a cgroup of ours alone, but for helpers of what is to be kept.
la_look() {
	la_found=' ' la_next='' la_all=' '
	read -r la_x la_x la_x la_x la_y </proc/loadavg
	[ "$la_y" -ge "$la_low" ] || la_low=0
	[ "$la_elders" ] || la_kin
	[ "$la_quick" ] || la_scan
	la_kids "$la_root"
	la_add $la_list $la_dead
	[ -z "${la_scope-}" ] || while read -r la_p; do
		la_stat "$la_p" && case $la_keep in *" $la_pp "*) ;; *) la_add "$la_p" ;; esac
	done <"$la_scope"
	for la_elder in $la_elders; do
		# orphans go to the first thread
		la_kids "$la_elder" "$la_elder"
		for la_p in $la_list; do
			la_orphan "$la_p" && la_add "$la_p"
		done
	done
	while [ "$la_next" ]; do
		la_these=$la_next la_next=''
		for la_parent in $la_these; do
			la_kids "$la_parent"
			la_add $la_list
		done
	done
	for la_p in $la_all; do
		la_stat "$la_p" || continue
		case $la_state in Z | X) ;; *) la_found="$la_found$la_p " ;; esac
	done
	la_found=${la_found# }
}

la_add() {
	for la_p; do
		case "$la_keep$la_all" in *" $la_p "*) continue ;; esac
		if [ "$la_once" ] && la_left_us "$la_p"; then
			la_keep="$la_keep$la_p "
			kill -CONT "$la_p"
		else
			la_all="$la_all$la_p " la_next="$la_next $la_p"
		fi
	done
}

# A supervisor of a detached command is ours until its mark is seen (../detached/start.sh): it may have been found, and
# stopped, before. Without the mark it has not come to its first line, and what is ended there has never begun.
la_left_us() {
	while IFS= read -r la_x || [ "$la_x" ]; do
		case $la_x in *LONGARM_D=*) return ;; esac
	done <"/proc/$1/environ"
	return 1
}

# Pids before our own are older than we are, unless they wrapped around. Beside a slow question the session is no proof:
# an orphan may be its own.
la_orphan() {
	[ "$1" -gt "$la_low" ] || return
	if [ -z "$la_born" ]; then
		la_born=0
		la_stat "$$" && la_born=$la_start && [ "$la_ses" = "$$" ] && la_sid=$$
	fi
	la_stat "$1" && [ "$la_start" -ge "$la_born" ] || return
	[ -z "$la_beside" ] && [ "$la_ses" = "$la_sid" ] && return
	while IFS= read -r la_x || [ "$la_x" ]; do
		case $la_x in *"LONGARM_Q=$la_tok."*)
			la_x=${la_x#*"LONGARM_Q=$la_tok."}
			case " $la_beside " in *" ${la_x%%.*} "*) return 1 ;; *) return 0 ;; esac
			;;
		esac
	done <"/proc/$1/environ"
	return 1
}

# la_list: the children of a process, or of one thread of it.
la_kids() {
	la_list=''
	if [ "$la_quick" ]; then
		for la_file in "/proc/$1/task/"${2:-*}/children; do
			la_x=''
			read -r la_x <"$la_file"
			la_list="$la_list $la_x"
		done
	else
		for la_x in $la_table; do
			case $la_x in "$1":*) la_list="$la_list ${la_x#*:}" ;; esac
		done
	fi
}

# la_table: parent:child of all that can be ours, for kernels without CONFIG_PROC_CHILDREN.
la_scan() {
	la_table=''
	for la_file in /proc/[0-9]*; do
		la_file=${la_file#/proc/}
		[ "$la_file" -gt "$la_low" ] && la_stat "$la_file" && la_table="$la_table $la_pp:$la_file"
	done
}

# la_elders: who may adopt orphans of ours: init, and ancestors that could be subreapers (not sshd, and what the main of the
# user starts while root's guard looks is no orphan).
la_kin() {
	la_elders=1
	la_status "$$" PPid:
	while [ "$la_pp" -gt 1 ]; do
		la_elder=$la_pp
		la_status "$la_elder" PPid: || break
		case "$la_name $la_elder $la_pp " in
		sshd* | 'dropbear '* | 'sudo '* | *" ${la_boss:--} "*) ;;
		*) la_elders="$la_elders $la_elder" ;;
		esac
	done
} 2>/dev/null
