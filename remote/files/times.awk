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
function time_of(line,   at, rest) {
	if (match(line, /[0-9][0-9][0-9][0-9][-\/][0-9][0-9][-\/][0-9][0-9][T _][0-9][0-9]:[0-9][0-9]:[0-9][0-9]/) && RSTART < 200) {
		at = substr(line, RSTART, RLENGTH)
		rest = substr(line, RSTART + RLENGTH, 20)
		return epoch(substr(at, 1, 4) + 0, substr(at, 6, 2) + 0, substr(at, 9, 2) + 0, substr(at, 12, 2) + 0, substr(at, 15, 2) + 0, substr(at, 18, 2) + 0) - offset(rest)
	}
	if (match(line, /[0-9][0-9]\/[A-Z][a-z][a-z]\/[0-9][0-9][0-9][0-9]:[0-9][0-9]:[0-9][0-9]:[0-9][0-9]/) && RSTART < 400) {
		at = substr(line, RSTART, RLENGTH)
		rest = substr(line, RSTART + RLENGTH, 20)
		return epoch(substr(at, 8, 4) + 0, month(substr(at, 4, 3)), substr(at, 1, 2) + 0, substr(at, 13, 2) + 0, substr(at, 16, 2) + 0, substr(at, 19, 2) + 0) - offset(rest)
	}
	if (match(line, /(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 0-9][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9]/) && RSTART < 20) {
		at = substr(line, RSTART, RLENGTH)
		rest = epoch(year, month(substr(at, 1, 3)), substr(at, 5, 2) + 0, substr(at, 8, 2) + 0, substr(at, 11, 2) + 0, substr(at, 14, 2) + 0) - zone
		# syslog writes no year: what would be tomorrow was last year
		if (rest > now + 86400) rest = epoch(year - 1, month(substr(at, 1, 3)), substr(at, 5, 2) + 0, substr(at, 8, 2) + 0, substr(at, 11, 2) + 0, substr(at, 14, 2) + 0) - zone
		return rest
	}
	if (line ~ /^[12][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][. \t]/) return substr(line, 1, 10) + 0
	return ""
}
{
	at = time_of($0)
	if (at != "") inside = (since == "" || at >= since + 0) && (until == "" || at < until + 0)
	if (inside) print
}
