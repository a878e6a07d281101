# Prints the lines of a log whose time is from `since` on and before `until` (seconds of the epoch, empty: no bound). Given
# too: zone, what the host's time is ahead of UTC now, in seconds; year and now, by the host's clock.
function epoch(y, mo, d, h, mi, s) {
	if (mo < 3) { y--; mo += 12 }
	d += 365 * y + int(y / 4) - int(y / 100) + int(y / 400) + int((153 * (mo - 3) + 2) / 5) - 719469
	return ((d * 24 + h) * 60 + mi) * 60 + s
}
function month(name) { return (index("JanFebMarAprMayJunJulAugSepOctNovDec", name) + 2) / 3 }
# What the zone written at the beginning of `rest` is ahead of UTC; the host's where there is none.
function offset(rest) {
	sub(/^[.,][0-9]+/, "", rest)
	if (rest ~ /^ ?(Z|UTC|GMT)/) return 0
	if (rest ~ /^ ?[-+][0-9][0-9]:?[0-9][0-9]/) {
		sub(/^ /, "", rest)
		sub(/:/, "", rest)
		return (substr(rest, 1, 1) == "-" ? -60 : 60) * (substr(rest, 2, 2) * 60 + substr(rest, 4, 2))
	}
	return zone
}
# What `Nov 15 10:00:00` means: the year stands before the time, or behind it as date(1), dmesg -T, git and Apache write it.
function named(at, y, rest,   hour, behind, when) {
	hour = substr(at, 7, 2) + 0
	sub(/^[.,][0-9]+/, "", rest)
	if (!y && match(rest, /^( [AP]M)?( [A-Z]+)? [12][0-9][0-9][0-9]/) && substr(rest, RLENGTH + 1, 1) !~ /[0-9A-Za-z.:_-]/) {
		y = substr(rest, RLENGTH - 3, 4) + 0
		if (rest ~ /^ PM/ && hour < 12) hour += 12
		if (rest ~ /^ AM/ && hour == 12) hour = 0
		behind = substr(rest, RLENGTH + 1)
		rest = substr(rest, 1, RLENGTH - 5)
		sub(/^ [AP]M/, "", rest)
		if (behind ~ /^ [-+]/) rest = behind
	}
	when = epoch(y ? y : year, month(substr(at, 1, 3)), substr(at, 5, 2) + 0, hour, substr(at, 10, 2) + 0, substr(at, 13, 2) + 0)
	if (y) return when - offset(rest)
	# syslog writes no year: what would be tomorrow was last year
	if (when - zone > now + 86400) when = epoch(year - 1, month(substr(at, 1, 3)), substr(at, 5, 2) + 0, hour, substr(at, 10, 2) + 0, substr(at, 13, 2) + 0)
	return when - zone
}
# Digits of a date and of the time at the end of what was matched.
function numbered(at, y, mo, d, rest,   clock) {
	clock = substr(at, length(at) - 7)
	return epoch(substr(at, y, 4) + 0, mo, substr(at, d, 2) + 0, substr(clock, 1, 2) + 0, substr(clock, 4, 2) + 0, substr(clock, 7, 2) + 0) - offset(rest)
}
# Whether a line has a time of a style before the one that was found: the first is the line's own, others are of what it tells.
function before(line, style, last) {
	if (!match(line, style) || RSTART >= last || (found && RSTART >= found)) return 0
	found = RSTART
	size = RLENGTH
	return 1
}
function time_of(line,   kind, at, rest) {
	line = substr(line, 1, 440)
	# seconds, or thousandths
	if (line ~ /^[12][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]([0-9][0-9][0-9])?[. \t]/) return substr(line, 1, 10) + 0
	found = 0
	if (before(line, "[0-9][0-9][0-9][0-9][-/][0-9][0-9][-/][0-9][0-9][T _][0-9][0-9]:[0-9][0-9]:[0-9][0-9]", 200)) kind = 1
	if (found != 1) {
		if (before(line, "[0-9][0-9]/[A-Z][a-z][a-z]/[0-9][0-9][0-9][0-9]:[0-9][0-9]:[0-9][0-9]:[0-9][0-9]", 400)) kind = 2
		# day first is what dots mean, wherever there are any
		if (before(line, "[0-9][0-9][.][0-9][0-9][.][12][0-9][0-9][0-9],?[T _][0-9][0-9]:[0-9][0-9]:[0-9][0-9]", 200)) kind = 3
		if (before(line, "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 0-9][0-9] ([12][0-9][0-9][0-9] )?[0-9][0-9]:[0-9][0-9]:[0-9][0-9]", 20)) kind = 4
	}
	at = substr(line, found, size)
	rest = substr(line, found + size, 40)
	if (kind == 1) return numbered(at, 1, substr(at, 6, 2) + 0, 9, rest)
	if (kind == 2) return numbered(at, 8, month(substr(at, 4, 3)), 1, rest)
	if (kind == 3) return numbered(at, 7, substr(at, 4, 2) + 0, 1, rest)
	if (kind == 4) return named(substr(at, 1, 6) substr(at, size - 7), size > 15 ? substr(at, 8, 4) + 0 : 0, rest)
	return ""
}
{
	at = time_of($0)
	if (at != "") timed = 1
	if (at != "") inside = (since == "" || at >= since + 0) && (until == "" || at < until + 0)
	if (inside) print
}
END { if (NR && !timed) print "no line has a time" | "cat >&2" }
