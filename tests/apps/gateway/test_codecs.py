"""The same rows by every protocol: equal answers, equal events, and equal refusals."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from apps.gateway.forms import (
    ALL,
    ARROW,
    CODECS,
    CSV,
    GOOD,
    JSON,
    NOW,
    NUMBERS,
    Row,
    ask,
    matrix,
    native,
    number_of,
    published,
    values_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from inference.harness import MODEL, Harness, route, run

from windvane.apps.gateway.protocols.tables import output_columns
from windvane.core.signature import MAX_MAGNITUDE, FeatureSpec
from windvane.core.signature import FeatureType as T
from windvane.core.task import Contract, TaskSpec, make_task
from windvane.ports.events import Predicted, Refused

# Contracts, and rows that keep them.

NAMES = ("mean radius", "größe [cm]", "x", "X", "a,b", 'say "it"', "f#1", "features")


@st.composite
def specs(draw: st.DrawFn, name: str) -> FeatureSpec:
    kind = draw(st.sampled_from(list(T)))
    more: dict[str, Any] = {"nullable": draw(st.booleans())}
    if kind in (T.NUMBER, T.INTEGER) and draw(st.booleans()):
        more |= {"low": -100.0, "high": 100.5}
    if kind is T.CATEGORY and draw(st.booleans()):
        more["known"] = ("a", "b b", "ü")
    if kind is T.VECTOR:
        more["length"] = draw(st.integers(1, 4))
    return FeatureSpec(name, "source", kind, **more)


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=8, unique=True))
    return Contract(tuple(draw(specs(name)) for name in names), TaskSpec("regression"))


def fitting(spec: FeatureSpec) -> st.SearchStrategy[Any]:
    finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
    match spec.type:
        case T.NUMBER:
            found = finite if spec.low is None else st.floats(spec.low, spec.high)
        case T.INTEGER:
            found = st.integers(-(2**53), 2**53) if spec.low is None else st.integers(-100, 100)
        case T.BOOLEAN:
            found = st.booleans()
        case T.CATEGORY:
            found = st.sampled_from(spec.known) if spec.known else st.text(max_size=8)
        case T.DATETIME:
            zones = st.sampled_from([UTC])
            least, most = datetime(1950, 1, 1), datetime(2100, 1, 1)
            found = st.datetimes(least, most, timezones=zones)
        case T.TEXT:
            found = st.text(max_size=20)
        case T.VECTOR:
            item = st.floats(-MAX_MAGNITUDE, MAX_MAGNITUDE)
            found = st.lists(item, min_size=spec.length, max_size=spec.length)
        case T.IMAGE:
            found = st.binary(max_size=20)
    return st.none() | found if spec.nullable else found


@st.composite
def cases(draw: st.DrawFn) -> tuple[Contract, list[Row], list[str]]:
    contract = draw(contracts())
    count = draw(st.integers(1, 4))
    rows = [{spec.name: draw(fitting(spec)) for spec in contract.features} for _ in range(count)]
    units = [draw(st.sampled_from(["", "u1", "ünit"])) for _ in rows]
    return contract, rows, units


def by_csv(rows: Sequence[Row]) -> bool:
    """Whether CSV can say them: an empty cell is null there."""
    return all(value not in ("", b"") for row in rows for value in row.values())


@settings(max_examples=120, deadline=None)
@given(cases())
def test_the_same_rows_by_every_protocol_give_equal_answers_and_events(
    case: tuple[Contract, list[Row], list[str]],
) -> None:
    contract, rows, units = case
    codecs = [name for name in CODECS if by_csv(rows) or "csv" not in name]

    async def story(harness: Harness) -> None:
        await published(harness, contract)
        message = {}
        for name in codecs:
            message[name] = values_of(await ask(harness, CODECS[name](contract, rows, units)))
        assert message == dict.fromkeys(codecs, message["native"])
        events = harness.spool.events
        assert len(events) == len(codecs)
        for name, event in zip(codecs, events, strict=True):
            assert isinstance(event, Predicted)
            told = (event.model, event.tenant, event.contract, event.rows, event.units,
                    event.routes, repr(event.features), event.outputs)  # fmt: skip
            first = events[0]
            assert told == (first.model, first.tenant, first.contract, first.rows, first.units,
                            first.routes, repr(first.features), first.outputs), name  # fmt: skip

    run(story)


BAD: list[tuple[str, Any, str]] = [
    *[(name, None, "CON-101") for name in GOOD],
    ("number", "far", "CON-102"),
    ("number", 10.5, "CON-103"),
    ("number", -1, "CON-103"),
    ("integer", 2.5, "CON-102"),
    ("integer", 2**53 + 2, "CON-103"),
    ("boolean", "maybe", "CON-102"),
    ("category", "car", "CON-104"),
    ("datetime", NOW.replace(tzinfo=None), "CON-102"),
    ("datetime", "soon", "CON-102"),
    ("text", "longer", "CON-103"),
    ("vector", [1.0, 2.0, 3.0], "CON-103"),
    ("vector", "no", "CON-102"),
    ("image", b"12345", "CON-103"),
    ("Number", 1.0, "CON-105"),
]


@pytest.mark.parametrize(("field", "value", "code"), BAD)
def test_the_same_bad_row_is_refused_by_every_protocol_with_the_same_code_and_field(
    field: str, value: Any, code: str
) -> None:
    async def story(harness: Harness) -> None:
        await published(harness, ALL)
        for make in CODECS.values():
            answer = await ask(harness, make(ALL, [{**GOOD, field: value}], ["u"]))
            assert answer.status == 422, (make, answer.body)
        told = {
            name: (event.code, field in event.message)
            for name, event in zip(CODECS, harness.spool.events, strict=True)
            if isinstance(event, Refused)
        }
        assert told == dict.fromkeys(CODECS, (code, True))

    run(story)


def test_a_bad_row_among_good_ones_is_named_by_every_protocol() -> None:
    rows = [GOOD, {**GOOD, "number": 99.0}, {**GOOD, "integer": -(2**60)}]

    async def story(harness: Harness) -> None:
        await published(harness, ALL)
        for make in CODECS.values():
            answer = await ask(harness, make(ALL, rows, ["", "", ""]))
            assert answer.status == 422
            if isinstance(answer.json["error"], dict):
                problems = answer.json["error"]["problems"]
                told = [(p["row"], p["code"], p["field"]) for p in problems]
                assert told == [(1, "CON-103", "number"), (2, "CON-103", "integer")]
            else:
                assert answer.json["error"].startswith(
                    "CON-110: row 1: number 99.0 is outside 0 to 10; row 2: integer -11529"
                )

    run(story)


# What a protocol has of its own.


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(-8, 8, width=32),
            st.none() | st.floats(-1e9, 1e9, width=32),
            st.integers(-3, 3) | st.just(1.5),
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([("FP64", np.float64), ("FP32", np.float32)]),
)
def test_one_matrix_is_the_same_as_named_rows(
    rows: list[tuple[Any, ...]], dtype: tuple[str, Any]
) -> None:
    name, kind = dtype
    named = [dict(zip(NUMBERS.names, row, strict=True)) for row in rows]

    async def story(harness: Harness) -> None:
        await published(harness, NUMBERS)
        held = np.array([[math.nan if v is None else v for v in row] for row in rows], kind)
        first = await ask(harness, native(NUMBERS, named, [""] * len(rows)))
        other = await ask(harness, matrix(held, name))
        assert other.status == first.status
        a, b = harness.spool.events
        assert type(a) is type(b)
        if isinstance(a, Predicted):
            assert repr(a.features) == repr(b.features)
            assert values_of(other) == values_of(first)
        else:
            assert (a.code, a.message) == (b.code, b.message)

    run(story)


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4"])
def test_every_datatype_of_numbers_is_read(kind: str) -> None:
    datatype = {"i": "INT", "u": "UINT", "f": "FP"}[kind[0]] + str(int(kind[1]) * 8)

    async def story(harness: Harness) -> None:
        await published(harness, NUMBERS)
        answer = await ask(harness, matrix(np.array([[1, 2, 3], [4, 5, 6]], kind), datatype))
        assert answer.status == 200, answer.body
        (event,) = harness.spool.events
        assert event.features == [[1.0, 4.0], [2.0, 5.0], [3, 6]]

    run(story)


def test_columns_without_names_are_in_the_contracts_order_and_may_lack_the_optional_ones() -> None:
    grown = Contract(
        (*NUMBERS.features, FeatureSpec("d", "s", T.NUMBER, optional=True)), NUMBERS.task
    )

    async def story(harness: Harness) -> None:
        await published(harness, grown)
        absent = {"content-type": "text/csv; header=absent", "accept": CSV}
        path = f"/models/{MODEL}/invocations"
        wide = await harness.call("POST", path, b"1,,3,4\n", headers=absent)
        narrow = await harness.call("POST", path, b"1,,3\r\n", headers=absent)
        other = await harness.call("POST", path, b"1,2\n", headers=absent)
        listed = await harness.call(
            "POST", path, b'{"instances": [[1, null, 3]]}', headers={"content-type": JSON}
        )
        assert (wide.status, narrow.status, listed.status) == (200, 200, 200)
        assert wide.headers["content-type"] == CSV
        assert float(wide.body) == number_of((1.0, None, 3, 4.0))
        assert float(narrow.body) == listed.json["predictions"][0]
        assert (other.status, other.json["error"]["code"]) == (400, "CON-100")
        assert "2 columns for 4 features" in other.json["message"]

    run(story)


def test_a_version_may_be_insisted_on_if_it_can_be_routed_to() -> None:
    async def story(harness: Harness) -> None:
        harness.predictor().answers = number_of
        await harness.publish(route(contract=NUMBERS, versions=("1", "2")))
        sent = matrix(np.ones((1, 3)))
        for version, status in (("1", 200), ("2", 404), ("3", 404)):
            path = f"/v2/models/{MODEL}/versions/{version}"
            answer = await harness.call("POST", f"{path}/infer", sent.body, headers=sent.headers)
            assert answer.status == status
            assert (await harness.call("GET", path)).status == status
            assert (await harness.call("GET", f"{path}/ready")).status == status
        assert answer.json["error"].startswith("GAT-102")

    run(story)


def test_outputs_are_chosen_by_name_each_as_bytes_or_json() -> None:
    classes = Contract(NUMBERS.features, TaskSpec("multiclass", classes=("no", "yes", "ü")))

    async def story(harness: Harness) -> None:
        held = harness.predictor()
        held.predict = lambda rows: [np.tile([0.25, 0.25, 0.5], (len(rows), 1))]  # type: ignore[method-assign]
        await harness.publish(route(contract=classes))
        ones: dict[str, Any] = {
            "name": "m", "shape": [2, 3], "datatype": "INT8", "data": [1, 2, 3, 4, 5, 6],
        }  # fmt: skip
        wanted = [{"name": "value"}, {"name": "probabilities", "parameters": {"binary_data": True}}]
        body = json.dumps({"id": "mine", "inputs": [ones], "outputs": wanted}).encode()
        answer = await harness.call("POST", f"/v2/models/{MODEL}/infer", body)
        length = int(answer.headers["inference-header-content-length"])
        message = json.loads(answer.body[:length])
        assert message["id"] == "mine"
        assert message["outputs"][0] == {
            "name": "value", "datatype": "BYTES", "shape": [2], "data": ["ü", "ü"],
        }  # fmt: skip
        assert message["outputs"][1]["shape"] == [2, 3]
        assert np.frombuffer(answer.body[length:]).tolist() == [0.25, 0.25, 0.5] * 2
        about = await harness.call("GET", f"/v2/models/{MODEL}")
        assert [(o["name"], o["datatype"], o["shape"]) for o in about.json["outputs"]] == [
            ("probabilities", "FP64", [-1, 3]), ("value", "BYTES", [-1]),
        ]  # fmt: skip
        rows = await harness.call(
            "POST", f"/models/{MODEL}/invocations", b'{"inputs": [[1, 2, 3]]}',
            headers={"content-type": JSON},
        )  # fmt: skip
        assert rows.json == {"predictions": ["ü"]}
        table = await harness.call(
            "POST", f"/v1/models/{MODEL}/predict", b"a,b,c\n1,2,3\n",
            headers={"content-type": CSV, "accept": ARROW},
        )  # fmt: skip
        read = pa.ipc.open_stream(table.body).read_all()
        assert read.to_pylist() == [
            {"value": "ü", "version": "1", "arm": "champion", "flags": "",
             "probabilities": [0.25, 0.25, 0.5]}
        ]  # fmt: skip
        assert read.schema.metadata[b"request_id"].decode() == table.headers["windvane-request-id"]

    run(story)


def test_the_same_units_meet_the_same_versions_by_every_protocol() -> None:
    units = [f"unit-{i}" for i in range(40)]
    rows = [{"a": 1.0, "b": None, "c": 2}] * len(units)

    async def story(harness: Harness) -> None:
        canary = route(contract=NUMBERS, versions=("1", "2"), challenger="2", challenger_share=0.5)
        await harness.publish(canary)
        told = {}
        for name, make in CODECS.items():
            answer = await ask(harness, make(NUMBERS, rows, units))
            assert answer.status == 200, answer.body
            told[name] = [route.answered for route in harness.spool.events[-1].routes]
            if name.startswith(("oip", "grpc")):
                length = answer.headers.get("inference-header-content-length", len(answer.body))
                message = json.loads(answer.body[: int(length)])
                assert message["parameters"]["version"].split(",") == told[name]
                arms = {"1": "champion", "2": "challenger"}
                assert message["parameters"]["arm"].split(",") == [arms[v] for v in told[name]]
                assert message["model_version"] == told[name][0]
        assert told == dict.fromkeys(CODECS, told["native"])
        assert set(told["native"]) == {"1", "2"}
        sent = matrix(np.array([[1.0, np.nan, 2.0]] * len(units)))
        length = int(sent.headers["inference-header-content-length"])
        head = json.loads(sent.body[:length])
        head["inputs"].append(
            {"name": "unit", "shape": [len(units), 1], "datatype": "BYTES", "data": units}
        )
        head["outputs"] = [{"name": "value"}]
        message = json.dumps(head).encode()
        headers = {"inference-header-content-length": str(len(message))}
        answer = await harness.call(
            "POST", sent.path, message + sent.body[length:], headers=headers
        )
        assert answer.json["parameters"]["version"].split(",") == told["native"]
        for version, status in (("1", 200), ("2", 200), ("3", 404)):
            path = f"/v2/models/{MODEL}/versions/{version}/infer"
            assert (await harness.call("POST", path, sent.body, headers=sent.headers)).status == (
                status
            )

    run(story)


def test_an_output_called_value_keeps_all_its_numbers() -> None:
    """Quantiles of `value` were once lost behind the column of that name."""
    task = TaskSpec("regression", quantiles=(0.1, 0.5, 0.9))
    assert output_columns(make_task(task)) == {0: "output_value"}
    assert output_columns(make_task(TaskSpec("regression"))) == {}
    assert output_columns(make_task(TaskSpec())) == {0: "probability"}
    two = TaskSpec("regression", outputs={"value": (), "flags": ()})
    assert output_columns(make_task(two)) == {0: "output_value", 1: "output_flags"}
