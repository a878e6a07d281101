# Compares, hands over, and puts the part in the place of its target, on disk. Given: path, part, wanted (empty: compared
# elsewhere), owner, mode.
[ -f "$part" ] && [ ! -L "$part" ] || exit 27
# what is compared is what is handed over: whose folder it is may put a link to another file there meanwhile
exec 4<"$part" || exit
this=/proc/self/fd/4
[ -f "$this" ] || this=$part
if [ "$wanted" ]; then
	made=$(digest <&4) || exit
	[ "${made%% *}" = "$wanted" ] || exit 28
fi
[ ! -d "$path" ] || exit 23
[ -z "$owner" ] || chown "$owner" "$this" || exit
chmod "$mode" "$this" || exit
exec 4<&-
sync "$part" 2>/dev/null || sync || exit
mv -f "$part" "$path" || exit
sync "${path%/*}/" 2>/dev/null || sync || exit
printf '%s\n' "${made#* }"
