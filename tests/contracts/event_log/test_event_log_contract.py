"""The event log: each position once, columns that may be added, and the questions asked of it."""

from __future__ import annotations

import struct
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from contracts.event_log.rows import (
    CONTRACTS,
    DAY,
    KIND,
    NARROW,
    WIDE,
    Place,
    X,
    append,
    entries,
    outcome,
    predicted,
    refused,
)
from deltalake import CommitProperties, Transaction, write_deltalake
from event_rows import predicted_event
from hypothesis import given, settings
from hypothesis import strategies as st

from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.delta.tables import TABLES, table_of, to_arrow
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract, TaskSpec
from windvane.ports.event_log import LogSpan, RowKind, RowPlace
from windvane.ports.events import Event, OutcomeSeen, event_key

# deltalake 1.6 deprecates the argument that the adapter prunes partitions by
pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


def test_an_empty_log(log: DeltaEventLog) -> None:
    assert log.counts("delay") == {"predictions": 0, "refusals": 0, "outcomes": 0}
    assert log.appended("m/w0") == 0
    assert log.recent_keys({}, 10) == []
    assert log.samples("delay", WIDE, 0.0, DAY * 2, {}, 5) == []
    assert log.refusals("delay", "AA", 0.0, DAY * 2, 5) == []
    assert log.scored("delay", WIDE, 0.0, DAY * 2) == []


def test_a_storage_that_answers(log: DeltaEventLog) -> None:
    log.check_storage()
    append(log, [predicted("a")])
    log.check_storage()


def test_a_storage_that_does_not_answer(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "log"):
        with pytest.raises(OSError, match="file"):
            DeltaEventLog(str(root)).check_storage()
    if place.storage:
        nowhere = {**place.storage, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "max_retries": "0"}
        with pytest.raises(OSError, match=r"\w"):
            DeltaEventLog(place.root, nowhere).check_storage()


def test_each_kind_has_its_table_and_a_row_its_place(log: DeltaEventLog) -> None:
    end = append(log, [predicted("a", rows=3), refused("b"), outcome("a", 1.0), predicted("c")])
    assert log.counts("delay") == {"predictions": 4, "refusals": 1, "outcomes": 1}
    assert log.counts("other") == {"predictions": 0, "refusals": 0, "outcomes": 0}
    assert log.appended("m/w0") == end
    assert log.appended("other") == 0


def test_a_repeated_append_adds_nothing(log: DeltaEventLog, place: Place) -> None:
    events = [predicted("a"), refused("b"), outcome("a", 1.0)]
    append(log, events)
    append(log, events)
    append(place.open(), events)  # after a restart
    assert log.counts("delay") == {"predictions": 1, "refusals": 1, "outcomes": 1}


def test_an_append_that_reaches_further_adds_only_the_rest(log: DeltaEventLog) -> None:
    append(log, [predicted("a"), predicted("b")])
    end = append(log, [predicted("a"), predicted("b"), predicted("c"), refused("d")])
    assert log.counts("delay") == {"predictions": 3, "refusals": 1, "outcomes": 0}
    assert log.appended("m/w0") == end
    found = [row["prediction_id"] for row in log.samples("delay", WIDE, DAY, DAY + 1, {}, 10)]
    assert found == ["a", "b", "c"]


def test_a_crash_between_two_tables_is_finished(log: DeltaEventLog) -> None:
    """Only the predictions were written; the whole batch comes again."""
    log.append("m/w0", 20, entries([predicted("a")]), CONTRACTS)
    assert log.appended("m/w0") == 20
    append(log, [predicted("a"), refused("b")])
    assert log.counts("delay") == {"predictions": 1, "refusals": 1, "outcomes": 0}


def test_spools_do_not_hide_each_other(log: DeltaEventLog) -> None:
    append(log, [predicted("a")] * 1, "m/w0", first=1000)
    append(log, [predicted("b")] * 1, "m/w1")
    assert log.counts("delay")["predictions"] == 2
    assert (log.appended("m/w0"), log.appended("m/w1")) == (1010, 10)


