"""What the page of a repair says beside its proof: what else stands there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from diagnostics.finding import Finding
from diagnostics.verdict import Severity
from playbooks.results import HostChange
from playbooks.verdicts import FindingVerdict, Fix
from reports.language import LANGUAGES, language
from reports.render import Audience, Format, render
from reports.summary import verdict
from runner.outcome import RunKind
from runner.record import RunRecord
from runner.repair_record import HostRepair
from tests.reports.conftest import diagnosis, full, run, seen
from tests.reports.test_customer import a_repair


def after_repair(*stand: Finding, consequences: tuple[Finding, ...] = (), **more: object) -> RunRecord:
    """Return a repair of `/var` on one host, which is proved there, while other findings stand."""
    was = full("db-01", "/var")
    repair = HostRepair(
        change=HostChange.CHANGED,
        verdicts=(FindingVerdict(check="fs-space", key=was.key, fix=Fix.FIXED, before=was),),
        consequences=tuple(
            FindingVerdict(check=one.check, key=one.key, fix=Fix.UNCHANGED, before=one, after=one) for one in consequences
        ),
        before=diagnosis("db-01", (was,)),
        samples=1,
    )
    return run(
        replace(seen("db-01", diagnosis("db-01", (*stand, *consequences))), repair=repair, **more),  # type: ignore[arg-type]
        kind=RunKind.REPAIR,
        repair=a_repair(),
    )


def page_of(record: RunRecord, code: str = "en") -> str:
    return render(record, audience=Audience.INTERNAL, language=code, format=Format.HTML).decode()


def test_that_all_is_fixed_is_told_with_what_stands_besides() -> None:
    tongue = language("en")
    assert verdict(after_repair(), tongue) == "1 of 1 finding is fixed."
    other = replace(full("db-01", "/"), severity=Severity.WARNING)
    assert verdict(after_repair(other), tongue) == (
        "1 of 1 finding is fixed. 1 finding stands that the repair was not for: warning."
    )
    worse = full("db-01", "/srv")
    assert verdict(after_repair(other, worse), tongue) == (
        "1 of 1 finding is fixed. 2 findings stand that the repair was not for, at worst: critical."
    )
    assert verdict(after_repair(replace(other, waived=True)), tongue) == "1 of 1 finding is fixed. 1 finding is waived."


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_card_of_a_host_names_what_stands_there_besides(code: str) -> None:
    beside = language(code).say("Besides, this stands there:")
    page = page_of(after_repair(full("db-01", "/srv")), code)
    card = page.partition('<section id="done">')[2].partition("</section>")[0]
    assert beside in card and "/srv" in card
    told = after_repair(consequences=(full("db-01", "/srv"),))
    assert beside not in page_of(told, code), "it stands in the table of consequences"
    assert verdict(told, language("en")).endswith("1 finding stands that the repair was not for: critical.")
    many = page_of(after_repair(*(full("db-01", f"/srv/{n}") for n in range(5))), code)
    assert language(code).plural("… and {n} more finding", "… and {n} more findings", 2) in many
