# Adds what comes on stdin to the part, if exactly `offset` bytes have arrived of it. Given: part, offset.
in_part
[ "$(($(wc -c <"$part")))" -eq "$offset" ] || exit 27
cat >>"$part"
