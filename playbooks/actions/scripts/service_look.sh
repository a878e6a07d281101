# What manages services here, and how $name is: "manager loaded active enabled"; yes, no, or - where nothing says.
# shellcheck shell=sh disable=SC2154 # variables that the bundle sets
if [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; then
  manager=systemd loaded='' active='' unit=''
  told=$(systemctl show -p LoadState -p ActiveState -p UnitFileState -- "$name") || exit 1
  while IFS='=' read -r key value; do
    case $key in LoadState) loaded=$value ;; ActiveState) active=$value ;; UnitFileState) unit=$value ;; esac
  done <<END
$told
END
  case $loaded in loaded) loaded=yes ;; masked) loaded=masked ;; not-found) loaded=no ;; *) loaded=broken ;; esac
  case $active in active | reloading | activating) active=yes ;; *) active=no ;; esac
  case $unit in enabled | enabled-runtime | alias) enabled=yes ;; disabled) enabled=no ;; *) enabled=- ;; esac
elif command -v rc-service >/dev/null 2>&1; then
  manager=openrc loaded=no active=no enabled=no
  if rc-service --exists "$name"; then
    loaded=yes
    if rc-service "$name" status >/dev/null 2>&1; then active=yes; fi
    if [ -e "/etc/runlevels/default/$name" ]; then enabled=yes; fi
  fi
else
  manager=sysvinit loaded=no active=no enabled=no
  if [ -x "/etc/init.d/$name" ]; then
    loaded=yes
    "/etc/init.d/$name" status >/dev/null 2>&1 </dev/null
    case $? in 0) active=yes ;; 4) active=- ;; esac
    for one in /etc/rc[2-5].d/S[0-9][0-9]"$name"; do if [ -e "$one" ]; then enabled=yes; fi; done
  fi
fi
printf 'service %s %s %s %s\n' "$manager" "$loaded" "$active" "$enabled"
