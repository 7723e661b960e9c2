"""What is counted and not in the log when a recorder dies: logged as it was counted, or lost and
said so."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from usecases.harness import FILE, MODEL, START, WINDOW_S
from usecases.recording import RecorderHarness, predicted

from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.spool import FileSpoolReader, FileSpoolWriter
from windvane.ports.control_store import Checkpoint
from windvane.ports.events import EVENT_ENCODER
from windvane.ports.quarantine import Counted, CountName
from windvane.ports.spool import MOST_LOST_BYTES, Batch
from windvane.usecases.commit_log import CommitPolicy
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.record_events import Recorder
from windvane.usecases.recorded_until import drop_spool, give_up_unlogged, spool_states

# deltalake 1.6 deprecates the argument that the adapter prunes partitions by
pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

CONTRACT = read_model_file(FILE).contract
SELDOM = CommitPolicy(every_s=1e9)
EXPIRE_AFTER_S = 600.0


def begun(recording: RecorderHarness) -> Recorder:
    """A recorder whose rows wait from now on: only the first commit is at once."""
    recording.write([predicted("first", START - WINDOW_S)])
    recorder = recording.start(policy=SELDOM)
    recorder.step()
    return recorder


def counts(recording: RecorderHarness, name: CountName) -> int:
    with recording.store.read() as tx:
        return sum(n for c, n in tx.counts().items() if c.name == name)


def logged(recording: RecorderHarness) -> dict[str, float]:
    """The log's requests, with their times since the start."""
    log = DeltaEventLog(recording.log_root)
    rows = log.samples(MODEL, CONTRACT, START - 1e6, START + 1e6, {}, 100_000)
    assert len({row["prediction_id"] for row in rows}) == len(rows)
    return {row["prediction_id"]: row["ts"] - START for row in rows}


def of_ghost(name: str) -> Any:
    return msgspec.structs.replace(predicted(name, START + 1), model="ghost")


def newest_segment(recording: RecorderHarness) -> Path:
    return max((recording.folder / "spool" / "m-w0").glob("*.spool"))


def damage(segment: Path) -> None:
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes(data)


def mark_of(recording: RecorderHarness, spool: str) -> Checkpoint:
    (mark,) = [one for one in recording.checkpoints() if one.spool == spool]
    return mark


def test_events_beyond_the_quarantines_bound_do_not_come_back(recording: RecorderHarness) -> None:
    recorder = begun(recording)
    recording.write([of_ghost(f"g{i}") for i in range(1_100)])
    recording.write([predicted("bad", START + 1, values=[1.0]), predicted("ok", START + 2)])
    recorder.step()
    before = counts(recording, CountName.QUARANTINED), counts(recording, CountName.NOT_HELD)
    assert before == (1_101, 100)
    recording.start().step()
    assert (counts(recording, CountName.QUARANTINED), counts(recording, CountName.NOT_HELD)) == (
        before
    )
    assert recording.log.counts("ghost")["predictions"] == 0
    assert set(logged(recording)) == {"first", "ok"}
    assert recording.total("rows") == 2


def test_what_somebody_dropped_from_the_quarantine_does_not_come_back(
    recording: RecorderHarness,
) -> None:
    recorder = begun(recording)
    recording.write([predicted("ok", START + 1), predicted("bad", START + 1, values=[1.0])])
    recorder.step()
    with recording.store.begin() as tx:
        assert tx.drop_quarantined([item.id for item in tx.quarantined()]) == 1
    recording.start().step()
    with recording.store.read() as tx:
        assert tx.quarantined() == []
    assert set(logged(recording)) == {"first", "ok"}


def test_what_was_mended_and_recorded_meanwhile_is_logged_once(recording: RecorderHarness) -> None:
    recorder = begun(recording)
    recording.write([predicted("bad", START + 1, values=[1.0]), predicted("ok", START + 1)])
    recorder.step()
    body = EVENT_ENCODER.encode(predicted("bad", START + 1))
    with recording.store.begin() as tx:
        (item,) = tx.quarantined()
        tx.drop_quarantined([item.id])
        tx.add_quarantined([replace(item, body=body, size=len(body))])
        tx.retry_quarantined([item.id])
    recorder.step()
    recording.start().step()
    assert set(logged(recording)) == {"first", "bad", "ok"}
    assert recording.total("rows") == 3


