"""What a log says of its own size is what its files hold."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from contracts.event_log.rows import DAY, Place, append, outcome, predicted
from deltalake import DeltaTable

from windvane.adapters.delta import DeltaEventLog
from windvane.core.health import DAY_S

# deltalake 1.6 deprecates the argument that the adapter prunes partitions by
pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")
FIRST = int(DAY // DAY_S)


def alike() -> list[str]:
    """Two models that share the files of a bucket, and one that has its own."""
    from windvane.adapters.delta.tables import bucket_of

    names = [f"m{i}" for i in range(40)]
    other = next(n for n in names if bucket_of(n) != bucket_of("m0"))
    return ["m0", next(n for n in names[1:] if bucket_of(n) == bucket_of("m0")), other]


def test_bytes_and_rows_are_those_of_the_files(log: DeltaEventLog, place: Place) -> None:
    one, two, three = alike()
    events = [
        *(predicted(f"a{i}", model=one, rows=3) for i in range(10)),
        *(predicted(f"b{i}", model=two) for i in range(10)),
        *(predicted(f"c{i}", model=three) for i in range(5)),
        *(predicted(f"d{i}", DAY + DAY_S, model=one) for i in range(7)),
        *(outcome(f"a{i}", 1.0) for i in range(4)),
    ]
    append(log, events)
    sizes = log.sizes(0.0)
    rows = {(s.table, s.day, s.model): s.rows for s in sizes}
    assert rows == {
        ("predictions", FIRST, one): 30,
        ("predictions", FIRST, two): 10,
        ("predictions", FIRST, three): 5,
        ("predictions", FIRST + 1, one): 7,
        ("outcomes", FIRST, "delay"): 4,
    }
    for table in ("predictions", "outcomes"):
        actions = DeltaTable(f"{place.root}/{table}", storage_options=dict(place.storage) or None)
        import pyarrow as pa

        files = pa.table(actions.get_add_actions(flatten=True))["size_bytes"].to_pylist()
        assert sum(s.bytes for s in sizes if s.table == table) == sum(files)
    shared = {s.model: s.bytes for s in sizes if s.day == FIRST and s.table == "predictions"}
    assert shared[one] == pytest.approx(3 * shared[two], abs=4)


def test_each_day_says_when_its_first_row_is_from(log: DeltaEventLog) -> None:
    append(log, [predicted("a", DAY + 70), predicted("b", DAY + 60), predicted("c", DAY + DAY_S)])
    append(log, [predicted("d", DAY + 65), outcome("a", 1.0, DAY + 90)], first=100)
    log.compact(1)
    assert {(s.table, s.day, s.first) for s in log.sizes(0.0)} == {
        ("predictions", FIRST, DAY + 60),
        ("predictions", FIRST + 1, DAY + DAY_S),
        ("outcomes", FIRST, DAY + 90),
    }


def test_older_days_are_of_no_model(log: DeltaEventLog) -> None:
    append(log, [predicted("a"), predicted("b", DAY + DAY_S)])
    assert [(s.day, s.model, s.rows) for s in log.sizes(DAY + DAY_S)] == [
        (FIRST, "", 1), (FIRST + 1, "delay", 1),
    ]  # fmt: skip


def test_an_empty_log_holds_nothing(log: DeltaEventLog) -> None:
    assert log.sizes(0.0) == []


def test_a_folder_is_on_a_disk_and_a_bucket_is_not(
    log: DeltaEventLog, place: Place, tmp_path: Path
) -> None:
    free = log.free_bytes()
    if place.storage:
        assert free is None
    else:
        assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)
