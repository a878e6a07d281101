"""Parsers that repairs brought: accounts, modes, shares, busy processes, caches, in what hosts may say beside the captures."""

import pytest

from diagnostics.library.linux import accounts, busy, caches, modes, shares
from diagnostics.probe import Facts, NothingThere, ParseError, SourceFailed
from tests.diagnostics.library.answers import asked

NOW_S = 1_795_990_400
"""29 November 2026, 22:13:20 UTC."""
TALLY = "clerk:\nWhen                Type  Source                                           Valid\n"


def known(limits: str, tallies: str, shadow: str = "root:0:locked:20000::\n") -> Facts:
    return accounts.parse_accounts(asked(limits=limits, tallies=tallies, accounts=shadow, clock=f"{NOW_S}\n"))


def wrong(*times: str, valid: str = "V") -> str:
    return TALLY + "".join(f"2026-11-29 {time} RHOST 10.77.0.9                     {valid}\n" for time in times)


@pytest.mark.parametrize(
    ("limits", "times", "valid", "locked"),
    [
        ("", ("22:10:00", "22:10:01", "22:10:02"), "V", True),
        ("", ("22:10:00", "22:10:01"), "V", False),
        ("", ("22:10:00", "22:10:01", "22:10:02"), "I", False),
        ("", ("20:10:00", "20:10:01", "20:10:02"), "V", False),  # ten minutes are over
        ("unlock_time = 0\n", ("20:10:00", "20:10:01", "20:10:02"), "V", True),
        ("unlock_time=never\n", ("20:10:00", "20:10:01", "20:10:02"), "V", True),
        ("deny = 5\n", ("22:10:00", "22:10:01", "22:10:02"), "V", False),
        ("auth required pam_faillock.so authfail deny=2 unlock_time=1200\n", ("22:00:00", "22:00:01"), "V", True),
        ("deny = 2\nauth required pam_faillock.so authfail deny=9\n", ("22:10:00", "22:10:01"), "V", False),
    ],
)
def test_an_account_is_locked_as_pam_faillock_has_it(limits: str, times: tuple[str, ...], valid: str, locked: bool) -> None:
    (tally,) = known(limits, wrong(*times, valid=valid))["tallies"]
    assert tally["locked"] is locked


@pytest.mark.parametrize(("limits", "locked"), [("", False), ("even_deny_root\n", True)])
def test_root_is_locked_only_where_that_is_wanted(limits: str, locked: bool) -> None:
    three = wrong("22:10:00", "22:10:01", "22:10:02").replace("clerk:", "root:")
    assert known(limits, three)["tallies"][0]["locked"] is locked


@pytest.mark.parametrize(
    ("shadow", "expired", "password"),
    [
        ("a:1000:set:20000:99999:", None, None),
        ("a:1000:set:20000:99999:20700", 20700, None),
        ("a:1000:set:20000:99999:20787", None, None),  # that day has not come
        ("a:1000:set:20000:90:", None, 20091),
        ("a:1000:set:0:90:", None, 0),  # it has to be changed at the next login
        ("a:1000:locked:20000:90:", None, None),
        ("a:1000:set:20000:-1:-1", None, None),
        ("a:1000:none:::", None, None),
    ],
)
def test_what_has_ended_by_the_days_of_shadow(shadow: str, expired: int | None, password: int | None) -> None:
    (account,) = known("", "", shadow + "\n")["accounts"]
    told = (account.get("expired_s"), account.get("password_expired_s"))
    assert told == tuple(None if day is None else day * 86_400 for day in (expired, password))


@pytest.mark.parametrize("text", ["2026-11-29 22:10:00 TTY tty1 V\n", TALLY + "what\n"])
def test_a_tally_of_nobody_is_not_understood(text: str) -> None:
    with pytest.raises(ParseError):
        known("", text)


def test_without_root_accounts_are_not_guessed() -> None:
    denied = (2, "")
    with pytest.raises(SourceFailed):
        accounts.parse_accounts(asked(limits="", tallies="", accounts=denied, clock=f"{NOW_S}\n"))


