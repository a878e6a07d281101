# Prints `size` bytes of a file, from `size` times `index` on. Given: path, size, index.
[ -e "$path" ] || exit 21
dd if="$path" bs="$size" skip="$index" count=1
