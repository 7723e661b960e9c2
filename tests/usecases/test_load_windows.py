"""What a judge is given of a window: its own past, without the times when a feed was broken."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
import pytest
from usecases.harness import FILE, MODEL, START, WINDOW_S, Harness, columns

from windvane.core.drift import StreamState
from windvane.ports.control_store import Checkpoint, MonitorState, Progress, Tx
from windvane.usecases.closed_window import ClosedWindow
from windvane.usecases.load_windows import WindowCache, load_windows
from windvane.usecases.monitors import sudden_shift, training_drift
from windvane.usecases.monitors.sudden_shift import SourceState, references

RECENT = 30


Sources = Mapping[str, SourceState]


def watermark(tx: Tx) -> float:
    return min(c.watermark for c in tx.checkpoints())


def load(
    harness: Harness, index: int, cache: WindowCache | None = None, sources: Sources | None = None
) -> ClosedWindow:
    """Window ``index`` as if all before it were judged."""
    at = START + WINDOW_S * index
    with harness.store.begin() as tx:
        tx.put_progress([Progress(MODEL, START, at, 0.0)])
        tx.put_monitor_states(
            [
                MonitorState(
                    MODEL, "sudden_shift", view, at, state.alarmed, msgspec.to_builtins(state)
                )
                for view, state in (sources or {}).items()
            ]
        )
        (due,) = load_windows(tx, [MODEL], cache or WindowCache(), watermark(tx)).windows
    return due.window


@pytest.fixture
def busy(harness: Harness) -> Harness:
    """Forty windows of traffic."""
    for i in range(40):
        harness.traffic(i)
    return harness


def test_a_window_knows_itself(busy: Harness) -> None:
    window = load(busy, 7)
    assert (window.start, window.end) == (START + 420.0, START + 480.0)
    assert {key.tenant for key, _ in window.sketches} == {"AA", "UA"}
    assert window.views == {"distance": "plan", "carrier": "plan", "temp": "weather"}
    total = sum(sketch.features for _, sketch in window.sketches)
    assert np.array_equal(window.counts, total)


def test_seeds_follow_from_the_window(busy: Harness) -> None:
    one, again, other = load(busy, 7), load(busy, 7), load(busy, 8)
    assert one.seed(sudden_shift.SALT) == again.seed(sudden_shift.SALT)
    assert (
        len(
            {
                one.seed(sudden_shift.SALT),
                one.seed(training_drift.SALT),
                other.seed(sudden_shift.SALT),
            }
        )
        == 3
    )


def rows(window: ClosedWindow, sources: Sources, feature: str) -> int:
    return int(references(window, sources)[feature].sum())


def test_the_past_is_the_recent_windows_before_it(busy: Harness) -> None:
    assert rows(load(busy, 35), {}, "temp") == 60 * RECENT
    assert rows(load(busy, 35), {}, "distance") == 60 * RECENT


def test_training_windows_are_the_past_of_the_first_day(busy: Harness) -> None:
    assert rows(load(busy, 0), {}, "temp") == 60 * RECENT
    assert rows(load(busy, 10), {}, "temp") == 60 * RECENT


def test_a_broken_views_past_ends_where_the_break_began(busy: Harness) -> None:
    began = StreamState(since=START + WINDOW_S * 30, alarmed=True)
    state = {"weather": SourceState({"temp/nulls": began})}
    window = load(busy, 35, sources=state)
    before = [columns(60, 1_000 + i) for i in range(30)]  # what traffic() sent
    expected = sum(busy.layout.count(rows_sent)[0] for rows_sent in before)
    assert np.array_equal(references(window, state)["temp"], window.layout.part(expected, "temp"))
    assert rows(window, state, "distance") == 60 * RECENT


def test_former_breaks_are_left_out(busy: Harness) -> None:
    span = (START + WINDOW_S * 10, START + WINDOW_S * 15)
    state = {"weather": SourceState(excluded=(span,))}
    window = load(busy, 35)
    assert rows(window, state, "temp") == 60 * (RECENT - 5)
    assert rows(window, state, "distance") == 60 * RECENT


def test_too_little_past_is_no_reference(busy: Harness) -> None:
    state = {"weather": SourceState(excluded=((START - 1e6, START + WINDOW_S * 33),))}
    window = load(busy, 35)
    assert "temp" not in references(window, state)
    assert "distance" in references(window, state)


def test_a_source_is_broken_since_the_earliest_of_what_sounds() -> None:
    weather = SourceState(
        {
            "temp/nulls": StreamState(since=20.0, alarmed=True),
            "temp/values": StreamState(since=10.0, alarmed=True),
            "wind/values": StreamState(since=5.0, alarmed=False),
        }
    )
    assert weather.broken_since == 10.0
    assert SourceState({"a/nulls": StreamState(since=5.0)}).broken_since is None


def test_a_cache_gives_what_the_store_gives(busy: Harness) -> None:
    cache = WindowCache()
    for i in range(31, 36):
        warm, cold = load(busy, i, cache), load(busy, i)
        for feature, counts in references(cold, {}).items():
            assert np.array_equal(references(warm, {})[feature], counts), (i, feature)


def test_grace_keeps_a_window_open(harness: Harness) -> None:
    harness.clock.at += 1
    harness.apply(FILE.replace("  window: 60s\n", "  window: 60s\n  grace: 30s\n"))
    harness.traffic(0)
    for seen, closed in ((60.0, False), (89.9, False), (90.0, True)):
        with harness.store.begin() as tx:
            tx.set_checkpoint(Checkpoint("m/w0", 0, START + seen))
            assert bool(load_windows(tx, [MODEL], WindowCache(), watermark(tx)).windows) == closed
