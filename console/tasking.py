"""Carry out a task on hosts: watched, recorded, reported, delivered."""

from __future__ import annotations

from console.aftermath import Aftermath, settle
from console.conduct import Work, conduct
from console.settings import Settings
from console.wiring import connector, credential_store
from runner.desk import Desk
from runner.record import RunRecord
from runner.request import TaskRequest


def do_task(settings: Settings, request: TaskRequest) -> tuple[RunRecord, int]:
    """Do it, settle what follows and return the record with the exit code."""
    credentials = credential_store(settings)
    connect = connector(settings, credentials)
    with Desk.open(settings.writable_home(), write=True) as desk:
        work = Work(
            prepare=lambda: credentials.prepare(request.selection.hosts),
            start=lambda observer: desk.carry_out(request, connect=connect, observer=observer),
        )
        record = conduct(settings, desk, work)
        return record, settle(settings, desk, record, Aftermath())
