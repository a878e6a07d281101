"""`reboot`: the host is started anew, and that is proven: by another boot id, read from the host."""

from __future__ import annotations

from typing import Final

from inventory.errors import Text
from playbooks.actions.boot import Reboot
from playbooks.actions.row import EVERYWHERE, Action, Predicts
from playbooks.keys import Key, Type
from playbooks.model import Retry
from remote.question import Privilege

ROW: Final = Action(
    name="reboot",
    says=Text("Starts the host anew and proves it by its boot id."),
    platforms=EVERYWHERE,
    main=Key(
        name="reboot",
        says=Text("How it is done."),
        type=Type.MAPPING,
        below=(
            Key(
                name="only_if_needed",
                says=Text("Only where the host itself says that it needs it."),
                type=Type.BOOL,
            ),
            Key(
                name="settle",
                says=Text("How long the host is left alone after it answers again."),
                type=Type.DURATION,
                maximum=3600,
            ),
        ),
    ),
    changes=True,
    retries=(Retry.NEVER,),
    doer=Reboot(),
    predicts=Predicts.ALWAYS,
    deadline_s=900.0,
    privilege=Privilege.ROOT,
    without=frozenset(("attempts", "loop", "privilege", "retry", "rollback", "until")),
    gives={"boot_id_before": "str?", "boot_id_after": "str?"},
)