def test_of_a_repetition_the_log_has_the_one_that_was_counted(recording: RecorderHarness) -> None:
    recorder = begun(recording)
    recording.write([predicted("same", START + 1)], "m-w1")
    recorder.step()
    recording.write([predicted("same", START + 130)], "m-w0")  # which is read first at a start
    recorder.step()
    recording.start().step()
    assert logged(recording)["same"] == 1.0
    assert sorted(key.start - START for key in recording.sketches()) == [-WINDOW_S, 0.0]


def test_much_that_is_passed_over_has_the_log_brought_up_to_date(
    recording: RecorderHarness,
) -> None:
    recorder = begun(recording)
    for i in range(1_000):
        recording.write([of_ghost(f"g{i}"), predicted(f"r{i}", START + 1)])
    recorder.step()
    (mark,) = recording.checkpoints()
    assert (mark.logged, mark.passed) == (mark.position, ())


def test_bytes_that_are_damaged_before_they_are_logged_are_lost(
    recording: RecorderHarness,
) -> None:
    recorder = begun(recording)
    recording.write([predicted(f"r{i}", START + 1) for i in range(9)])
    recorder.step()
    damage(newest_segment(recording))
    recording.start(policy=SELDOM).step()
    assert len(logged(recording)) == 9
    assert recording.total("rows") == 10
    (mark,) = recording.checkpoints()
    assert 0 < mark.lost_bytes < 200
    assert counts(recording, CountName.SPOOL_LOST_BYTES) == mark.lost_bytes


def test_bytes_that_were_lost_when_they_were_read_are_lost_once(
    recording: RecorderHarness,
) -> None:
    recorder = begun(recording)
    recording.write([predicted(f"r{i}", START + 1) for i in range(9)])
    damage(newest_segment(recording))
    recorder.step()
    lost = mark_of(recording, "m-w0").lost_bytes
    assert lost > 0
    recording.start().step()
    mark = mark_of(recording, "m-w0")
    assert (mark.lost_bytes, mark.logged) == (lost, mark.position)
    assert counts(recording, CountName.SPOOL_LOST_BYTES) == lost
    assert len(logged(recording)) == recording.total("rows") == 9


def gone(recording: RecorderHarness) -> Path:
    """A machine is replaced: its spool is away, with what was counted and not logged."""
    recorder = begun(recording)
    recording.write([predicted(f"r{i}", START + 1) for i in range(9)])
    recorder.step()
    recording.writers.pop("m-w0").close()
    away = recording.folder / "away"
    shutil.move(recording.folder / "spool" / "m-w0", away)
    recording.clock.wall_at += EXPIRE_AFTER_S + 1.0
    return away


def test_what_a_spool_that_expired_had_for_the_log_is_lost_and_said_once(
    recording: RecorderHarness,
) -> None:
    away = gone(recording)
    wall = recording.clock.wall_at
    assert give_up_unlogged(recording.store, wall, EXPIRE_AFTER_S) == [], "nobody is there to know"
    recording.write([predicted("new", START + 5)], "m-w9")
    recording.start().step()
    before = mark_of(recording, "m-w0")
    unlogged = before.position - before.logged
    assert unlogged > 0
    assert give_up_unlogged(recording.store, wall, EXPIRE_AFTER_S) == [before]
    assert give_up_unlogged(recording.store, wall, EXPIRE_AFTER_S) == [], "once"
    states = spool_states(recording.checkpoints(), START, wall, EXPIRE_AFTER_S)
    assert {one.spool: one.lost_bytes for one in states} == {"m-w0": unlogged, "m-w9": 0}
    assert counts(recording, CountName.SPOOL_LOST_BYTES) == unlogged

    shutil.move(away, recording.folder / "spool" / "m-w0")  # it comes back after all
    recording.start().step()
    assert len(logged(recording)) == recording.total("rows") == 11
    assert mark_of(recording, "m-w0").lost_bytes == 0


def test_what_a_dropped_spool_had_for_the_log_is_lost(recording: RecorderHarness) -> None:
    gone(recording)
    mark = mark_of(recording, "m-w0")
    lost = drop_spool(recording.store, "m-w0", recording.clock.wall_at, EXPIRE_AFTER_S)
    assert lost == mark.position - mark.logged > 0
    assert mark_of(recording, "m-w0").lost_bytes == lost
    assert counts(recording, CountName.SPOOL_LOST_BYTES) == lost


