"""Keys, limits, trust, and the record of who called what."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter, itemgetter

import sqlalchemy as sa

from windvane.adapters.sql import schema as t
from windvane.adapters.sql.rows import Rows, dump, load
from windvane.core.routing import TenantLimit
from windvane.ports.control_store import Access, KeyRecord, Trust


class TenantRows(Rows):
    def put_key(self, key: KeyRecord) -> None:
        self.put(
            t.api_keys,
            {
                "digest": key.entry.digest,
                "tenant": key.entry.tenant,
                "name": key.name,
                "created_at": key.created_at,
                "body": dump(key),
            },
        )

    def key_records(self) -> list[KeyRecord]:
        found = sa.select(t.api_keys.c.body).order_by(t.api_keys.c.created_at, t.api_keys.c.digest)
        return [load(row.body, KeyRecord) for row in self.all(found)]

    def find_key(self, digest: str) -> KeyRecord | None:
        row = self.one(sa.select(t.api_keys.c.body).where(t.api_keys.c.digest == digest))
        return None if row is None else load(row.body, KeyRecord)

    def put_limit(self, limit: TenantLimit) -> None:
        if not limit.rate and not limit.concurrent:
            lines = t.tenant_limits
            mine = (lines.c.tenant == limit.tenant) & (lines.c.model == limit.model)
            self._c.execute(sa.delete(lines).where(mine))
            return
        row = {"tenant": limit.tenant, "model": limit.model, "body": dump(limit)}
        self.put(t.tenant_limits, row)

    def limits(self) -> list[TenantLimit]:
        found = sa.select(t.tenant_limits.c.body).order_by("tenant", "model")
        return [load(row.body, TenantLimit) for row in self.all(found)]

    def put_trust(self, trust: Trust) -> None:
        row = {"manifest": trust.manifest, "at": trust.at, "body": dump(trust)}
        self.put(t.trusted_manifests, row)

    def drop_trust(self, manifest: str) -> None:
        held = t.trusted_manifests
        self._c.execute(sa.delete(held).where(held.c.manifest == manifest))

    def trusted(self) -> list[Trust]:
        found = sa.select(t.trusted_manifests.c.body).order_by("at", "manifest")
        return [load(row.body, Trust) for row in self.all(found)]

    def add_access(self, seen: Sequence[Access]) -> None:
        if not seen:
            return
        insert = self._insert(t.access)
        least = sa.func.least if self._c.dialect.name == "postgresql" else sa.func.min
        most = sa.func.greatest if self._c.dialect.name == "postgresql" else sa.func.max
        clause = insert.on_conflict_do_update(
            index_elements=[column.name for column in t.access.primary_key],
            set_={
                "calls": t.access.c.calls + insert.excluded.calls,
                "first": least(t.access.c.first, insert.excluded.first),
                "last": most(t.access.c.last, insert.excluded.last),
            },
        )
        names = [column.name for column in t.access.columns]
        values_of = attrgetter(*names)
        # In one order, so that two writers never wait for each other.
        rows = sorted(map(values_of, seen), key=itemgetter(slice(5)))
        self._c.execute(clause, [dict(zip(names, row, strict=True)) for row in rows])

    def access(self, tenant: str, since: float, limit: int) -> list[Access]:
        found = sa.select(t.access).where(t.access.c.last >= since)
        if tenant:
            found = found.where(t.access.c.tenant == tenant)
        newest = found.order_by(t.access.c.last.desc(), *t.access.primary_key).limit(limit)
        return [Access(*row) for row in self.all(newest)]
