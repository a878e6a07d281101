# Removes the part. Given: part.
rm -f "$part"
