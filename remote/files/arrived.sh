# Prints how many bytes have arrived of the part. Given: part.
[ -f "$part" ] && [ ! -L "$part" ] || exit 27
wc -c <"$part"