@settings(max_examples=8)
@given(cuts=st.lists(st.integers(0, 12), max_size=4), again=st.integers(0, 12))
def test_any_batches_and_any_repeat_give_each_position_once(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], again: int
) -> None:
    log = DeltaEventLog(str(tmp_path_factory.mktemp("log")))
    events = [predicted(f"r{i}", DAY + i) for i in range(12)]
    edges = sorted({0, 12, *cuts})
    for low, high in pairwise(edges):
        append(log, events[low:high], first=10 * low)
        start = min(again, low)  # a recorder whose mark is older reads from there again
        append(log, events[start:high], first=10 * start)
    found = [row["prediction_id"] for row in log.samples("delay", WIDE, DAY, DAY + 100, {}, 100)]
    assert found == [f"r{i}" for i in range(12)]


def test_features_may_be_added(log: DeltaEventLog) -> None:
    append(log, [predicted("a"), predicted("b", layout="wide")])
    append(log, [predicted("c", DAY + 1)], first=20)
    found = log.samples("delay", WIDE, DAY, DAY + 9, {}, 9)
    rows = {row["prediction_id"]: row["features"] for row in found}
    assert [rows[r].get("y") for r in "abc"] == [None, 7.0, None]
    assert [rows[r]["x"] for r in "abc"] == [1.5, 2.5, 1.5]
    assert [rows[r]["kind"] for r in "abc"] == ["a", None, "a"]
    append(log, [predicted("d", DAY + 2, layout="wide")], first=30)
    assert log.counts("delay")["predictions"] == 4


def test_a_log_from_before_new_columns_goes_on(log: DeltaEventLog, place: Place) -> None:
    """The release before wrote no columns `key` and `explanation`: old and new files lie in one
    table."""
    old = entries([predicted("a"), refused("b"), outcome("a", 1.0)])
    for name in TABLES:
        made = to_arrow(name, [e for e in old if table_of(e) == name], CONTRACTS)
        write_deltalake(
            f"{place.root}/{name}",
            made.drop_columns([c for c in ("key", "explanation") if c in made.column_names]),
            mode="append", partition_by=["day", "bucket"],
            storage_options=dict(place.storage) or None,
            commit_properties=CommitProperties(app_transactions=[Transaction("m/w0", 30)]),
        )  # fmt: skip
    why = '{"base": 0.25}'
    fresh = [
        predicted("c", DAY + 1, explanation=why),
        refused("d", DAY + 1),
        outcome("c", 0.0, DAY + 1),
    ]
    append(log, fresh, first=30)
    assert log.counts("delay") == {"predictions": 2, "refusals": 2, "outcomes": 2}
    found = log.samples("delay", WIDE, DAY, DAY + 9, {}, 9)
    assert [(row["prediction_id"], row["key"]) for row in found] == [("a", None), ("c", "k1")]
    assert [row["explanation"] for row in found] == [None, why]
    told = log.refusals("delay", "AA", DAY, DAY + 9, 9)
    assert [row["prediction_id"] for row in told] == ["b", "d"]
    assert sum(len(one.labels) for one in log.scored("delay", NARROW, DAY, DAY + 9)) == 2
    assert len(log.recent_keys({"m/w0": 60}, 10)) == 6
    for _ in range(2):
        assert log.compact(1) >= 0
    assert log.counts("delay") == {"predictions": 2, "refusals": 2, "outcomes": 2}
    assert [row["key"] for row in log.samples("delay", WIDE, DAY, DAY + 9, {}, 9)] == [None, "k1"]


def test_recent_keys_stop_at_the_marks(log: DeltaEventLog) -> None:
    one = [predicted("a", DAY), refused("b", DAY + 1), outcome("a", 1.0, DAY + 2)]
    other = [predicted("c", DAY + 3, tenant="UA"), predicted("d", DAY + 4)]
    append(log, one)
    append(log, other, "m/w1")
    keys = [event_key(event) for event in one]
    assert sorted(log.recent_keys({"m/w0": 30, "m/w1": 0}, 10)) == sorted(keys)
    assert sorted(log.recent_keys({"m/w0": 20}, 10)) == sorted(keys[:2])
    assert log.recent_keys({}, 10) == []
    everything = {"m/w0": 30, "m/w1": 20}
    assert log.recent_keys(everything, 2) == [event_key(other[1]), event_key(other[0])]
    assert len(log.recent_keys(everything, 100)) == 5


