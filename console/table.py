"""Every command of the first level: where it is defined and what it does; nothing here is imported until it is called."""

from __future__ import annotations

from console.framework import Row
from inventory.errors import Text

COMMANDS = {
    "diagnose": Row("console.commands.diagnose:diagnose", Text("Ask hosts what is wrong with them, and say why."), main=True),
    "repair": Row(
        "console.commands.repair:repair",
        Text("Repair hosts by a playbook, and prove it: the same questions before and after."),
        main=True,
    ),
    "approve": Row("console.commands.approve:approve", Text("Approve a repair that waits for a second person, or refuse it.")),
    "inventory": Row("console.commands.inventory:inventory", Text("The hosts we know: check, list, show.")),
    "host": Row("console.commands.host:host", Text("Host keys: enrol hosts before the first connection.")),
    "secret": Row("console.commands.secret:secret", Text("Secrets that credentials refer to: set, list, remove, test.")),
    "hold": Row("console.commands.hold:hold", Text("Hosts that nobody may change: add, list, remove.")),
    "freeze": Row("console.commands.hold:freeze", Text("Let nothing that changes start.")),
    "unfreeze": Row("console.commands.hold:unfreeze", Text("Let changes start again.")),
    "run": Row(
        "console.commands.run:run",
        Text("Runs: list, show, watch, leases, start, resume, retry, rollback, unmute, export."),
    ),
    "report": Row("console.commands.report:report", Text("Reports of runs: list, open, render.")),
    "case": Row("console.commands.case:case", Text("Cases and what is attached to them.")),
    "store": Row("console.commands.store:store", Text("What longarm keeps: back up, restore, verify, audit, prune, erase.")),
    "config": Row("console.commands.config:config", Text("The configuration: who has which role, what needs a second person.")),
    "check": Row("console.commands.library:check", Text("The checks that judge: list, show.")),
    "probe": Row("console.commands.library:probe", Text("The probes that ask: list, show.")),
    "playbook": Row(
        "console.commands.playbook:playbook",
        Text("Playbooks: list, show, new, lint, test, graph, schema."),
    ),
    "library": Row("console.commands.signing:library", Text("Libraries of playbooks and probes: sign, verify.")),
    "lab": Row("console.commands.lab:lab", Text("Practice hosts on this machine, for training and trying out.")),
    "doctor": Row("console.commands.doctor:doctor", Text("Look whether longarm itself is well on this machine.")),
    "serve": Row("console.commands.serve:serve", Text("Keep the desk as a service, for several people.")),
    "completion": Row("console.commands.completion:completion", Text("Print the completion script of a shell.")),
    "version": Row("console.commands.version:version", Text("Print the version of longarm and of what it stands on.")),
}
