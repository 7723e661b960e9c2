"""SQLite as files that processes of one machine share."""

from windvane.adapters.sqlite.copies import SqliteCopies
from windvane.adapters.sqlite.idempotency import SqliteIdempotency

__all__ = ["SqliteCopies", "SqliteIdempotency"]
