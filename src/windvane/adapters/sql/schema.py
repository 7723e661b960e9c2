"""The tables. JSON is kept as text, so that both dialects hold the same bytes."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _table(name: str, *columns: sa.Column[object] | sa.Index) -> sa.Table:
    return sa.Table(name, metadata, *columns)


def _key(name: str, kind: type[sa.types.TypeEngine[Any]] = sa.String) -> sa.Column[object]:
    return sa.Column(name, kind, primary_key=True)


def _text(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Text, nullable=False)


def _float(name: str, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Double, nullable=nullable)


def _int(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger, nullable=False)


models = _table("models", _key("name"), _text("text"), _float("applied_at"))
layouts = _table("layouts", _key("id"), _text("body"))
contracts = _table("contracts", _key("id"), _text("model"), _text("body"))
versions = _table(
    "versions",
    _key("model"),
    _key("version"),
    _text("body"),
    sa.Column("baseline", sa.LargeBinary, nullable=False),
    _float("created_at"),
    sa.Column("manifest", sa.String, nullable=False, index=True, server_default=sa.text("''")),
    sa.Column("artifact", sa.String, nullable=False, index=True, server_default=sa.text("''")),
    sa.Column("layout_id", sa.Text, nullable=False, server_default=sa.text("''")),
)
api_keys = _table(
    "api_keys",
    _key("digest"),
    _text("tenant"),
    _text("name"),
    _float("created_at"),
    _text("body"),
)
tenant_limits = _table("tenant_limits", _key("tenant"), _key("model"), _text("body"))
trusted_manifests = _table("trusted_manifests", _key("manifest"), _float("at"), _text("body"))
access = _table(
    "access",
    _key("tenant"),
    _key("key"),
    _key("model"),
    _key("action"),
    _key("hour", sa.Double),
    _int("calls"),
    _float("first"),
    _float("last"),
    sa.Index("ix_access_last", "last"),
)
deployments = _table("deployments", _key("model"), _text("body"))
routing_tables = _table(
    "routing_tables",
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    _text("body"),
)
routes = _table("routes", _key("model"), _text("body"))
spool_marks = _table(
    "spool_marks",
    _key("spool"),
    _int("position"),
    _float("watermark"),
    _float("seen_at", nullable=True),
    _int("lost_bytes"),
    sa.Column("dropped", sa.Boolean, nullable=False),
    sa.Column("logged", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("passed", sa.String, nullable=False, server_default="[]"),
    sa.Column("unlogged_lost", sa.BigInteger, nullable=False, server_default="0"),
)
quarantine = _table(
    "quarantine",
    _key("id"),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("model", sa.String, nullable=False),
    _text("tenant"),
    _float("at"),
    _text("reason"),
    _text("message"),
    sa.Column("body", sa.LargeBinary, nullable=False),
    _int("size"),
    _text("source"),
    sa.Column("status", sa.String, nullable=False),
    _int("place"),
    sa.Index("ix_quarantine_model_at", "model", "at"),
    sa.Index("ix_quarantine_status_place", "status", "place"),
)
recorded_counts = _table(
    "recorded_counts", _key("name"), _key("subject"), _key("reason"), _int("total")
)
window_sketches = _table(
    "window_sketches",
    _key("model"),
    _key("start", sa.Double),
    _key("version"),
    _key("arm"),
    _key("tenant"),
    _key("recorder"),
    _key("layout_id"),
    sa.Column("sketch", sa.LargeBinary, nullable=False),
)
segment_sketches = _table(
    "segment_sketches",
    _key("model"),
    _key("start", sa.Double),
    _key("segment"),
    _key("recorder"),
    _key("layout_id"),
    sa.Column("sketch", sa.LargeBinary, nullable=False),
)
rollouts = _table(
    "rollouts",
    _key("id"),
    sa.Column("model", sa.String, nullable=False),
    _float("started"),
    _text("body"),
    sa.Index("ix_rollouts_model_started", "model", "started"),
)
rollout_first_requests = _table(
    "rollout_first_requests",
    _key("rollout"),
    _key("step", sa.BigInteger),
    _key("unit"),
    _text("tenant"),
    _text("arm"),
    _float("at"),
    _int("failed"),
    _int("slow"),
)
rollout_unit_events = _table(
    "rollout_unit_events",
    _key("rollout"),
    _key("what"),
    _key("slice"),
    _key("unit"),
    _text("tenant"),
    _text("arm"),
    _int("step"),
    _float("at"),
)
window_verdicts = _table(
    "window_verdicts",
    _key("model"),
    _key("start", sa.Double),
    _key("monitor"),
    _key("subject"),
    _text("outcome"),
    _text("code"),
    _text("sentence"),
    sa.Column("detail", sa.LargeBinary, nullable=False),
)
monitor_states = _table(
    "monitor_states",
    _key("model"),
    _key("monitor"),
    _key("subject"),
    _float("at"),
    sa.Column("alarmed", sa.Boolean, nullable=False),
    _text("body"),
    sa.Index("ix_monitor_states_alarmed_at", "alarmed", "at"),
)
learned_states = _table(
    "learned_states",
    _key("model"),
    _key("monitor"),
    _key("subject"),
    sa.Column("packed", sa.LargeBinary, nullable=False),
)
judged_windows = _table(
    "judged_windows",
    _key("model"),
    _float("began"),
    _float("until"),
    _float("due_at"),
    _int("revision"),
)
decisions = _table(
    "decisions",
    _key("id"),
    sa.Column("model", sa.String, nullable=False),
    _float("at"),
    _text("body"),
    sa.Index("ix_decisions_model_at", "model", "at"),
)
outbox = _table(
    "outbox",
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("key", sa.String, nullable=False, unique=True),
    _text("kind"),
    _text("body"),
    _int("attempts"),
    _float("due"),
    _float("done", nullable=True),
    _text("error"),
    sa.Index("ix_outbox_done_due", "done", "due"),
)
incidents = _table(
    "incidents",
    _key("id"),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("cause", sa.String, nullable=False),
    _float("opened_at"),
    _float("closed_at", nullable=True),
    _text("body"),
    sa.Index("ix_incidents_model_cause", "model", "cause"),
)
incident_notes = _table(
    "incident_notes",
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("incident", sa.String, nullable=False, index=True),
    _float("at"),
    _text("what"),
    _text("decision"),
)
action_items = _table(
    "action_items",
    _key("id"),
    sa.Column("model", sa.String, nullable=False, index=True),
    sa.Column("incident", sa.String, nullable=False, index=True),
    sa.Column("state", sa.String, nullable=False),
    _float("due"),
    _text("body"),
)
silences = _table(
    "silences",
    _key("id"),
    sa.Column("model", sa.String, nullable=False, index=True),
    _float("until"),
    _text("body"),
)
leases = _table("leases", _key("name"), _text("holder"), _int("token"), _float("expires"))
users = _table("users", _key("name"), _float("created_at"), _text("body"))
sessions = _table(
    "sessions",
    _key("digest"),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("user_name", sa.String, nullable=False),
    _float("created_at"),
    _float("expires_at"),
    _text("body"),
    sa.Index("ix_sessions_kind_user", "kind", "user_name"),
    sa.Index("ix_sessions_expires", "expires_at"),
)
