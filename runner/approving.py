"""What the approval of a repair is bound to, and what is not any more as it was asked for: pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from inventory.errors import Text
from playbooks.params import ParamValue
from runner.journal import plan_of_step
from runner.request import RepairRequest, RestRequest
from runner.store.blobs import digest_of
from runner.store.port import WholeRun
from runner.store.rows import ApprovalRow, ApprovalState, Event
from runner.targets import target_of

EXPIRED: Final = "expired"
"""How a request, or an approval, is shown that nobody made use of in time."""

CHANGED: Final[Mapping[str, Text]] = {
    "playbook": Text("the playbook is not the one that was asked for"),
    "library": Text("the checks and probes are not those that were asked for"),
    "targets": Text("the inventory says something else about its hosts than when it was asked for"),
    "params": Text("the parameters are not those that were asked for"),
    "evidence": Text("the evidence is not that on which it was asked for"),
    "plans": Text("the plan is not the one that was asked for"),
}


def bound_to(request: RepairRequest, plan: WholeRun) -> dict[str, str]:
    """Return the digests of everything that an approval is bound to: what it was asked with, and the plan as it is kept."""
    given = [dict(request.secrets), request.forced, list(request.batch), request.max_failed]
    return {
        "playbook": request.playbook.digest,
        "library": request.library.digest,
        "targets": _digest([[host.name, target_of(host, request.playbook)] for host in request.selection.hosts]),
        "params": _params_digest(request.params, given),
        **plan_digests(plan),
    }


def bound_again(
    request: RestRequest, kept: Mapping[str, Any], params: Mapping[str, ParamValue], plan: WholeRun
) -> dict[str, str]:
    """Return the same of a repair that goes on, but of its targets, which are looked at one by one; `kept` is its request."""
    given = [dict(kept["secrets"]), kept["forced"], list(kept["batch"]), kept["max_failed"]]
    return {
        "playbook": request.playbook.digest,
        "library": request.library.digest,
        "params": _params_digest(params, given),
        **plan_digests(plan),
    }


def _params_digest(params: Mapping[str, ParamValue], given: Sequence[Any]) -> str:
    """Return the digest of parameters, without the value of those that are secret: `given` begins with where these are kept."""
    shown = {name: value for name, value in params.items() if name not in given[0]}
    return _digest([shown, *given])


def plan_digests(plan: WholeRun) -> dict[str, str]:
    """Return the digests of what a plan saw of its hosts, and of what it says that would be done there, as they are kept."""
    lines = [line for line in plan.journal if line.event is Event.PLAN]
    return {
        "evidence": _digest([[row.host, row.evidence_digest, row.diagnosis_digest] for row in plan.hosts]),
        "plans": _digest([[line.position, line.key, line.data, plan_of_step(line).script] for line in lines]),
    }


def drift(bound: Mapping[str, str], now: Mapping[str, str]) -> Text | None:
    """Return what is not any more as it was asked for, None where all of it is.

    >>> str(drift({"playbook": "a", "params": "b"}, {"playbook": "a", "params": "c"}))
    'the parameters are not those that were asked for'
    """
    return next((text for name, text in CHANGED.items() if bound.get(name) != now.get(name)), None)


def standing(row: ApprovalRow, now: datetime) -> str:
    """Return where a request stands: what was not made use of in time has expired."""
    still = row.state in (ApprovalState.WAITING, ApprovalState.APPROVED)
    return EXPIRED if still and now >= row.expires_at else row.state.value


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _digest(value: Any) -> str:
    return digest_of(json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain).encode())
