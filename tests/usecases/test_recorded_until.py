"""Windows close without a spool that is gone for good, and with every other."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from usecases.harness import MODEL, START, Harness
from usecases.recording import RecorderHarness, predicted

from windvane.ports.control_store import Checkpoint, UnknownName
from windvane.ports.judging import Progress
from windvane.ports.quarantine import Counted, CountName
from windvane.usecases.judge_windows import judge_windows
from windvane.usecases.recorded_until import (
    SpoolStillThere,
    drop_spool,
    expired_spools,
    recorded_until,
    shown_until,
    spool_states,
)

# deltalake 1.6 deprecates the argument that the adapter prunes partitions by
pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

WALL = 10_000.0
MARKS = st.lists(
    st.builds(
        Checkpoint,
        st.uuids().map(str),
        st.integers(0, 100),
        st.floats(0.0, 1e9),
        st.none() | st.floats(0.0, 2 * WALL),
        st.integers(0, 5),
        st.booleans(),
    ),
    max_size=8,
)


def mark(name: str, watermark: float, seen_at: float | None, **more: bool) -> Checkpoint:
    return Checkpoint(name, 0, watermark, seen_at, **more)


@pytest.mark.parametrize(
    ("marks", "until", "expired"),
    [
        ([], None, []),
        ([mark("a", 5.0, WALL), mark("b", 3.0, WALL)], 3.0, []),
        ([mark("a", 5.0, WALL), mark("b", 3.0, WALL - 600.0)], 3.0, []),
        ([mark("a", 5.0, WALL), mark("b", 3.0, WALL - 601.0)], 5.0, ["b"]),
        ([mark("a", 5.0, WALL - 601.0), mark("b", 3.0, WALL - 700.0)], None, ["a", "b"]),
        ([mark("a", 5.0, WALL), mark("b", 3.0, WALL, dropped=True)], 5.0, []),
        ([mark("a", 5.0, WALL), mark("b", 3.0, None)], 3.0, []),
        ([mark("a", 5.0, WALL + 1e6)], 5.0, []),
    ],
)
def test_who_is_not_seen_is_left_out(
    marks: list[Checkpoint], until: float | None, expired: list[str]
) -> None:
    assert recorded_until(iter(marks), WALL, 600.0) == until
    assert expired_spools(iter(marks), WALL, 600.0) == expired


@given(MARKS)
def test_no_window_closes_before_a_spool_that_is_there(marks: list[Checkpoint]) -> None:
    until = recorded_until(marks, WALL, 600.0)
    there = [one for one in spool_states(marks, 0.0, WALL, 600.0) if not one.expired]
    assert (until is None) == (not there)
    assert all(until is not None and until <= one.watermark for one in there)
    assert recorded_until(reversed(marks), WALL, 600.0) == until


def test_a_spool_of_a_replaced_machine_does_not_stop_judging(harness: Harness) -> None:
    with harness.store.begin() as tx:
        tx.set_checkpoint(Checkpoint("gone-w0", 0, START - 1e4, seen_at=harness.clock.wall_at))
    harness.traffic(0)
    assert not harness.judge()
    harness.clock.wall_at += 601.0
    assert harness.judge()


def test_where_all_recorders_are_down_nothing_is_judged(harness: Harness) -> None:
    harness.traffic(0, checkpoint=False)
    with harness.store.begin() as tx:
        tx.set_checkpoint(Checkpoint("m-w0", 0, START + 1e4, seen_at=harness.clock.wall_at))
    harness.clock.wall_at += 601.0
    assert not harness.judge()
    given = (harness.store, harness.log, harness.clock, harness.shards, [MODEL], harness.cache)
    assert judge_windows(*given, 700.0), "it is not expired for who waits longer"


def test_a_spool_that_comes_back_is_recorded_counted_and_late(recording: RecorderHarness) -> None:
    recording.write([predicted("a")])
    recording.start().step()
    wall = recording.clock.wall_at
    with pytest.raises(SpoolStillThere, match="seen 0 s ago"):
        drop_spool(recording.store, "m-w0", wall, 600.0)
    with pytest.raises(UnknownName, match="m-w7"):
        drop_spool(recording.store, "m-w7", wall, 600.0)
    recording.clock.wall_at = wall = wall + 601.0
    drop_spool(recording.store, "m-w0", wall, 600.0)
    assert spool_states(recording.checkpoints(), START, wall, 600.0) == []
    with recording.store.begin() as tx:
        tx.put_progress([Progress(MODEL, START, START + 60.0, 0.0)])
    recording.write([predicted("b", START + 1.0)])
    recording.start().step()
    (state,) = spool_states(recording.checkpoints(), START, wall, 600.0)
    assert (state.spool, state.expired) == ("m-w0", False)
    assert recording.total("rows") == 2, "once each"
    with recording.store.read() as tx:
        late = {c: n for c, n in tx.counts().items() if c.name == CountName.LATE_EVENTS}
    assert late == {Counted(CountName.LATE_EVENTS, MODEL): 1}


def test_an_idle_spool_that_comes_back_is_there_again(recording: RecorderHarness) -> None:
    recording.write([], "m-w1")
    recording.start().step()
    recording.clock.wall_at += 601.0
    drop_spool(recording.store, "m-w1", recording.clock.wall_at, 600.0)
    recording.start().step()
    assert [c.dropped for c in recording.checkpoints()] == [False]
    assert Path(recording.folder / "spool" / "m-w1").is_dir()


@pytest.mark.parametrize(
    ("marks", "shown", "lags"),
    [
        ([], None, []),
        ([mark("a", 0.0, WALL)], None, [None]),
        ([mark("a", 0.0, WALL), mark("b", 3.0, WALL)], 3.0, [None, 4.0]),
        ([mark("a", 0.0, WALL), mark("b", 3.0, WALL - 700.0)], 3.0, [None, 4.0]),
    ],
)
def test_of_a_spool_that_has_just_begun_no_window_closes_and_nobody_is_told_a_lag(
    marks: list[Checkpoint], shown: float | None, lags: list[float | None]
) -> None:
    assert shown_until(iter(marks), WALL, 600.0) == shown
    assert [one.lag_s for one in spool_states(marks, 7.0, WALL, 600.0)] == lags
    assert recorded_until(marks, WALL, 600.0) == (0.0 if marks else None)
