"""Scripts of plans: kept once for all hosts of a run that would be sent the same, and named by their digest."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the scripts, and which one a line of the journal is about."""
    op.add_column("journal", sa.Column("script_digest", sa.String(length=64), nullable=True))
    op.create_table(
        "plan_script",
        sa.Column("run", sa.String(length=40), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("script", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["run.id"], name=op.f("fk_plan_script_run"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run", "digest", name=op.f("pk_plan_script")),
    )
