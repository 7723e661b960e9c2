"""what of a spool the log is not to have, and what was given up when a spool was gone"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("spool_marks") as batch:
        batch.add_column(sa.Column("passed", sa.String(), nullable=False, server_default="[]"))
        batch.add_column(
            sa.Column("unlogged_lost", sa.BigInteger(), nullable=False, server_default="0")
        )
