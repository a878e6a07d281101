# Which boot this is, and whether the host says that it needs another: "boot ID", "needed yes|no".
# shellcheck shell=sh
boot=$(cat /proc/sys/kernel/random/boot_id) || exit 1
needed=no
if [ -e /run/reboot-required ] || [ -e /var/run/reboot-required ]; then
  needed=yes
elif command -v needs-restarting >/dev/null 2>&1; then
  needs-restarting -r >/dev/null 2>&1
  case $? in 1) needed=yes ;; esac
elif command -v zypper >/dev/null 2>&1; then
  zypper --non-interactive needs-rebooting >/dev/null 2>&1
  case $? in 102) needed=yes ;; esac
fi
printf 'boot %s\nneeded %s\n' "$boot" "$needed"
