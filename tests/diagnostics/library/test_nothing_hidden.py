"""What a cap or a filter of a question's script leaves out is told, or makes the check unknown: it never is clear."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from diagnostics.finding import CheckResult
from diagnostics.parsing import read_sources
from remote.answer import Answer
from tests.diagnostics.library.answers import NOW, asked, said, with_awk
from tests.diagnostics.library.test_scripts import PROBES, failed_login, run


def certificate(name: str, days: int) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder().subject_name(own).issuer_name(own).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(NOW - timedelta(days=90)).not_valid_after(NOW + timedelta(days=days))
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def of_nginx(root: Path, *directives: str) -> str:
    """Return the question after certificates, on a host whose /etc is below `root` and whose nginx is told this."""
    (root / "nginx/conf.d").mkdir(parents=True)
    (root / "nginx/conf.d/shop.conf").write_text("".join(f"  ssl_certificate {one}\n" for one in directives))
    (root / "nginx/good.pem").write_text(certificate("good.example", 300))
    return PROBES["sec.certs"].question.script.replace("/etc/", f"{root}/")


@pytest.mark.parametrize("name", ["shop.example.cert", "shop fullchain", "shop*"])
def test_a_certificate_that_a_server_is_configured_with_is_read_whatever_it_is_called(
    name: str, shell: list[str], tmp_path: Path, judged: Callable[..., CheckResult]
) -> None:
    (tmp_path / name).write_text(certificate("shop.example", 3))
    script = of_nginx(tmp_path / "etc", f'"{tmp_path}/{name}" ;', f'"{tmp_path}/{name}"; # again')
    assert said(judged("cert-expiry", sec_certs=run(shell, script))) == ("finding", {f"{tmp_path}/{name}": "critical"}, [])


def test_a_certificate_that_a_server_is_configured_with_is_read_however_large_its_file_is(
    shell: list[str], tmp_path: Path, judged: Callable[..., CheckResult]
) -> None:
    (tmp_path / "large.pem").write_text(certificate("shop.example", 3) + certificate("chain.example", 900) * 150)
    script = of_nginx(tmp_path / "etc", f"{tmp_path}/large.pem;")
    answer = run(shell, script)
    assert said(judged("cert-expiry", sec_certs=answer)) == ("finding", {f"{tmp_path}/large.pem": "critical"}, [])
    assert answer.stdout.count(b"BEGIN CERTIFICATE") == 2  # of that one the first, and the good one


def test_a_file_that_a_server_is_configured_with_and_that_holds_no_certificate_is_not_clear(
    shell: list[str], tmp_path: Path, judged: Callable[..., CheckResult]
) -> None:
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nS0VZ\n-----END PRIVATE KEY-----\n")
    (tmp_path / "link.pem").symlink_to("nowhere")
    script = of_nginx(tmp_path / "etc", f"{tmp_path}/link.pem;", f"{tmp_path}/key.pem;", "/etc/tls/$ssl_server_name.pem;")
    unseen = [f"configured: no certificate could be read from {tmp_path}/{name}.pem" for name in ("link", "key")]
    assert said(judged("cert-expiry", sec_certs=run(shell, script))) == ("unknown", {}, unseen)
    (tmp_path / "etc/nginx/soon.pem").write_text(certificate("soon.example", 10))
    soon = {f"{tmp_path}/etc/nginx/soon.pem": "warning"}
    assert said(judged("cert-expiry", sec_certs=run(shell, script))) == ("finding", soon, unseen)


@pytest.mark.parametrize("name", ["localhost.crt", "not/there/localhost.crt", "etc/nginx/good.pem/localhost.crt", "shop*"])
def test_a_certificate_that_a_server_is_configured_with_and_that_is_not_there_does_not_expire(
    name: str, shell: list[str], tmp_path: Path, judged: Callable[..., CheckResult]
) -> None:
    """The configuration of mod_ssl that Red Hat packages names one that is made only when httpd first starts."""
    script = of_nginx(tmp_path / "etc", f"{tmp_path}/{name};", f"{tmp_path}/etc/nginx/good.pem;")
    assert said(judged("cert-expiry", sec_certs=run(shell, script))) == ("clear", {}, [])
    (tmp_path / "etc/nginx/good.pem").unlink()
    assert said(judged("cert-expiry", sec_certs=run(shell, script))) == ("not_applicable", {}, [])


@pytest.mark.parametrize("name", ["shop.pem", "not-there.pem", "not/there.pem"])
def test_a_certificate_that_a_server_is_configured_with_and_that_may_not_be_read_is_not_clear(
    name: str, open_folder: Path, nobody: list[str], shell: list[str], judged: Callable[..., CheckResult]
) -> None:
    (open_folder / "tls").mkdir()
    (open_folder / "tls/shop.pem").write_text(certificate("shop.example", 3))
    script = of_nginx(open_folder / "etc", f"{open_folder}/tls/{name};")
    verdict = "finding" if name == "shop.pem" else "clear"
    assert judged("cert-expiry", sec_certs=run([*nobody, *shell], script)).verdict.value == verdict
    (open_folder / "tls").chmod(0)
    answer = run([*nobody, *shell], script)
    (open_folder / "tls").chmod(0o755)
    assert said(judged("cert-expiry", sec_certs=answer)) == (
        "unknown",
        {},
        [f"configured: no certificate could be read from {open_folder}/tls/{name}"],
    )


def test_servers_whose_certificates_are_well_are_clear(
    shell: list[str], tmp_path: Path, judged: Callable[..., CheckResult]
) -> None:
    script = of_nginx(tmp_path / "etc", f"{tmp_path}/etc/nginx/good.pem;", "$chosen;", "data:$chosen;", "relative.pem;")
    assert said(judged("cert-expiry", sec_certs=run(shell, script))) == ("clear", {}, [])


def test_no_script_needs_a_place_for_a_temporary_file() -> None:
    """For a here-document bash makes one where it does not fit into a pipe, older ones always: a host may be read-only."""
    assert [probe for probe, one in PROBES.items() if any("<<" in question.script for question in one.questions)] == []


def modes_below(root: Path) -> str:
    """Return the question after modes, on a host whose /root, /home and /etc/ssh are below `root`."""
    script = PROBES["sec.modes"].question.script
    for top in ("root", "home", "etc/ssh"):
        (root / top).mkdir(parents=True)
        script = script.replace(f" /{top}", f" {root}/{top}")
    return script


def run_below(root: Path, shell: list[str], script: str) -> Answer:
    """Return what a script says that is run on a host whose files are below `root`, as that host would."""
    answer = run(shell, script)
    return replace(answer, stdout=answer.stdout.replace(str(root).encode(), b""))


@pytest.mark.parametrize("closed", ["root", "home", "home/anna", "home/anna/.ssh", "etc/ssh"])
def test_modes_in_a_folder_that_may_not_be_looked_into_are_not_clear(
    closed: str, open_folder: Path, nobody: list[str], shell: list[str], judged: Callable[..., CheckResult]
) -> None:
    script = modes_below(open_folder)
    for folder in ("root/.ssh", "home/anna/.ssh"):
        (open_folder / folder).mkdir(parents=True)

    def unseen(script: str) -> list[str]:
        answer = run_below(open_folder, [*nobody, *shell], script)
        return [why.detail for why in judged("perm-keys", sec_modes=answer).unseen]

    assert unseen(script) == []
    (open_folder / closed).chmod(0)
    hidden = unseen(script)
    of_root = unseen("id() { echo 0; }\n" + script)  # whom NFS and FUSE refuse
    (open_folder / closed).chmod(0o755)
    assert hidden == of_root == [f"hidden: may not be looked into: /{closed}"]


def test_a_link_that_leads_out_of_a_home_is_not_gone_after_and_is_told(
    shell: list[str], tmp_path: Path, judged: Callable[..., CheckResult]
) -> None:
    """Who owns a home may have it lead to keys of root: their mode and owner are not those of this home's."""
    script = modes_below(tmp_path)
    for home in ("root", "home/anna", "home/mallory", "home/zoe"):
        (tmp_path / home).mkdir(exist_ok=True)
    (tmp_path / "root/.ssh").mkdir(mode=0o755)
    (tmp_path / "root/.ssh/authorized_keys").touch(mode=0o600)
    (tmp_path / "home/mallory/.ssh").symlink_to(tmp_path / "root/.ssh")
    (tmp_path / "home/zoe/.ssh").mkdir(mode=0o700)
    (tmp_path / "home/zoe/.ssh/authorized_keys").symlink_to(tmp_path / "root/.ssh/authorized_keys")
    answer = run_below(tmp_path, shell, script)
    seen = [line.text.split()[-1] for line in read_sources("sec.modes", answer)["modes"].lines if "/.ssh" in line.text]
    assert seen == ["/root/.ssh", "/root/.ssh/authorized_keys", "/home/zoe/.ssh"]
    left_out = "/home/mallory/.ssh /home/zoe/.ssh/authorized_keys"
    unseen = [f"links: is a link, and what it leads to was left alone: {left_out}"]
    assert [why.detail for why in judged("perm-keys", sec_modes=answer).unseen] == unseen


