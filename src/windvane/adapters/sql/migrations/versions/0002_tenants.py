"""keys with scopes, limits, trust and the record of access"""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tenant_limits",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "model", name=op.f("pk_tenant_limits")),
    )
    op.create_table(
        "trusted_manifests",
        sa.Column("manifest", sa.String(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("manifest", name=op.f("pk_trusted_manifests")),
    )
    op.create_table(
        "access",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("hour", sa.Double(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("first", sa.Double(), nullable=False),
        sa.Column("last", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key", "model", "action", "hour", name=op.f("pk_access")),
    )
    with op.batch_alter_table("access") as batch:
        batch.create_index("ix_access_last", ["last"], unique=False)
    with op.batch_alter_table("api_keys") as batch:
        batch.add_column(sa.Column("body", sa.Text(), nullable=False, server_default=""))
    with op.batch_alter_table("api_keys") as batch:
        batch.alter_column("body", server_default=None, existing_type=sa.Text())
    held = sa.table(
        "api_keys",
        *(sa.column(n) for n in ("digest", "tenant", "name", "created_at", "body")),
    )
    connection = op.get_bind()
    for row in connection.execute(sa.select(held)).all():
        # Keys from before scopes keep what they could do; their id follows from their hash.
        entry = {
            "digest": row.digest, "tenant": row.tenant, "scopes": ["predict", "outcomes"],
            "id": hashlib.sha256(row.digest.encode()).hexdigest()[:8],
            "expires_at": None, "api_version": "",
        }
        body = {"entry": entry, "name": row.name, "created_at": row.created_at, "revoked_at": None}
        connection.execute(
            sa.update(held)
            .where(held.c.digest == row.digest)
            .values(body=json.dumps(body, sort_keys=True))
        )
