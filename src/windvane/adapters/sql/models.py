"""Models, versions, deployments and routing tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
import sqlalchemy as sa

from windvane.adapters.sql import schema as t
from windvane.adapters.sql.rows import Rows, dump, load
from windvane.core.errors import did_you_mean
from windvane.core.routing import KeyEntry, ModelRoute, RoutingTable, TenantLimit
from windvane.core.sketch import Layout
from windvane.core.task import Contract
from windvane.ports.control_store import (
    Deployment,
    ModelRecord,
    UnknownName,
    VersionRecord,
)
from windvane.ports.quarantine import ItemKind

_PUBLISHER = 827362  # an advisory lock of the database
_TABLES = 100


# Not its contracts: another model may have one that is the same.
_OF_A_MODEL = (
    t.versions, t.deployments, t.routes, t.window_sketches, t.segment_sketches, t.window_verdicts,
    t.monitor_states, t.learned_states, t.judged_windows, t.incidents, t.action_items, t.silences,
    t.quarantine,
    t.tenant_limits, t.rollouts,
)  # fmt: skip


class _Table(msgspec.Struct, frozen=True):
    """A routing table of routes as they are stored."""

    seq: int
    models: dict[str, msgspec.Raw]
    keys: tuple[KeyEntry, ...]
    limits: tuple[TenantLimit, ...]


class ModelRows(Rows):
    def put_model(self, model: ModelRecord) -> None:
        self.put(t.models, {"name": model.name, "text": model.text, "applied_at": model.applied_at})

    def model(self, name: str) -> ModelRecord:
        row = self.one(sa.select(t.models).where(t.models.c.name == name))
        if row is None:
            known = [m.name for m in self.models()]
            raise UnknownName(f"no model {name!r}", hint=did_you_mean(name, known))
        return ModelRecord(*row)

    def models(self) -> list[ModelRecord]:
        return [ModelRecord(*row) for row in self.all(sa.select(t.models).order_by("name"))]

    def model_records(self, names: Sequence[str]) -> list[ModelRecord]:
        found = sa.select(t.models).where(t.models.c.name.in_(names)).order_by("name")
        return [ModelRecord(*row) for row in self.all(found)]

    def applied_at(self) -> Mapping[str, float]:
        found = self.all(sa.select(t.models.c.name, t.models.c.applied_at))
        return {row.name: row.applied_at for row in found}

    def put_layout(self, layout: Layout) -> None:
        self.put(t.layouts, {"id": layout.id, "body": dump(layout.to_dict())}, keep=True)

    def layout(self, layout_id: str) -> Layout:
        row = self.one(sa.select(t.layouts.c.body).where(t.layouts.c.id == layout_id))
        if row is None:
            raise UnknownName(f"no layout {layout_id!r}")
        return Layout.from_dict(msgspec.json.decode(row.body))

    def put_contract(self, model: str, contract: Contract) -> None:
        row = {"id": contract.id, "model": model, "body": dump(contract)}
        self.put(t.contracts, row, keep=True)

    def contract(self, contract_id: str) -> Contract:
        row = self.one(sa.select(t.contracts.c.body).where(t.contracts.c.id == contract_id))
        if row is None:
            raise UnknownName(f"no contract {contract_id!r}")
        return load(row.body, Contract)

    def version_layouts(self, model: str) -> Mapping[str, str]:
        c = t.versions.c
        rows = self.all(sa.select(c.version, c.layout_id).where(c.model == model))
        return {row.version: row.layout_id for row in rows}

    def add_version(self, version: VersionRecord) -> None:
        slim = {k: v for k, v in msgspec.to_builtins(version).items() if k != "baseline"}
        self.put(
            t.versions,
            {
                "model": version.model,
                "version": version.version,
                "body": dump(slim),
                "baseline": version.baseline,
                "created_at": version.created_at,
                "manifest": version.manifest,
                "artifact": version.artifact,
                "layout_id": version.layout_id,
            },
        )

    def drop_version(self, model: str, version: str) -> None:
        c = t.versions.c
        self._c.execute(sa.delete(t.versions).where(c.model == model, c.version == version))

    def drop_model(self, model: str) -> None:
        mine = sa.select(t.incidents.c.id).where(t.incidents.c.model == model)
        notes = t.incident_notes
        self._c.execute(sa.delete(notes).where(notes.c.incident.in_(mine)))
        held = sa.select(t.quarantine.c.source).where(
            t.quarantine.c.model == model, t.quarantine.c.kind == ItemKind.NOTIFICATION
        )
        self._c.execute(sa.delete(t.outbox).where(t.outbox.c.key.in_(held)))
        for table in _OF_A_MODEL:
            self._c.execute(sa.delete(table).where(table.c.model == model))
        self._c.execute(sa.delete(t.models).where(t.models.c.name == model))

    def version(self, model: str, version: str) -> VersionRecord:
        c = t.versions.c
        row = self.one(sa.select(t.versions).where(c.model == model, c.version == version))
        if row is not None:
            return _version(row.body, row.baseline)
        known = self.all(sa.select(c.version).where(c.model == model))
        hint = did_you_mean(version, [found.version for found in known])
        raise UnknownName(f"model {model!r} has no version {version!r}", hint=hint)

    def versions(self, model: str) -> list[VersionRecord]:
        where = sa.select(t.versions).where(t.versions.c.model == model)
        rows = self.all(where.order_by(t.versions.c.created_at, t.versions.c.version))
        return [_version(row.body, row.baseline) for row in rows]

    def version_summaries(self, model: str) -> list[VersionRecord]:
        c = t.versions.c
        found = sa.select(c.body).where(c.model == model).order_by(c.created_at, c.version)
        return [_version(row.body, b"") for row in self.all(found)]

    def version_summaries_of(self, models: Sequence[str]) -> Mapping[str, list[VersionRecord]]:
        c = t.versions.c
        found = sa.select(c.model, c.body).order_by(c.created_at, c.version)
        out: dict[str, list[VersionRecord]] = {}
        for row in self.of_each([found.where(c.model == model) for model in models]):
            out.setdefault(row.model, []).append(_version(row.body, b""))
        return out

    def deployment(self, model: str) -> Deployment | None:
        row = self.one(sa.select(t.deployments.c.body).where(t.deployments.c.model == model))
        return None if row is None else load(row.body, Deployment)

    def deployments(self, models: Sequence[str] = ()) -> list[Deployment]:
        found = sa.select(t.deployments.c.body).order_by(t.deployments.c.model)
        if models:
            found = found.where(t.deployments.c.model.in_(models))
        return [load(row.body, Deployment) for row in self.all(found)]

    def put_deployment(self, deployment: Deployment) -> None:
        self.put(t.deployments, {"model": deployment.model, "body": dump(deployment)})

    def drop_deployment(self, model: str) -> None:
        self._c.execute(sa.delete(t.deployments).where(t.deployments.c.model == model))

    def route(self, model: str) -> ModelRoute | None:
        row = self.one(sa.select(t.routes.c.body).where(t.routes.c.model == model))
        return None if row is None else msgspec.json.decode(row.body, type=ModelRoute)

    def put_routes(self, routes: Sequence[ModelRoute]) -> None:
        self.put(t.routes, [{"model": r.model, "body": dump(r)} for r in routes])

    def drop_route(self, model: str) -> None:
        self._c.execute(sa.delete(t.routes).where(t.routes.c.model == model))

    def versions_of(self, manifest: str) -> list[str]:
        c = t.versions.c
        found = sa.select(c.model).where(c.manifest == manifest).distinct().order_by(c.model)
        return [row.model for row in self.all(found)]

    def has_artifact(self, artifact: str) -> bool:
        c = t.versions.c
        return self.one(sa.select(c.model).where(c.artifact == artifact).limit(1)) is not None

    def add_routes(self, keys: Sequence[KeyEntry], limits: Sequence[TenantLimit]) -> int:
        if self._c.dialect.name == "postgresql":
            self._c.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_PUBLISHER})")
        held = self.all(sa.select(t.routes).order_by(t.routes.c.model))
        models = {row.model: msgspec.Raw(row.body.encode()) for row in held}
        seq = self._next_seq(0)
        table = _Table(seq, models, tuple(keys), tuple(limits))
        self._c.execute(sa.insert(t.routing_tables).values({"seq": seq, "body": dump(table)}))
        self._c.execute(sa.delete(t.routing_tables).where(t.routing_tables.c.seq <= seq - _TABLES))
        return seq

    def _next_seq(self, above: int) -> int:
        largest = self._c.execute(sa.select(sa.func.max(t.routing_tables.c.seq))).scalar_one()
        return max(above, largest or 0) + 1  # writers come one at a time

    def add_routing(self, table: RoutingTable, above: int = 0) -> int:
        seq = self._next_seq(above)
        row = {"seq": seq, "body": dump(replace(table, seq=seq))}
        self._c.execute(sa.insert(t.routing_tables).values(row))
        return seq

    def routing_seq(self) -> int | None:
        found: int | None = self._c.execute(
            sa.select(sa.func.max(t.routing_tables.c.seq))
        ).scalar_one()
        return found

    def routing(self, seq: int | None = None) -> RoutingTable | None:
        found = sa.select(t.routing_tables.c.body)
        if seq is not None:
            found = found.where(t.routing_tables.c.seq == seq)
        row = self.one(found.order_by(t.routing_tables.c.seq.desc()).limit(1))
        return None if row is None else load(row.body, RoutingTable)


def _version(body: str, baseline: bytes) -> VersionRecord:
    return msgspec.convert({**msgspec.json.decode(body), "baseline": baseline}, VersionRecord)