@pytest.mark.parametrize("link", [".ssh", ".ssh/authorized_keys"])
@pytest.mark.parametrize("home", ["root", "home/anna", "home/far"])
def test_a_link_of_root_or_within_a_home_is_judged_by_what_it_leads_to(
    home: str, link: str, shell: list[str], tmp_path: Path, judged: Callable[..., CheckResult]
) -> None:
    """Proxmox keeps root's keys in /etc/pve, and those who keep their settings in one folder link to it."""
    script = modes_below(tmp_path)
    (tmp_path / "disk").mkdir()
    (tmp_path / "home/far").symlink_to(tmp_path / "disk")
    kept = tmp_path / ("etc/pve" if home == "root" else f"{home}/settings")
    (tmp_path / home).mkdir(exist_ok=True)
    (kept / ".ssh").mkdir(parents=True, mode=0o700)
    (kept / ".ssh/authorized_keys").touch(mode=0o600)
    (tmp_path / home / link).parent.mkdir(exist_ok=True, mode=0o700)
    (tmp_path / home / link).symlink_to(kept / link)
    lines = "s|^\\([0-7]*\\) [^ ]* [^ ]* \\(.*/{place}\\)|\\1 {user} {user} \\2|"
    owned = "; ".join(lines.format(place=place, user=user) for place, user in (("home/", "anna"), ("root", "root")))
    script = f"stat() {{ command stat \"$@\" | sed '{owned}'; }}\n{script}"

    def told() -> tuple[str, dict[str, str], list[str]]:
        return said(judged("perm-keys", sec_modes=run_below(tmp_path, shell, script)))

    assert told() == ("clear", {}, [])
    (kept / ".ssh/authorized_keys").chmod(0o666)
    verdict, found, unseen = told()
    assert (verdict, [*found], unseen) == ("finding", [f"/{home}/.ssh/authorized_keys"], [])
    (tmp_path / home / link).unlink()
    (tmp_path / home / link).symlink_to("nowhere")
    assert told() == ("unknown", {}, [f"links: is a link, and what it leads to was left alone: /{home}/{link}"])


