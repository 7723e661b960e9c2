"""One bad event never stops recording; an outage does, and nothing is lost in either."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from usecases.harness import FILE, MODEL, START
from usecases.recording import RecorderHarness, denied, outcome, predicted, refused

from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.delta.arrow_rows import ArrowRows
from windvane.adapters.sql import SqlControlStore
from windvane.ports.control_store import ModelRecord, RowRejected, StoreUnavailable, Tx
from windvane.ports.events import EVENT_ENCODER, SpoolRecord
from windvane.ports.judging import Progress
from windvane.ports.quarantine import Quarantined
from windvane.usecases.read_model_file import read_model_file

# deltalake 1.6 deprecates the argument that the adapter prunes partitions by
pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

CONTRACT = read_model_file(FILE).contract
LONG = FILE.replace("window: 60s", f"window: {'9' * 400}s")


def held(recording: RecorderHarness) -> dict[str, Quarantined]:
    """By source."""
    with recording.store.read() as tx:
        return {item.source: item for item in tx.quarantined(limit=10_000)}


def reasons(recording: RecorderHarness) -> Counter[str]:
    return Counter(item.reason for item in held(recording).values())


def counted(recording: RecorderHarness, name: str) -> dict[tuple[str, str], int]:
    with recording.store.read() as tx:
        return {(c.subject, c.reason): n for c, n in tx.counts().items() if c.name == name}


def recorded(recording: RecorderHarness) -> Counter[str]:
    """Predictions in the log by their id."""
    log = DeltaEventLog(str(recording.folder / "log"))
    rows = log.samples(MODEL, CONTRACT, START - 1e6, START + 1e6, {}, 100_000)
    return Counter(row["prediction_id"] for row in rows)


def put_model(recording: RecorderHarness, text: str, name: str = MODEL) -> None:
    with recording.store.begin() as tx:
        tx.put_model(ModelRecord(name, text, 1.0))


def retry_all(recording: RecorderHarness) -> int:
    with recording.store.begin() as tx:
        return tx.retry_quarantined([item.id for item in tx.quarantined(limit=10_000)])


def encoded(event: SpoolRecord, **fields: Any) -> bytes:
    return EVENT_ENCODER.encode(msgspec.structs.replace(event, **fields))


CANARY: dict[str, Any] = {"rollout": "delay/2/9#0", "arm": "challenger"}
# Made in the test: events name the contract of the session's model.
BAD: dict[str, tuple[Callable[[str], bytes], str]] = {
    "no event": (lambda _: b"\x93not an event", "REC-101"),
    "nothing": (lambda _: b"", "REC-101"),
    "deep": (lambda _: b"\x91" * 100_000, "REC-101"),
    "no time": (lambda x: encoded(predicted(x), ts=float("nan")), "REC-102"),
    "end of time": (lambda x: encoded(predicted(x), ts=1e300), "REC-102"),
    "the future": (lambda x: encoded(predicted(x, START + 5e5)), "REC-102"),
    "rows beyond memory": (lambda x: encoded(predicted(x), rows=10**12), "REC-102"),
    "rows that are not there": (lambda x: encoded(predicted(x, rows=3), rows=4), "REC-102"),
    "endless latency": (lambda x: encoded(predicted(x), latency_us=2**62), "REC-102"),
    "no route": (lambda x: encoded(predicted(x), routes=[]), "REC-102"),
    "requests": (lambda x: encoded(refused(x), requests=2**62), "REC-102"),
    "outcome": (lambda x: encoded(outcome(x), value=float("inf")), "REC-102"),
    "audit": (lambda x: encoded(denied(x, float("-inf"))), "REC-102"),
    "contract": (lambda x: encoded(predicted(x), contract="gone"), "REC-103"),
    "model": (lambda x: encoded(predicted(x), model="../../gone"), "REC-104"),
    "too few features": (lambda x: encoded(predicted(x), features=[500.0]), "REC-106"),
    "text for a number": (lambda x: encoded(predicted(x, values=["far", "dl", 6.0])), "REC-106"),
    "no outputs": (lambda x: encoded(predicted(x), outputs=[]), "REC-106"),
    "rollout": (lambda x: encoded(predicted(x, rollout="delay/2/9#many")), "REC-106"),
    "unit": (lambda x: encoded(predicted(x, **CANARY), units=7), "REC-107"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_event_is_set_aside_and_the_rest_is_recorded(
    recording: RecorderHarness, name: str
) -> None:
    make, reason = BAD[name]
    body = make("x")
    recording.write([predicted(f"a{i}") for i in range(5)])
    recording.writers["m-w0"].append(body)
    recording.write([predicted(f"b{i}") for i in range(5)])
    recording.write([predicted("c")], "m-w1")
    recorder = recording.start()
    recorder.step()
    assert reasons(recording) == {reason: 1}
    assert recorded(recording) == Counter([*(f"{x}{i}" for x in "ab" for i in range(5)), "c"])
    assert recording.total("rows") == 11
    (item,) = held(recording).values()
    with recording.store.read() as tx:
        assert tx.quarantined_item(item.id).body == body
    assert recorder.step() == 0
    recording.start().step()
    assert counted(recording, "quarantined") == {("event", reason): 1}


def test_an_event_that_repeats_what_is_set_aside_is_not_taken_for_recorded(
    recording: RecorderHarness,
) -> None:
    recording.write([predicted("a", values=["far", "dl", 6.0])])
    recorder = recording.start()
    recorder.step()
    recording.write([predicted("a")])
    assert recorder.step() == 1
    assert recorded(recording) == {"a": 1}


def test_many_bad_events_among_good_ones(recording: RecorderHarness) -> None:
    """Also where they break each in another way; the log gets few lines, not one for each."""
    good: list[str] = []
    recording.write([])
    for i in range(400):
        if i % 7 == 3:
            recording.writers["m-w0"].append(list(BAD.values())[i % len(BAD)][0](f"x{i}"))
        elif i % 11 == 3:
            recording.write([predicted(f"u{i}", values=[1.0])])
        else:
            good.append(f"g{i}")
            recording.write([predicted(good[-1], START + i)])
    recording.start().step()
    assert recorded(recording) == Counter(good)
    assert recording.total("rows") == len(good)
    assert sum(counted(recording, "quarantined").values()) == 400 - len(good)


def test_a_file_that_cannot_be_read_any_more_stops_its_own_model_only(
    recording: RecorderHarness,
) -> None:
    """A duration of 400 digits, as a release before this one may have applied it."""
    put_model(recording, FILE.replace("model: delay", "model: other"), "other")
    recorder = recording.start()
    put_model(recording, LONG)
    recording.write([predicted("a"), msgspec.structs.replace(predicted("b"), model="other")])
    assert recorder.step() == 1
    assert reasons(recording) == {"REC-105": 1}
    assert recording.log.counts("other")["predictions"] == 1
    put_model(recording, FILE)
    recording.write([predicted("c")])
    assert recorder.step() == 1
    assert recorded(recording) == {"c": 1}
    assert retry_all(recording) == 1
    assert recorder.step() == 1
    assert recorded(recording) == {"a": 1, "c": 1}
    assert held(recording) == {}


# What is put back


def test_what_is_put_back_is_recorded_once(recording: RecorderHarness) -> None:
    put_model(recording, LONG)
    recording.write([predicted(f"r{i}", START + i) for i in range(20)] + [outcome("r3", START + 5)])
    recorder = recording.start()
    assert recorder.step() == 0
    assert reasons(recording) == {"REC-105": 21}
    assert retry_all(recording) == 21
    assert recorder.step() == 0, "the file is still bad"
    assert {item.status for item in held(recording).values()} == {"held"}
    put_model(recording, FILE)
    assert retry_all(recording) == 21
    recorder = recording.start()
    assert recorder.step() == 21
    assert recorder.step() == 0
    assert recording.start().step() == 0
    assert recorded(recording) == Counter(f"r{i}" for i in range(20))
    assert (recording.total("rows"), recording.total("outcomes")) == (20, 1)
    assert held(recording) == {}
    assert sum(line.calls for line in recording.access()) == 21
    assert counted(recording, "quarantined") == {("event", "REC-105"): 21}


def test_what_is_put_back_and_sent_again_is_recorded_once(recording: RecorderHarness) -> None:
    put_model(recording, LONG)
    recording.write([outcome("r")])
    recording.start().step()
    put_model(recording, FILE)
    retry_all(recording)
    recording.start().step()
    recording.write([outcome("r")], "m-w1")
    recording.start().step()
    assert recording.log.counts(MODEL)["outcomes"] == 1
    assert recording.total("outcomes") == 1


def test_two_recorders_do_not_record_the_same_twice(recording: RecorderHarness) -> None:
    put_model(recording, LONG)
    recording.write([predicted(f"r{i}") for i in range(5)])
    one = recording.start()
    one.step()
    put_model(recording, FILE)
    retry_all(recording)
    with recording.store.begin() as tx:
        token = tx.acquire("quarantine", "another", 60.0)
    assert token is not None
    assert one.step() == 0
    with recording.store.begin() as tx:
        tx.release("quarantine", token)
    assert one.step() == 5
    assert recorded(recording) == Counter(f"r{i}" for i in range(5))


# Outages


class RefusingStore:
    """The real store, whose transactions fail as a database that refuses a row, or is out."""

    def __init__(self, store: SqlControlStore, error: Exception, times: int = 1_000_000) -> None:
        self._store, self.error, self.times = store, error, times

    @contextmanager
    def begin(self, models: Any = None) -> Iterator[Tx]:
        with self._store.begin(models) as tx:
            yield tx
            if self.times > 0:
                self.times -= 1
                raise self.error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.parametrize(
    "error", [StoreUnavailable("out"), OSError("no space"), TimeoutError(), MemoryError()]
)
def test_an_outage_of_the_store_sets_nothing_aside(
    recording: RecorderHarness, error: Exception
) -> None:
    recording.write([predicted(f"r{i}") for i in range(20)])
    recorder = recording.start(RefusingStore(recording.store, error))  # type: ignore[arg-type]
    with pytest.raises(type(error)):
        recorder.step()
    assert held(recording) == {}
    recording.start().step()
    assert recorded(recording) == Counter(f"r{i}" for i in range(20))
    assert recording.total("rows") == 20


def test_a_refusal_of_everything_is_no_bad_event(recording: RecorderHarness) -> None:
    """Each event by itself is refused: it is not they who are bad, and they wait."""
    recording.write([predicted(f"r{i}") for i in range(50)])
    refusing: Any = RefusingStore(recording.store, RowRejected("full"))
    with pytest.raises(RowRejected):
        recording.start(refusing).step()
    recording.start().step()
    assert recorded(recording) == Counter(f"r{i}" for i in range(50))


class FailingLog(DeltaEventLog):
    """The real log, which refuses what has one of ``bad`` in it, or all with ``outage``."""

    bad: frozenset[str] = frozenset()
    outage: Exception | None = None

    def prepare(self, spool: str, end: int, entries: Any, contracts: Any) -> ArrowRows:
        if any(entry.event.event_id in self.bad for entry in entries):
            raise TypeError("a value that no column takes")
        return super().prepare(spool, end, entries, contracts)

    def commit(self, rows: Any, ends: Any) -> None:
        if self.outage is not None:
            raise self.outage
        super().commit(rows, ends)


@pytest.mark.parametrize("bad", [{"r0"}, {"r19"}, {"r3", "r4", "r11"}, {f"r{i}" for i in range(9)}])
def test_what_the_log_refuses_is_found_and_set_aside(
    recording: RecorderHarness, bad: set[str]
) -> None:
    log = FailingLog(str(recording.folder / "log"))
    log.bad = frozenset(bad)
    names = [f"r{i}" for i in range(20)]
    recording.write([predicted(name, START + i) for i, name in enumerate(names)])
    assert recording.start(log=log).step() == 20 - len(bad)
    assert reasons(recording) == {"REC-107": len(bad)}
    assert recorded(recording) == Counter(set(names) - bad)
    log.bad = frozenset()
    assert retry_all(recording) == len(bad)
    assert recording.start(log=log).step() == len(bad)
    assert recorded(recording) == Counter(names)
    assert recording.total("rows") == 20


@pytest.mark.parametrize("outage", [OSError("no space"), Exception("commit failed")])
def test_an_outage_of_the_log_sets_nothing_aside(
    recording: RecorderHarness, outage: Exception
) -> None:
    log = FailingLog(str(recording.folder / "log"))
    recording.write([predicted("a"), predicted("b")])
    recorder = recording.start(log=log)
    log.outage = outage
    with pytest.raises(type(outage)):
        recorder.step()
    log.outage = None
    assert held(recording) == {}
    recording.start(log=log).step()
    assert recorded(recording) == {"a": 1, "b": 1}
    assert recording.total("rows") == 2


def test_a_lost_database_connection_while_reading_sets_nothing_aside(
    recording: RecorderHarness,
) -> None:
    """A driver's error in the middle of a snapshot is an outage, not a contract that is gone."""
    recording.write([predicted("a")])

    class Broken:
        def __getattr__(self, name: str) -> Any:
            return getattr(recording.store, name)

        @contextmanager
        def read(self) -> Iterator[Tx]:
            with recording.store.read() as tx:

                def gone(_: str) -> Any:
                    raise sa.exc.OperationalError("SELECT", {}, Exception("gone"))

                tx.contract = gone  # type: ignore[method-assign]
                yield tx

    recorder = recording.start(Broken())  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable):
        recorder.step()
    assert held(recording) == {}


