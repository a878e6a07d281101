# Prints the digest of the first `size` bytes of a file. Given: path, size.
[ -e "$path" ] || exit 21
head -c "$size" "$path" | digest
