"""Decisions, the outbox, incidents and leases."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from windvane.adapters.sql import schema as t
from windvane.adapters.sql.rows import Rows, dump, load
from windvane.core.journal import Decision, outbox_key
from windvane.ports.control_store import (
    Incident,
    IncidentNote,
    LeaseLost,
    OutboxItem,
    UnknownName,
)


class DecisionRows(Rows):
    def decide(self, decision: Decision) -> bool:
        row = {
            "id": decision.id,
            "model": decision.model,
            "at": decision.at,
            "body": dump(decision),
        }
        if not self.put(t.decisions, row, keep=True):
            return False
        effects = [
            {
                "key": outbox_key(decision.id, i),
                "kind": effect.kind,
                "body": dump(effect.body),
                "attempts": 0,
                "due": 0.0,
                "error": "",
            }
            for i, effect in enumerate(decision.effects)
        ]
        if effects:
            self._c.execute(sa.insert(t.outbox), effects)
        return True

    def decision(self, decision_id: str) -> Decision:
        row = self.one(sa.select(t.decisions.c.body).where(t.decisions.c.id == decision_id))
        if row is None:
            hint = "`windvane status --json` lists the latest decisions"
            raise UnknownName(f"no decision {decision_id!r}", hint=hint)
        return load(row.body, Decision)

    def decisions(self, model: str, limit: int) -> list[Decision]:
        found = sa.select(t.decisions.c.body)
        if model:
            found = found.where(t.decisions.c.model == model)
        found = found.order_by(t.decisions.c.at.desc(), t.decisions.c.id).limit(limit)
        return [load(row.body, Decision) for row in self.all(found)]

    def due_effects(self, wall: float, limit: int) -> list[OutboxItem]:
        c = t.outbox.c
        found = sa.select(c.key, c.kind, c.body, c.attempts).where(c.done.is_(None), c.due <= wall)
        return [
            OutboxItem(key, kind, msgspec.json.decode(body), attempts)
            for key, kind, body, attempts in self.all(found.order_by(c.due, c.seq).limit(limit))
        ]

    def effect_done(self, key: str, wall: float) -> None:
        where = t.outbox.c.key == key
        self._c.execute(sa.update(t.outbox).where(where).values(done=wall, error=""))

    def effect_failed(self, key: str, error: str, retry_at: float) -> None:
        c = t.outbox.c
        values = {"attempts": c.attempts + 1, "due": retry_at, "error": error[:500]}
        self._c.execute(sa.update(t.outbox).where(c.key == key).values(values))

    def put_incident(self, incident: Incident) -> None:
        self.put(
            t.incidents,
            {
                "id": incident.id,
                "model": incident.model,
                "cause": incident.cause,
                "opened_at": incident.opened_at,
                "closed_at": incident.closed_at,
                "body": dump(incident),
            },
        )

    def open_incident(self, model: str, cause: str) -> Incident | None:
        c = t.incidents.c
        row = self.one(
            sa.select(c.body).where(c.model == model, c.cause == cause, c.closed_at.is_(None))
        )
        return None if row is None else load(row.body, Incident)

    def open_incidents(self, model: str = "") -> list[Incident]:
        c = t.incidents.c
        found = sa.select(c.body).where(c.closed_at.is_(None))
        if model:
            found = found.where(c.model == model)
        return [load(row.body, Incident) for row in self.all(found.order_by(c.opened_at, c.id))]

    def incident(self, incident_id: str) -> Incident:
        row = self.one(sa.select(t.incidents.c.body).where(t.incidents.c.id == incident_id))
        if row is None:
            hint = "`windvane incidents` lists them"
            raise UnknownName(f"no incident {incident_id!r}", hint=hint)
        return load(row.body, Incident)

    def incidents(self, model: str, limit: int) -> list[Incident]:
        found = sa.select(t.incidents.c.body)
        if model:
            found = found.where(t.incidents.c.model == model)
        found = found.order_by(t.incidents.c.opened_at.desc(), t.incidents.c.id).limit(limit)
        return [load(row.body, Incident) for row in self.all(found)]

    def add_note(self, incident_id: str, note: IncidentNote) -> None:
        values = {"incident": incident_id, **msgspec.to_builtins(note)}
        self._c.execute(sa.insert(t.incident_notes).values(values))

    def notes(self, incident_id: str) -> list[IncidentNote]:
        c = t.incident_notes.c
        found = sa.select(c.at, c.what, c.decision).where(c.incident == incident_id)
        return [IncidentNote(*row) for row in self.all(found.order_by(c.at, c.id))]


class LeaseRows(Rows):
    def acquire(self, name: str, holder: str, wall: float, ttl: float) -> int | None:
        c = t.leases.c
        self.put(t.leases, {"name": name, "holder": "", "token": 0, "expires": 0.0}, keep=True)
        row = self._c.execute(sa.select(t.leases).where(c.name == name).with_for_update()).one()
        if row.holder != holder and row.expires > wall:
            return None
        token = row.token if row.holder == holder and row.expires > wall else row.token + 1
        values = {"holder": holder, "token": token, "expires": wall + ttl}
        self._c.execute(sa.update(t.leases).where(c.name == name).values(values))
        return int(token)

    def require(self, name: str, token: int) -> None:
        where = t.leases.c.name == name
        held = self._c.execute(
            sa.select(t.leases.c.token).where(where).with_for_update()
        ).scalar_one_or_none()
        if held != token:
            raise LeaseLost(f"lease {name!r} has token {held}, this steward holds {token}")
