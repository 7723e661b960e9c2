"""Rows of many batches and spools in one commit: each position once, however they are cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from contracts.event_log.rows import CONTRACTS, DAY, WIDE, Place, entries, outcome, predicted
from deltalake import DeltaTable

from windvane.adapters.delta import DeltaEventLog
from windvane.ports.event_log import LogRows
from windvane.ports.events import Event

# deltalake 1.6 deprecates the argument that the adapter prunes partitions by
pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


def rows(log: DeltaEventLog, events: Sequence[Event], spool: str, first: int = 0) -> LogRows:
    end = first + 10 * len(events)
    return log.prepare(spool, end, entries(events, spool, first), CONTRACTS)


def logged(log: DeltaEventLog) -> Counter[str]:
    found = log.samples("delay", WIDE, 0.0, DAY * 2, {}, 1_000)
    return Counter(row["prediction_id"] for row in found)


def test_what_is_prepared_is_not_written(log: DeltaEventLog) -> None:
    waiting = rows(log, [predicted("a", rows=3), outcome("a", 1.0)], "m/w0")
    assert (waiting.spool, waiting.end, waiting.rows) == ("m/w0", 20, 4)
    assert waiting.bytes > 0
    assert list(waiting.positions()) == [0, 10]
    assert logged(log) == {}


def test_one_commit_a_table_has_all_spools(log: DeltaEventLog, place: Place) -> None:
    log.commit(
        [
            rows(log, [predicted("b", DAY + 1), predicted("c", DAY + 2)], "m/w0"),
            rows(log, [predicted("d", DAY + 3), outcome("b", 1.0)], "m/w0", 20),
            rows(log, [predicted("a", DAY)], "m/w1"),
        ],
        {"m/w0": 40, "m/w1": 10, "m/w2": 70},
    )
    assert logged(log) == {"a": 1, "b": 1, "c": 1, "d": 1}
    assert [log.appended(f"m/w{i}") for i in range(3)] == [40, 10, 70]
    table = DeltaTable(f"{place.root}/predictions", storage_options=dict(place.storage) or None)
    assert table.version() == 0


def test_a_commit_that_is_repeated_cut_otherwise_adds_what_is_missing(log: DeltaEventLog) -> None:
    events: list[Event] = [predicted(f"r{i}", DAY + i) for i in range(8)]
    log.commit([rows(log, events[:5], "m/w0")], {"m/w0": 50})
    log.commit([rows(log, events[:3], "m/w0"), rows(log, events[3:], "m/w0", 30)], {"m/w0": 80})
    log.commit([rows(log, events, "m/w0")], {"m/w0": 80})
    assert logged(log) == Counter(f"r{i}" for i in range(8))


def test_halves_are_the_whole(log: DeltaEventLog) -> None:
    events: list[Event] = [predicted(f"r{i}", DAY + i) for i in range(5)]
    first, second = rows(log, [*events, outcome("r0", 1.0)], "m/w0").halves()
    assert (first.end, second.end, first.rows + second.rows) == (30, 60, 6)
    log.commit([first], {"m/w0": first.end})
    assert logged(log) == {"r0": 1, "r1": 1, "r2": 1}
    log.commit([second], {"m/w0": second.end})
    assert logged(log) == Counter(f"r{i}" for i in range(5))
    assert log.counts("delay")["outcomes"] == 1