@pytest.mark.parametrize(
    ("line", "is_wrong"),
    [
        ("1777 root root /tmp", False),
        ("777 root root /tmp", True),
        ("755 root root /", False),
        ("775 root root /", True),
        ("000 root root /etc/shadow", False),  # Red Hat's: root needs no bit
        ("640 root shadow /etc/shadow", False),
        ("644 root shadow /etc/shadow", True),
        ("640 root ssh_keys /etc/ssh/ssh_host_rsa_key", False),  # Red Hat's group
        ("600 admin root /etc/ssh/ssh_host_rsa_key", True),
        ("4755 root root /usr/bin/sudo", False),
        ("4111 root root /usr/bin/sudo", False),
        ("755 root root /usr/bin/sudo", True),
        ("700 clerk clerk /home/clerk/.ssh", False),
        ("700 u1007 users /home/moved/.ssh", False),  # a home need not be named like its owner
        ("700 root root /home/clerk/.ssh", True),
        ("664 clerk clerk /home/clerk/.ssh/authorized_keys", True),
    ],
)
def test_modes_that_programs_refuse_or_others_can_misuse(line: str, is_wrong: bool) -> None:
    (found,) = modes.parse_modes(asked(modes=line + "\n"))["files"]
    assert found["wrong"] is is_wrong


MOUNTINFO = "28 1 254:1 / / rw shared:1 - ext4 /dev/vda1 -\n44 28 0:44 / /srv/a\\040b rw - cifs //files/share -\n"


@pytest.mark.parametrize(
    ("status", "answers", "hangs"), [(0, True, False), (1, False, False), (143, False, True), (137, False, True)]
)
def test_a_share_answers_hangs_or_says_an_error(status: int, answers: bool, hangs: bool) -> None:
    facts = shares.parse_shares(asked(mountinfo=MOUNTINFO, shares=f"{status} /srv/a\\040b\n", fstab=None))
    assert [(one["mount"], one["answers"], one["hangs"]) for one in facts["shares"]] == [("/srv/a b", answers, hangs)]


def test_only_what_has_to_be_mounted_is_missed() -> None:
    fstab = (
        "# a remark\n/dev/vda1 / ext4 defaults 0 1\n/dev/vdb1 none swap sw 0 0\nUUID=1 /srv/late xfs defaults 0 2\n"
        "files:/x /srv/x nfs noauto 0 0\nfiles:/y /srv/y nfs nofail,ro 0 0\nfiles:/z /srv/z nfs x-systemd.automount 0 0\n"
        "/dev/cdrom /srv/a\\040b iso9660 ro\n"
    )
    facts = shares.parse_shares(asked(mountinfo=MOUNTINFO, shares="", fstab=fstab))
    assert [one["mount"] for one in facts["missing"]] == ["/srv/late"]


def test_a_host_without_shares_and_fstab_is_left_out() -> None:
    with pytest.raises(NothingThere):
        shares.parse_shares(asked(mountinfo=MOUNTINFO, shares="", fstab=None))


def test_busy_processes_are_in_order_and_a_name_may_hold_anything() -> None:
    told = "window 3.00\nbusy 7 30 3000 0 a) b (c\nbusy 8 600 90000 -5 java\n"
    facts = busy.parse_busy(asked(busy=told, whose="8 1000 /system.slice/shop.service\n"))
    assert [(one["pid"], one["percent"], one["unit"], one.get("uid")) for one in facts["processes"]] == [
        (8, 200.0, "shop.service", 1000),
        (7, 10.0, "", None),
    ]
    assert facts["processes"][1]["name"] == "a) b (c"


@pytest.mark.parametrize("told", ["", "busy 7 30 3000 0 a\n", "window 0\n", "window 3.00\nbusy x\n"])
def test_a_look_without_its_window_is_not_understood(told: str) -> None:
    with pytest.raises(ParseError):
        busy.parse_busy(asked(busy=told, whose=None))


@pytest.mark.parametrize(
    ("libraries", "times", "stale"),
    [
        ("libraries 0\n", "", []),
        ("libraries 12 a.so.1 b.so.2\n", "", ["libraries"]),
        (None, "fonts 1796000000 1795000000\nicons - 1795000000\n", ["icons"]),
        ("libraries 0\n", "applications 1795000000 1796000000\n", ["applications"]),
    ],
)
def test_caches_that_lack_something(libraries: str | None, times: str, stale: list[str]) -> None:
    facts = caches.parse_caches(asked(libraries=libraries, times=times))
    assert [one["cache"] for one in facts["caches"] if one["stale"]] == stale


def test_a_host_without_caches_is_left_out() -> None:
    with pytest.raises(NothingThere):
        caches.parse_caches(asked(libraries=None, times=""))
