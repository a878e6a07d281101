"""Two samples, processes, restarts: what hosts really send of what moves while it is looked at, and its figures."""

from dataclasses import replace

import pytest

from diagnostics.library.linux import load, processes, restarts
from diagnostics.probe import Facts, ParseError, SourceFailed
from remote.answer import Answer
from tests.diagnostics.library.answers import asked

Ticks = tuple[int, ...]
BEFORE: Ticks = (4705, 150, 1120, 1644, 2520, 15, 25, 100)


def grown(**by: int) -> Ticks:
    states = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    return tuple(ticks + by.get(state, 0) for state, ticks in zip(states, BEFORE, strict=True))


def counters(suffix: str, uptime: str, ticks: Ticks, paging: str | None) -> dict[str, str | None]:
    line = "cpu  " + " ".join(map(str, ticks)) + " 0 0\n"
    return {f"uptime{suffix}": f"{uptime} 1.00\n", f"ticks{suffix}": line, f"paging{suffix}": paging}


def delta(
    first: dict[str, str | None],
    second: dict[str, str | None],
    again: dict[str, str | None] | None = None,
    **gauges: str | tuple[int, str] | None,
) -> Facts:
    given: dict[str, str | tuple[int, str] | None] = {
        "load": "0.20 0.18 0.12 1/80 11206\n",
        "processors": "0-1\n",
        "pressure_cpu": None,
        "pressure_io": None,
        **gauges,
    }
    return load.parse_delta(asked(**first), asked(**second, **{k: v for k, v in given.items() if v != ""}, **(again or {})))


def test_a_short_window_shows_calm_and_proves_nothing() -> None:
    calm = delta(counters("", "300.00", BEFORE, None), counters("", "300.20", grown(user=10, idle=30), None))
    assert (calm["window_s"], calm["steal_percent"], "proven_steal_percent" in calm) == (0.2, 0.0, False)
    stolen = delta(counters("", "300.00", BEFORE, None), counters("", "300.20", grown(idle=20, steal=20), None))
    assert (stolen["steal_percent"], "proven_steal_percent" in stolen) == (45.0, False)


def test_a_second_look_is_judged_alone_without_what_our_questions_did() -> None:
    ours = grown(iowait=60, idle=20)
    later = tuple(one + more for one, more in zip(ours, (0, 0, 0, 402, 2, 0, 0, 0), strict=True))
    facts = delta(
        counters("", "300.00", BEFORE, None), counters("", "300.40", ours, None), counters("_again", "302.41", later, None)
    )
    assert (facts["window_s"], facts["iowait_percent"], facts["proven_iowait_percent"]) == (2.01, 0.0, 0.0)


def test_a_second_look_that_could_not_sleep_leaves_the_window_of_all_questions() -> None:
    later = grown(iowait=22, idle=20)
    facts = delta(
        counters("", "300.00", BEFORE, None),
        counters("", "300.20", grown(iowait=20, idle=20), None),
        counters("_again", "300.21", later, None),
    )
    assert (facts["window_s"], facts["iowait_percent"]) == (0.21, 47.62)


def test_what_rounding_alone_can_be_is_no_share() -> None:
    """Each processor's counters are whole ticks."""
    facts = delta(counters("", "300.00", BEFORE, None), counters("", "300.05", grown(idle=8, steal=2), None))
    assert facts["steal_percent"] == 0.0
    few = delta(counters("", "300.00", BEFORE, None), counters("", "300.02", grown(idle=2, steal=2), None))
    assert ("steal_percent" in few, few["iowait_percent"]) == (False, 0.0), "of two ticks, none"
    none = delta(counters("", "300.00", BEFORE, None), counters("", "300.01", BEFORE, None))
    assert "steal_percent" not in none


def test_idle_and_iowait_may_fall_back_and_nothing_else() -> None:
    facts = delta(counters("", "300.00", BEFORE, None), counters("", "302.00", grown(user=400, iowait=-3), None))
    assert facts["iowait_percent"] == 0.0
    with pytest.raises(ParseError):
        delta(counters("", "300.00", BEFORE, None), counters("", "302.00", grown(idle=400, steal=-1), None))
    with pytest.raises(ParseError):
        delta(counters("", "300.00", BEFORE, None), counters("", "299.00", grown(idle=400), None))


