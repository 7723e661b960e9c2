"""What can be read of a control database by who mends it: nothing is migrated or written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from windvane.adapters.sql import schema as t
from windvane.adapters.sql.store import SqlControlStore, schema_revisions


@dataclass(frozen=True, slots=True)
class LeaseHeld:
    """A lease: who holds it, and until when by the clock of its holders."""

    name: str
    holder: str
    expires: float


@dataclass(frozen=True, slots=True)
class Inspection:
    """``revision`` of its schema ("" for none yet), the ``newest`` one that this release knows,
    all leases, and the database's own time in seconds since the epoch."""

    revision: str
    newest: str
    known: tuple[str, ...]
    leases: tuple[LeaseHeld, ...]
    wall: float


def inspect_database(url: str) -> Inspection | None:
    """None where its file is not there yet. Raises StoreUnavailable."""
    known = tuple(schema_revisions())
    file = url.removeprefix("sqlite:///")
    if file != url and not Path(file).is_file():
        return None
    store = SqlControlStore(url)
    try:
        with store.look() as connection:
            inspector = sa.inspect(connection)
            revision = ""
            if inspector.has_table("alembic_version"):
                found = connection.execute(sa.text("SELECT version_num FROM alembic_version"))
                revision = str(found.scalar() or "")
            leases: tuple[LeaseHeld, ...] = ()
            if inspector.has_table(t.leases.name):
                rows = connection.execute(sa.select(t.leases).limit(1_000)).all()
                leases = tuple(LeaseHeld(r.name, r.holder, float(r.expires)) for r in rows)
            wall = connection.execute(sa.text(_NOW[connection.dialect.name])).scalar_one()
            return Inspection(revision, known[-1], known, leases, float(wall))
    finally:
        store.close()


_NOW = {
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
}