def test_samples(log: DeltaEventLog) -> None:
    append(
        log,
        [
            predicted("a", DAY - 1),
            predicted("b", DAY, values=[None, "a"]),
            predicted("c", DAY + 1, answered="", flags=["failed"]),
            predicted("d", DAY + 86400, rows=2),
        ],
    )

    def asked(start: float, end: float, where: dict[str, Any], limit: int = 9) -> list[str]:
        return [
            row["prediction_id"] for row in log.samples("delay", WIDE, start, end, where, limit)
        ]

    assert asked(DAY, DAY + 1, {}) == ["b"]
    assert asked(DAY - 9, DAY + 99_999, {}) == ["a", "b", "c", "d", "d"]
    assert asked(DAY - 9, DAY + 99_999, {}, 2) == ["a", "b"]
    assert asked(DAY, DAY + 9, {"features.x": None}) == ["b"]
    assert asked(DAY, DAY + 9, {"answered": "", "routed": "1"}) == ["c"]
    (row,) = log.samples("delay", WIDE, DAY + 1, DAY + 2, {}, 9)
    assert row == {
        "ts": DAY + 1, "tenant": "AA", "prediction_id": "c", "request_id": "", "row": 0,
        "unit": "u1", "routed": "1", "answered": "", "arm": "champion", "rollout": "",
        "latency_us": 900, "flags": ["failed"], "explanation": None, "key": "k1",
        "features": {"x": 1.5, "kind": "a"}, "outputs": {"probability": 0.25},
    }  # fmt: skip


def test_features_are_called_as_the_model_has_them(log: DeltaEventLog) -> None:
    """Also as a column, as one another in other letters, and as no column may be called."""
    names = ("unit", "X", "x", "größe [cm]", "mean radius", 'a"b', "x_", "größe (cm)")
    contract = Contract(tuple(FeatureSpec(name, "v", FeatureType.NUMBER) for name in names))
    values = [float(i) for i in range(len(names))]
    event = predicted_event("a", DAY, "delay", "AA", contract.id, values=values, outputs=[0.25])
    log.append("m/w0", 10, entries([event]), {contract.id: contract})
    (row,) = log.samples("delay", contract, DAY, DAY + 1, {}, 1)
    assert row["features"] == dict(zip(names, values, strict=True))
    assert row["unit"] == "u1"
    for i, name in enumerate(names):
        assert log.samples("delay", contract, DAY, DAY + 1, {f"features.{name}": float(i)}, 1)
        assert not log.samples("delay", contract, DAY, DAY + 1, {f"features.{name}": 99.0}, 1)


EVERY_TYPE = Contract(
    (
        X,
        FeatureSpec("n", "v", FeatureType.INTEGER),
        FeatureSpec("b", "v", FeatureType.BOOLEAN),
        KIND,
        FeatureSpec("at", "v", FeatureType.DATETIME),
        FeatureSpec("text", "v", FeatureType.TEXT),
        FeatureSpec("vec", "v", FeatureType.VECTOR, length=2),
        FeatureSpec("img", "v", FeatureType.IMAGE),
    ),
    TaskSpec("multiclass", classes=("p", "q", "r")),
)


