"""An installation of a month is as large as one of some days, and judges as before."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Any

import pytest
from usecases.harness import FILE, MODEL, START, WINDOW_S, Harness
from usecases.timeline import QUIET, outcomes, play, verdicts

from windvane.core.sketch import merge
from windvane.ports.retention import AgedRows
from windvane.usecases.keep_bounded import Turn, keep_bounded, kept_for
from windvane.usecases.load_windows import WindowCache
from windvane.usecases.monitors import MONITORS
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.read_settings import Retention

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")
DAY = 86_400.0


def tidy(harness: Harness, retention: Retention, within_s: float = 60.0) -> int:
    return keep_bounded(harness.store, harness.clock, retention, within_s, Turn())


def sketches(harness: Harness) -> list[Any]:
    with harness.store.read() as tx:
        return tx.sketches(MODEL, 0.0, float("inf"))


def test_sums_stay_and_rows_become_few(harness: Harness) -> None:
    play(harness, [QUIET] * 65)
    before = merge(s for _, s in sketches(harness))
    held = len(sketches(harness))
    harness.clock.at = START + 5 * DAY
    assert tidy(harness, Retention(windows=1.0, details=1.0)) > held
    assert merge(s for _, s in sketches(harness)) == before
    assert len(sketches(harness)) == 2 + 2 * 5  # one an hour and tenant, and what is no whole hour
    with harness.store.read() as tx:
        detailed = [v.monitor for v in tx.verdicts(MODEL, "", 0.0, 1_000) if v.detail]
        looked = {m.name for m in MONITORS if m.slow} - {"truth_shift", "labels"}  # had no label
        assert sorted(detailed) == sorted(looked), "their newest look"
        counts = {c.subject: n for c, n in tx.counts().items() if c.name == "retention_rows"}
    assert counts["sketches rolled up"] > held - len(sketches(harness))
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
    play(harness, [QUIET] * 10)
    harness.clock.at = START + 5 * DAY
    ticks = iter(range(1_000))
    turn = Turn()
    keep_bounded(
        harness.store, harness.clock, Retention(windows=1.0), 2.0, turn,
        lambda: float(next(ticks)),
    )  # fmt: skip
    assert next(ticks) < 20


def test_a_look_without_a_successor_goes(harness: Harness) -> None:
    play(harness, [QUIET] * 22)
    harness.clock.at += 2 * DAY
    tidy(harness, Retention(verdicts=0.0001, details=0.0001))
    with harness.store.read() as tx:
        assert tx.verdicts(MODEL, "", 0.0, 1_000) == []


def test_what_is_not_judged_yet_is_left_however_old(harness: Harness) -> None:
    """A steward that was away for days judges window by window what was recorded meanwhile."""
    play(harness, [QUIET] * 3)
    for i in range(3, 40):
        harness.traffic(i)
    harness.clock.at = START + 500 * DAY
    tidy(harness, Retention(windows=1.0, sketches=2.0))
    for _ in range(3):
        assert harness.judge()
    judged = verdicts(harness, "sudden_shift")[-3:]
    assert [v.detail["rows"] for v in judged] == [60, 60, 60]


def test_what_is_not_reached_comes_first_the_next_time(harness: Harness) -> None:
    texts = [FILE.replace("model: delay", f"model: m{i}") for i in range(6)]
    with harness.store.begin() as tx:
        for i, text in enumerate(texts):
            tx.put_model(type(tx.model(MODEL))(f"m{i}", text, 1.0))
    turn, reached = Turn(), set[str]()
    for _ in range(8):
        counted = count()
        ticks = partial(next, counted)
        keep_bounded(harness.store, harness.clock, Retention(), 16.0, turn, ticks)  # type: ignore[arg-type]
        reached.add(turn.after)
    assert len(reached - {""}) > 3, "each call goes on where the one before ended"


def test_a_model_whose_file_cannot_be_read_keeps_what_is_kept_by_default(harness: Harness) -> None:
    play(harness, [QUIET] * 3)
    with harness.store.begin() as tx:
        record = tx.model(MODEL)
        tx.put_model(type(record)(MODEL, FILE.replace("60s", "60 s s"), 1.0))
    harness.clock.at = START + 500 * DAY
    tidy(harness, Retention(windows=1.0, sketches=2.0))
    assert len(sketches(harness)) == 6
    assert WINDOW_S == 60.0
    harness.clock.at = START + 801 * DAY
    tidy(harness, Retention(windows=1.0, sketches=2.0))
    assert sketches(harness) == [], "not for good: an installation is bounded"
    assert verdicts(harness, "sudden_shift") == []


def test_verdicts_are_kept_as_long_as_the_file_that_needs_them_longest() -> None:
    slow = read_model_file(FILE.replace("drift_over: 20m", "drift_over: 180d"))
    files = [read_model_file(FILE), slow]
    kept = kept_for(files, Retention(sketches=10.0))
    assert kept[AgedRows.VERDICTS] == 361 * DAY
    assert kept_for(files[:1], Retention())[AgedRows.VERDICTS] == 90 * DAY
    assert kept_for([], Retention())[AgedRows.VERDICTS] == 90 * DAY
    assert (kept[AgedRows.SKETCHES], kept[AgedRows.EFFECTS]) == (10 * DAY, 7 * DAY)