def test_pages_go_to_swap_at_a_rate() -> None:
    first = counters("", "300.00", BEFORE, "pswpin 1000\npswpout 70000\n")
    second = counters("", "304.00", grown(idle=800), "pswpin 1400\npswpout 78000\n")
    assert delta(first, second)["swap"] == [
        {"in_pages_per_s": 100.0, "out_pages_per_s": 2000.0, "proven_out_pages_per_s": 2000.0}
    ]
    switched_on = counters("", "300.00", BEFORE, None)
    assert delta(switched_on, second)["swap"] == []


@pytest.mark.parametrize(
    ("listed", "processors"),
    [("0\n", 1), ("0-3,8\n", 5), ("0-127\n", 128), ("3-1\n", None), ("0-\n", None), ("\n", None), ("a\n", None)],
)
def test_processors_that_are_online(listed: str, processors: int | None) -> None:
    first, second = counters("", "300.00", BEFORE, None), counters("", "302.00", grown(idle=400), None)
    if processors is None:
        with pytest.raises(ParseError):
            delta(first, second, processors=listed)
    else:
        assert delta(first, second, processors=listed)["processors"] == processors


def test_processors_without_sys_are_counted() -> None:
    first, second = counters("", "300.00", BEFORE, None), counters("", "302.00", grown(idle=400), None)
    assert delta(first, second, processors="", counted="4\n")["processors"] == 4
    with pytest.raises(SourceFailed):
        delta(first, second, processors="", counted=(1, "0\n"))


def test_kernels_that_do_not_measure_pressure() -> None:
    first, second = counters("", "300.00", BEFORE, None), counters("", "302.00", grown(idle=400), None)
    said = "some avg10=0.00 avg60=1.50 avg300=0.25 total=1\n"
    assert delta(first, second, pressure_cpu=said, pressure_io=(1, ""))["stalled"] == []  # psi=0: there, and not readable
    (item,) = delta(first, second, pressure_cpu=said, pressure_io=said)["stalled"]
    assert item == {"cpu_avg60": 1.5, "cpu_avg300": 0.25, "io_avg60": 1.5, "io_avg300": 0.25}


LIMITS = "0.20 0.18 0.12 1/80 11206\n1184\t0\t2466170\n32768\n191864\n"


def status(pid: int, **fields: str) -> str:
    return "".join(f"/proc/{pid}/status:{name}:\t{value}\n" for name, value in fields.items())


def hangs(pid: int, switches: int, state: str = "D (disk sleep)", **more: str) -> str:
    return status(pid, **more, State=state, voluntary_ctxt_switches=str(switches), nonvoluntary_ctxt_switches="0")


def seen(**sources: str | tuple[int, str] | None) -> Facts:
    given: dict[str, str | tuple[int, str] | None] = {"limits": LIMITS, "groups": "0\n", "seen": (1, "")}
    return processes.parse_processes(asked(**(given | sources)))


def test_only_what_did_not_run_between_two_looks_hangs() -> None:
    pids = (11, 12, 13, 14)
    facts = seen(
        seen=(2, "".join(status(pid, State="D (disk sleep)") for pid in pids)),
        before="".join(hangs(pid, 5, Name=f"worker {pid}") for pid in pids),
        after=(2, hangs(11, 5) + hangs(12, 6) + hangs(13, 5, state="S (sleeping)")),  # and 14 is gone
        where=(2, "/proc/11/wchan:rpc_wait_bit_killable\n"),
    )
    assert (facts["blocked"], [(one["pid"], one["process"], one.get("waits_in")) for one in facts["hanging"]]) == (
        4,
        [(11, "worker 11", "rpc_wait_bit_killable")],
    )


@pytest.mark.parametrize("where", [(1, ""), "/proc/11/wchan:0\n"])
def test_where_a_task_hangs_only_root_may_know(where: str | tuple[int, str]) -> None:
    facts = seen(seen=status(11, State="D (disk sleep)"), before=hangs(11, 5, Name="x"), after=hangs(11, 5), where=where)
    assert [one.get("waits_in") for one in facts["hanging"]] == [None]


