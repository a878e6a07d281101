#!/bin/sh
# Starts a command detached, unless its id is known, its token is an old one, or another runs; waits for its end as long as it
# is let, and tells how it stands. Behind ../bundle/processes.sh, places.sh, answer.sh and ../files/digest.sh.
# Given: id, token, job (the text of its supervisor: supervise.sh), caps (bytes of stdout that are kept, and how many of these are
# the last ones), forget (ids), out_from, err_from, piece.
# shellcheck disable=SC2154,SC2034  # variables of the scripts around
# shellcheck disable=SC2086  # ids are split on purpose

# Says one word on how far it came; what the supervisor holds of this stream ends with it.
begin() {
	exec 2>/dev/null
	for tool in setsid mkfifo dd head; do
		command -v "$tool" >/dev/null || {
			echo "no_tool $tool"
			return
		}
	done
	while
		if ! hold_all || ! recall; then
			echo "no_place $why"
			return
		fi
		if seek "$id" || line_of "$id"; then
			echo known
			return
		fi
		if [ "$token" -lt "$seen" ]; then
			echo "fenced $seen"
			return
		fi
		if busy; then
			echo "busy $busy"
			return
		fi
		gone='' again=''
		for one in $forget; do retire "$one"; done
		sweep
		! claim
	do
		if [ -z "$again" ]; then
			echo "no_place $why"
			return
		fi
		let_go
	done
	echo "launched $n$gone"
	launch
}

# busy: a command that runs, or that was left alone and has left something behind. Who has not begun by now never will.
busy() {
	others=''
	for n in 1 2 3 4; do
		enter "$n" || continue
		for busy in c-*; do
			[ -d "$busy" ] || continue
			busy=${busy#c-} others=1
			if [ -e "c-$busy/rc" ] || over "$busy"; then continue; fi
			settle "$busy"
			case $state:$reason:$pids in running:* | *:killed:?*) return 0 ;; esac
		done
	done
	return 1
}

# What nobody has asked for in a week goes.
sweep() {
	[ "$others" ] || return
	for n in 1 2 3 4; do
		enter "$n" || continue
		# shellcheck disable=SC2044 # names without blanks
		for one in $(find . ! -name . -prune -name 'c-*' -mtime +7); do
			case " $gone " in *" $n/${one#./c-} "*) ;; *) retire "${one#./c-}" ;; esac
		done
	done
}

# Makes the record of the command in the first place that takes it, and the fence before it is told: then it is claimed, in
# place n. Fails where none takes it, or where a place was made that has to be held first (again).
claim() {
	why=''
	[ "$token" -le "$seen" ] || seen=$token
	note "$id" "$token $boot claimed - -"
	for n in 1 2 3; do
		case $held in
		*"$n"*)
			enter "$n" && mkdir "c-$id" && if
				exec 8<"c-$id" && { [ -z "$flock" ] || flock -n 8; } &&
					printf '%s\n' "$token $boot $caps" >"c-$id/claim" && printf '%511s\n' '' >"c-$id/rc.new" && keep
			then
				return
			else
				exec 8<&-
				rm -rf "c-$id"
			fi
			why="$why, $place: cannot be written to"
			;;
		*) ! made "$n" || return 1 ;;
		esac
	done
	why=${why#, }
	return 1
}

# Out of our session and, on systemd, out of that of the login, whose end would be the command's. Marked, so that what ends
# ours when nobody listens any more (../bundle/reaper.sh) leaves it alone once it runs.
launch() {
	at=$n
	let_go
	unset LONGARM_Q
	export LONGARM_D="$id"
	enter "$at" && cd "c-$id" || return
	printf '%s\n' "$job" | {
		exec 3<&0
		if [ "$uid" = 0 ] && [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; then
			systemd-run --quiet --scope --unit="longarm-$id" /bin/sh -c 'setsid /bin/sh -c "$0" <&3 3<&- & exit 0' "$text" && exit
		fi
		setsid /bin/sh -c "$text" <&3 3<&- &
	}
}
# a text that was cut on its way has no end, and runs nothing
text='eval "$(cat)"'

{ begin; let_go; } | {
	read -r word n rest
	state=failed reason=$word status=- ms=0 cuts='0 0' pids=''
	case $word in
	launched)
		echo launched
		# shellcheck disable=SC2086 # numbers and ids
		remove $rest
		read -r x
		eval "place=\$place$n"
		cd "$place" && settle "$id" && answer
		;;
	fenced) state=fenced reason=- why=$n && heading ;;
	busy | no_place | no_tool) why="$n $rest" && heading ;;
	*)
		if recall && ! over "$id" && seek "$id"; then
			settle "$id"
			answer
		elif remembered "$id"; then
			heading
		fi
		# else its start was killed, and nothing says that it will not come another time
		;;
	esac
}
