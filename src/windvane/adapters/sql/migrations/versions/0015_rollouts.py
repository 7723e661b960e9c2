"""rollouts with their stages, and what happened to units by the first time it did"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rollouts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("started", sa.Double(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollouts")),
    )
    op.create_index("ix_rollouts_model_started", "rollouts", ["model", "started"])
    op.create_table(
        "rollout_first_requests",
        sa.Column("rollout", sa.String(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("arm", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("slow", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "rollout", "step", "unit", name=op.f("pk_rollout_first_requests")
        ),
    )  # fmt: skip
    op.create_table(
        "rollout_unit_events",
        sa.Column("rollout", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("slice", sa.String(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("arm", sa.Text(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint(
            "rollout", "what", "slice", "unit", name=op.f("pk_rollout_unit_events")
        ),
    )  # fmt: skip
    # Of units of one arm, each by its first failure in that arm: evidence that could be wrong.
    op.drop_table("rollout_units")
