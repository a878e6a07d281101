"""Whether what was found on a host calls for a repair, and whether something else comes first: pure."""

from __future__ import annotations

from collections.abc import Mapping

from diagnostics.finding import Diagnosis, Finding
from diagnostics.verdict import Verdict
from inventory.errors import Text
from playbooks.model import Playbook
from playbooks.params import ParamValue
from playbooks.verdicts import causes_of


def calling(playbook: Playbook, params: Mapping[str, ParamValue], diagnosis: Diagnosis) -> list[Finding]:
    """Return the findings that call for a repair with these parameters."""
    return [finding for finding in diagnosis.findings if _calls(playbook, params, finding)]


def _calls(playbook: Playbook, params: Mapping[str, ParamValue], finding: Finding) -> bool:
    if finding.check not in playbook.fixes or finding.waived:
        return False
    remedy = finding.remedy
    if remedy is None or remedy.playbook != playbook.id:
        return True
    return all(name not in params or str(params[name]) == str(value) for name, value in remedy.params.items())


def idle(playbook: Playbook, params: Mapping[str, ParamValue], diagnosis: Diagnosis) -> Text | None:
    """Return why there is nothing to do, or nothing that anybody may decide; None: there is a finding to repair."""
    if not playbook.fixes or calling(playbook, params, diagnosis):
        return None
    names = ", ".join(playbook.fixes)
    if not seen_whole(playbook, diagnosis):
        return Text("nothing was done: what it is for could not be seen ({checks})", checks=names)
    return Text("nothing was done: there is no finding that it is for ({checks})", checks=names)


def causes_first(playbook: Playbook, params: Mapping[str, ParamValue], diagnosis: Diagnosis) -> list[Finding]:
    """Return what comes first, as the playbook says: the findings that explain all that it is for; none: it is for more."""
    above = causes_of(diagnosis, playbook.not_while)
    called_for = [one.id for one in calling(playbook, params, diagnosis)]
    if not called_for or not all(above.get(one) for one in called_for):
        return []
    found = {cause.id: cause for one in called_for for cause in above[one]}
    return list(found.values())


def seen_whole(playbook: Playbook, diagnosis: Diagnosis) -> bool:
    """Tell whether all that a repair is for could be seen."""
    return all(
        result.complete and result.verdict is not Verdict.UNKNOWN
        for result in diagnosis.results
        if result.check in playbook.fixes
    )
