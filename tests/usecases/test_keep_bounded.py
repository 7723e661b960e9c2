"""An installation of a month is as large as one of some days, and judges as before."""

from __future__ import annotations

from typing import Any

import pytest
from usecases.harness import FILE, MODEL, START, WINDOW_S, Harness
from usecases.timeline import QUIET, outcomes, play

from windvane.core.sketch import merge
from windvane.usecases.keep_bounded import keep_bounded
from windvane.usecases.load_windows import WindowCache
from windvane.usecases.read_settings import Retention

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")
DAY = 86_400.0


def tidy(harness: Harness, retention: Retention, within_s: float = 60.0) -> int:
    return keep_bounded(harness.store, harness.clock, retention, within_s)


def sketches(harness: Harness) -> list[Any]:
    with harness.store.read() as tx:
        return tx.sketches(MODEL, 0.0, float("inf"))


def test_sums_stay_and_rows_become_few(harness: Harness) -> None:
    play(harness, [QUIET] * 30)
    before = merge(s for _, s in sketches(harness))
    held = len(sketches(harness))
    harness.clock.at = START + 5 * DAY
    assert tidy(harness, Retention(windows=1.0, details=1.0)) > held
    assert merge(s for _, s in sketches(harness)) == before
    assert len(sketches(harness)) == 2  # one an hour and tenant
    with harness.store.read() as tx:
        assert all(v.detail == {} for v in tx.verdicts(MODEL, "", 0.0, 1_000))
    assert tidy(harness, Retention(windows=1.0, details=1.0)) == 0


def test_what_the_monitors_still_compare_with_is_not_rolled_up(harness: Harness) -> None:
    """``recent`` is half an hour here, in blocks of a window: an hour would straddle many."""
    play(harness, [QUIET] * 30)
    tidy(harness, Retention(windows=0.0001, details=0.0001))
    assert len(sketches(harness)) == 60
    harness.cache = WindowCache()  # another steward reads the past again
    play(harness, [QUIET] * 3, first=30)
    assert set(outcomes(harness, "sudden_shift")) == {"P"}


def test_a_step_ends_in_time(harness: Harness) -> None:
    for i in range(40):
        harness.traffic(i)
    harness.clock.at = START + 5 * DAY
    ticks = iter(range(1_000))
    keep_bounded(
        harness.store, harness.clock, Retention(windows=1.0), 2.0, lambda: float(next(ticks))
    )
    assert next(ticks) < 20


def test_a_model_whose_file_cannot_be_read_keeps_everything(harness: Harness) -> None:
    play(harness, [QUIET] * 3)
    with harness.store.begin() as tx:
        record = tx.model(MODEL)
        tx.put_model(type(record)(MODEL, FILE.replace("60s", "60 s s"), 1.0))
    harness.clock.at = START + 500 * DAY
    tidy(harness, Retention(windows=1.0, sketches=2.0))
    assert len(sketches(harness)) == 6
    assert WINDOW_S == 60.0
