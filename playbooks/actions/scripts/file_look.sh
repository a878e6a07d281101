# What is at $path: a line "kind mode:owner:group:bytes:uid:gid", a line on the content, the content where it is short.
# $limit: bytes up to which it is told.
# shellcheck shell=sh disable=SC2154 # variables that the bundle sets
owned() { stat -c '%a:%U:%G:%s:%u:%g' -- "$path"; }
if [ -L "$path" ]; then
  about=$(owned) && printf 'link %s\ntarget\n' "$about" && readlink -- "$path"
elif [ -d "$path" ]; then
  about=$(owned) || exit 1
  filled=empty
  for one in "$path"/* "$path"/.[!.]* "$path"/..?*; do
    if [ -e "$one" ] || [ -L "$one" ]; then filled=filled; break; fi
  done
  printf 'directory %s\n%s\n' "$about" "$filled"
elif [ -f "$path" ]; then
  about=$(owned) || exit 1
  bytes=${about%:*:*} bytes=${bytes##*:}
  if [ "$bytes" -le "$limit" ]; then
    printf 'file %s\ncontent\n' "$about" && cat -- "$path"
  else
    sum=$(sha256sum <"$path") && printf 'file %s\ndigest %s\n' "$about" "${sum%% *}"
  fi
elif [ -e "$path" ]; then
  about=$(owned) && printf 'other %s\n\n' "$about"
elif above=$(ls -d -- "$path" 2>&1); then
  exit 1
else
  case $above in
    *[Pp]ermission*) printf '%s\n' "$above" >&2; exit 1 ;;
  esac
  printf 'absent -:-:-:0\n\n'
fi
