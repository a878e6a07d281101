"""What happens often, or to many, hides nothing else: limits, the kernel's log, restarts, descriptors, large logs."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from diagnostics.finding import CheckResult
from diagnostics.parsing import ASKING
from remote.answer import Answer
from tests.diagnostics.library.answers import asked, said, with_awk
from tests.diagnostics.library.test_scripts import PROBES, run


@pytest.mark.parametrize("top", ["", "/pids"])
def test_limits_on_tasks_of_templates_users_and_containers_are_looked_at(
    top: str, shell: list[str], tmp_path: Path, judged: Callable[..., CheckResult]
) -> None:
    for group, tasks, most in (
        ("system.slice/ok.service", 5, "100"),
        ("system.slice/free.service", 5000, "max"),
        ("system.slice/system-postgresql.slice/postgresql@15-main.service", 92, "100"),
        ("system.slice/system-postgresql.slice", 99, "100"),
        ("system.slice/docker-1f2e.scope", 100, "100"),
        ("user.slice/user-1000.slice", 100, "100"),
        ("user.slice/user-1000.slice/session-3.scope", 93, "100"),
    ):
        folder = Path(f"{tmp_path}{top}/{group}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pids.max").write_text(f"{most}\n")
        (folder / "pids.current").write_text(f"{tasks}\n")
    answer = run(shell, PROBES["proc.stat"].question.script.replace("/sys/fs/cgroup", str(tmp_path)))
    assert said(judged("proc-pids", proc_stat=answer))[:2] == (
        "finding",
        {
            "docker-1f2e.scope": "critical",
            "postgresql@15-main.service": "warning",
            "session-3.scope": "warning",
            "system-postgresql.slice": "critical",
            "user-1000.slice": "critical",
        },
    )


BOOTED = "Linux version 6.1.0"
IO = "I/O error, dev {1}, sector {0} op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2"
MEDIUM = f"critical medium error{IO.removeprefix('I/O error')}"
CRASH = "{1}[{0}]: segfault at 0 ip 000055 sp 00007ff error 4 in {1}[55d000+1000]"
TRAP = "traps: {1}[{0}] general protection fault ip:7f sp:7f error:0 in {1}[55d000+1000]"
HUNG = "INFO: task {1}:{0} blocked for more than 120 seconds."
SOFT = "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [{1}:{0}]"
HARD = "NMI watchdog: Watchdog detected hard LOCKUP on cpu {1}"
HARDWARE = "mce: [Hardware Error]: Machine check events logged {0}"
GRAVE = "{{1}}[Hardware Error]: Uncorrected, software restartable error. {0}"
CHOSEN = (
    "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,task_memcg=/system.slice/{1},task=python3,pid={0},uid=33"
)
KILLED = (
    "Memory cgroup out of memory: Killed process {0} (python3) total-vm:9kB, anon-rss:7kB, file-rss:4kB, shmem-rss:0kB, "
    "UID:33 pgtables:1kB oom_score_adj:0"
)
OLD_CHOSEN = "Task in /system.slice/{1} killed as a result of limit of /system.slice/{1}"


@pytest.fixture(params=["ring", "journal"])
def kernel(request: pytest.FixtureRequest, shell: list[str], tmp_path: Path) -> Callable[[list[str]], Answer]:
    """Return what is answered where these rows stand in the kernel's log, kept by the ring or by the journal."""

    def answer(rows: list[str]) -> Answer:
        log = tmp_path / "log"
        (tmp_path / "uptime").write_text("13000.00 1.00\n")
        if request.param == "ring":
            log.write_text("".join(f"[{at / 10:12.6f}] {row}\n" for at, row in enumerate([BOOTED, *rows])))
            tools = f"dmesg() {{ cat '{log}'; }}\n"
        else:
            (tmp_path / "machine").mkdir(exist_ok=True)
            (tmp_path / "machine/system.journal").touch()
            entries = ({"__MONOTONIC_TIMESTAMP": str(at * 100_000), "MESSAGE": row} for at, row in enumerate([BOOTED, *rows]))
            log.write_text("".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries))
            tools = f"dmesg() {{ echo '[  900.250000] late'; }}\njournalctl() {{ cat '{log}'; }}\n"
        script = PROBES["log.faults"].question.script.replace("/proc/uptime", str(tmp_path / "uptime"))
        return run(shell, tools + with_awk(shell, script.replace("/var/log/journal", str(tmp_path))))

    return answer


