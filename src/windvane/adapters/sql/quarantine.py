"""What was set aside, and counts that only grow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from windvane.adapters.sql import schema as t
from windvane.adapters.sql.counts import PLACE, CountRows
from windvane.ports.control_store import UnknownName
from windvane.ports.quarantine import (
    MAX_BODY_BYTES,
    MAX_BYTES,
    MAX_BYTES_OF_MODEL,
    MAX_ITEMS,
    MAX_ITEMS_OF_MODEL,
    MAX_MESSAGE,
    Counted,
    CountName,
    ItemKind,
    ItemStatus,
    Quarantined,
)

_CHUNK = 500  # values of one IN


class QuarantineRows(CountRows):
    def add_quarantined(self, items: Sequence[Quarantined]) -> list[str]:
        if not items:
            return []
        q = t.quarantine.c
        there = self.held_of([item.id for item in items])
        room = _Room(
            self.all(
                sa.select(q.model, sa.func.count(), sa.func.sum(sa.func.length(q.body))).group_by(
                    q.model
                )
            )
        )
        counts: dict[Counted, int] = {}
        rows: dict[str, Quarantined] = {}
        for item in items:
            if item.id not in there and item.id not in rows:
                counted = Counted(CountName.QUARANTINED, item.kind, item.reason)
                counts[counted] = counts.get(counted, 0) + 1
                if not room.take(item):
                    beyond = Counted(CountName.NOT_HELD, item.kind, item.reason)
                    counts[beyond] = counts.get(beyond, 0) + 1
                    continue
            rows[item.id] = item
        self.put(t.quarantine, [_row(item) for item in rows.values()])
        self.add_counts(counts)
        return list(rows)

    def quarantined(self, model: str = "", kind: str = "", limit: int = 100) -> list[Quarantined]:
        q = t.quarantine.c
        columns = [sa.literal(b"").label("body") if c.name == "body" else c for c in q]
        found = sa.select(*columns)
        if model:
            found = found.where(q.model == model)
        if kind:
            found = found.where(q.kind == kind)
        return [
            Quarantined(*row) for row in self.all(found.order_by(q.at.desc(), q.id).limit(limit))
        ]

    def held_of(self, items: Sequence[str]) -> set[str]:
        q = t.quarantine.c
        return {
            row.id
            for ids in _chunks(items)
            for row in self.all(sa.select(q.id).where(q.id.in_(ids)))
        }

    def quarantined_item(self, item: str) -> Quarantined:
        row = self.one(sa.select(t.quarantine).where(t.quarantine.c.id == item))
        if row is None:
            hint = "`windvane quarantine list` shows what is held"
            raise UnknownName(f"nothing is held under {item[:80]!r}", hint=hint)
        return Quarantined(*row)

    def quarantine_sizes(self) -> Mapping[str, int]:
        model = t.quarantine.c.model  # by its index: no body is read
        found = sa.select(model, sa.func.count()).group_by(model).order_by(model)
        return {row[0]: row[1] for row in self.all(found)}

    def retry_quarantined(self, items: Sequence[str]) -> int:
        q = t.quarantine.c
        place = first = self.next_place()
        for ids in _chunks(items):
            held = sa.select(q.id).where(
                q.id.in_(ids), q.status == ItemStatus.HELD, q.size > 0, q.size <= MAX_BODY_BYTES
            )
            for row in self.all(held.order_by(q.at, q.id)):
                changed = {"status": ItemStatus.RETRY.value, "place": place}
                self._c.execute(sa.update(t.quarantine).where(q.id == row.id).values(changed))
                place += 1
        self.add_counts({PLACE: place - first})
        return place - first

    def retrying(self, limit_bytes: int, kind: ItemKind) -> list[Quarantined]:
        q = t.quarantine.c
        marked = self.all(
            sa.select(q.id, q.size)
            .where(q.status == ItemStatus.RETRY, q.kind == kind)
            .order_by(q.place)
        )
        wanted: list[str] = []
        for row in marked:
            limit_bytes -= row.size
            if wanted and limit_bytes < 0:
                break
            wanted.append(row.id)
        found = [
            Quarantined(*row)
            for ids in _chunks(wanted)
            for row in self.all(sa.select(t.quarantine).where(q.id.in_(ids)))
        ]
        return sorted(found, key=lambda item: item.place)

    def next_place(self) -> int:
        c = t.recorded_counts.c
        row = self.one(sa.select(c.total).where(c.name == PLACE.name))
        return 1 + (0 if row is None else row.total)

    def drop_quarantined(self, items: Sequence[str]) -> int:
        gone = 0
        for ids in _chunks(items):
            where = t.quarantine.c.id.in_(ids)
            gone += self._c.execute(sa.delete(t.quarantine).where(where)).rowcount
        return gone


class _Room:
    """What may still be held, of each model and in all."""

    def __init__(self, held: Sequence[Any]) -> None:
        self._of = {model: (items, size or 0) for model, items, size in held}
        self._items = sum(items for items, _ in self._of.values())
        self._bytes = sum(size for _, size in self._of.values())

    def take(self, item: Quarantined) -> bool:
        size = min(len(item.body), MAX_BODY_BYTES)
        items, held = self._of.get(item.model, (0, 0))
        if (
            items >= MAX_ITEMS_OF_MODEL
            or held + size > MAX_BYTES_OF_MODEL
            or self._items >= MAX_ITEMS
            or self._bytes + size > MAX_BYTES
        ):
            return False
        self._of[item.model] = (items + 1, held + size)
        self._items += 1
        self._bytes += size
        return True


def _row(item: Quarantined) -> dict[str, Any]:
    """What was set aside may hold anything; PostgreSQL's texts hold no NUL, nor half a pair."""
    cut = replace(item, message=item.message[:MAX_MESSAGE])
    texts = {
        name: value.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
        for name in t.quarantine.c.keys()  # noqa: SIM118
        if isinstance(value := getattr(cut, name), str)
    }
    others = {"at": item.at, "size": item.size, "place": item.place}
    return {**texts, **others, "body": item.body[:MAX_BODY_BYTES]}


def _chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(values), _CHUNK):
        yield values[begin : begin + _CHUNK]
