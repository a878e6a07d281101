"""The tables of the store; migrations bring an older store to exactly this (a test compares them)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)


class Moment(TypeDecorator[datetime]):
    """An aware UTC time, also where the database knows no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy calls it so
        """Return the time in UTC; a naive one is a mistake of ours."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"a time without a zone: {value}")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy calls it so
        """Return the time as aware UTC."""
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Constraints have names, so that a migration can name them on every database."""

TABLES = MetaData(naming_convention=NAMES)

RUN = Table(
    "run",
    TABLES,
    Column("id", String(40), primary_key=True),
    Column("playbook", Text, nullable=False),
    Column("title", JSON, nullable=False),
    Column("maintenance", String(20), nullable=False),
    Column("expression", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("case_ref", Text),
    Column("customers", JSON, nullable=False),
    Column("state", String(20), nullable=False),
    Column("checks", JSON, nullable=False),
    Column("request", JSON, nullable=False),
    Column("versions", JSON, nullable=False),
    Column("content_digest", String(64), nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("erased_hosts", Integer, nullable=False, server_default="0"),
    Index(None, "state"),
)

HOST_RUN = Table(
    "host_run",
    TABLES,
    Column("run", String(40), ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("host", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("site", Text),
    Column("customer", Text),
    Column("platform", String(20), nullable=False),
    Column("transport", String(20), nullable=False),
    Column("outcome", String(20)),
    Column("error", JSON(none_as_null=True)),
    Column("hint", JSON(none_as_null=True)),
    Column("error_kind", Text, nullable=False),
    Column("started_at", Moment),
    Column("ended_at", Moment),
    Column("evidence_digest", String(64)),
    Column("diagnosis_digest", String(64)),
    Column("denied_root", Text, nullable=False),
    Column("diagnosis", LargeBinary),
    Column("pruned_at", Moment),
    Column("change", String(20)),
    Column("flags", JSON, nullable=False, server_default="[]"),
    Column("target", JSON(none_as_null=True)),
    UniqueConstraint("run", "host"),
    Index(None, "host", "ended_at"),
)

JOURNAL = Table(
    "journal",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("run", String(40), nullable=False),
    Column("position", Integer, nullable=False),
    Column("event", String(20), nullable=False),
    Column("step", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("data", JSON, nullable=False),
    Column("stdout", LargeBinary, nullable=False),
    Column("stderr", LargeBinary, nullable=False),
    Column("script_digest", String(64)),
    ForeignKeyConstraint(["run", "position"], ["host_run.run", "host_run.position"], ondelete="CASCADE"),
    Index(None, "run", "position"),
)

PLAN_SCRIPT = Table(
    "plan_script",
    TABLES,
    Column("run", String(40), ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("script", LargeBinary, nullable=False),
)

SAMPLE = Table(
    "sample",
    TABLES,
    Column("run", String(40), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("evidence_digest", String(64), nullable=False),
    Column("diagnosis_digest", String(64), nullable=False),
    Column("diagnosis", LargeBinary, nullable=False),
    Column("pruned_at", Moment),
    ForeignKeyConstraint(["run", "position"], ["host_run.run", "host_run.position"], ondelete="CASCADE"),
)

LEASE = Table(
    "lease",
    TABLES,
    Column("host", Text, primary_key=True),
    Column("token", BigInteger, nullable=False),
    Column("run", String(40), nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("customer", Text),
    Column("since", Moment, nullable=False),
    Column("held", Boolean, nullable=False),
    Index(None, "run"),
)

HOLD = Table(
    "hold",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("host", Text, nullable=False),
    Column("customer", Text),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", Moment, nullable=False),
    Column("until", Moment),
    Column("removed_at", Moment),
    Column("removed_by", Text, nullable=False),
    Column("site", Text),
    Index(None, "host"),
)

FREEZE = Table(
    "freeze",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("scope", String(20), nullable=False),
    Column("name", Text),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", Moment, nullable=False),
    Column("until", Moment),
    Column("removed_at", Moment),
    Column("removed_by", Text, nullable=False),
)

MUTE = Table(
    "mute",
    TABLES,
    Column("run", String(40), ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("wave", Integer, primary_key=True),
    Column("hook", Text, primary_key=True),
    Column("state", String(20), nullable=False),
    Column("reference", Text, nullable=False),
    Column("since", Moment, nullable=False),
    Column("until", Moment, nullable=False),
    Column("error", JSON(none_as_null=True)),
    Index(None, "state"),
)

APPROVAL = Table(
    "approval",
    TABLES,
    Column("run", String(40), ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("asked_by", Text, nullable=False),
    Column("bound", JSON, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("state", String(20), nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("decided_at", Moment),
    Column("reason", Text, nullable=False),
    Column("void", JSON(none_as_null=True)),
    Column("begun_as", String(40)),
)

CHECK_STATE = Table(
    "check_state",
    TABLES,
    Column("host", Text, primary_key=True),
    Column("check_id", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("severity", String(20), nullable=False),
    Column("since", Moment, nullable=False),
    Column("run", String(40), ForeignKey("run.id"), nullable=False),
    Column("customer", Text),
)

OUTBOX = Table(
    "outbox",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("run", String(40), ForeignKey("run.id"), nullable=False),
    Column("case_ref", Text, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("audience", String(20), nullable=False),
    Column("language", String(20), nullable=False),
    Column("state", String(20), nullable=False),
    Column("filename", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("customers", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("sent_at", Moment),
    UniqueConstraint("run", "case_ref", "kind", "audience", "language"),
    Index(None, "state"),
)

SUPPORT_CASE = Table(
    "support_case",
    TABLES,
    Column("ref", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("customer", Text),
    Column("actor", Text, nullable=False),
    Column("opened_at", Moment, nullable=False),
)

CASE_ATTACHMENT = Table(
    "case_attachment",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("case_ref", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("internal", Boolean, nullable=False),
    Column("comment", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("customer", Text),
    Column("attached_at", Moment, nullable=False),
    ForeignKeyConstraint(["case_ref"], ["support_case.ref"]),
    UniqueConstraint("case_ref", "filename", "digest"),
)

AUDIT = Table(
    "audit",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("run", String(40)),
    Column("case_ref", Text),
    Column("customers", JSON, nullable=False),
    Column("digests", JSON, nullable=False),
    Column("detail", Text, nullable=False),
    Column("salt", String(32), nullable=False, server_default=""),
    Column("content", String(64), nullable=False, server_default=""),
    Column("erased", JSON, nullable=False, server_default="{}"),
    Column("previous", String(64), nullable=False, server_default=""),
    Column("digest", String(64), nullable=False, server_default=""),
    Index(None, "run"),
)

AUDIT_HEAD = Table(
    "audit_head",
    TABLES,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False),
)
"""One row: the last line of the audit, written with it."""

DOOMED = Table(
    "doomed",
    TABLES,
    Column("what", String(20), primary_key=True),
    Column("name", Text, primary_key=True),
)
"""What a prune or an erasure has still to take off the disk: written with it, emptied when that is done."""
