# Compares, hands over, and puts the part in the place of its target, on disk. Given: path, part, wanted (empty: compared
# elsewhere), owner, mode.
if [ "$wanted" ]; then
	made=$(digest <"$part") || exit
	[ "${made%% *}" = "$wanted" ] || exit 28
fi
[ ! -d "$path" ] || exit 23
[ -z "$owner" ] || chown "$owner" "$part" || exit
chmod "$mode" "$part" || exit
sync "$part" 2>/dev/null || sync || exit
mv -f "$part" "$path" || exit
sync "${path%/*}/" 2>/dev/null || sync || exit
printf '%s\n' "${made#* }"