@pytest.mark.parametrize("to", ["home/mallory/up/../../../root/.ssh", "home/mallory-too/.ssh", "home/mallory/out"])
def test_a_link_that_leads_out_of_a_home_by_a_way_about_is_not_gone_after(
    to: str, shell: list[str], tmp_path: Path, judged: Callable[..., CheckResult]
) -> None:
    script = modes_below(tmp_path)
    for folder in ("root/.ssh", "home/mallory/up", "home/mallory-too/.ssh"):
        (tmp_path / folder).mkdir(parents=True, mode=0o700)
        (tmp_path / folder / "authorized_keys").touch(mode=0o600)
    (tmp_path / "home/mallory/out").symlink_to("../../root/.ssh")
    (tmp_path / "home/mallory/.ssh").symlink_to(tmp_path / to)
    answer = run_below(tmp_path, shell, script)
    assert b"/mallory/.ssh/authorized_keys" not in answer.stdout
    unseen = ["links: is a link, and what it leads to was left alone: /home/mallory/.ssh"]
    assert [why.detail for why in judged("perm-keys", sec_modes=answer).unseen] == unseen


def test_modes_in_many_homes_are_all_seen(shell: list[str], tmp_path: Path) -> None:
    script = modes_below(tmp_path)
    for home in range(230):
        (tmp_path / f"home/{home}/.ssh").mkdir(parents=True, mode=0o755)
    answer = run(shell, script)
    seen = read_sources("sec.modes", answer)["modes"]
    assert seen.status == 0
    assert sum(line.text.endswith("/.ssh") for line in seen.lines) == 230


def test_of_many_homes_that_may_not_be_looked_into_no_more_are_sent_than_are_shown(
    open_folder: Path, nobody: list[str], shell: list[str], judged: Callable[..., CheckResult]
) -> None:
    script = modes_below(open_folder)
    for home in range(30):
        (open_folder / f"home/{home:02}").mkdir(mode=0)
    answer = run_below(open_folder, [*nobody, *shell], script)
    assert len(read_sources("sec.modes", answer)["hidden"].lines) == 11
    shown = " ".join(f"/home/{home:02}" for home in range(10))
    unseen = [f"hidden: may not be looked into: {shown} …"]
    assert said(judged("perm-keys", sec_modes=answer)) == ("unknown", {}, unseen)


def test_a_wrong_mode_is_told_beside_what_may_not_be_looked_into(judged: Callable[..., CheckResult]) -> None:
    answer = asked(modes="777 root root /tmp\n", hidden="/root\n/home/anna\n")
    unseen = ["hidden: may not be looked into: /root /home/anna"]
    assert said(judged("perm-keys", sec_modes=answer)) == ("finding", {"/tmp": "warning"}, unseen)