# Lateness, loss, spools that come back


def judged(recording: RecorderHarness, until: float) -> None:
    with recording.store.begin() as tx:
        tx.put_progress([Progress(MODEL, START, until, 0.0)])


def test_late_events_are_recorded_and_counted_as_late(recording: RecorderHarness) -> None:
    recorder = recording.start()
    recording.write([predicted("a", START + 1.0)])
    recorder.step()
    assert counted(recording, "late_events") == {}
    judged(recording, START + 60.0)
    recording.write(
        [predicted("b", START + 59.0), predicted("c", START + 60.0), outcome("a", START)]
    )
    recorder.step()
    assert counted(recording, "late_events") == {(MODEL, ""): 2}
    assert recording.total("rows") == 3
    recording.start().step()
    assert counted(recording, "late_events") == {(MODEL, ""): 2}


def test_one_clock_that_is_ahead_closes_no_windows(recording: RecorderHarness) -> None:
    recording.write([predicted("a", START + 3_600.0)])
    recording.start().step(rounds=1)
    (mark,) = recording.checkpoints()
    assert mark.watermark == START


def test_lost_bytes_are_counted_for_good(recording: RecorderHarness) -> None:
    recording.write([predicted(f"r{i}") for i in range(10)], segment=1_000)
    first = min((recording.folder / "spool" / "m-w0").glob("*.spool"))
    size = first.stat().st_size
    recording.start().step(rounds=0)
    first.write_bytes(b"\xff" * size)
    recording.start().step()
    (mark,) = recording.checkpoints()
    assert mark.lost_bytes == size
    assert counted(recording, "spool_lost_bytes") == {("", ""): size}
    recording.start().step()
    assert counted(recording, "spool_lost_bytes") == {("", ""): size}


def test_a_spool_that_is_seen_says_so(recording: RecorderHarness) -> None:
    recording.write([predicted("a")])
    recorder = recording.start()
    recorder.step()
    assert [c.seen_at for c in recording.checkpoints()] == [1_000.0]
    recording.clock.wall_at += 10.0
    recorder.step()
    assert [c.seen_at for c in recording.checkpoints()] == [1_000.0], "a write each second"
    recording.clock.wall_at += 10.0
    recorder.step()
    assert [c.seen_at for c in recording.checkpoints()] == [1_020.0]


def test_a_spool_that_cannot_be_read_stops_no_other(recording: RecorderHarness) -> None:
    from windvane.adapters.spool import FileSpoolReader
    from windvane.ports.spool import Batch

    class Torn(FileSpoolReader):
        def read(self, spool: str, position: int, limit: int) -> Batch:
            if spool == "m-w0":
                raise OSError(5, "Input/output error")
            return super().read(spool, position, limit)

    recording.write([predicted("a")])
    recording.write([predicted("b")], "m-w1")
    assert recording.start(spool=Torn(recording.folder / "spool")).step() == 1
    assert recorded(recording) == {"b": 1}
    assert [c.spool for c in recording.checkpoints()] == ["m-w1"]
