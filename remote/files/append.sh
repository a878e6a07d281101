# Adds what comes on stdin to the part, if exactly `offset` bytes have arrived of it. Given: part, offset.
[ -f "$part" ] && [ ! -L "$part" ] || exit 27
[ "$(($(wc -c <"$part")))" -eq "$offset" ] || exit 27
cat >>"$part"
