"""What a judge is given of a window."""

from __future__ import annotations

import numpy as np
import pytest
from usecases.harness import FILE, MODEL, START, WINDOW_S, Harness

from windvane.ports.control_store import Checkpoint, Tx
from windvane.ports.judging import Progress
from windvane.usecases.closed_window import ClosedWindow
from windvane.usecases.load_windows import WindowCache, learned_from, load_windows
from windvane.usecases.monitors import sudden_shift


def watermark(tx: Tx) -> float:
    return min(c.watermark for c in tx.checkpoints())


def load(harness: Harness, index: int, cache: WindowCache | None = None) -> ClosedWindow:
    """Window ``index`` as if all before it were judged."""
    at = START + WINDOW_S * index
    with harness.store.begin() as tx:
        tx.put_progress([Progress(MODEL, START, at, 0.0)])
        loaded = load_windows(
            tx, [MODEL], cache or WindowCache(), watermark(tx), learned=learned_from(harness.store)
        )
        (due,) = loaded.windows
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
                one.seed("another"),
                other.seed(sudden_shift.SALT),
            }
        )
        == 3
    )


def test_grace_keeps_a_window_open(harness: Harness) -> None:
    harness.clock.at += 1
    harness.apply(FILE.replace("  window: 60s\n", "  window: 60s\n  grace: 30s\n"))
    harness.traffic(0)
    for seen, closed in ((60.0, False), (89.9, False), (90.0, True)):
        with harness.store.begin() as tx:
            tx.set_checkpoint(Checkpoint("m/w0", 0, START + seen))
            loaded = load_windows(
                tx, [MODEL], WindowCache(), watermark(tx), learned=learned_from(harness.store)
            )
            assert bool(loaded.windows) == closed
