#!/bin/sh
# Tells how a command stands, once it has ended or `wait` seconds have passed. Behind ../bundle/processes.sh, places.sh,
# answer.sh and ../files/digest.sh. Given: id, wait, age (seconds since it was sent; empty: not known), out_from, err_from, piece.
# shellcheck disable=SC2154,SC2034  # variables of the scripts around

found() { recall && ! over "$id" && seek "$id"; } 2>/dev/null

# Until the supervisor of the command lets go of its folder.
await() {
	(
		exec >/dev/null 2>&1
		if [ "$flock" ]; then exec flock -s "c-$id" true; fi
		while runs "$id"; do sleep 1; done
	) &
	ends=$!
	(
		exec >/dev/null 2>&1
		trap 'kill -KILL "$!"; exit' TERM
		sleep "$wait" &
		wait "$!"
		kill -KILL "$ends"
	) &
	late=$!
	wait "$ends"
	kill "$late"
} 2>/dev/null

# A command that is not known here is told to be so, or it might still come.
withdraw() {
	state=unknown reason=not_known
	[ "$age" ] && remembers || return
	marked "$id"
	if [ "$pids" ]; then
		reason=gone
		return
	fi
	case $uid:${HOME:-/nonexistent} in
	0:* | *:/nonexistent) ;;
	*)
		if ! (cd -- "$HOME") 2>/dev/null; then
			reason=unreadable why="$HOME: not there"
			return
		fi
		;;
	esac
	note "$id" "0 $boot failed not_started -"
	if keep_somewhere; then
		state=failed reason=not_started
	else
		reason=unreadable
	fi
}

# Whether whoever was sent then would be known: up since, and neither swept up nor driven out of a fence. Who asks within ten
# minutes is the one whose commands came and went meanwhile, and has their ends.
remembers() {
	[ "$up" -gt "$((age + 1))" ] && [ "$age" -lt 518400 ] || return
	[ "$age" -lt 600 ] || [ "$((up - age))" -gt "$dropped" ]
}

if found; then
	judge "$id"
	if [ "$state" = running ] && [ "$wait" -gt 0 ]; then
		await
		found && judge "$id"
	fi
fi
if found && [ "$reason" != not_begun ]; then
	answer
else
	# under the lock, or who is about to start it would be judged too early
	while
		hold_all
		again='' status=- ms=0 cuts='0 0' pids='' place=-
		if found; then
			settle "$id"
		elif ! recall; then
			state=unknown reason=unreadable
		else
			remembered "$id" || withdraw
		fi
		[ "$again" ]
	do let_go; done
	let_go
	told=$why
	if found; then
		answer
	else
		why=$told
		heading
	fi
fi
