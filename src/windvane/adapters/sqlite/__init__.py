"""SQLite as a file that the gateway's workers of one machine share."""

from windvane.adapters.sqlite.idempotency import SqliteIdempotency

__all__ = ["SqliteIdempotency"]
