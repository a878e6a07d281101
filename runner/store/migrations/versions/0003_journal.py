"""Runs that change something: what was done, what was seen before and after, and who may change which host."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the journal, the samples, the leases, and what became of each host."""
    op.add_column("host_run", sa.Column("change", sa.String(length=20), nullable=True))
    op.add_column("host_run", sa.Column("flags", sa.JSON(), server_default="[]", nullable=False))
    op.create_table(
        "journal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run", sa.String(length=40), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("event", sa.String(length=20), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("stdout", sa.LargeBinary(), nullable=False),
        sa.Column("stderr", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run", "position"],
            ["host_run.run", "host_run.position"],
            name=op.f("fk_journal_host_run"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal")),
    )
    op.create_index(op.f("ix_journal_run_position"), "journal", ["run", "position"], unique=False)
    op.create_table(
        "lease",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("run", sa.String(length=40), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_lease")),
    )
    op.create_index(op.f("ix_lease_run"), "lease", ["run"], unique=False)
    op.create_table(
        "sample",
        sa.Column("run", sa.String(length=40), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("evidence_digest", sa.String(length=64), nullable=False),
        sa.Column("diagnosis_digest", sa.String(length=64), nullable=False),
        sa.Column("diagnosis", sa.LargeBinary(), nullable=False),
        sa.Column("pruned_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["run", "position"],
            ["host_run.run", "host_run.position"],
            name=op.f("fk_sample_host_run"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run", "position", "number", name=op.f("pk_sample")),
    )
