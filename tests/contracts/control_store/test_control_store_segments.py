"""Counts of segments: merged by key, read by models and span, removed by age."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from windvane.adapters.sql import SqlControlStore
from windvane.core.sketch import Layout, NumericAxis, Sketch
from windvane.ports.retention import AgedRows
from windvane.ports.segments import SegmentKey

LAYOUT = Layout((NumericAxis("x", (0.0, 1.5)),))
OTHER = Layout((NumericAxis("x", (0.0, 2.5)),))
KEY = SegmentKey("delay", 60.0, "region=west", "r1")


def sketch(n: int, layout: Layout = LAYOUT) -> Sketch:
    empty = Sketch.empty(layout.id, layout.size)
    return replace(empty, features=np.full(layout.size, n, np.int64))


def test_what_is_added_twice_is_summed_under_its_own_layout(store: SqlControlStore) -> None:
    with store.begin() as tx:
        tx.add_segments([(KEY, sketch(2))])
        east = replace(KEY, segment="region=east")
        tx.add_segments([(KEY, sketch(3)), (KEY, sketch(7, OTHER)), (east, sketch(1))])
        tx.add_segments([])
    with store.read() as tx:
        found = tx.segments_of(["delay"], 60.0, 120.0)
    held = {(k.segment, s.layout_id): int(s.features[0]) for k, s in found}
    assert held == {
        ("region=west", LAYOUT.id): 5,
        ("region=west", OTHER.id): 7,
        ("region=east", LAYOUT.id): 1,
    }


def test_models_and_spans_are_apart(store: SqlControlStore) -> None:
    with store.begin() as tx:
        keys = [replace(KEY, model=m, start=s) for m in ("a", "b") for s in (0.0, 60.0, 120.0)]
        tx.add_segments([(key, sketch(1)) for key in keys])
    with store.read() as tx:
        found = [(k.model, k.start) for k, _ in tx.segments_of(["b", "a"], 60.0, 120.0)]
        assert found == [("a", 60.0), ("b", 60.0)]
        assert tx.segments_of([], 0.0, 1e9) == []


def test_old_ones_go_a_few_at_a_time(store: SqlControlStore) -> None:
    with store.begin() as tx:
        tx.add_segments([(replace(KEY, start=60.0 * i), sketch(1)) for i in range(10)])
        tx.add_segments([(replace(KEY, model="other", start=0.0), sketch(1))])
    with store.begin(["delay"]) as tx:
        gone = [tx.drop_aged(AgedRows.SEGMENTS, "delay", 300.0, 3) for _ in range(3)]
    assert gone == [3, 2, 0]
    with store.read() as tx:
        found = tx.segments_of(["delay", "other"], 0.0, 1e9)
    assert [(k.model, k.start) for k, _ in found] == [
        *(("delay", 60.0 * i) for i in range(5, 10)),
        ("other", 0.0),
    ]
