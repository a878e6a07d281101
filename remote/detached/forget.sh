#!/bin/sh
# Removes what is kept of commands, once the fence says how they ended; prints the ids of which nothing is left. Behind
# ../bundle/processes.sh and places.sh. Given: forget (ids).
# shellcheck disable=SC2154,SC2034  # variables of the scripts around
# shellcheck disable=SC2086  # ids are split on purpose

while
	hold_all && recall || exit
	again='' gone=''
	for one in $forget; do retire "$one"; done
	[ -z "$gone" ] || keep_somewhere || gone=''
	[ "$again" ]
do let_go; done
remove $gone
let_go
for one in $forget; do seek "$one" || printf '%s\n' "$one"; done
