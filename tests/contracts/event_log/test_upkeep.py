"""Where rows lie, and what keeps the log small: compaction, erasure, expiry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from contracts.event_log.rows import (
    CONTRACTS,
    DAY,
    NARROW,
    WIDE,
    Place,
    append,
    entries,
    outcome,
    predicted,
    refused,
)
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.delta.tables import BUCKETS, bucket_of
from windvane.ports.event_log import OldLogLayout, RemovedRows, UnknownLogVersion

DAY_S = 86_400.0


def day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def rows_of(table: DeltaTable, predicate: str | None = None) -> list[dict[str, Any]]:
    """In the order of the files, and of their rows."""
    found: list[dict[str, Any]] = []
    for uri in table.file_uris(file_pruning_predicate=predicate):
        dataset = table.to_pyarrow_dataset(file_pruning_predicate=predicate)
        for fragment in dataset.get_fragments():
            if uri.endswith(fragment.path.rsplit("/", 1)[-1]):
                found += fragment.to_table().to_pylist()
    return found


def same_bucket(model: str) -> str:
    """Another model that lies in the same partitions."""
    return next(f"m{i}" for i in range(1_000) if bucket_of(f"m{i}") == bucket_of(model))


def test_many_models_share_a_few_files(log: DeltaEventLog, place: Place) -> None:
    models = [f"model-{i}" for i in range(300)]
    append(log, [predicted(f"r{i}", DAY + i, model=name) for i, name in enumerate(models)])
    assert len(place.table("predictions").file_uris()) <= BUCKETS
    assert log.counts("model-7") == {"predictions": 1, "refusals": 0, "outcomes": 0}
    (row,) = log.samples("model-7", NARROW, DAY, DAY + 999, {}, 9)
    assert row["prediction_id"] == "r7"


def test_rows_lie_by_model_tenant_and_time(log: DeltaEventLog, place: Place) -> None:
    other = same_bucket("delay")
    append(
        log,
        [
            predicted("d", DAY + 3, tenant="UA"),
            predicted("b", DAY + 2, rows=2),
            predicted("z", DAY + 4, model=other),
            predicted("a", DAY + 1),
        ],
    )
    table = place.table("predictions")
    (path,) = table.file_uris()
    assert f"day={day(DAY)}/bucket={bucket_of('delay')}/" in path
    found = [(row["prediction_id"], row["row"]) for row in rows_of(table)]
    assert found == [("a", 0), ("b", 0), ("b", 1), ("d", 0), ("z", 0)]


def test_the_bucket_of_a_model_never_changes() -> None:
    """Readers compute it too: Spark's `crc32(model) % 16`, Trino's `crc32(to_utf8(model)) % 16`."""
    assert {name: bucket_of(name) for name in ("flight-delay", "late", "a")} == {
        "flight-delay": 7, "late": 5, "a": 3,
    }  # fmt: skip


def test_statistics_tell_which_files_a_model_a_tenant_and_a_day_need(
    log: DeltaEventLog, place: Place
) -> None:
    other = same_bucket("delay")
    for i, (model, tenant, ts) in enumerate(
        [("delay", "AA", DAY), ("delay", "UA", DAY), (other, "AA", DAY), ("delay", "AA", DAY * 1.1)]
    ):
        append(log, [predicted(f"r{i}", ts, model=model, tenant=tenant)], first=10 * i)
    table = place.table("predictions")
    asked = f"day = '{day(DAY)}' AND model = 'delay'"
    assert len(table.file_uris()) == 4
    assert len(table.file_uris(file_pruning_predicate=asked)) == 2
    assert len(table.file_uris(file_pruning_predicate=f"{asked} AND tenant = 'UA'")) == 1


def test_a_past_day_is_sorted_once(log: DeltaEventLog, place: Place) -> None:
    other = same_bucket("delay")
    for i in range(6):
        model, tenant = ("delay", other)[i % 2], ("UA", "AA")[i // 3]
        append(log, [predicted(f"r{i}", DAY + i, model=model, tenant=tenant)], first=10 * i)
    append(log, [predicted("today", DAY + DAY_S)], first=60)
    before = log.samples("delay", WIDE, DAY, DAY + 9, {}, 9)
    assert log.compact(100) == 6
    table = place.table("predictions")
    asked = f"day = '{day(DAY)}'"
    assert len(table.file_uris(file_pruning_predicate=asked)) == 1
    found = [(row["model"], row["tenant"], row["ts"]) for row in rows_of(table, asked)]
    assert found == sorted(found)
    assert log.samples("delay", WIDE, DAY, DAY + 9, {}, 9) == before
    assert log.appended("m/w0") == 70
    version = table.version()
    assert log.compact(100) == 0
    assert place.open().compact(100) == 0, "a steward that starts anew does it again"
    assert place.table("predictions").version() == version


def test_what_is_appended_while_a_day_is_sorted_stays(log: DeltaEventLog, place: Place) -> None:
    """Whoever is later gives way: no rows are lost to a rewrite of what was there before them."""
    append(log, [predicted("today", DAY + DAY_S)], spool="today")
    sent = 20

    def record() -> None:
        recorder = place.open()
        for i in range(sent):
            append(recorder, [predicted(f"r{i}", DAY + i)], first=10 * i)

    with ThreadPoolExecutor(1) as pool:
        recording = pool.submit(record)
        while not recording.done():
            log.compact(3)
        recording.result()
    while log.compact(3):
        pass
    found = [row["prediction_id"] for row in log.samples("delay", WIDE, DAY, DAY + 99, {}, 99)]
    assert found == [f"r{i}" for i in range(sent)]
    asked = f"day = '{day(DAY)}'"
    assert len(place.table("predictions").file_uris(file_pruning_predicate=asked)) == 1


def test_one_call_does_a_bounded_part(log: DeltaEventLog, place: Place) -> None:
    """Day after day, the newest first."""
    days = 20
    for i in range(2):
        events = [predicted(f"r{i}-{n}", DAY + n * DAY_S) for n in range(days)]
        append(log, events, first=1_000 * i)
    calls = 0
    while log.compact(1):
        calls += 1
    assert calls > 1
    assert len(place.table("predictions").file_uris()) == days
    assert log.counts("delay")["predictions"] == 2 * days


def test_erasing_a_tenant_rewrites_only_what_has_it(log: DeltaEventLog, place: Place) -> None:
    other = same_bucket("delay")
    append(log, [predicted("a", DAY), predicted("b", DAY, tenant="UA")])
    append(log, [predicted("c", DAY, tenant="UA")], first=20)
    append(log, [predicted("d", DAY, model=other)], first=30)
    append(log, [predicted("e", DAY + 5), refused("x"), outcome("a", 1.0)], first=40)
    assert log.erase("delay", "AA", DAY + 1) == RemovedRows(3, removed_files=3, rewritten_files=1)
    kept = log.samples("delay", NARROW, DAY, DAY + 9, {}, 9)
    assert [row["prediction_id"] for row in kept] == ["b", "c", "e"]
    assert log.refusals("delay", "AA", DAY, DAY + 9, 9) == []
    assert log.counts("delay") == {"predictions": 3, "refusals": 0, "outcomes": 0}
    assert log.counts(other)["predictions"] == 1
    assert log.erase("delay", "AA", DAY + 1) == RemovedRows()
    append(log, [predicted("a", DAY), predicted("b", DAY, tenant="UA")])
    assert log.counts("delay")["predictions"] == 3, "an erased position is not appended again"


@settings(max_examples=6)
@given(
    st.lists(
        st.tuples(st.sampled_from(["AA", "UA"]), st.integers(0, 5), st.integers(0, 2)),
        min_size=1, max_size=12,
    ),
    st.integers(0, 6),
)  # fmt: skip
def test_exactly_the_rows_before_are_erased(
    tmp_path_factory: pytest.TempPathFactory, sent: list[tuple[str, int, int]], before: int
) -> None:
    log = DeltaEventLog(str(tmp_path_factory.mktemp("log")))
    events = [
        predicted(f"r{i}", DAY + n * DAY_S / 2 + 1e-6, tenant=tenant)
        for i, (tenant, n, _) in enumerate(sent)
    ]
    for i, event in enumerate(events):
        append(log, [event], spool=f"w{sent[i][2]}", first=10 * i)
    limit = DAY + before * DAY_S / 2
    log.erase("delay", "AA", limit)
    found = {r["prediction_id"] for r in log.samples("delay", NARROW, 0.0, 2 * DAY, {}, 99)}
    assert found == {e.event_id for e in events if e.tenant != "AA" or e.ts >= limit}


def files_below(place: Place, name: str) -> int:
    """That lie there, whether a version needs them or not; of a folder only."""
    return len(list(Path(place.root, name).glob("*/*/*.parquet")))


def test_old_days_go_whole_and_their_files_too(place: Place) -> None:
    log = DeltaEventLog(place.root, place.storage, read_within_hours=0)
    for i in range(3):
        append(log, [predicted(f"r{i}", DAY + i * DAY_S), refused(f"x{i}")], first=20 * i)
    removed = log.expire("predictions", DAY + 1.5 * DAY_S, [])
    assert (removed.rows, removed.rewritten_files) == (1, 0), "the day of the limit stays whole"
    assert log.counts("delay") == {"predictions": 2, "refusals": 3, "outcomes": 0}
    if not place.storage:
        assert files_below(place, "predictions") == 2
    assert log.expire("predictions", DAY + 1.5 * DAY_S, []) == RemovedRows()
    assert log.expire("outcomes", DAY, []) == RemovedRows()
    append(log, [predicted("r0", DAY)])
    assert log.counts("delay")["predictions"] == 2, "an expired position is not appended again"


def test_versions_that_are_pinned_can_be_read_as_they_were(place: Place) -> None:
    log = DeltaEventLog(place.root, place.storage, read_within_hours=0)
    append(log, [predicted("a", DAY)])
    pinned = place.table("predictions").version()
    append(log, [predicted("b", DAY)], first=10)
    append(log, [predicted("c", DAY + DAY_S)], first=20)
    between = place.table("predictions").version()
    log.compact(100)
    log.expire("predictions", DAY + DAY_S, [pinned])
    table = place.table("predictions")
    table.load_as_version(pinned)
    assert [row["prediction_id"] for row in rows_of(table)] == ["a"]
    table.load_as_version(between)
    with pytest.raises(Exception, match=r"(?i)not found|no such|does not exist|404"):
        rows_of(table)
    assert log.counts("delay")["predictions"] == 1


def test_files_that_someone_may_still_read_stay(place: Place) -> None:
    log = place.open()
    append(log, [predicted("a", DAY)])
    before = place.table("predictions")
    append(log, [predicted("b", DAY + DAY_S)], first=10)
    log.expire("predictions", DAY + DAY_S, [])
    assert [row["prediction_id"] for row in rows_of(before)] == ["a"]


def test_a_version_that_never_was_cannot_be_kept(place: Place) -> None:
    log = DeltaEventLog(place.root, place.storage, read_within_hours=0)
    append(log, [predicted("a", DAY)])
    append(log, [predicted("b", DAY + DAY_S)], first=10)
    with pytest.raises(UnknownLogVersion, match="0 to 1, and none is 7"):
        log.expire("predictions", DAY + DAY_S, [7])
    assert log.counts("delay")["predictions"] == 2


def test_one_call_expires_a_month_at_most(log: DeltaEventLog) -> None:
    append(log, [predicted(f"r{n}", DAY + n * DAY_S) for n in range(40)])
    limit = DAY + 39 * DAY_S
    assert [log.expire("predictions", limit, []).rows for _ in range(3)] == [31, 8, 0]


@pytest.mark.parametrize("ask", ["append", "samples", "compact", "check_layout"])
def test_a_log_with_tables_for_each_model_is_refused(place: Place, ask: str) -> None:
    write_deltalake(
        f"{place.root}/delay/predictions",
        pa.table({"day": ["2024-01-01"], "x": [1]}),
        partition_by=["day"],
        storage_options=dict(place.storage) or None,
    )
    log = place.open()
    calls: dict[str, Any] = {
        "append": lambda: log.append("w", 10, entries([predicted("a")]), CONTRACTS),
        "samples": lambda: log.samples("delay", NARROW, DAY, DAY + 1, {}, 1),
        "compact": lambda: log.compact(1),
        "check_layout": log.check_layout,
    }
    with pytest.raises(OldLogLayout, match=r"LOG-101.*\(delay .*Hint: move the folder"):
        calls[ask]()
    assert not DeltaTable.is_deltatable(f"{place.root}/predictions", dict(place.storage) or None)


def test_a_models_name_may_be_that_of_a_table(log: DeltaEventLog, place: Place) -> None:
    for model in ("predictions", "outcomes"):
        append(log, [predicted("a", model=model)], spool=model)
        assert place.open().counts(model)["predictions"] == 1


def test_the_tables_own_log_is_kept_for_pinned_versions(log: DeltaEventLog, place: Place) -> None:
    append(log, [predicted("a")])
    assert place.table("predictions").metadata().configuration == {
        "delta.enableExpiredLogCleanup": "false"
    }


def statistics_of(table: DeltaTable) -> Sequence[str]:
    return list(pa.table(table.get_add_actions(flatten=True)).column_names)


def test_each_file_says_which_models_tenants_and_times_it_has(
    log: DeltaEventLog, place: Place
) -> None:
    append(log, [predicted("a"), refused("b"), outcome("a", 1.0)])
    for name in ("predictions", "refusals", "outcomes"):
        known = statistics_of(place.table(name))
        assert {f"{end}.{c}" for end in ("min", "max") for c in ("model", "tenant", "ts")} <= {
            *known
        }, json.dumps(known)
