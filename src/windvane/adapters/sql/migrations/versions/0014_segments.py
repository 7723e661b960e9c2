"""counts of declared segments"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "segment_sketches",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("start", sa.Double(), nullable=False),
        sa.Column("segment", sa.String(), nullable=False),
        sa.Column("recorder", sa.String(), nullable=False),
        sa.Column("layout_id", sa.String(), nullable=False),
        sa.Column("sketch", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "model", "start", "segment", "recorder", "layout_id",
            name=op.f("pk_segment_sketches"),
        ),
    )  # fmt: skip