@pytest.mark.parametrize("rows", [1, 3])
def test_every_type_and_named_outputs_come_back(log: DeltaEventLog, rows: int) -> None:
    values = [1.5, 2, True, "k", DAY + 0.25, "größe", [1.0, 2.0], b"\x89PNG"]
    event = predicted_event(
        "a", DAY, "delay", "AA", EVERY_TYPE.id, values=values, outputs=[[0.2, 0.3, 0.5]], rows=rows
    )
    log.append("m/w0", 10, entries([event]), {EVERY_TYPE.id: EVERY_TYPE})
    found = log.samples("delay", EVERY_TYPE, DAY, DAY + 1, {}, 9)
    assert [row["row"] for row in found] == list(range(rows))
    for row in found:
        assert row["features"] == dict(zip(EVERY_TYPE.names, values, strict=True))
        assert row["outputs"] == {"probabilities": [0.2, 0.3, 0.5]}
    nulls = predicted_event(
        "b", DAY + 1, "delay", "AA", EVERY_TYPE.id, values=[None] * 8, outputs=[[1.0, 0.0, 0.0]]
    )
    log.append("m/w0", 20, entries([nulls], first=10), {EVERY_TYPE.id: EVERY_TYPE})
    (row,) = log.samples("delay", EVERY_TYPE, DAY + 1, DAY + 2, {}, 9)
    assert row["features"] == dict.fromkeys(EVERY_TYPE.names)


def test_packed_columns_are_the_same_rows(log: DeltaEventLog) -> None:
    """Columns of numbers may come as packed floats."""
    plain = predicted_event(
        "a", DAY, "delay", "AA", NARROW.id, values=[1.5, "a"], outputs=[0.5], rows=2
    )
    packed = msgspec.structs.replace(
        plain, event_id="b", ts=DAY + 1, features=[struct.pack("<2d", 1.5, 1.5), ["a", "a"]]
    )
    log.append("m/w0", 20, entries([plain, packed]), CONTRACTS)
    one, other = (
        [row["features"] for row in log.samples("delay", NARROW, DAY + i, DAY + i + 1, {}, 9)]
        for i in (0, 1)
    )
    assert one == other == [{"x": 1.5, "kind": "a"}] * 2


def test_refusals_are_one_tenants(log: DeltaEventLog) -> None:
    append(log, [refused("b", DAY + 1), refused("a", DAY), refused("c", DAY, "UA")])
    found = log.refusals("delay", "AA", DAY, DAY + 9, 9)
    assert [row["prediction_id"] for row in found] == ["a", "b"]
    assert found[0]["code"] == "CON-101"
    assert found[0]["ts"] == DAY
    assert [r["prediction_id"] for r in log.refusals("delay", "AA", DAY, DAY + 1, 9)] == ["a"]
    assert len(log.refusals("delay", "AA", DAY, DAY + 9, 1)) == 1


@pytest.mark.parametrize("tenant", ["", "AA\x00p", "O'Neil", "größe", "a" * 128, "\U0010ffff" * 40])
def test_a_tenant_may_be_called_anything(log: DeltaEventLog, tenant: str) -> None:
    append(log, [refused("a", tenant=tenant), refused("b"), predicted("p", tenant=tenant)])
    assert [r["prediction_id"] for r in log.refusals("delay", tenant, DAY, DAY + 9, 9)] == ["a"]
    where = {"tenant": tenant}
    assert len(log.samples("delay", NARROW, DAY, DAY + 9, where, 9)) == 1
    assert log.erase("delay", tenant, DAY + 1).rows == 2
    assert log.counts("delay") == {"predictions": 0, "refusals": 1, "outcomes": 0}


def test_scored_counts_answers_with_known_outcome(log: DeltaEventLog) -> None:
    append(
        log,
        [
            predicted("a", DAY, output=0.31),
            predicted("b", DAY, output=0.39),
            predicted("c", DAY, output=1.0, arm="challenger", routed="2"),
            predicted("unknown", DAY),
            predicted("early", DAY - 60, output=0.5),
            predicted("a", DAY, tenant="UA", output=0.9),  # another tenant's request of that id
            outcome("a", 0.0, DAY + 9e5),
            outcome("b", 0.0),
            outcome("c", 1.0),
            outcome("early", 1.0),
        ],
    )
    first, second = log.scored("delay", NARROW, DAY, DAY + 1)
    assert (first.routed, first.arm, first.rollout) == ("1", "champion", "")
    assert sorted(first.outputs[0].tolist()) == [0.31, 0.39]
    assert first.labels.tolist() == [0.0, 0.0]
    assert (second.routed, second.arm) == ("2", "challenger")
    assert (second.outputs[0].tolist(), second.labels.tolist()) == ([1.0], [1.0])