MANY = [
    ("io-errors", [(IO, "sda"), (MEDIUM, "sda"), (IO, "sdb")], {"sda": "critical", "sdb": "warning"}),
    ("app-segv", [(CRASH, "loop"), (CRASH, "shop"), (TRAP, "mail")], {"loop": "warning", "shop": "warning", "mail": "warning"}),
    ("krn-hung", [(HUNG, "jbd2/vda1-8"), (SOFT, "dd")], {"jbd2/vda1-8": "warning", "dd": "warning"}),
    ("krn-hung", [(HUNG, "jbd2/vda1-8"), (HARD, "3")], {"jbd2/vda1-8": "warning", "CPU 3": "critical"}),
    ("hw-mce", [(HARDWARE, ""), (GRAVE, "")], {"": "critical"}),
]


@pytest.mark.parametrize(("check", "told", "findings"), MANY)
def test_many_lines_of_one_hide_no_other_in_the_kernels_log(
    check: str,
    told: list[tuple[str, str]],
    findings: dict[str, str],
    kernel: Callable[[list[str]], Answer],
    judged: Callable[..., CheckResult],
) -> None:
    """Each of these many times, and before that the others a few times."""
    for often, _ in told:
        rows = [text.format(pid, about) for text, about in told for pid in range(3)]
        rows += [text.format(pid, about) for text, about in told if text == often for pid in range(100)]
        result = judged(check, kernel_messages=kernel(rows), kernel_taint=asked(tainted="0\n"))
        assert said(result) == ("finding", findings, [])


@pytest.mark.parametrize("chosen", [CHOSEN, OLD_CHOSEN])
def test_many_who_were_killed_for_memory_hide_no_other(
    chosen: str, kernel: Callable[[list[str]], Answer], judged: Callable[..., CheckResult]
) -> None:
    rows = [text.format(pid, "once.service") for pid in (7,) for text in (chosen, KILLED)]
    rows += [text.format(pid, "often.service") for pid in range(100, 600) for text in (chosen, KILLED)]
    answer = kernel(rows)
    assert said(judged("mem-oom", kernel_messages=answer)) == (
        "finding",
        {"once.service": "warning", "often.service": "warning"},
        [],
    )
    assert answer.stdout.count(b"Killed process") == 41


@pytest.mark.parametrize(("check", "text"), [("io-errors", IO), ("app-segv", CRASH), ("krn-hung", HUNG), ("mem-oom", KILLED)])
def test_what_was_left_out_of_the_kernels_log_is_told(
    check: str, text: str, kernel: Callable[[list[str]], Answer], judged: Callable[..., CheckResult]
) -> None:
    text = text.replace("(python3)", "({1})")
    answer = kernel([text.format(number, f"other{number}") for number in range(45)])
    result = judged(check, kernel_messages=answer)
    told = "5 lines were left out: more than 40 have some of this kind"
    assert [why.detail.partition(": ")[2] for why in result.unseen] == [told]
    assert len(result.findings) == (0 if check == "app-segv" else 40)


@pytest.mark.parametrize("name", ["oom-kill:", "Killed process", "Task in x"])
def test_no_name_of_a_program_makes_its_crashes_something_else(
    name: str, kernel: Callable[[list[str]], Answer], judged: Callable[..., CheckResult]
) -> None:
    """They were gathered until the next kill, which they then came with."""
    rows = [CRASH.format(pid, name[:15]) for pid in range(2000)]
    answer = kernel([*rows, CHOSEN.format(7, "once.service"), KILLED.format(7)])
    assert len(answer.stdout) < 30_000
    result = judged("app-segv", kernel_messages=answer, kernel_taint=asked(tainted="0\n"))
    assert [one.severity.value for one in result.findings] == ["warning"]
    assert said(judged("mem-oom", kernel_messages=answer))[1] == {"once.service": "warning"}


