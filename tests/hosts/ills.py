"""What makes a real host ill, for repairs to put right: shell scripts that run inside it as root."""

LATER_PACKAGES = "DEBIAN_FRONTEND=noninteractive dpkg -i /srv/debs/*.deb >/dev/null 2>&1"
PACKAGES = r"""
deb() { # NAME VERSION DEPENDS, then lines `SCRIPT: TEXT` on stdin: a package in /srv/repo
  tree=$(mktemp -d) && chmod 755 "$tree" && mkdir "$tree/DEBIAN" && mkdir -p /srv/repo
  printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: lab <l@nord.example>\nDescription: of the lab\n' "$1" "$2" \
    >"$tree/DEBIAN/control"
  [ -z "$3" ] || printf 'Depends: %s\n' "$3" >>"$tree/DEBIAN/control"
  while IFS= read -r line; do
    printf '#!/bin/sh\n%s\n' "${line#*: }" >"$tree/DEBIAN/${line%%:*}" && chmod 755 "$tree/DEBIAN/${line%%:*}"
  done
  dpkg-deb -b "$tree" "/srv/repo/$1_$2.deb" >/dev/null && rm -r "$tree"
}
indexed() { # the packages of /srv/repo are what apt can install
  cd /srv/repo || return
  for file in *.deb; do
    dpkg-deb -f "$file"
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$file" "$(stat -c %s "$file")" "$(sha256sum "$file" | cut -d' ' -f1)"
  done >Packages
  echo 'deb [trusted=yes] file:/srv/repo ./' >/etc/apt/sources.list
  apt-get -qq update
}
"""
INTERRUPTED = (
    PACKAGES
    + r"""
# dpkg is killed by a script of the package, once: configuring is interrupted, and notes of it stay
touch /srv/kill
printf 'postinst: [ ! -e /srv/kill ] || { rm /srv/kill; kill -9 $PPID; sleep 5; }\n' | deb shop-api 2.1 ''
dpkg -i /srv/repo/shop-api_2.1.deb
"""
)
HALF_INSTALLED = (
    PACKAGES
    + r"""
# one that is killed in the middle of being unpacked, and one that lacks what it needs
touch /srv/kill
printf 'preinst: [ ! -e /srv/kill ] || { rm /srv/kill; kill -9 $PPID; sleep 5; }\n' | deb shop-till 1.0 ''
deb libshop1 1.4 '' </dev/null
deb shop-web 1.0 libshop1 </dev/null
indexed
dpkg -i /srv/repo/shop-till_1.0.deb; dpkg -i /srv/repo/shop-web_1.0.deb
"""
)
FAILED_JOB = r"""
printf '[Service]\nType=oneshot\nExecStart=/bin/sh -c "echo the data >/srv/target/copy"\n' >/etc/systemd/system/backup.service
printf '[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n' >/etc/systemd/system/backup.timer
systemctl daemon-reload; systemctl start backup.service
"""
STOPPED_FILESYSTEM = r"""
[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
truncate -s 16M /srv/disk && mkfs.ext4 -q -F /srv/disk && mkdir -p /srv/data
for number in $(seq 0 15); do [ -e "/dev/loop$number" ] || mknod "/dev/loop$number" b 7 "$number"; done
device=$(losetup -f --show /srv/disk) && mount -o errors=remount-ro "$device" /srv/data && echo kept >/srv/data/file && sync
echo "${device#/dev/}"
"""
HUNG_RESOLVER = r"""
printf 'no-resolv\naddress=/erp.nord.example/10.77.0.1\n' >/etc/dnsmasq.d/lab.conf
rm -f /etc/resolv.conf; echo 'nameserver 127.0.0.1' >/etc/resolv.conf
systemctl restart dnsmasq && getent hosts erp.nord.example >/dev/null && pkill -STOP -x dnsmasq
"""
LOST_ROUTE = r"""
# a way out of its own, whose provider gives addresses; then what it gave is lost
ip netns add provider && ip link add uplink0 type veth peer name uplink1 netns provider
ip -n provider addr add 10.78.0.1/24 dev uplink1 && ip -n provider link set uplink1 up && ip -n provider link set lo up
ip netns exec provider dnsmasq --no-resolv --port=0 --conf-file=/dev/null --interface=uplink1 \
  --dhcp-range=10.78.0.50,10.78.0.60,1h \
  --dhcp-option=3,10.78.0.1 --dhcp-leasefile=/run/provider.leases --pid-file=/run/provider.pid
printf '[Match]\nName=uplink0\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n' >/etc/systemd/network/uplink0.network
ip link set uplink0 up && systemctl start systemd-networkd && networkctl reload
for _ in $(seq 100); do ip route show default | grep -q uplink0 && break; sleep 0.1; done
ip route del default dev uplink0
"""
EXPIRING_CERTIFICATE = r"""
# what Debian's postfix names unless somebody says otherwise
mkdir -p /etc/postfix && echo 'smtpd_tls_cert_file=/etc/ssl/certs/ssl-cert-snakeoil.pem' >/etc/postfix/main.cf
openssl req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=mend1 -keyout /etc/ssl/private/ssl-cert-snakeoil.key \
  -out /etc/ssl/certs/ssl-cert-snakeoil.pem 2>/dev/null
"""
STOPPED_CLOCK = r"""
# a server of time behind a cable of its own; neither it nor the host may touch the clock of the machine (chronyd -x)
ip netns add timekeeper && ip link add time0 type veth peer name time1 netns timekeeper
ip addr add 10.79.0.2/24 dev time0 && ip link set time0 up
ip -n timekeeper addr add 10.79.0.1/24 dev time1 && ip -n timekeeper link set time1 up
printf 'local stratum 3\nallow\ncmdport 0\nbindcmdaddress /\npidfile /run/timekeeper.pid\n' >/etc/timekeeper.conf
ip netns exec timekeeper chronyd -x -f /etc/timekeeper.conf
printf 'DAEMON_OPTS="-x"\n' >/etc/default/chrony
echo 'server 10.79.0.1 iburst minpoll 0 maxpoll 2' \
  >/etc/chrony/sources.d/lab.sources
sed -i '/^pool/d;/^rtcsync/d' /etc/chrony/chrony.conf
mkdir -p /etc/systemd/system/chrony.service.d && printf '[Unit]\nConditionCapability=\n' \
  >/etc/systemd/system/chrony.service.d/lab.conf
systemctl daemon-reload; systemctl -q disable --now chrony 2>/dev/null
"""
LOCKED_ACCOUNT = r"""
# three wrong passwords lock an account (pam_faillock, as its manual page has it)
printf '%s\n' 'auth required pam_faillock.so preauth nodelay' 'auth [success=1 default=ignore] pam_unix.so nodelay' \
  'auth [default=die] pam_faillock.so authfail nodelay' 'auth required pam_permit.so' 'account required pam_unix.so' \
  'session required pam_unix.so' >/etc/pam.d/su
useradd -m -s /bin/bash clerk; echo clerk:Right-one | chpasswd
for _ in 1 2 3; do echo wrong | setpriv --reuid ops --regid ops --clear-groups su clerk -c true; done
"""
LATE_MOUNTS = r"""
mkdir -p /srv/share /srv/late
printf 'tmpfs /srv/share tmpfs size=1m 0 0\ntmpfs /srv/late tmpfs size=1m 0 0\n' >>/etc/fstab
"""
SPINNER = r"""
cp /usr/bin/yes /usr/local/bin/spinner
printf '[Service]\nType=exec\nExecStart=/usr/local/bin/spinner\nStandardOutput=null\n' >/etc/systemd/system/spinner.service
systemctl daemon-reload; systemctl start spinner; pgrep -x spinner
"""
UNKNOWN_LIBRARY = r"""
mkdir -p /opt/shop/lib && echo /opt/shop/lib >/etc/ld.so.conf.d/shop.conf
LC_ALL=C sed 's/libpopt\.so\.0/libshop.so.0/g' /usr/lib/x86_64-linux-gnu/libpopt.so.0 >/opt/shop/lib/libshop.so.0
"""
DELETED_LOG = r"""
# a service that goes on with a log which somebody has removed
dd if=/dev/zero of=/var/log/shop.log bs=1M count=3 2>/dev/null
printf '[Service]\nExecStart=/usr/bin/tail -f /var/log/shop.log\nStandardOutput=null\n' >/etc/systemd/system/reader.service
systemctl daemon-reload; systemctl start reader
for _ in $(seq 100); do [ -z "$(find /proc/[0-9]*/fd -lname /var/log/shop.log 2>/dev/null)" ] || break; sleep 0.05; done
rm /var/log/shop.log; touch /var/log/shop.log
"""
OFFERED = (
    PACKAGES
    + r"""
# what apt can install: a program with a library that it needs, and a script that starts when it is installed
deb libshop2 1.0 '' </dev/null
printf 'postinst: echo "$1" >/srv/configured\n' | deb shop-tools 1.0 libshop2
indexed
"""
)
NEWER = (
    PACKAGES
    + r"""
deb shop-tools 1.1 libshop2 </dev/null
indexed
"""
)
OLD_KERNELS = (
    PACKAGES
    + r"""
# three kernels of which none is the one that runs, in a /boot of their own that is nearly full
mount -t tmpfs -o size=9m boot /boot
for version in 5.10.0-1-lab 5.10.0-9-lab 6.1.0-2-lab; do
  printf 'preinst: dd if=/dev/zero of=/boot/vmlinuz-%s bs=1k count=2900 2>/dev/null\npostrm: rm -f /boot/vmlinuz-%s\n' \
    "$version" "$version" | deb "linux-image-$version" 1.0 ''
done
dpkg -i /srv/repo/linux-image-*.deb
"""
)
BROKEN_SETTINGS = r"""
echo 'no-such-setting=yes' >/etc/dnsmasq.d/broken.conf
systemctl restart dnsmasq
"""
DYING_SERVICE = r"""
cat >/etc/systemd/system/dying.service <<END
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/bin/sh -c "echo last words; sleep 0.3; exit 3"
Restart=always
RestartSec=100ms
END
systemctl daemon-reload; systemctl start dying
for _ in $(seq 50); do [ "$(systemctl show -p NRestarts --value dying)" -lt 4 ] || break; sleep 0.2; done
"""
REFUSING_SSHD = r"""
# a key that its group and a user can read, and settings with which sshd would not start again
ssh-keygen -q -t rsa -b 2048 -N '' -f /etc/ssh/ssh_host_rsa_key && chown ops:root /etc/ssh/ssh_host_rsa_key
chmod 0644 /etc/ssh/ssh_host_rsa_key && echo 'NoSuchOption yes' >/etc/ssh/sshd_config.d/refused.conf
"""
LIMITED_SPINNER = r"""
# a service with a limit of its own, and a systemctl that loses what systemd answers to another one
cp /usr/bin/yes /usr/local/bin/limited
printf '[Service]\nType=exec\nExecStart=/usr/local/bin/limited\nStandardOutput=null\nNice=3\nCPUQuota=30%%\n' \
  >/etc/systemd/system/limited.service
cat >/usr/local/bin/systemctl <<'END'
#!/bin/sh
/usr/bin/systemctl "$@" || exit
case $* in *CPUQuota=20%) echo 'Failed to set unit properties on limited.service: Connection timed out' >&2; exit 1 ;; esac
END
chmod 755 /usr/local/bin/systemctl
systemctl daemon-reload; systemctl start limited; pgrep -x limited
"""
FAILING_FAILLOCK = r"""
useradd -m -s /bin/sh -e 2026-01-31 seasonal; echo seasonal:Right-one | chpasswd
mkdir -p /run/faillock && : >/run/faillock/seasonal
cat >/usr/local/sbin/faillock <<'END'
#!/bin/sh
case $* in *--reset*) echo 'faillock: the tallies cannot be written' >&2; exit 1 ;; esac
echo 'seasonal:'; echo '2026-12-01 07:00:00 SVC   su                                                   V'
END
chmod 755 /usr/local/sbin/faillock
"""
SILENT_DHCP = r"""
# a way out of its own, whose provider no longer answers, beside a route that somebody added by hand; time is short
ip netns add silent && ip link add uplink2 type veth peer name uplink3 netns silent
ip -n silent addr add 10.76.0.1/24 dev uplink3 && ip -n silent link set uplink3 up && ip -n silent link set lo up
ip netns exec silent dnsmasq --no-resolv --port=0 --conf-file=/dev/null --interface=uplink3 \
  --dhcp-range=10.76.0.50,10.76.0.60,1h --dhcp-option=3 --dhcp-leasefile=/run/silent.leases --pid-file=/run/silent.pid
printf '[Match]\nName=uplink2\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n' >/etc/systemd/network/uplink2.network
ip link set uplink2 up && systemctl start systemd-networkd && networkctl reload
for _ in $(seq 100); do ip -4 addr show dev uplink2 | grep -q 'inet 10' && break; sleep 0.1; done
ip route add 10.75.0.0/24 via 10.76.0.1 dev uplink2
kill "$(cat /run/silent.pid)"
printf '#!/bin/sh\n[ "$1" != 1 ] || set -- 0.1\nexec /usr/bin/sleep "$@"\n' >/usr/local/bin/sleep
chmod 755 /usr/local/bin/sleep
"""
