"""the steward's state and the incidents speak of training drift and sudden shift"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STATE_KEYS = {
    "breaks": "sudden_shift",
    "seasons": "training_drift",
    "seasons_from": "training_drift_from",
}


def upgrade() -> None:
    connection = op.get_bind()
    states = sa.table("steward_states", sa.column("model"), sa.column("body"))
    for row in connection.execute(sa.select(states)).all():
        state = {_STATE_KEYS.get(key, key): value for key, value in json.loads(row.body).items()}
        connection.execute(
            sa.update(states)
            .where(states.c.model == row.model)
            .values(body=json.dumps(state, sort_keys=True))
        )
    incidents = sa.table("incidents", *(sa.column(n) for n in ("id", "cause", "body")))
    old = sa.select(incidents).where(incidents.c.cause.like("season:%"))
    for row in connection.execute(old).all():
        # An incident keeps its id, which people have written down.
        cause = "training_drift:" + row.cause.removeprefix("season:")
        body = {**json.loads(row.body), "cause": cause, "kind": "training_drift"}
        connection.execute(
            sa.update(incidents)
            .where(incidents.c.id == row.id)
            .values(cause=cause, body=json.dumps(body, sort_keys=True))
        )
