"""The client against a gateway worker on a real socket."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from client.serving import Served, served
from inference.harness import ACME, WITHIN_S, Harness, features, key, route

from windvane.adapters.sqlite import SqliteIdempotency
from windvane.client import (
    ApiError,
    AsyncClient,
    BadArgument,
    Client,
    Predictions,
    events_of,
)
from windvane.client.calls import predict_calls
from windvane.core.execution import BACKGROUND_FILE, Background
from windvane.core.routing import ModelRoute, TenantLimit
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract, TaskSpec
from windvane.inference.idempotency import Idempotency
from windvane.ports.events import OutcomeSeen, Predicted

RICH = Contract(
    (
        FeatureSpec("x", "v", FeatureType.NUMBER),
        FeatureSpec("when", "v", FeatureType.DATETIME, nullable=True),
        FeatureSpec("yes", "v", FeatureType.BOOLEAN, nullable=True),
        FeatureSpec("emb", "v", FeatureType.VECTOR, length=2, nullable=True),
    ),
    TaskSpec("regression"),
)
PLAIN = key("plain", "acme", "predict")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Served]:
    store = SqliteIdempotency(tmp_path / "idempotency.db", deadline_s=WITHIN_S)

    async def publish(harness: Harness) -> None:
        rich: ModelRoute = route("rich", contract=RICH)
        limits = (TenantLimit("bolt", rate=1, per_s=3_600.0),)
        bolt = key("bolt", "bolt", "predict")
        harness.artifacts.files[BACKGROUND_FILE] = msgspec.msgpack.encode(
            Background(("x", "n", "kind"), ((10.0, 0, "van"), (20.0, 1, "bike")))
        )
        await harness.publish(route(), rich, keys=(ACME, PLAIN, bolt), limits=limits)

    with served(publish, idempotency=Idempotency(store), max_body=1 << 20) as found:
        yield found
        found.run(lambda _: store.aclose())


@pytest.fixture
def client(gateway: Served) -> Iterator[Client]:
    with Client(gateway.url, "wv_acme", deadline=WITHIN_S) as made:
        yield made


def predicted(gateway: Served) -> list[Predicted]:
    return [e for e in gateway.harness.spool.events if isinstance(e, Predicted)]


def test_rows_in_predictions_out(gateway: Served, client: Client) -> None:
    found = client.predict("late", [features(1.0), features(2.0)], units=["a", 7])
    assert found.values == [pytest.approx(1.001), pytest.approx(1.002)]
    assert [row.version for row in found] == ["1", "1"]
    assert found[1].outputs == {"value": pytest.approx(1.002)}
    assert found.output("value") == found.values
    assert len(found) == 2
    assert not found.replayed
    (event,) = predicted(gateway)
    assert found.request_ids == [event.event_id] * 2
    assert found.places == [0, 1]
    assert event.units == ["a", "7"]
    one = client.predict("late", features(3.0))
    assert one.values == [pytest.approx(1.003)]


def test_a_frame_in_and_a_frame_out(gateway: Served, client: Client) -> None:
    frame = pd.DataFrame(
        {
            "x": [1.0, 2.0, 3.0],
            "n": [1.0, np.nan, 3.0],
            "kind": pd.Categorical(["van", "bike", "van"]),
        },
        index=[10, 20, 30],
    )
    found = client.predict("late", frame, units=pd.Series(["a", "b", None]))
    (event,) = predicted(gateway)
    assert [list(column) for column in event.features] == [
        [1.0, 2.0, 3.0], [1, None, 3], ["van", "bike", "van"],
    ]  # fmt: skip
    assert event.units == ["a", "b", ""]
    told = found.to_frame()
    assert list(told.index) == [10, 20, 30]
    assert told["value"].tolist() == pytest.approx([1.001, 1.002, 1.003])
    assert told["output_value"].tolist() == told["value"].tolist()
    assert told["row"].tolist() == [0, 1, 2]


def test_every_type_of_value_arrives(gateway: Served, client: Client) -> None:
    when = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)
    frame = pd.DataFrame(
        {
            "x": np.array([1, 2], np.float32),
            "when": pd.to_datetime([when, None], utc=True),
            "yes": pd.array([True, None], dtype="boolean"),
            "emb": [np.array([1.0, 2.0]), None],
        }
    )
    client.predict("rich", frame)
    client.predict("rich", pa.table({"x": [1.0], "when": [when], "emb": [[1.0, 2.0]]}))
    client.predict("rich", [{"x": np.float64(1.0), "when": when, "yes": np.bool_(False)}])
    first, second, third = predicted(gateway)
    stamp = when.timestamp()
    assert list(map(list, first.features)) == [
        [1.0, 2.0], [stamp, None], [True, None], [[1.0, 2.0], None],
    ]  # fmt: skip
    assert list(second.features) == [1.0, stamp, None, [1.0, 2.0]]
    assert list(third.features) == [1.0, stamp, False, None]


def test_many_rows_go_in_several_requests_and_come_back_in_order(gateway: Served) -> None:
    frame = pd.DataFrame({"x": range(250), "n": 1, "kind": "van"})
    with Client(gateway.url, "wv_acme", max_rows=100, deadline=WITHIN_S) as client:
        found = client.predict("late", frame, units=range(250))
        assert found.values == pytest.approx([1 + i / 1_000 for i in range(250)])
        assert [event.rows for event in predicted(gateway)] == [100, 100, 50]
        assert len(set(found.request_ids)) == 3
        assert found.places[99:102] == [99, 0, 1]
        assert client.send_outcomes("late", found, range(250)) == 250
    outcomes = [e for e in gateway.harness.spool.events if isinstance(e, OutcomeSeen)]
    told = {(o.prediction_id, o.row): o.value for o in outcomes}
    keys = zip(found.request_ids, found.places, strict=True)
    assert told == {place: float(i) for i, place in enumerate(keys)}


def test_explanations_are_typed_and_asked_for_some_rows_at_a_time(gateway: Served) -> None:
    with Client(gateway.url, "wv_acme", deadline=WITHIN_S) as client:
        plain = client.predict("late", features(1.0))[0]
        assert plain.explanation is plain.unexplained is None
        found = client.predict("late", [features(float(i)) for i in range(40)], explain=True)
        assert [event.rows for event in predicted(gateway)][1:] == [32, 8]
        first, last = found[0].explanation, found[-1].explanation
        assert first is not None
        assert last is not None
        assert first.base + sum(first.contributions.values()) == pytest.approx(1.0)
        assert last.contributions["x"] - first.contributions["x"] == pytest.approx(0.039)
        gateway.harness.predictor().fails = lambda row: row[2] == "bike"
        found = client.predict("late", features(2.0), explain=True)
        assert found[0].explanation is None
        assert found[0].unexplained is not None
        assert found[0].unexplained.code == "EXP-101"


def test_a_large_body_is_compressed(gateway: Served) -> None:
    with Client(gateway.url, "wv_acme", compress_above=100, deadline=WITHIN_S) as client:
        assert len(client.predict("late", [features(float(i)) for i in range(50)])) == 50


def test_the_same_key_again_is_the_same_answer(gateway: Served, client: Client) -> None:
    first = client.predict("late", [features()], idempotency_key="order-1")
    again = client.predict("late", [features()], idempotency_key="order-1")
    assert again.replayed
    assert again.request_ids == first.request_ids
    assert len(predicted(gateway)) == 1
    with pytest.raises(ApiError) as raised:
        client.predict("late", [features(9.0)], idempotency_key="order-1")
    assert (raised.value.code, raised.value.status) == ("GAT-116", 422)
    client.predict("late", [features()])
    client.predict("late", [features()])
    client.predict("late", [features()], idempotency_key=None)
    assert len(predicted(gateway)) == 4


def test_what_is_wrong_is_said_row_by_row(client: Client) -> None:
    with pytest.raises(ApiError) as raised:
        client.predict("late", [features(), {**features(), "x": "far", "kind": "boat"}])
    error = raised.value
    assert (error.code, error.status) == ("CON-110", 422)
    assert [(p.row, p.field) for p in error.problems] == [(1, "x"), (1, "kind")]
    assert error.advice
    assert error.request_id
    with pytest.raises(ApiError, match="did you mean 'late'") as raised:
        client.predict("lite", [features()])
    assert (raised.value.code, raised.value.status) == ("GAT-102", 404)


def test_outcomes_of_every_shape(gateway: Served, client: Client) -> None:
    found = client.predict("late", [features(), features()])
    assert client.send_outcomes("late", found, [np.float64(1.5), None]) == 1
    frame = pd.DataFrame({"request_id": found.request_ids, "row": [0, 1], "value": [2.0, np.nan]})
    assert client.send_outcomes("late", frame) == 1
    assert client.send_outcomes("late", [{"id": "a", "value": 3}]) == 1
    assert client.send_outcomes("late", []) == 0
    values = [e.value for e in gateway.harness.spool.events if isinstance(e, OutcomeSeen)]
    assert values == [1.5, 2.0, 3.0]
    for wrong, more in (
        ([{"request_id": "a"}], None), ([{"id": "a", "value": 1, "colour": 2}], None),
        (found, None), (found, [1.0]), ([{"id": "a", "value": 1}], [1]),
    ):  # fmt: skip
        with pytest.raises(BadArgument, match="CLN-102"):
            client.send_outcomes("late", wrong, more)


def test_events_made_elsewhere(gateway: Served, client: Client) -> None:
    frame = pd.DataFrame(
        {
            "order": [17, 18], "x": [1.0, 2.0], "n": [1, 2], "kind": ["van", "bike"],
            "score": [0.25, 0.75], "who": ["u1", None], "odd": [object(), object()],
        }
    )  # fmt: skip
    events = events_of(
        frame, id="order", features=["x", "n", "kind"], outputs={"value": "score"}, unit="who"
    )
    sent = client.send_events("late", events)
    first, second = predicted(gateway)
    assert sent.accepted == 2
    assert sent.request_ids == [first.event_id, second.event_id]
    assert (first.request_id, first.outputs, first.units) == ("17", [0.25], "u1")
    assert second.units == ""
    assert client.send_outcomes("late", [{"id": "17", "value": 1.0}]) == 1
    outcome = gateway.harness.spool.events[-1]
    assert outcome.prediction_id == first.event_id
    again = events_of(frame, id="order", features=["x", "n", "kind"], outputs="score")
    assert client.send_events("late", again).request_ids == sent.request_ids
    with pytest.raises(BadArgument, match="no column 'z'"):
        events_of(frame, id="order", features=["z"], outputs="score")


def test_models_are_listed(gateway: Served, client: Client) -> None:
    by_name = {model.model: model for model in client.models()}
    assert by_name.keys() == {"late", "rich"}
    assert [f.name for f in by_name["late"].features] == ["x", "n", "kind"]
    assert by_name["late"].outputs[0].name == "value"
    with Client(gateway.url, "wv_plain") as other, pytest.raises(ApiError) as raised:
        other.models()
    assert (raised.value.code, raised.value.status) == ("GAT-111", 403)


def test_a_limit_is_an_error_once_its_wait_is_longer_than_the_deadline(gateway: Served) -> None:
    with Client(gateway.url, "wv_bolt", deadline=5.0) as client:
        client.predict("late", [features()])
        with pytest.raises(ApiError) as raised:
            client.predict("late", [features()])
    assert (raised.value.code, raised.value.status) == ("GAT-109", 429)
    assert raised.value.retry_after_s > 5.0


def test_async_does_the_same(gateway: Served) -> None:
    async def run() -> None:
        async with AsyncClient(gateway.url, "wv_acme", deadline=WITHIN_S) as client:
            found = await asyncio.gather(
                *(client.predict("late", [features(float(i))]) for i in range(30))
            )
            assert [f.values[0] for f in found] == pytest.approx([1 + i / 1_000 for i in range(30)])
            assert await client.send_outcomes("late", found[0], [1.0]) == 1
            sent = await client.send_events(
                "late", [{"id": "a", "features": features(), "outputs": 0.5}]
            )
            assert sent.accepted == 1
            assert {m.model for m in await client.models()} == {"late", "rich"}
            with pytest.raises(ApiError, match="GAT-102"):
                await client.predict("none", [features()])

    asyncio.run(run())
    assert len(predicted(gateway)) == 31


def test_predictions_are_a_sequence(client: Client) -> None:
    found = client.predict("late", [features(float(i)) for i in range(3)])
    assert isinstance(found, Predictions)
    assert [row.value for row in found[1:]] == found.values[1:]
    assert "3 rows" in repr(found)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "no rows"),
        ("text", "mappings or a DataFrame"),
        (3, "mappings or a DataFrame"),
        ([[1.0, 2.0]], "row 0 must be a mapping"),
        (np.zeros((2, 2)), "row 0 must be a mapping"),
        ([{"x": float("inf")}], "row 0, x: inf is no finite number"),
        ([{}, {"x": object()}], "row 1, x: builtins.object"),
        ([{1: 2.0}], "must be a text"),
        (pd.DataFrame(np.zeros((1, 2))), "must be called by a text"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "'a' is there twice"),
    ],
)
def test_what_cannot_be_sent_is_said_before_it_is(client: Client, rows: Any, said: str) -> None:
    with pytest.raises(BadArgument, match=said):
        client.predict("late", rows)


def test_units_fit_the_rows(client: Client) -> None:
    with pytest.raises(BadArgument, match="1 units for 2 rows"):
        client.predict("late", [features(), features()], units=["a"])
    with pytest.raises(BadArgument, match="units must be one for each row"):
        client.predict("late", [features()], units="a")


def test_a_unit_that_a_column_made_a_float_is_the_unit_that_it_was(
    client: Client, gateway: Served
) -> None:
    """Else one user is two units: 12 and 12.0."""
    client.predict("late", [features(), features()], units=pd.Series([12, None]))
    (event,) = predicted(gateway)
    assert event.units == ["12", ""]


def test_wide_rows_are_explained_in_requests_that_a_gateway_takes() -> None:
    row = {f"f{i}": 0.0 for i in range(1_000)}
    calls, _ = predict_calls("late", [row] * 41, None, None, False, 1_000, explain=True)
    assert [len(json.loads(call.body)["instances"]) for call in calls] == [20, 20, 1]
