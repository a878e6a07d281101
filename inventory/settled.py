"""From drafts in our own format to what a source found: everything merged, host by host."""

from __future__ import annotations

from collections.abc import Iterable

from inventory.assembly import Assembly
from inventory.drafts import Drafts
from inventory.errors import Problem
from inventory.grouping import GroupDraft, cycles
from inventory.settings import Leaf
from inventory.sources.found import Found, FoundHost


def found_in(drafts: Drafts, problems: Iterable[Problem] = ()) -> Found:
    """Return the hosts and groups of drafts as those of one source; references to credentials stay names."""
    assembly = Assembly(drafts)
    assembly.resolve_references()
    drafts.problems += [*problems, *cycles(drafts.groups)]
    found = Found(problems=drafts.problems)
    if drafts.problems:
        return found
    assembly.order_groups()
    for name, group in drafts.groups.items():
        found.groups[name] = GroupDraft(name, group.place, children=dict(group.children))
    for key, draft in drafts.hosts.items():
        layer = assembly.settled_layer(draft, tuple(sorted(draft.groups)))
        assembly.tell_disagreements(draft, layer.values)
        host = FoundHost(draft.name, draft.place, layer, list(draft.groups))
        if draft.address_place is not None:
            host.layer.values["address"] = Leaf(draft.address_place, draft.address)
        found.hosts[key] = host
    return found
