"""`package`: packages are installed, at their newest, or not there: by apt, dnf, zypper or apk, whichever the host has."""

from __future__ import annotations

from typing import Final

from inventory.errors import Text
from inventory.host import Platform
from playbooks.actions.native import Native
from playbooks.actions.package_state import UNCHANGED, decide_packages, look_at_packages
from playbooks.actions.row import Action, Predicts
from playbooks.keys import Form, Key, Many, Type
from playbooks.model import Retry

ROW: Final = Action(
    name="package",
    says=Text("Sees to it that packages are installed, at their newest version, or not there."),
    platforms=(Platform.LINUX,),
    main=Key(
        name="package",
        says=Text("What is wanted."),
        type=Type.MAPPING,
        below=(
            Key(
                name="names",
                says=Text("The packages, by the names that the host's package manager has."),
                form=Form.TEMPLATE,
                many=Many.LIST,
                required=True,
            ),
            Key(
                name="state",
                says=Text("What is wanted; present where nothing is said."),
                type=Type.CHOICE,
                choices=("present", "latest", "absent"),
            ),
            Key(name="refresh", says=Text("Bring the lists of packages up to date first."), type=Type.BOOL),
        ),
    ),
    changes=True,
    retries=(Retry.IDEMPOTENT, Retry.NEVER),
    predicts=Predicts.ALWAYS,
    deadline_s=1800.0,
    doer=Native(look=look_at_packages, decide=decide_packages, unchanged=UNCHANGED),
    gives={"manager": "str", "packages": [{"name": "str", "before": "str?", "after": "str?"}], "needs_reboot": "bool?"},
)
