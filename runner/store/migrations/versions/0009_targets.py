"""Host runs know what their host was when they began, as digests; of those from before only what stands in their columns."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what a host was when its run began."""
    op.add_column("host_run", sa.Column("target", sa.JSON(none_as_null=True), nullable=True))
