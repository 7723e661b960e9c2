"""Decisions, the outbox, incidents and leases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from windvane.adapters.sql import schema as t
from windvane.adapters.sql.counts import CountRows
from windvane.adapters.sql.rows import Rows, dump, load
from windvane.core.journal import Decision, outbox_key
from windvane.ports.control_store import Incident, IncidentNote, OutboxItem, Silence, UnknownName
from windvane.ports.leases import Lease, LeaseLost
from windvane.ports.quarantine import Counted, CountName


class DecisionRows(CountRows):
    def decide(self, decision: Decision) -> bool:
        row = {
            "id": decision.id,
            "model": decision.model,
            "at": decision.at,
            "body": dump(decision),
        }
        if not self.put(t.decisions, row, keep=True):
            return False
        self.add_counts({Counted(CountName.DECISIONS, decision.model, decision.action): 1})
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

    def claim_effects(
        self, kinds: Sequence[str], wall: float, limit: int, for_s: float
    ) -> list[OutboxItem]:
        c = t.outbox.c
        found = (
            sa.select(c.key, c.kind, c.body, c.attempts)
            .where(c.done.is_(None), c.due <= wall, c.kind.in_(kinds))
            .order_by(c.due, c.seq)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        items = [
            OutboxItem(key, kind, msgspec.json.decode(body), attempts)
            for key, kind, body, attempts in self.all(found)
        ]
        if items:
            mine = c.key.in_([item.key for item in items])
            self._c.execute(sa.update(t.outbox).where(mine).values(due=wall + for_s))
        return items

    def effect_done(self, key: str, wall: float) -> None:
        where = t.outbox.c.key == key
        self._c.execute(sa.update(t.outbox).where(where).values(done=wall, error=""))

    def effect_failed(self, key: str, error: str, retry_at: float) -> None:
        c = t.outbox.c
        values = {"attempts": c.attempts + 1, "due": retry_at, "error": error[:500]}
        self._c.execute(sa.update(t.outbox).where(c.key == key).values(values))

    def postpone_effect(self, key: str, body: Mapping[str, Any], due: float) -> None:
        values = {"body": dump(body), "due": due, "attempts": 0}
        self._c.execute(sa.update(t.outbox).where(t.outbox.c.key == key).values(values))

    def put_silence(self, silence: Silence) -> None:
        row = {"id": silence.id, "model": silence.model, "until": silence.until}
        self.put(t.silences, {**row, "body": dump(silence)})

    def drop_silence(self, silence_id: str) -> None:
        self._c.execute(sa.delete(t.silences).where(t.silences.c.id == silence_id))

    def silences(self, wall: float, model: str = "") -> list[Silence]:
        c = t.silences.c
        found = sa.select(c.body).where(c.until > wall)
        if model:
            found = found.where(c.model.in_([model, ""]))
        return [load(row.body, Silence) for row in self.all(found.order_by(c.until.desc(), c.id))]

    def prune_silences(self, wall: float) -> None:
        self._c.execute(sa.delete(t.silences).where(t.silences.c.until <= wall))

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

    def count_incidents(self, model: str, cause: str) -> int:
        c = t.incidents.c
        mine = (c.model == model) & (c.cause == cause)
        counted = sa.select(sa.func.count()).select_from(t.incidents).where(mine)
        return int(self._c.execute(counted).scalar_one())

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
    def acquire(self, name: str, holder: str, ttl: float) -> int | None:
        c = t.leases.c
        self.put(t.leases, {"name": name, "holder": "", "token": 0, "expires": 0.0}, keep=True)
        row = self._c.execute(sa.select(t.leases).where(c.name == name).with_for_update()).one()
        now = self._now()
        if row.holder != holder and row.expires > now:
            return None
        token = row.token if row.holder == holder and row.expires > now else row.token + 1
        values = {"holder": holder, "token": token, "expires": now + ttl}
        self._c.execute(sa.update(t.leases).where(c.name == name).values(values))
        return int(token)

    def release(self, name: str, token: int) -> None:
        mine = (t.leases.c.name == name) & (t.leases.c.token == token)
        self._c.execute(sa.update(t.leases).where(mine).values(expires=0.0))

    def leases(self, prefix: str) -> list[Lease]:
        c = t.leases.c
        found = sa.select(t.leases).where(c.name.startswith(prefix, autoescape=True))
        now = self._now()
        return [
            Lease(r.name, r.holder, int(r.token), r.expires > now)
            for r in self.all(found.order_by(c.name))
        ]

    def forget_leases(self, prefix: str, dead_for_s: float) -> None:
        c = t.leases.c
        dead = c.name.startswith(prefix, autoescape=True) & (c.expires < self._now() - dead_for_s)
        self._c.execute(sa.delete(t.leases).where(dead))

    def require(self, name: str, token: int) -> None:
        where = t.leases.c.name == name
        held = self._c.execute(
            sa.select(t.leases.c.token).where(where).with_for_update(read=True)
        ).scalar_one_or_none()
        if held != token:
            raise LeaseLost(f"lease {name!r} has token {held}, this steward holds {token}")

    def _now(self) -> float:
        """Seconds since the epoch by the database's clock."""
        clock = (
            "SELECT extract(epoch FROM clock_timestamp())"
            if self._c.dialect.name == "postgresql"
            else "SELECT (julianday('now') - 2440587.5) * 86400.0"
        )
        return float(self._c.exec_driver_sql(clock).scalar_one())
