"""Window sketches, spool checkpoints and verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any

import msgspec
import sqlalchemy as sa

from windvane.adapters.sql import schema as t
from windvane.adapters.sql.rows import Rows, dump, load, pack, unpack
from windvane.core.sketch import Sketch
from windvane.ports.control_store import (
    Checkpoint,
    WindowKey,
    WindowVerdict,
)
from windvane.ports.segments import SegmentKey

_CHUNK = 500  # keys of one query
_key_of = attrgetter("model", "start", "version", "arm", "tenant", "recorder")
_segment_of = attrgetter("model", "start", "segment", "recorder")


class WindowRows(Rows):
    def checkpoints(self) -> list[Checkpoint]:
        found = self.all(sa.select(t.spool_marks).order_by("spool"))
        return [
            Checkpoint(**{**row._mapping, "passed": load(row.passed, tuple[tuple[int, int], ...])})
            for row in found
        ]

    def set_checkpoint(self, checkpoint: Checkpoint) -> None:
        values = {**msgspec.to_builtins(checkpoint), "passed": dump(checkpoint.passed)}
        self.put(t.spool_marks, values)

    def add_sketches(self, sketches: Mapping[WindowKey, Sketch]) -> None:
        added = {(*_key_of(key), sketch.layout_id): sketch for key, sketch in sketches.items()}
        self._merge(t.window_sketches, added)

    def add_segments(self, sketches: Sequence[tuple[SegmentKey, Sketch]]) -> None:
        added = {(*_segment_of(key), s.layout_id): s for key, s in sketches}
        self._merge(t.segment_sketches, added)

    def segments_of(
        self, models: Sequence[str], start: float, end: float
    ) -> list[tuple[SegmentKey, Sketch]]:
        c = t.segment_sketches.c
        found = sa.select(t.segment_sketches).where(
            c.model.in_(models), c.start >= start, c.start < end
        )
        order = (c.model, c.start, c.segment, c.recorder, c.layout_id)
        return [
            (SegmentKey(r.model, r.start, r.segment, r.recorder), Sketch.from_bytes(r.sketch))
            for r in self.all(found.order_by(*order))
        ]

    def _merge(self, table: sa.Table, added: Mapping[tuple[Any, ...], Sketch]) -> None:
        """Add to the rows of a table whose keys these are."""
        columns = [*table.primary_key]
        names = [column.name for column in columns]
        for begin in range(0, len(added), _CHUNK):
            chunk = dict(islice(added.items(), begin, begin + _CHUNK))
            found = sa.select(*columns, table.c.sketch).where(sa.tuple_(*columns).in_(list(chunk)))
            found = found.with_for_update()  # the steward may roll an old one up meanwhile
            for *key, body in self.all(found):
                chunk[tuple(key)] = Sketch.from_bytes(body) + chunk[tuple(key)]
            self.put(
                table,
                [
                    {**dict(zip(names, key, strict=True)), "sketch": sketch.to_bytes()}
                    for key, sketch in chunk.items()
                ],
            )

    def sketches(self, model: str, start: float, end: float) -> list[tuple[WindowKey, Sketch]]:
        c = t.window_sketches.c
        found = sa.select(t.window_sketches).where(
            c.model == model, c.start >= start, c.start < end
        )
        order = (c.start, c.version, c.arm, c.tenant, c.recorder, c.layout_id)
        return [_keyed(r) for r in self.all(found.order_by(*order))]

    def sketches_of(
        self, models: Sequence[str], start: float, end: float
    ) -> list[tuple[WindowKey, Sketch]]:
        c = t.window_sketches.c
        found = sa.select(t.window_sketches).where(
            c.model.in_(models), c.start >= start, c.start < end
        )
        order = (c.model, c.start, c.version, c.arm, c.tenant, c.recorder, c.layout_id)
        return [_keyed(r) for r in self.all(found.order_by(*order))]

    def sketches_since(self, since: Mapping[str, float]) -> Iterator[tuple[WindowKey, Sketch]]:
        c = t.window_sketches.c
        found = sa.select(t.window_sketches)
        parts = [found.where(c.model == model, c.start >= at) for model, at in since.items()]
        return (_keyed(row) for row in self.of_each(parts))

    def add_verdicts(self, verdicts: Sequence[WindowVerdict]) -> None:
        self.put(
            t.window_verdicts,
            [{**msgspec.to_builtins(v), "detail": pack(v.detail)} for v in verdicts],
        )

    def verdicts(
        self,
        model: str,
        monitor: str,
        since: float,
        limit: int,
        until: float = math.inf,
        *,
        subject: str | None = None,
    ) -> list[WindowVerdict]:
        c = t.window_verdicts.c
        found = sa.select(t.window_verdicts).where(c.model == model, c.start >= since)
        if until < math.inf:
            found = found.where(c.start < until)
        if monitor:
            found = found.where(c.monitor == monitor)
        if subject is not None:
            found = found.where(c.subject == subject)
        found = found.order_by(c.start.desc(), c.monitor, c.subject).limit(limit)
        return [_verdict(row) for row in self.all(found)]

    def newest_verdicts(
        self, models: Sequence[str], monitors: Sequence[str], limit: int
    ) -> list[WindowVerdict]:
        c = t.window_verdicts.c
        found = sa.select(t.window_verdicts).order_by(c.start.desc(), c.subject).limit(limit)
        rows = self.of_each(
            [found.where(c.model == m, c.monitor == by) for m in models for by in monitors]
        )
        return sorted(map(_verdict, rows), key=lambda v: (-v.start, v.model, v.monitor, v.subject))

    def verdict_heads(self, models: Sequence[str], limit: int) -> list[WindowVerdict]:
        c = t.window_verdicts.c
        columns = (c.model, c.start, c.monitor, c.subject, c.outcome, c.code, c.sentence)
        # A model's own come before its tenants', of which there may be more than ``limit``.
        order = (c.start.desc(), c.subject != "", c.monitor, c.subject)
        found = sa.select(*columns).order_by(*order).limit(limit)
        return list(map(_head, self.of_each([found.where(c.model == m) for m in models])))


def _head(row: Any) -> WindowVerdict:
    return WindowVerdict(
        row.model, row.start, row.monitor, row.subject, row.outcome, row.code, row.sentence, {}
    )


def _verdict(row: Any) -> WindowVerdict:
    return WindowVerdict(
        row.model, row.start, row.monitor, row.subject, row.outcome, row.code, row.sentence,
        unpack(row.detail),
    )  # fmt: skip


def _keyed(row: Any) -> tuple[WindowKey, Sketch]:
    key = WindowKey(row.model, row.start, row.version, row.arm, row.tenant, row.recorder)
    return key, Sketch.from_bytes(row.sketch)
