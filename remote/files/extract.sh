# Prints lines of a file, at most the last `most` bytes of them and one more where there were more. Given: path, most, and,
# empty where not asked for: last, pattern (extended, of grep), since_is and until_is (utc, local, ago) with since and until in
# seconds.
[ -e "$path" ] || exit 21
[ ! -d "$path" ] || exit 23
[ -f "$path" ] || exit 24
[ -r "$path" ] || exit 25

moment() {
	case $1 in
	ago) printf %s "$((now - $2))" ;;
	local) printf %s "$(($2 - zone))" ;;
	utc) printf %s "$2" ;;
	esac
}

# Lines whose time is in the span; those without one go with the line before them.
span() {
	awk -v since="$since" -v until="$until" -v zone="$zone" -v year="$(date +%Y)" -v now="$now" "$times"
}

match() {
	if [ "$pattern" ]; then
		# shellcheck disable=SC2086 # a word or none
		grep $text -E -e "$pattern" || [ "$?" -eq 1 ]
	else
		cat
	fi
}

ends() { if [ "$last" ]; then tail -n "$last"; else cat; fi; }

if [ "$pattern" ]; then
	text=-a
	printf '' | grep -a -E -e x 2>/dev/null
	[ "$?" -le 1 ] || text=''
	# some end with 1 and say only here that they do not understand it
	said=$(echo x | grep -E -e "$pattern" 2>&1 >/dev/null)
	[ -z "$said" ] || {
		printf '%s\n' "$said" >&2
		exit 29
	}
fi
if [ "$since_is$until_is" ]; then
	command -v awk >/dev/null || exit 30
	now=$(date +%s) zone=$(date +%z)
	hours=${zone#?} sign=${zone%????}
	minutes=${hours#??} hours=${hours%??}
	zone=$((${sign}1 * (1$hours * 60 + 1$minutes - 6100) * 60))
	since=$(moment "$since_is" "$since") until=$(moment "$until_is" "$until")
	[ -z "$since" ] || [ -z "$until" ] || [ "$since" -lt "$until" ] || exit 32
fi
# what ends in here ends only itself
if [ "$since$until" ]; then
	span <"$path" | match | ends
elif [ "$pattern" ]; then
	match <"$path" | ends
elif [ "$last" ]; then
	tail -n "$last" <"$path"
else
	tail -c "$((most + 1))" <"$path"
fi | tail -c "$((most + 1))"
