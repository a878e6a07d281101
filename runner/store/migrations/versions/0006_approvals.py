"""Repairs that wait for a second person: what was asked for, what somebody said to it."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of approvals."""
    op.create_table(
        "approval",
        sa.Column("run", sa.String(length=40), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("bound", sa.JSON(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("void", sa.JSON(), nullable=True),
        sa.Column("begun_as", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["run"], ["run.id"], name=op.f("fk_approval_run"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run", name=op.f("pk_approval")),
    )