UNIT = (
    "Id=%s\nNames=%s\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=exit-code\nExecMainCode=1\n"
    "ExecMainStatus=3\nNRestarts=40\nRequiresMountsFor=\nStateChangeTimestampMonotonic=1\n\n"
)
JOURNAL = """
journalctl() {{
  case $* in *' -n 60 '*) tail -n 60 '{folder}/log' ;; *' -n 4000 '*) tail -n 4000 '{folder}/log' ;; *) echo failed ;; esac
}}
systemctl() {{ while [ "$1" != -- ]; do shift; done; shift; for unit; do printf '{unit}' "$unit" "$unit"; done; }}
"""


def restarted(folder: Path, **every_s: tuple[float, int]) -> str:
    """Return the question after restarts, on a host that is up for 9,000 s: for each service the period, and how often."""
    moments = [
        (8990 - number * period_s, unit.replace("_", "-").replace("\\", "\\\\"))
        for unit, (period_s, times) in every_s.items()
        for number in range(times)
    ]
    record = '{{"__CURSOR":"s=1","UNIT":"{1}.service","N_RESTARTS":"1","__MONOTONIC_TIMESTAMP":"{0}"}}\n'
    (folder / "log").write_text("".join(record.format(int(at_s * 1e6), unit) for at_s, unit in sorted(moments)))
    (folder / "uptime").write_text("9000.00 1.00\n")
    (folder / "machine").mkdir()
    (folder / "machine/system.journal").touch()
    script = PROBES["svc.restarts"].question.script.replace("/proc/uptime", f"{folder}/uptime")
    script = script.replace("/run/systemd/system", str(folder)).replace("/var/log/journal", str(folder))
    return JOURNAL.format(folder=folder, unit=UNIT.replace("\n", "\\n")) + script


@pytest.mark.parametrize(
    ("every_s", "verdict", "unseen"),
    [
        ({"slow": (80, 40)}, "finding", []),
        ({"fast": (1, 3600), "slow": (80, 40)}, "finding", []),
        ({"fast": (0.5, 7200), "slow": (80, 40)}, "finding", ["the last 4,000 restarts do not reach back an hour"]),
        ({f"unit{number:02}": (80, 40) for number in range(20)}, "finding", []),
        ({f"unit{number:02}": (80, 40) for number in range(21)}, "finding", ["more than 20 services were started again"]),
        (
            {f"unit{number:02}": (9000, 1) for number in range(21)},
            "unknown",
            ["more services were started again: unit20.service"],
        ),
        ({f"unit{number:02}": (9000, 1) for number in range(20)}, "clear", []),
        ({"once": (9000, 1), "earlier": (0.01, 3900)}, "clear", []),
        ({r"openvpn@a\x2db\x2dc": (80, 40)}, "finding", []),
        ({r"openvpn@a\x2db\x2dc": (3, 100), "slow": (80, 40)}, "finding", []),
    ],
)
def test_services_that_restart_seldom_or_are_many_are_not_hidden_by_others(
    every_s: dict[str, tuple[float, int]],
    verdict: str,
    unseen: list[str],
    shell: list[str],
    tmp_path: Path,
    judged: Callable[..., CheckResult],
) -> None:
    script = with_awk(shell, restarted(tmp_path, **every_s))
    if "earlier" in every_s:
        (tmp_path / "uptime").write_text("14000.00 1.00\n")
    answer = run(shell, script)
    result = judged("svc-flapping", svc_restarts=answer)
    assert (result.verdict.value, [why.detail.removeprefix("restarts: ") for why in result.unseen]) == (verdict, unseen)
    told = {one.subject["unit"] for one in result.findings}
    assert told == ({f"{unit}.service" for unit in list(every_s)[:20]} if verdict == "finding" else set())
    assert len(answer.stdout) < 160 * 1024


