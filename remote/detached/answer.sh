#!/bin/sh
# What is told of a command. Part of start.sh and collect.sh, behind places.sh. Given: id; out_from, err_from, how much of its
# output has arrived before; piece, how many bytes of stdout may come at once.
# shellcheck disable=SC2154,SC2034  # variables of the scripts around
# shellcheck disable=SC2317  # functions are called by the scripts around

place=-
most_err=65536 tail_err=32768

# The command whose folder is here: how it stands, then its stdout on stdout and its stderr on stderr.
answer() {
	case $state:$out_from$err_from:${cuts%% *} in
	done:00:0)
		if [ "$most" -le "$piece" ]; then
			heading
			[ ! -s "c-$id/out" ] || cat "c-$id/out"
			[ ! -s "c-$id/err" ] || cat "c-$id/err" >&2
			return
		fi
		;;
	esac
	size out "$most" "$tail" && out_size=$size
	size err "$most_err" "$tail_err" && err_size=$size
	case $state:$out_from in
	running:* | *:0) sum='' ;;
	*) sum=$(kept out "$most" "$tail" | digest) && sum=${sum%% *} || sum='' ;;
	esac
	heading "$out_size $err_size"
	[ "$out_size" -le "$out_from" ] || kept out "$most" "$tail" | tail -c "+$((out_from + 1))" | head -c "$piece"
	[ "$err_size" -le "$err_from" ] || kept err "$most_err" "$tail_err" | tail -c "+$((err_from + 1))" >&2
}

heading() {
	printf 'state %s\nreason %s\nstatus %s\nms %s\ncuts %s\nboot %s\nplace %s\n' \
		"$state" "$reason" "$status" "$ms" "$cuts" "$boot" "$place"
	[ -z "$pids" ] || printf 'pids %s\n' "${pids# }"
	[ -z "$why" ] || printf 'why %s\n' "$why"
	[ $# -eq 0 ] || printf 'sizes %s\nsum %s\n' "$1" "$sum"
	echo
}

# What is kept of a stream: all of it or, where it was too much, its head and its tail. As long as it may become too much
# nothing is told that the tail could take the place of.
kept() {
	if [ -e "c-$id/$1.tail" ]; then
		head -c "$(($2 - $3))" "c-$id/$1"
		cat "c-$id/$1.tail"
	elif [ "$state" = running ]; then
		head -c "$(($2 - $3))" "c-$id/$1"
	else
		head -c "$2" "c-$id/$1"
	fi
} 2>/dev/null

# size: of what is kept of a stream.
size() {
	size=0 room=$2
	[ "$state" != running ] || room=$(($2 - $3))
	if [ -e "c-$id/$1.tail" ]; then
		size=$room
	elif [ -s "c-$id/$1" ]; then
		size=$(($(wc -c <"c-$id/$1")))
		[ "$size" -le "$room" ] || size=$room
	fi
} 2>/dev/null