NOON_S = int(NOW.timestamp())
REPEATED = bytes([203, 0, 113, 7])
OF_OTHERS = [(bytes([10, 0, at // 256, at % 256]), 1800) for at in range(2100)]


def record_of_logins(folder: Path, **files: list[tuple[bytes, int]]) -> str:
    """Return the question after failed logins, at noon, on a host with these records: from where each came, and its age."""
    for name, logins in files.items():
        kept = folder / {"latest": "btmp", "rotated": "btmp.1", "dated": "btmp-20261125", "packed": "btmp.1.gz"}[name]
        kept.write_bytes(b"".join(failed_login(b"x", b"", NOON_S - age_s, address) for address, age_s in logins))
        written_s = NOON_S - min((age_s for _, age_s in logins), default=0)
        os.utime(kept, (written_s, written_s))
    clock = f"stat() {{ command stat \"$@\" | sed '1s/^[0-9]*/{NOON_S}/'; }}\n"
    return clock + PROBES["sec.auth"].question.script.replace("/var/log/btmp", f"{folder}/btmp")


PACKED = "record: /btmp.1.gz is packed"
NOT_A_DAY = "record: the last 2,000 failures do not reach back a day"
GUESSED = {"203.0.113.7": "warning"}


@pytest.mark.skipif(not shutil.which("utmpdump"), reason="server: not installed: utmpdump")
@pytest.mark.parametrize(
    ("files", "ended"),
    [
        ({"latest": [], "rotated": [(REPEATED, 1800)] * 500}, ("finding", GUESSED, [])),
        ({"latest": [], "dated": [(REPEATED, 1800)] * 500}, ("finding", GUESSED, [])),
        ({"latest": [(REPEATED, 60)] * 60, "rotated": [(REPEATED, 1800)] * 60}, ("finding", GUESSED, [])),
        (
            {"latest": [(REPEATED, 60)] * 60, "packed": [(REPEATED, 1800)]},
            ("unknown", {}, [PACKED]),
        ),
        ({"latest": [(REPEATED, 60)] * 60, "packed": [(REPEATED, 90000)] * 500}, ("clear", {}, [])),
        ({"latest": [(REPEATED, 60)] * 60, "rotated": [(REPEATED, 90000)] * 500}, ("clear", {}, [])),
        ({"latest": [(REPEATED, 90000)] * 500}, ("clear", {}, [])),
        ({"latest": OF_OTHERS}, ("unknown", {}, [NOT_A_DAY])),
        ({"latest": OF_OTHERS + [(REPEATED, 60)] * 200}, ("finding", GUESSED, [])),
        ({"latest": [(one, 90000) for one, _ in OF_OTHERS] + [(REPEATED, 60)] * 60}, ("clear", {}, [])),
        (
            {"latest": OF_OTHERS[:1200], "rotated": OF_OTHERS[1200:]},
            ("unknown", {}, [NOT_A_DAY]),
        ),
        ({"latest": OF_OTHERS[:1900]}, ("clear", {}, [])),
    ],
)
def test_failed_logins_that_were_rotated_away_or_are_too_many_are_not_clear(
    files: dict[str, list[tuple[bytes, int]]],
    ended: tuple[str, dict[str, str], list[str]],
    shell: list[str],
    tmp_path: Path,
    judged: Callable[..., CheckResult],
) -> None:
    answer = run(shell, with_awk(shell, record_of_logins(tmp_path, **files)))
    answer = replace(answer, stdout=answer.stdout.replace(str(tmp_path).encode(), b""))
    assert said(judged("auth-brute", sec_auth=answer)) == ended


@pytest.mark.parametrize(("lines", "verdict"), [(1999, "clear"), (2000, "unknown")])
def test_failed_logins_in_the_journal_that_are_too_many_are_not_clear(
    lines: int, verdict: str, shell: list[str], tmp_path: Path, judged: Callable[..., CheckResult]
) -> None:
    said = "".join(f"Failed password for x from 10.0.{at // 256}.{at % 256} port 1 ssh2\n" for at in range(lines))
    (tmp_path / "said").write_text(said)
    (tmp_path / "machine").mkdir()
    (tmp_path / "machine" / "system.journal").touch()
    script = PROBES["sec.auth"].question.script.replace("/var/log/btmp", "/nowhere").replace("/var/log/journal", str(tmp_path))
    answer = run(shell, f"journalctl() {{ cat '{tmp_path}/said'; }}\n{script}")
    assert judged("auth-brute", sec_auth=answer).verdict.value == verdict
