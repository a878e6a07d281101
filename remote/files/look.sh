# Prints the size of a file. Given: path.
[ -e "$path" ] || exit 21
[ ! -d "$path" ] || exit 23
[ -f "$path" ] || exit 24
[ -r "$path" ] || exit 25
stat -L -c %s "$path" 2>/dev/null || stat -L -f %z "$path" 2>/dev/null || wc -c <"$path"
