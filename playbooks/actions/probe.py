"""`probe`: asks a probe again in the middle of a playbook; its facts are those of the steps that follow."""

from __future__ import annotations

from typing import Final

from inventory.errors import Text
from playbooks.actions.probing import Ask
from playbooks.actions.row import EVERYWHERE, Action, Predicts
from playbooks.keys import Key
from playbooks.model import Retry

ROW: Final = Action(
    name="probe",
    says=Text("Asks a probe of the library again: `facts` of the following steps are fresh."),
    platforms=EVERYWHERE,
    main=Key(name="probe", says=Text("The probe's id; it must be among the playbook's `needs`.")),
    changes=False,
    retries=(Retry.READ,),
    doer=Ask(),
    predicts=Predicts.NOTHING,
    without=frozenset(("loop", "privilege", "retry", "rollback")),
)
