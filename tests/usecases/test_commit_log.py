"""Rows gather into few commits; none is lost, doubled or counted twice, and no window closes
without its rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from usecases.harness import FILE, MODEL, START, WINDOW_S
from usecases.recording import RecorderHarness, denied, outcome, predicted

from windvane.adapters.delta import DeltaEventLog
from windvane.ports.quarantine import CountName
from windvane.usecases.commit_log import CommitPolicy
from windvane.usecases.read_model_file import read_model_file

# deltalake 1.6 deprecates the argument that the adapter prunes partitions by
pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

CONTRACT = read_model_file(FILE).contract
A_MINUTE = CommitPolicy(every_s=60.0)


def commits(recording: RecorderHarness, table: str = "predictions") -> int:
    """Those that added rows."""
    return DeltaTable(f"{recording.log_root}/{table}").version() + 1


def recorded(recording: RecorderHarness) -> Counter[str]:
    log = DeltaEventLog(recording.log_root)
    rows = log.samples(MODEL, CONTRACT, START - 1e6, START + 1e6, {}, 100_000)
    return Counter(row["prediction_id"] for row in rows)


def segments(recording: RecorderHarness) -> list[Path]:
    return sorted((recording.folder / "spool" / "m-w0").glob("*.spool"))


def state(recording: RecorderHarness) -> tuple[float, bool]:
    """The watermark since the start, and whether the log has all that is counted."""
    (mark,) = recording.checkpoints()
    return mark.watermark - START, mark.logged == mark.position


def test_rows_gather_for_a_minute_of_the_wall(recording: RecorderHarness) -> None:
    recorder = recording.start(policy=A_MINUTE)
    for i in range(50):
        recording.clock.at = START + i
        recording.clock.wall_at = 1_000.0 + i
        recording.write([predicted(f"r{i}", START + i)])
        assert recorder.step() == 1
        assert recording.total("rows") == i + 1  # the windows are up to date
    assert recorded(recording) == {"r0": 1}  # the first one does not wait
    assert commits(recording) == 1
    assert state(recording) == (49.0, False)
    recording.clock.wall_at = 1_060.0
    recorder.step()
    assert recorded(recording) == Counter(f"r{i}" for i in range(50))
    assert commits(recording) == 2
    assert state(recording) == (49.0, True)


def test_a_window_closes_only_once_the_log_has_its_rows(recording: RecorderHarness) -> None:
    class Failing(DeltaEventLog):
        out = False

        def commit(self, rows: Any, ends: Any) -> None:
            if self.out:
                raise OSError("the store of the log is out")
            super().commit(rows, ends)

    log = Failing(recording.log_root)
    recorder = recording.start(log=log, policy=A_MINUTE)
    recording.write([predicted("a")])
    recorder.step()
    recording.write([predicted("b", START + 10.0), outcome("a", START + 11.0)])
    recording.clock.at = START + 20.0
    recorder.step()
    assert state(recording) == (20.0, False)
    recording.write([predicted("c", START + WINDOW_S + 5.0)])
    recording.clock.at = START + WINDOW_S + 5.0
    log.out = True
    with pytest.raises(OSError, match="the log is out"):
        recorder.step()
    assert state(recording) == (20.0, False)
    log.out = False
    recording.start(policy=A_MINUTE).step()
    assert state(recording) == (WINDOW_S + 5.0, True)
    assert recorded(recording) == {"a": 1, "b": 1, "c": 1}
    assert recording.log.counts(MODEL)["outcomes"] == 1


def test_a_window_that_closes_has_what_waits_committed(recording: RecorderHarness) -> None:
    """Also of a spool that is idle by then, and long before the minute is over."""
    recorder = recording.start(policy=A_MINUTE)
    recording.write([predicted("a")])
    recorder.step()
    recording.write([predicted("b", START + 1.0)])
    recorder.step()
    recording.clock.at = START + WINDOW_S - 1.0
    recorder.step()
    assert recorded(recording) == {"a": 1}
    recording.clock.at = START + WINDOW_S
    recorder.step()
    assert state(recording) == (WINDOW_S, True)
    assert recorded(recording) == {"a": 1, "b": 1}


def test_what_waited_when_the_recorder_died_is_logged_once(recording: RecorderHarness) -> None:
    recorder = recording.start(policy=A_MINUTE)
    recording.write([predicted("a")], segment=400)
    recorder.step()
    names = [f"r{i}" for i in range(30)]
    recording.write([predicted(name) for name in names], segment=400)
    recording.write([denied("d"), predicted("a"), predicted("elsewhere")], "m-w1")
    recorder.step()
    kept = segments(recording)
    assert len(kept) > 3  # the spool has what the log has not
    assert recorded(recording) == {"a": 1}
    again = recording.start(policy=A_MINUTE)
    assert again.step() == 0
    assert recorded(recording) == Counter(["a", *names, "elsewhere"])
    assert recording.total("rows") == 32
    assert len(segments(recording)) < len(kept)
    assert {mark.logged == mark.position for mark in recording.checkpoints()} == {True}


def test_an_ordered_end_leaves_nothing_waiting(recording: RecorderHarness) -> None:
    recorder = recording.start(policy=A_MINUTE)
    for name in "ab":
        recording.write([predicted(name)])
        recorder.step()
    assert recorded(recording) == {"a": 1}
    recorder.finish()
    assert recorded(recording) == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    "policy",
    [
        CommitPolicy(every_s=1e9, max_bytes=4_000),
        CommitPolicy(every_s=1e9, max_spool_bytes=4_000),
    ],
)
def test_what_waits_is_bounded(recording: RecorderHarness, policy: CommitPolicy) -> None:
    recorder = recording.start(policy=policy)
    for i in range(100):
        recording.write([predicted(f"r{i}")])
        recorder.step()
        (mark,) = recording.checkpoints()
        assert mark.position - mark.logged < 5_000
    assert 2 < commits(recording) < 60


class Refusing(DeltaEventLog):
    """The real log, which refuses to write what has a prediction of ``bad`` in it."""

    bad: frozenset[str] = frozenset()

    def commit(self, rows: Any, ends: Any) -> None:
        for one in rows:
            for table in one.tables.values():
                if self.bad & set(table["prediction_id"].to_pylist()):
                    raise ValueError("the log takes no such value")
        super().commit(rows, ends)


@pytest.mark.parametrize("bad", [{"r0"}, {"r19"}, {"r3", "r4", "r11"}])
def test_what_the_log_refuses_to_write_is_set_aside_and_counted_once(
    recording: RecorderHarness, bad: set[str]
) -> None:
    log = Refusing(recording.log_root)
    log.bad = frozenset(bad)
    names = [f"r{i}" for i in range(20)]
    recording.write([predicted(name, START + i) for i, name in enumerate(names)])
    recorder = recording.start(log=log)
    assert recorder.step() == 20
    assert recorded(recording) == Counter(set(names) - bad)
    with recording.store.begin() as tx:
        held = tx.quarantined()
        assert Counter(item.reason for item in held) == {"REC-108": len(bad)}
        tx.retry_quarantined([item.id for item in held])
    access = recording.access()
    recorder.step()  # in vain: the log still refuses them
    with recording.store.begin() as tx:
        held = tx.quarantined()
        assert Counter(item.reason for item in held) == {"REC-108": len(bad)}
        tx.retry_quarantined([item.id for item in held])
    log.bad = frozenset()
    recorder.step()
    assert recorded(recording) == Counter(names)
    assert recording.total("rows") == 20
    assert recording.access() == access
    with recording.store.read() as tx:
        assert tx.quarantined() == []


def test_a_log_that_refuses_everything_is_out(recording: RecorderHarness) -> None:
    log = Refusing(recording.log_root)
    names = [f"r{i}" for i in range(30)]
    log.bad = frozenset(names)
    recording.write([predicted(name) for name in names])
    with pytest.raises(ValueError, match="no such value"):
        recording.start(log=log).step()
    with recording.store.read() as tx:
        assert tx.quarantined() == []
    recording.start().step()
    assert recorded(recording) == Counter(names)


def test_what_a_power_cut_took_of_the_spool_is_reported(recording: RecorderHarness) -> None:
    recorder = recording.start(policy=A_MINUTE)
    recording.write([predicted("a")])
    recorder.step()
    recording.write([predicted("b"), predicted("c")])
    recorder.step()
    (mark,) = recording.checkpoints()
    (segment,) = segments(recording)
    data = segment.read_bytes()
    segment.write_bytes(data[:-10])
    recording.start(policy=A_MINUTE).step()
    assert recorded(recording) == {"a": 1, "b": 1}
    (after,) = recording.checkpoints()
    assert after.position == after.logged == mark.position
    assert 0 < after.lost_bytes < mark.position - mark.logged
    with recording.store.read() as tx:
        lost = {c.name: n for c, n in tx.counts().items()}
    assert lost[CountName.SPOOL_LOST_BYTES] == after.lost_bytes


def test_what_was_set_aside_is_not_logged_after_a_crash(recording: RecorderHarness) -> None:
    """Even where it could be recorded by then: whoever puts it back has it counted, too."""
    recorder = recording.start(policy=A_MINUTE)
    recording.write([predicted("a")])
    recorder.step()
    recording.clock.at = START - 2e5  # a clock that is behind takes it for one of the future
    recording.write([predicted("b")])
    recorder.step()
    recording.clock.at = START
    recorder = recording.start(policy=A_MINUTE)
    assert recorded(recording) == {"a": 1}
    with recording.store.begin() as tx:
        assert tx.retry_quarantined([item.id for item in tx.quarantined()]) == 1
    assert recorder.step() == 1
    assert recorded(recording) == {"a": 1, "b": 1}
    assert recording.total("rows") == 2
