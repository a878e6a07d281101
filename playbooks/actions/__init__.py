"""The actions of playbooks: one module and one row each; everything else reads this table."""

from __future__ import annotations

from typing import Final

from playbooks.actions import (
    ansible,
    ask,
    file,
    include,
    package,
    powershell,
    probe,
    python,
    reboot,
    run,
    service,
    template,
    wait_for,
)
from playbooks.actions.row import Action

ACTIONS: Final[dict[str, Action]] = {
    module.ROW.name: module.ROW
    for module in (
        run,
        powershell,
        file,
        template,
        package,
        service,
        reboot,
        wait_for,
        probe,
        ask,
        include,
        python,
        ansible,
    )
}
"""By the key that names them in a step."""
