"""Accepted findings: marked with their waiver, never hidden, and only ever findings (what was not seen stays unknown)."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from diagnostics.check import Check
from diagnostics.context import Context
from diagnostics.finding import CheckResult, Finding, Param
from inventory.errors import Problem, Text
from inventory.fields import did_you_mean
from inventory.host import Waiver
from inventory.names import shown


def with_waivers(result: CheckResult, context: Context) -> CheckResult:
    """Return a result whose findings carry the waiver that is for them; `waived` where it holds at the context's time."""
    waivers = [waiver for waiver in context.waivers if waiver.check == result.check]
    if not waivers or not result.findings:
        return result
    return replace(result, findings=tuple(_marked(finding, waivers, context) for finding in result.findings))


def _marked(finding: Finding, waivers: Iterable[Waiver], context: Context) -> Finding:
    fitting = [waiver for waiver in waivers if fits(waiver.subject, finding.subject)]
    holding = next((waiver for waiver in fitting if waiver.holds_at(context.now)), None)
    if holding is None and not fitting:
        return finding
    return replace(finding, waiver=holding or fitting[0], waived=holding is not None)


def fits(globs: Mapping[str, str], subject: Mapping[str, Param]) -> bool:
    """Tell whether each named part of a subject fits its glob; `*` and `?` are wildcards, brackets are not.

    >>> fits({"mount": "/mnt/*"}, {"mount": "/mnt/backup"}), fits({"mount": "/mnt"}, {"mount": "/mnt/backup"})
    (True, False)
    """
    return all(name in subject and _pattern(glob).match(str(subject[name])) for name, glob in globs.items())


@functools.cache
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(glob.replace("[", "[[]")))


def waiver_problems(waivers: Iterable[Waiver], checks: Mapping[str, Check]) -> Iterator[Problem]:
    """Yield what is wrong with waivers: checks that do not exist, names that the check's subject does not have."""
    for waiver in dict.fromkeys(waivers):
        if waiver.place is None:
            continue
        check = checks.get(waiver.check)
        if check is None:
            text = Text("there is no check “{name}”", name=shown(waiver.check))
            yield Problem(place=waiver.place, text=text, hint=did_you_mean(waiver.check, checks) or Text("longarm check list"))
            continue
        for name in waiver.subject:
            if name not in check.subject:
                text = Text("findings of {check} have no “{name}”", check=check.id, name=shown(name))
                known = Text("they have {names}", names=", ".join(check.subject) or "–")
                yield Problem(place=waiver.place, text=text, hint=did_you_mean(name, check.subject) or known)
