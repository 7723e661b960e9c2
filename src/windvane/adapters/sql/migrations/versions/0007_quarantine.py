"""the quarantine, counts that survive restarts, and when each spool was last seen"""

import time

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("spool_marks") as batch:
        batch.add_column(sa.Column("seen_at", sa.Double(), nullable=True))
        batch.add_column(sa.Column("lost_bytes", sa.BigInteger(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("dropped", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("spool_marks") as batch:
        batch.alter_column("lost_bytes", server_default=None, existing_type=sa.BigInteger())
        batch.alter_column("dropped", server_default=None, existing_type=sa.Boolean())
    # A spool that is gone already expires too, but the others have the time to be seen first.
    marks = sa.table("spool_marks", sa.column("seen_at"))
    op.get_bind().execute(sa.update(marks).values(seen_at=time.time()))
    op.create_table(
        "quarantine",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
    )
    with op.batch_alter_table("quarantine") as batch:
        batch.create_index("ix_quarantine_model_at", ["model", "at"], unique=False)
        batch.create_index("ix_quarantine_status_place", ["status", "place"], unique=False)
    op.create_table(
        "recorded_counts",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "subject", "reason", name=op.f("pk_recorded_counts")),
    )
