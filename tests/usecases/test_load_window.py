"""What a judge is given of a window: its own past, without the times when a feed was broken."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from usecases.harness import FILE, MODEL, START, WINDOW_S, Harness, columns

from windvane.core.drift import StreamState
from windvane.ports.control_store import Checkpoint
from windvane.usecases.load_window import (
    DRIFT_SALT,
    SHIFT_SALT,
    ClosedWindow,
    StewardState,
    WindowCache,
    broken_since,
    load_window,
)

RECENT = 30


def load(
    harness: Harness,
    index: int,
    cache: WindowCache | None = None,
    state: StewardState | None = None,
) -> ClosedWindow:
    """Window ``index`` as if all before it were judged."""
    state = state or StewardState()
    state.judged_until = START + WINDOW_S * index
    with harness.store.begin() as tx:
        tx.put_steward_state(MODEL, msgspec.to_builtins(state))
        found = load_window(tx, MODEL, cache or WindowCache())
    assert found is not None
    return found[0]


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
    assert one.seed(SHIFT_SALT) == again.seed(SHIFT_SALT)
    assert len({one.seed(SHIFT_SALT), one.seed(DRIFT_SALT), other.seed(SHIFT_SALT)}) == 3


def rows(window: ClosedWindow, state: StewardState, feature: str) -> int:
    return int(window.references(state)[feature].sum())


def test_the_past_is_the_recent_windows_before_it(busy: Harness) -> None:
    assert rows(load(busy, 35), StewardState(), "temp") == 60 * RECENT
    assert rows(load(busy, 35), StewardState(), "distance") == 60 * RECENT


def test_training_windows_are_the_past_of_the_first_day(busy: Harness) -> None:
    assert rows(load(busy, 0), StewardState(), "temp") == 60 * RECENT
    assert rows(load(busy, 10), StewardState(), "temp") == 60 * RECENT


def test_a_broken_views_past_ends_where_the_break_began(busy: Harness) -> None:
    state = StewardState(
        sudden_shift={"temp/nulls": StreamState(since=START + WINDOW_S * 30, alarmed=True)}
    )
    window = load(busy, 35, state=state)
    before = [columns(60, 1_000 + i) for i in range(30)]  # what traffic() sent
    expected = sum(busy.layout.count(rows_sent)[0] for rows_sent in before)
    assert np.array_equal(window.references(state)["temp"], window.layout.part(expected, "temp"))
    assert rows(window, state, "distance") == 60 * RECENT


def test_former_breaks_are_left_out(busy: Harness) -> None:
    span = (START + WINDOW_S * 10, START + WINDOW_S * 15)
    state = StewardState(excluded={"weather": [span]})
    window = load(busy, 35)
    assert rows(window, state, "temp") == 60 * (RECENT - 5)
    assert rows(window, state, "distance") == 60 * RECENT


def test_too_little_past_is_no_reference(busy: Harness) -> None:
    state = StewardState(excluded={"weather": [(START - 1e6, START + WINDOW_S * 33)]})
    window = load(busy, 35)
    assert "temp" not in window.references(state)
    assert "distance" in window.references(state)


def test_broken_since_is_the_earliest_of_a_view() -> None:
    state = StewardState(
        sudden_shift={
            "temp/nulls": StreamState(since=20.0, alarmed=True),
            "temp/values": StreamState(since=10.0, alarmed=True),
            "distance/nulls": StreamState(since=5.0, alarmed=False),
        }
    )
    assert broken_since({"temp": "weather", "distance": "plan"}, state) == {"weather": 10.0}


def test_a_cache_gives_what_the_store_gives(busy: Harness) -> None:
    cache = WindowCache()
    for i in range(31, 36):
        warm, cold = load(busy, i, cache), load(busy, i)
        for feature, counts in cold.references(StewardState()).items():
            assert np.array_equal(warm.references(StewardState())[feature], counts), (i, feature)


def test_grace_keeps_a_window_open(harness: Harness) -> None:
    harness.clock.at += 1
    harness.apply(FILE.replace("  window: 60s\n", "  window: 60s\n  grace: 30s\n"))
    harness.traffic(0)
    for seen, closed in ((60.0, False), (89.9, False), (90.0, True)):
        with harness.store.begin() as tx:
            tx.set_checkpoint(Checkpoint("m/w0", 0, START + seen))
            assert (load_window(tx, MODEL, WindowCache()) is not None) == closed
