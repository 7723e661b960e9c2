"""what monitors carry is a row a subject; incidents name the findings that still sound in them"""

import json
import zlib

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_MONITORS = {"features": "sudden_shift", "drift": "training_drift"}
_MEMBER_OF = {
    "feed": "sudden_shift", "tenant": "refusals", "errors": "errors",
    "outcomes": "outcomes", "training_drift": "training_drift",
}


def upgrade() -> None:
    op.create_table(
        "monitor_states",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("monitor", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("alarmed", sa.Boolean(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("model", "monitor", "subject", name=op.f("pk_monitor_states")),
    )
    with op.batch_alter_table("monitor_states") as batch:
        batch.create_index("ix_monitor_states_alarmed_at", ["alarmed", "at"], unique=False)
    op.create_table(
        "judged_windows",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("began", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model", name=op.f("pk_judged_windows")),
    )
    connection = op.get_bind()
    views = _views(connection)
    incidents = sa.table("incidents", *(sa.column(n) for n in ("id", "cause", "closed_at", "body")))
    below: dict[str, float] = {}
    for row in connection.execute(sa.select(incidents).where(incidents.c.closed_at.is_(None))).all():
        body = json.loads(row.body)
        monitor = _MEMBER_OF.get(body["kind"])
        if body["kind"] == "outcomes":
            below[body["model"]] = body["since"]
        if monitor is not None:
            body["members"] = [f"{monitor}/{row.cause}"]
            body["sources"] = [row.cause.partition(":")[2]] if body["kind"] == "feed" else []
            connection.execute(
                sa.update(incidents).where(incidents.c.id == row.id)
                .values(body=json.dumps(body, sort_keys=True))
            )
    _move_states(connection, views, below)
    op.drop_table("steward_states")
    _name_monitors(connection)


def _views(connection) -> dict[str, dict[str, str]]:
    """Each model's sources by feature, as the last contract of it has them."""
    out: dict[str, dict[str, str]] = {}
    contracts = sa.table("contracts", sa.column("model"), sa.column("body"))
    for row in connection.execute(sa.select(contracts)).all():
        for spec in json.loads(row.body)["features"]:
            out.setdefault(row.model, {})[spec["name"]] = spec["view"]
    return out


def _move_states(connection, views, below) -> None:
    held = sa.table("steward_states", sa.column("model"), sa.column("body"))
    states = sa.table(
        "monitor_states",
        *(sa.column(n) for n in ("model", "monitor", "subject", "at", "body")),
        sa.column("alarmed", sa.Boolean),
    )
    done = sa.table(
        "judged_windows", *(sa.column(n) for n in ("model", "began", "until", "due_at", "revision"))
    )
    for row in connection.execute(sa.select(held)).all():
        body = json.loads(row.body)
        until = body.get("judged_until", 0.0)
        since = body.get("training_drift_from", 0.0)
        if until:
            # Due at once: the model's file says when really.
            connection.execute(sa.insert(done).values(
                model=row.model, began=since or until, until=until, due_at=0.0, revision=0
            ))
        rows: list[tuple[str, str, bool, dict]] = []
        sources: dict[str, dict] = {}
        for stream, state in body.get("sudden_shift", {}).items():
            view = views.get(row.model, {}).get(stream.rpartition("/")[0])
            if view is not None:
                sources.setdefault(view, {"streams": {}, "excluded": []})["streams"][stream] = state
        for view, spans in body.get("excluded", {}).items():
            sources.setdefault(view, {"streams": {}, "excluded": []})["excluded"] = spans
        for view, source in sources.items():
            began = [
                s["since"] for s in source["streams"].values()
                if s.get("alarmed") and s.get("since") is not None
            ]
            rows.append(("sudden_shift", view, bool(began),
                         {**source, "since": min(began) if began else None}))
        for tenant, state in body.get("refusals", {}).items():
            rows.append(("refusals", tenant, bool(state.get("alarmed")), state))
        if body.get("errors"):
            rows.append(("errors", "", bool(body["errors"].get("alarmed")), body["errors"]))
        streams = body.get("training_drift", {})
        if streams or since:
            rows.append(("training_drift", "", any(s.get("alarmed") for s in streams.values()),
                         {"streams": streams, "since": since}))
            rows.append(("outcomes", "", row.model in below,
                         {"since": since, "below_since": below.get(row.model)}))
        for monitor, subject, alarmed, state in rows:
            connection.execute(sa.insert(states).values(
                model=row.model, monitor=monitor, subject=subject, at=until, alarmed=alarmed,
                body=json.dumps(state, sort_keys=True),
            ))


def _name_monitors(connection) -> None:
    """A verdict's subject becomes the monitor and what it is about. The key changes, so the table
    is made anew."""
    op.rename_table("window_verdicts", "window_verdicts_before")
    columns = ("outcome", "code", "sentence")
    op.create_table(
        "window_verdicts",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("start", sa.Double(), nullable=False),
        sa.Column("monitor", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in columns),
        sa.Column("detail", sa.LargeBinary(), nullable=False),
    )
    names = ("model", "start", "subject", *columns, "detail")
    before = sa.table("window_verdicts_before", *(sa.column(n) for n in names))
    after = sa.table(
        "window_verdicts",
        *(sa.column(n) for n in ("model", "start", "monitor", "subject", *columns)),
        sa.column("detail", sa.LargeBinary),
    )
    found = connection.execute(sa.select(before).order_by(before.c.model, before.c.start)).all()
    for begin in range(0, len(found), 1_000):
        rows = [_named(row._asdict()) for row in found[begin : begin + 1_000]]
        connection.execute(sa.insert(after), rows)
    op.drop_table("window_verdicts_before")
    with op.batch_alter_table("window_verdicts") as batch:
        batch.create_primary_key("pk_window_verdicts", ["model", "start", "monitor", "subject"])


def _named(row: dict) -> dict:
    subject = row["subject"]
    tenant = subject.removeprefix("tenant ") if subject.startswith("tenant ") else ""
    monitor = "refusals" if tenant else _MONITORS.get(subject, subject)
    detail = zlib.compress(row["detail"].encode(), 3)
    return {**row, "monitor": monitor, "subject": tenant, "detail": detail}