def test_positions_between_two_writers_are_no_bytes(recording: RecorderHarness) -> None:
    """They begin at the time in nanoseconds, and counts would say petabytes."""
    far = 1_700_000_000_000_000_000
    with recording.store.begin() as tx:
        tx.set_checkpoint(Checkpoint("gone", far, START, seen_at=1.0))
        tx.set_checkpoint(Checkpoint("here", 0, START, seen_at=10_000.0))
    assert len(give_up_unlogged(recording.store, 10_000.0, EXPIRE_AFTER_S)) == 1
    with recording.store.read() as tx:
        assert tx.counts()[Counted(CountName.SPOOL_LOST_BYTES)] == MOST_LOST_BYTES


class SlowSpools(FileSpoolReader):
    """Real spools; each read takes a minute of the recorder's clock."""

    def __init__(self, recording: RecorderHarness) -> None:
        super().__init__(recording.folder / "spool")
        self._recording = recording
        self.seen: list[float] = []

    def read(self, spool: str, position: int, limit: int) -> Batch:
        clock = self._recording.clock
        clock.wall_at += 60.0
        self.seen.append(min(clock.wall_at - (c.seen_at or 0.0) for c in self.marks()))
        return super().read(spool, position, limit)

    def marks(self) -> list[Checkpoint]:
        return self._recording.checkpoints()


def test_spools_do_not_expire_while_a_start_reads_them_again(recording: RecorderHarness) -> None:
    recording.write([predicted("first", START - WINDOW_S)], segment=2_000)
    recording.write([predicted("other", START)], "m-w1")
    recorder = recording.start(policy=SELDOM)
    recorder.step()
    recording.write([predicted(f"r{i}", START + 1) for i in range(300)])
    recorder.step()
    recording.clock.wall_at += 3_600.0
    spools = SlowSpools(recording)
    recording.start(spool=spools, policy=SELDOM)
    assert len(spools.seen) > 12, "more than a spool may go unseen"
    assert max(spools.seen) == 60.0
    seen = {c.spool: c.seen_at or 0.0 for c in recording.checkpoints()}
    assert seen["m-w1"] > recording.clock.wall_at - 121.0
    assert Counter(seen) == Counter({"m-w0": seen["m-w1"], "m-w1": seen["m-w1"]})


def test_an_open_window_gets_the_log_though_its_own_spool_is_past_it(
    recording: RecorderHarness,
) -> None:
    """Another machine's spool keeps it open, and may let it close at any moment."""
    recorder = recording.start(policy=CommitPolicy(every_s=60.0))
    recording.clock.wall_at = 1_000.0
    recording.write([predicted("p0", START + 1)])
    recorder.step()
    recording.clock.at, recording.clock.wall_at = START + 61.0, 1_058.0
    recorder.step()
    recording.write([predicted("slow", START + 59.5)])
    recording.clock.at, recording.clock.wall_at = START + 61.2, 1_058.2
    recorder.step()
    assert set(logged(recording)) == {"p0", "slow"}


def restart_gateway(recording: RecorderHarness, first: int) -> None:
    """Its spool begins a segment of its own, far above all before, which nobody writes to yet."""
    recording.writers.pop("m-w0").close()
    folder = recording.folder / "spool" / "m-w0"
    recording.writers["m-w0"] = FileSpoolWriter(folder, first=first)


def test_starts_without_traffic_lose_nothing(recording: RecorderHarness) -> None:
    """A gateway that starts begins its spool far above what was there: that is no loss."""
    recorder = begun(recording)
    recording.write([predicted(f"p{i}", START + i) for i in range(4)])
    recorder.step()
    recorder.finish()
    for started in range(1, 4):
        restart_gateway(recording, started * 10**18)
        recorder = recording.start(policy=SELDOM)
        for _ in range(3):
            recorder.step()
        recorder.finish()
        mark = mark_of(recording, "m-w0")
        assert (mark.lost_bytes, counts(recording, CountName.SPOOL_LOST_BYTES)) == (0, 0)
        assert mark.logged == mark.position
    recording.write([predicted("after", START + 9)])
    recorder.step()
    recorder.finish()
    assert set(logged(recording)) == {"first", "p0", "p1", "p2", "p3", "after"}
    assert recording.total("rows") == 6