def test_scored_rows_have_the_features_that_were_asked_for(log: DeltaEventLog) -> None:
    names = ("flag", "kind", "count")
    types = (FeatureType.BOOLEAN, FeatureType.CATEGORY, FeatureType.INTEGER)
    contract = Contract(
        tuple(FeatureSpec(n, "v", t) for n, t in zip(names, types, strict=True)), TaskSpec()
    )
    held: dict[str, list[Any]] = {"a": [True, "x", 3.0], "b": [None, None, None]}
    events = [
        event
        for name, values in held.items()
        for event in (
            predicted_event(
                name, DAY, "delay", "AA", contract.id, values=values, outputs=[0.5],
            ),
            OutcomeSeen(f"{name}/0", DAY, "delay", "AA", contract.id, name, 0, 1.0),
        )
    ]  # fmt: skip
    log.append("m/w0", 20, entries(events), {contract.id: contract})
    asked = ["count", "kind", "flag"]
    (found,) = log.scored("delay", contract, DAY, DAY + 1, limit=9, features=asked)
    order = np.argsort([value is None for value in found.features["kind"]])
    assert list(found.features) == asked
    assert {n: c[order].tolist() for n, c in found.features.items()} == {
        "count": [3.0, None], "kind": ["x", None], "flag": [True, None],
    }  # fmt: skip
    assert found.taken(order == 0).features["kind"].shape == (1,)
    (plain,) = log.scored("delay", contract, DAY, DAY + 1)
    assert plain.features == {}


def test_scored_rows_of_several_outputs_and_labels(log: DeltaEventLog) -> None:
    task = TaskSpec("multilabel", classes=("p", "q"))
    contract = Contract((X,), task)
    event = predicted_event(
        "a", DAY, "delay", "AA", contract.id, values=[1.0], outputs=[[0.2, 0.9]]
    )
    truth = OutcomeSeen("a/0", DAY, "delay", "AA", contract.id, "a", 0, [0.0, 1.0])
    log.append("m/w0", 20, entries([event, truth]), {contract.id: contract})
    (found,) = log.scored("delay", contract, DAY, DAY + 1)
    assert found.outputs[0].tolist() == [[0.2, 0.9]]
    assert found.labels.tolist() == [[0.0, 1.0]]
    other = Contract((X,), TaskSpec("regression", outputs={"delay": ()}))
    assert log.scored("delay", other, DAY, DAY + 1) == [], "no row has such an output"


def test_a_clients_own_id_names_a_prediction_as_long_as_it_stands_for_one(
    log: DeltaEventLog,
) -> None:
    """An id that was used twice stands for two answers, and nobody can say which was meant."""
    append(
        log,
        [
            predicted("p1", request_id="order-1", output=0.1),
            predicted("p2", request_id="order-2", output=0.2),
            predicted("p3", request_id="order-2", output=0.3),
            predicted("p4", request_id="order-1", output=0.4, tenant="UA"),
            outcome("order-1", 1.0),
            outcome("order-2", 1.0),
            outcome("p3", 0.0),
        ],
    )
    (found,) = log.scored("delay", NARROW, DAY, DAY + 1)
    rows = dict(zip(found.outputs[0].tolist(), found.labels.tolist(), strict=True))
    assert rows == {0.1: 1.0, 0.3: 0.0}


def test_a_corrected_outcome_counts_once(log: DeltaEventLog) -> None:
    correction = OutcomeSeen("later", DAY + 5, "delay", "AA", NARROW.id, "a", 0, 1.0)
    append(log, [predicted("a"), outcome("a", 0.0), correction])
    (found,) = log.scored("delay", NARROW, DAY, DAY + 1)
    assert found.labels.tolist() == [1.0]