def test_zombies_belong_to_who_does_not_reap_them() -> None:
    zombies = {21: 5, 22: 7, 23: 7, 24: 8, 25: 7}
    facts = seen(
        seen="".join(status(pid, State="Z (zombie)") for pid in zombies),
        parents=(2, "".join(status(pid, PPid=str(parent)) for pid, parent in zombies.items() if pid != 24)),
        names=status(5, Name="init") + status(7, Name="odd\\nname: 3"),
        units="/proc/7/cgroup:1:name=systemd:/system.slice/shop.service/inner\n/proc/7/cgroup:0::/\n",
    )
    assert facts["zombies"] == 5
    assert [(one["pid"], one["process"], one["unit"], one["zombies"]) for one in facts["parents"]] == [
        (7, "odd\\nname: 3", "shop.service", 3),
        (5, "init", "", 1),
    ]


def test_a_few_zombies_are_normal_and_their_parents_not_asked_for() -> None:
    facts = seen(seen="".join(status(pid, State="Z (zombie)") for pid in (21, 22, 23, 24)))
    assert (facts["zombies"], facts["parents"]) == (4, [])


def test_descriptors_that_may_not_be_counted_have_no_figure() -> None:
    facts = seen(
        seen=status(31, FDSize="1024") + status(32, FDSize="4096"),
        held="31 - 1024\n32 3900 4096\n33 900 1024\n",
        holders=(2, status(31, Name="db") + status(32, Name="cache")),  # 33 is gone
    )
    assert [(one["scope"], one["host"], one.get("used"), one["most"], one.get("percent")) for one in facts["descriptors"]] == [
        ("host", True, 1184, 2466170, 0.05),
        ("db", False, None, 1024, None),
        ("cache", False, 3900, 4096, 95.21),
    ]


def test_the_lower_limit_on_tasks_counts_and_control_groups_have_their_own() -> None:
    facts = seen(groups="58 60 /sys/fs/cgroup/pids/system.slice/thumbs.service\n700 1000 /sys/fs/cgroup\n12\n")
    assert [(one["scope"], one["used"], one["most"]) for one in facts["tasks"]] == [
        ("host", 80, 32768),
        ("thumbs.service", 58, 60),
        ("/", 700, 1000),
    ]
    with pytest.raises(ParseError):
        seen(groups="58 60 /sys/fs/cgroup/x\n")  # without the count it is not whole
    assert len(seen(groups=None)["tasks"]) == 1


UNIT = (
    "Id=price-sync.service\nNames=price-sync.service\nLoadState={load}\nActiveState=active\nSubState=running\nResult=success\n"
    "ExecMainCode=0\nExecMainStatus=0\nNRestarts=9\nRequiresMountsFor=\nStateChangeTimestampMonotonic=1000000\n"
)
ROOT = "28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n"


def restarted(*moments_s: float, load: str = "loaded") -> Answer:
    lines = "".join(f'{{"UNIT":"price-sync.service","__MONOTONIC_TIMESTAMP":"{int(moment * 1e6)}"}}\n' for moment in moments_s)
    return asked(uptime="9000.00\n", restarts=lines, units=UNIT.format(load=load), mountinfo=ROOT)


def test_restarts_are_counted_by_their_time() -> None:
    (service,) = restarts.parse_restarts(restarted(100.0, 5401.0, 8000.0, 8701.0, 8990.5))["services"]
    assert (service["last_hour"], service["last_5_min"], service["last_age_s"], service["first_age_s"]) == (4, 2, 9, 3599)


def test_what_was_over_an_hour_ago_or_is_gone_is_no_restart() -> None:
    assert restarts.parse_restarts(restarted(100.0, 200.0))["services"] == []
    assert restarts.parse_restarts(restarted(8990.0, load="not-found"))["services"] == []
    assert restarts.parse_restarts(asked(uptime="9000.00\n", restarts="\n"))["services"] == []


@pytest.mark.parametrize("line", ["{", "[]", '{"UNIT":"a.service"}', '{"UNIT":[1],"__MONOTONIC_TIMESTAMP":"1"}'])
def test_a_record_that_is_none_is_not_understood(line: str) -> None:
    with pytest.raises(ParseError):
        restarts.parse_restarts(asked(uptime="9000.00\n", restarts=f"{line}\n"))


def test_a_journal_that_may_not_be_read_is_a_failure_not_silence() -> None:
    answer = replace(asked(uptime="9000.00\n", restarts=(1, "")), stderr=b"")
    with pytest.raises(SourceFailed):
        restarts.parse_restarts(answer)
