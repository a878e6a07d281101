"""What `playbook new` writes: a playbook that passes lint and a scenario that passes, to be changed into another one."""

from __future__ import annotations

from typing import Final

PLAYBOOK: Final = """\
# docs/playbooks.md says what each key means; `longarm playbook schema` gives it to an editor.
playbook: NAME
title: {en: Restart a service, ru: Перезапустить службу}
says:
  en: Restarts one service and waits until it runs. What the service did before is not brought back.
  ru: Перезапускает одну службу и ждёт, пока она заработает. Прежнее состояние службы не восстанавливается.
kind: repair
maintenance: corrective
tier: L2
risk: reversible
platforms: [linux]
fixes: [svc-failed]
params:
  unit:
    type: string
    pattern: "[A-Za-z0-9@._-]+"
    says: {en: The service., ru: Служба.}
steps:
  - name: Restart it
    service: {name: "{{ params.unit }}", state: restarted}
    privilege: root
  - name: Wait until it runs
    wait_for: {service: "{{ params.unit }}"}
    deadline: 1m
verify: {checks: [svc-failed], settle: 10s}
"""

SCENARIO: Final = """\
- scenario: The service comes back
  params: {unit: cron.service}
  answers:
    Restart it:
      look: {stdout: "service systemd yes no yes\\n"}
      change: done
    Wait until it runs:
      look: {stdout: "service systemd yes yes yes\\n"}
  expect:
    plan: {Restart it: change}
    steps: {Restart it: changed, Wait until it runs: ok}
    change: changed
- scenario: The service stays down
  params: {unit: cron.service}
  answers:
    Restart it:
      look: {stdout: "service systemd yes no yes\\n"}
      change: done
    Wait until it runs:
      look: {stdout: "service systemd yes no yes\\n"}
  expect:
    steps: {Restart it: changed, Wait until it runs: timed_out}
    change: partly
"""
