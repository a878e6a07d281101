"""Pruning and erasing: what is gone says so, and what is still to be taken off the disk is known."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the marks of what is gone, and the table of what is still to go."""
    op.add_column("run", sa.Column("erased_hosts", sa.Integer(), server_default="0", nullable=False))
    op.add_column("host_run", sa.Column("pruned_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "doomed",
        sa.Column("what", sa.String(length=20), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("what", "name", name=op.f("pk_doomed")),
    )
