"""The control store on SQLite (WAL) or PostgreSQL, by SQLAlchemy core."""

from windvane.adapters.sql.copies import SqlControlCopies
from windvane.adapters.sql.store import SqlControlStore

__all__ = ["SqlControlCopies", "SqlControlStore"]
