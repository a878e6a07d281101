# Removes the part and its folder. Given: part.
in_folder
rm -f "$part"
cd -P .. && rmdir "$part"
