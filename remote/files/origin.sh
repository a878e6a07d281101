# Tells of a file where it is, how large, how old and whose. Given: path.
[ -f "$path" ] && [ -r "$path" ] || exit 0
printf 'path=%s\n' "$(readlink -f "$path" || printf %s "$path")"
stat -L -c 'size=%s
modified=%Y
owner=%U:%G
mode=%a' "$path" || stat -L -f 'size=%z
modified=%m
owner=%Su:%Sg
mode=%Lp' "$path"
size=$(stat -L -c %s "$path" || stat -L -f %z "$path")
if [ "$size" ] && [ "$size" -le 67108864 ] && made=$(digest <"$path"); then
	printf 'sha256=%s\n' "${made%% *}"
fi
date '+clock=%Y-%m-%d %H:%M:%S %z'
