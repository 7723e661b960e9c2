"""each model's route is stored by itself, so that a change makes no other anew"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "routes",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("model", name=op.f("pk_routes")),
    )
    connection = op.get_bind()
    tables = sa.table("routing_tables", sa.column("seq"), sa.column("body"))
    latest = connection.execute(
        sa.select(tables.c.body).order_by(tables.c.seq.desc()).limit(1)
    ).scalar_one_or_none()
    routes = sa.table("routes", sa.column("model"), sa.column("body"))
    for model, route in (json.loads(latest)["models"] if latest else {}).items():
        body = json.dumps(route, sort_keys=True)
        connection.execute(sa.insert(routes).values(model=model, body=body))
