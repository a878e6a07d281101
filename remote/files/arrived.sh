# Prints how many bytes have arrived of the part. Given: part.
in_part
wc -c <"$part"
