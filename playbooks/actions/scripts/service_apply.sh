# Does $does (words: enable disable start stop restart reload) to the service $name by $manager.
# shellcheck shell=sh disable=SC2154 # variables that the bundle sets
for one in $does; do
  case $manager-$one in
    systemd-*) systemctl --no-ask-password "$one" -- "$name" || exit 1 ;;
    openrc-enable) rc-update add "$name" default || exit 1 ;;
    openrc-disable) rc-update del "$name" default || exit 1 ;;
    openrc-*) rc-service "$name" "$one" || exit 1 ;;
    sysvinit-enable | sysvinit-disable)
      if command -v update-rc.d >/dev/null 2>&1; then update-rc.d "$name" "$one" || exit 1
      elif command -v chkconfig >/dev/null 2>&1; then
        case $one in enable) chkconfig "$name" on ;; *) chkconfig "$name" off ;; esac || exit 1
      else
        printf 'neither update-rc.d nor chkconfig is here\n' >&2
        exit 1
      fi
      ;;
    sysvinit-*)
      if command -v service >/dev/null 2>&1; then service "$name" "$one" || exit 1
      else "/etc/init.d/$name" "$one" || exit 1; fi
      ;;
  esac
done
