"""Holds know the site of their host; of those from before it is unknown, and a role for some sites does not cover them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add where a host that is held lies."""
    op.add_column("hold", sa.Column("site", sa.Text(), nullable=True))