@pytest.mark.parametrize("times", [100, 40])
def test_a_service_that_restarts_now_is_not_hidden_by_many_that_did_long_ago(
    times: int, shell: list[str], tmp_path: Path, judged: Callable[..., CheckResult]
) -> None:
    script = with_awk(shell, restarted(tmp_path, flap=(3, times)))
    log = tmp_path / "log"
    record = '{{"__CURSOR":"s=1","UNIT":"old{0}.service","N_RESTARTS":"1","__MONOTONIC_TIMESTAMP":"{1}"}}\n'
    log.write_text("".join(record.format(number, 20_000_000 + number) for number in range(25)) + log.read_text())
    answer = run(shell, script)
    assert said(judged("svc-flapping", svc_restarts=answer)) == ("finding", {"flap.service": "warning"}, [])
    assert b"Id=old" not in answer.stdout


def with_many_descriptors(folder: Path, others: int, pid: int) -> str:
    """Return the question after processes, on a host where `pid` has 1,000 of 1,024 descriptors open, and `others` a few."""
    proc = folder / "proc"
    limit = "Max open files            {0}                65536                files\n"
    files = {"loadavg": "0.20 0.18 0.12 1/80 11206\n", "sys/fs/file-nr": "1184\t0\t9223372036854775807\n"}
    files |= {"sys/kernel/pid_max": "32768\n", "sys/kernel/threads-max": "191864\n"}
    for one in (*range(1001, 1001 + others), pid):
        files[f"{one}/status"] = f"Name:\tp{one}\nState:\tS (sleeping)\nFDSize:\t1024\n"
        files[f"{one}/limits"] = limit.format(1024 if one == pid else 65536)
    for name, text in files.items():
        (proc / name).parent.mkdir(parents=True, exist_ok=True)
        (proc / name).write_text(text)
    (proc / f"{pid}/fd").mkdir()
    for number in range(1000):
        (proc / f"{pid}/fd/{number}").touch()
    return ASKING + PROBES["proc.stat"].question.script.removeprefix(ASKING).replace("/proc/", f"{proc}/")


@pytest.mark.parametrize(
    ("others", "pid", "ended"),
    [
        (110, 9999, ("finding", {"p9999": "warning"}, [])),
        (399, 9999, ("finding", {"p9999": "warning"}, [])),
        (400, 9999, ("unknown", {}, ["held: more than 400 processes have many descriptors"])),
        (400, 1000, ("finding", {"p1000": "warning"}, ["held: more than 400 processes have many descriptors"])),
    ],
)
def test_a_process_at_its_limit_of_descriptors_is_not_hidden_by_others(
    others: int,
    pid: int,
    ended: tuple[str, dict[str, str], list[str]],
    shell: list[str],
    tmp_path: Path,
    judged: Callable[..., CheckResult],
) -> None:
    answer = run(shell, with_many_descriptors(tmp_path, others, pid))
    answer = replace(answer, stdout=answer.stdout.replace(f"{tmp_path}/proc/".encode(), b"/proc/"))
    assert said(judged("proc-fdlimit", proc_stat=answer)) == ended


@pytest.mark.parametrize(("files", "mebibytes", "ended"), [(50, 1100, 50), (50, 110, 0), (51, 110, 0), (51, 1100, 50)])
def test_large_logs_beyond_the_fiftieth_are_told_where_they_matter(
    files: int, mebibytes: int, ended: int, shell: list[str], tmp_path: Path, judged: Callable[..., CheckResult]
) -> None:
    for number in range(files):
        with (tmp_path / f"{number}.log").open("wb") as file:
            file.truncate(mebibytes << 20)
    result = judged("log-big", log_size=run(shell, PROBES["log.size"].question.script.replace("/var/log", str(tmp_path))))
    assert len(result.findings) == ended
    assert [why.detail for why in result.unseen] == ["big: more than 50 files are large"] * (files > 50 and ended > 0)
