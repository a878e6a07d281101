"""`powershell`: a script for PowerShell, with typed variables."""

from __future__ import annotations

from typing import Final

from inventory.errors import Text
from inventory.host import Platform
from playbooks.actions.row import Action, Predicts
from playbooks.actions.run import SCRIPTED, scripted_mistakes
from playbooks.actions.scripted import Scripted
from playbooks.keys import Form, Key
from playbooks.model import Retry

ROW: Final = Action(
    name="powershell",
    says=Text("Runs a script with PowerShell."),
    platforms=(Platform.WINDOWS,),
    main=Key(name="powershell", says=Text("The script; values are in typed variables, never in its text."), form=Form.SCRIPT),
    beside=SCRIPTED,
    changes=True,
    retries=(Retry.NEVER, Retry.READ, Retry.IDEMPOTENT, Retry.GUARDED),
    doer=Scripted("powershell"),
    predicts=Predicts.IF_TOLD,
    mistakes=scripted_mistakes,
)
