"""silences; versions are found by their manifest and files without reading them all"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "silences",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_silences")),
    )
    op.create_index(op.f("ix_silences_model"), "silences", ["model"])
    names = {"manifest": sa.String(), "artifact": sa.String(), "layout_id": sa.Text()}
    for name, kind in names.items():
        op.add_column("versions", sa.Column(name, kind, nullable=False, server_default=""))
    connection = op.get_bind()
    versions = sa.table("versions", *(sa.column(n) for n in ("model", "version", "body", *names)))
    c = versions.c
    for row in connection.execute(sa.select(c.model, c.version, c.body)).all():
        body = json.loads(row.body)
        mine = (c.model == row.model) & (c.version == row.version)
        values = {name: body[name] for name in names}
        connection.execute(sa.update(versions).where(mine).values(values))
    for name in ("manifest", "artifact"):
        op.create_index(op.f(f"ix_versions_{name}"), "versions", [name])
