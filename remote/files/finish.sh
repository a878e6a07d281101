# Compares, hands over, and puts the part in the place of its target, on disk. Given: path, part, wanted (empty: compared
# elsewhere), owner, mode.
in_part
name=${path##*/}
if [ "$wanted" ]; then
	made=$(digest <"$part") || exit
	[ "${made%% *}" = "$wanted" ] || exit 28
fi
[ ! -d "../$name" ] || exit 23
[ -z "$owner" ] || chown "$owner" "$part" || exit
chmod "$mode" "$part" || exit
sync "$part" 2>/dev/null || sync || exit
# into the folder above, which is the one that we began in: a link that somebody puts at the target is replaced, not followed
mv "$part" "./$name" && mv -f "./$name" ../ || exit
cd -P .. && rmdir "$part"
sync . 2>/dev/null || sync || exit
printf '%s\n' "${made#* }"
