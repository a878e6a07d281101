"""Overrides of thresholds, by check and name: what is wrong with them, before anything is judged by them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from diagnostics.check import Check, out_of_order
from diagnostics.finding import Param
from inventory.errors import Place, Problem, Text, UsageError
from inventory.fields import did_you_mean
from inventory.host import Host, Value
from inventory.names import shown

Thresholds = Mapping[str, Mapping[str, Param]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdProblem:
    """One override that cannot be meant."""

    check: str
    name: str | None
    """The threshold, None where it is the check that does not exist."""
    text: Text
    hint: Text | None = None


def threshold_problems(overrides: Thresholds, checks: Mapping[str, Check]) -> Iterator[ThresholdProblem]:
    """Yield what is wrong with overrides of thresholds.

    Checks or names that do not exist, values of another type or lower than what the host tells of, a bound on the wrong
    side of its neighbours as they stand with the other values of the check.
    """
    for name, values in overrides.items():
        if name in checks:
            yield from _of_check(checks[name], values)
        else:
            text = Text("there is no check “{name}”", name=shown(name))
            yield ThresholdProblem(check=name, name=None, text=text, hint=did_you_mean(name, checks))


def _of_check(check: Check, values: Mapping[str, Param]) -> Iterator[ThresholdProblem]:
    read = {name: check.threshold(name, value) for name, value in values.items()}
    wrong = {name: value for name, value in read.items() if isinstance(value, Text)}
    for name, text in wrong.items():
        hint = None if name in check.thresholds else did_you_mean(name, check.thresholds)
        hint = Text("longarm check show {check}", check=check.id) if name in check.lowest else hint
        yield ThresholdProblem(check=check.id, name=name, text=text, hint=hint)
    bounds = {**check.thresholds} | {name: value for name, value in read.items() if not isinstance(value, Text)}
    if not wrong and (name := out_of_order(bounds, check.thresholds)):
        text = Text(
            "the threshold {check}.{name} lies on the wrong side of its bound ({given})",
            check=check.id,
            name=name,
            given=", ".join(f"{bound} {value:.12g}" for bound, value in bounds.items()),
        )
        yield ThresholdProblem(check=check.id, name=name, text=text, hint=Text("longarm check show {check}", check=check.id))


def merged(playbook: Thresholds, of_host: Value) -> dict[str, dict[str, Param]]:
    """Return the thresholds of a playbook with those that a host's variables set going before them.

    >>> merged({"fs-space": {"warning": 90.0}}, {"fs-space": {"critical": 97}})
    {'fs-space': {'warning': 90.0, 'critical': 97}}
    """
    thresholds = {check: dict(values) for check, values in playbook.items()}
    for check, values in of_host.items() if isinstance(of_host, Mapping) else ():
        if isinstance(values, Mapping):
            plain = {name: value for name, value in values.items() if isinstance(value, str | int | float)}
            thresholds.setdefault(check, {}).update(plain)
    return thresholds


def host_problems(hosts: Iterable[Host], checks: Mapping[str, Check], playbook: Thresholds) -> Iterator[Problem]:
    """Yield what is wrong with the thresholds that the inventory sets, each mistake once, at its place.

    Raises UsageError for those of a host that comes from no file of ours and so has no places.
    """
    alike = {id(value): host for host in hosts if (value := host.vars.get("thresholds"))}
    found: dict[tuple[Place, Text], Problem] = {}
    for host in alike.values():
        own = host.vars["thresholds"]
        if not _by_check_and_name(own):
            if (whole := host.origins.get("vars.thresholds")) is None:
                raise UsageError(Text("the thresholds of host {host} are not mappings by check", host=host.name))
            text = Text("“thresholds” must be values by check and name")
            hint = Text("name the check, then the threshold: fs-space: {example}", example="{warning: 85}")
            found[whole, text] = Problem(place=whole, text=text, hint=hint)
            continue
        for wrong in threshold_problems(merged(playbook, own), checks):
            place = _place(host, wrong)
            if place is None:
                raise UsageError(
                    Text("the thresholds of host {host}: {problem}", host=host.name, problem=wrong.text), wrong.hint
                )
            found[place, wrong.text] = Problem(place=place, text=wrong.text, hint=wrong.hint)
    yield from found.values()


def _by_check_and_name(own: Value) -> bool:
    """Tell whether every threshold is one plain value: what is none would be left out, and the shipped one hold, unseen."""
    checks = own.values() if isinstance(own, Mapping) else (None,)
    values = [value for bounds in checks for value in (bounds.values() if isinstance(bounds, Mapping) else (None,))]
    return all(isinstance(value, str | int | float) for value in values)


def _place(host: Host, wrong: ThresholdProblem) -> Place | None:
    """Return where the threshold is set; of one that only its neighbour moved to the wrong side, where its check is."""
    return host.places.get(f"{wrong.check}.{wrong.name}") or host.places.get(wrong.check)
