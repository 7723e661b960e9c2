"""What every group of methods shares: a connection, an upsert, and JSON."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

T = TypeVar("T")
_AT_ONCE = 450  # SQLite takes 500 parts of one query
_FETCHED = 200  # rows at one time
_COUNTED = {"preserve_rowcount": True}  # psycopg would say -1 of an insert


def dump(record: Any) -> str:
    return msgspec.json.encode(record, order="sorted").decode()


def load(body: str, kind: type[T]) -> T:
    return msgspec.json.decode(body.encode(), type=kind)


def _insert_of(dialect: str) -> Any:
    """Each dialect's own, which is imported only where it is spoken."""
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert

        return insert
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert


def pack(record: Any) -> bytes:
    """JSON that is large, and of which there is much: a tenth of its size."""
    return zlib.compress(dump(record).encode(), 3)


def unpack(body: bytes) -> Any:
    return msgspec.json.decode(zlib.decompress(body))


class Rows:
    """One transaction's connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._c = connection
        self._insert = _insert_of(connection.dialect.name)

    def put(
        self,
        table: sa.Table,
        values: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        keep: bool = False,
    ) -> int:
        """Insert; on an equal primary key overwrite, or leave it where ``keep``.

        Returns the rows written.
        """
        insert = self._insert(table)
        keys = [column.name for column in table.primary_key]
        rest = {c.name: insert.excluded[c.name] for c in table.columns if c.name not in keys}
        clause = (
            insert.on_conflict_do_nothing(index_elements=keys)
            if keep
            else insert.on_conflict_do_update(index_elements=keys, set_=rest)
        )
        rows = [values] if isinstance(values, Mapping) else list(values)
        if len(rows) == 1:
            return self._c.execute(clause, rows[0], execution_options=_COUNTED).rowcount
        if rows:
            self._c.execute(clause, rows)
        return len(rows)

    def one(self, select: sa.Executable) -> Any | None:
        return self._c.execute(select).first()

    def of_each(self, selects: Sequence[sa.Select[*tuple[Any, ...]]]) -> Iterator[Any]:
        """The rows of all, read as they are taken. One query for ``_AT_ONCE`` of them: each finds
        its rows by an index, which one condition on all of them would not."""
        for begin in range(0, len(selects), _AT_ONCE):
            parts = [sa.select(one.subquery()) for one in selects[begin : begin + _AT_ONCE]]
            whole = sa.union_all(*parts)
            with self._c.execute(whole, execution_options={"yield_per": _FETCHED}) as found:
                yield from found

    def all(self, select: sa.Executable) -> Sequence[Any]:
        return self._c.execute(select).all()
