"""A repair is proved by the bound that its check has for the end of a finding, whoever found it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from diagnostics.check_files import load_checks
from diagnostics.library import Library
from diagnostics.parsing import whole
from diagnostics.probe import Facts, ParseError, Probe
from remote.answer import Answer
from remote.question import Question
from runner.desk import Desk
from runner.observer import Silent
from runner.outcome import Outcome
from tests.runner.repairs import BUSY_S, CHECK, MEND, Bench, hosts_folder

BOUNDS = CHECK.replace(
    'critical: {raise: facts.mark.state == "bad"}', "critical: {raise: facts.mark.state > 90, clear: facts.mark.state < 80}"
)


def _parse(answer: Answer) -> Facts:
    if not (match := re.fullmatch(rb"(\d+)\n", answer.stdout)):
        raise ParseError("mark", answer.stdout)
    return {"state": int(match[1]), "at": whole("mark", answer)}


def test_a_finding_is_fixed_by_the_bound_that_ends_it_also_where_this_run_was_the_first_to_see_it(home: Path) -> None:
    probe = Probe(
        question=Question(id="mark", script='cat "$HOME/mark"', deadline_s=BUSY_S),
        parse=_parse,
        shape={"state": "int", "at": "at"},
    )
    with hosts_folder() as folder, Desk.open(home, write=True, actor="anna") as desk:
        bench = Bench(folder)
        check = bench.folder / "mark-bad.yaml"
        check.write_text(BOUNDS)
        bench.library = Library(probes={"mark": probe}, checks=load_checks([check], {"mark": probe}), digest="f" * 64)
        for level, outcome, fix in (("85", Outcome.FINDINGS, "unchanged"), ("75", Outcome.OK, "fixed")):
            hosts = (f"new-{level}", f"seen-{level}")
            for host in hosts:
                bench.mark(host, "95")
            for some, word in ((hosts[1:], "95"), (hosts, level)):
                playbook = bench.playbook(MEND.replace("default: good", f'default: "{word}"'))
                record = asyncio.run(
                    desk.repair(bench.asking(*some, playbook=playbook), connect=bench.connect, observer=Silent())
                )
            told = [
                (one.host, one.outcome, [str(two.fix) for two in one.repair.verdicts]) for one in record.hosts if one.repair
            ]
            assert told == [(host, outcome, [fix]) for host in hosts]
