"""how far the log has each spool, apart from how far it is counted"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("spool_marks") as batch:
        batch.add_column(sa.Column("logged", sa.BigInteger(), nullable=False, server_default="0"))
    # So far the log had each batch before it was counted.
    marks = sa.table("spool_marks", sa.column("logged"), sa.column("position"))
    op.get_bind().execute(sa.update(marks).values(logged=marks.c.position))
