"""The audit is a chain: a line has the digests of the one before and of its own content; old lines are chained as they are."""

import sqlalchemy as sa
from alembic import op

from runner.store.audit_log import Head, chained
from runner.store.encoding import audit_row, found, kept, line_columns

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_CHAIN = ("salt", "content", "erased", "previous", "digest")


def upgrade() -> None:
    """Add what chains the lines, and chain those that are there, by their numbers."""
    op.add_column("audit", sa.Column("salt", sa.String(length=32), server_default="", nullable=False))
    op.add_column("audit", sa.Column("content", sa.String(length=64), server_default="", nullable=False))
    op.add_column("audit", sa.Column("erased", sa.JSON(), server_default="{}", nullable=False))
    op.add_column("audit", sa.Column("previous", sa.String(length=64), server_default="", nullable=False))
    op.add_column("audit", sa.Column("digest", sa.String(length=64), server_default="", nullable=False))
    op.create_table(
        "audit_head",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_head")),
    )
    connection = op.get_bind()
    head = Head()
    for columns in connection.exec_driver_sql("SELECT * FROM audit ORDER BY id").mappings().all():
        row = audit_row(found("audit", dict(columns)))
        line = chained(Head(number=columns["id"] - 1, digest=head.digest), row)
        values = kept(line_columns(line))
        assigned = ", ".join(f"{name} = ?" for name in _CHAIN)
        given = (*(values[name] for name in _CHAIN), line.number)
        connection.exec_driver_sql(f"UPDATE audit SET {assigned} WHERE id = ?", given)  # noqa: S608 - our names
        head = Head(number=line.number, digest=line.digest)
    if head != Head():
        connection.exec_driver_sql("INSERT INTO audit_head VALUES (?, ?)", (head.number, head.digest))