def test_compaction_keeps_every_row_and_every_position(log: DeltaEventLog) -> None:
    for i in range(4):
        append(log, [predicted(f"r{i}", DAY + i)], first=10 * i)
    before = log.samples("delay", WIDE, DAY, DAY + 9, {}, 9)
    assert log.compact(4) == 0
    removed = log.compact(3)
    assert removed == 4
    assert log.counts("delay")["predictions"] == 4
    assert log.samples("delay", WIDE, DAY, DAY + 9, {}, 9) == before
    assert log.appended("m/w0") == 40
    append(log, [predicted("r3", DAY + 3)], first=30)
    assert log.counts("delay")["predictions"] == 4
    append(log, [predicted("r4", DAY + 4)], first=40)
    assert log.counts("delay")["predictions"] == 5


def test_nothing_deprecated_is_called(log: DeltaEventLog) -> None:
    append(log, [predicted("a")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(log.samples("delay", WIDE, DAY, DAY + 1, {}, 9)) == 1


def rows_of(
    log: DeltaEventLog, kind: RowKind, *, tenant: str = "", after: RowPlace | None = None,
    limit: int = 100, start: float = 0.0, end: float = DAY * 2,
) -> list[tuple[RowPlace, dict[str, Any]]]:  # fmt: skip
    return list(
        log.rows(
            kind, "delay", WIDE, start, end, tenant=tenant, after=after, limit=limit, within_s=60.0
        )
    )


def test_rows_come_in_the_order_of_their_places_and_go_on_from_any(log: DeltaEventLog) -> None:
    events = [
        predicted("b", DAY + 1, rows=2),
        predicted("a", DAY + 1, layout="wide"),
        predicted("c", DAY, tenant="UA"),
        predicted("other", DAY, model="another"),
    ]
    append(log, events)
    found = rows_of(log, "predictions")
    assert [(row["prediction_id"], row["row"]) for _, row in found] == [
        ("c", 0), ("a", 0), ("b", 0), ("b", 1),
    ]  # fmt: skip
    assert found[1][1]["features"] == {"x": 2.5, "kind": None, "y": 7}
    assert found[1][1]["outputs"] == {"probability": 0.25}
    assert found[1][1]["ts"] == DAY + 1
    assert not {"spool", "position", "day", "contract"} & found[0][1].keys()
    for i, (place, _) in enumerate(found):
        assert rows_of(log, "predictions", after=place) == found[i + 1 :]
        assert rows_of(log, "predictions", limit=i + 1) == found[: i + 1]
    assert rows_of(log, "predictions", tenant="UA") == found[:1]
    assert rows_of(log, "predictions", start=DAY + 1) == found[1:]
    assert rows_of(log, "predictions", end=DAY + 1) == found[:1]


def test_scored_rows_have_their_latest_outcome(log: DeltaEventLog) -> None:
    events: list[Event] = [
        predicted("a"),
        predicted("b", DAY + 1),
        predicted("c", DAY + 2, tenant="UA"),
    ]
    append(log, events)
    assert rows_of(log, "scored") == []
    told = [outcome("a", 0.0, DAY + 10), outcome("a", 1.0, DAY + 20), outcome("c", 1.0, DAY + 10)]
    append(log, told, first=100)
    ((_, only),) = rows_of(log, "scored")
    assert only["prediction_id"] == "a", "an outcome of another tenant says nothing of c"
    assert (only["outcome"], only["outcome_ts"]) == ([1.0], DAY + 20)
    assert [row["event_id"] for _, row in rows_of(log, "outcomes")] == ["a/0", "c/0", "a/0"]
    assert rows_of(log, "refusals") == []


def test_the_span_of_what_there_is(log: DeltaEventLog) -> None:
    assert log.span("delay", "") == LogSpan(0, 0, None, None)
    append(log, [predicted("a", rows=3), predicted("b", DAY + 5, tenant="UA"), outcome("a", 1.0)])
    assert log.span("delay", "") == LogSpan(4, 1, DAY, DAY + 5)
    assert log.span("delay", "UA") == LogSpan(1, 0, DAY + 5, DAY + 5)
