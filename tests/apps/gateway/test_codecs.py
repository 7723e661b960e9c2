"""The same rows by every protocol: equal answers, equal events, and equal refusals."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference.harness import MODEL, Answer, Harness, route, run

from windvane.core.signature import FeatureSpec
from windvane.core.signature import FeatureType as T
from windvane.core.task import Contract, TaskSpec
from windvane.ports.events import Predicted, Refused

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
Row = dict[str, Any]
"""Values as people think of them: a time is a datetime, a picture its bytes."""


@dataclass(frozen=True)
class Sent:
    path: str
    body: bytes
    headers: dict[str, str]


def plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def plain_rows(rows: Sequence[Row]) -> list[Row]:
    return [{name: plain(value) for name, value in row.items()} for row in rows]


def with_units(rows: Sequence[Row], units: Sequence[str]) -> list[Row]:
    return [{**row, "unit": unit} for row, unit in zip(rows, units, strict=True)]


def names_of(rows: Sequence[Row]) -> list[str]:
    return list(rows[0])


def native(contract: Contract, rows: Sequence[Row], units: Sequence[str]) -> Sent:
    instances = [
        {"features": row, "unit": unit} for row, unit in zip(plain_rows(rows), units, strict=True)
    ]
    body = json.dumps({"instances": instances}).encode()
    return Sent(f"/v1/models/{MODEL}/predict", body, {"content-type": JSON})


def tensors_of(
    contract: Contract, rows: Sequence[Row], units: Sequence[str]
) -> list[tuple[dict[str, Any], list[Any]]]:
    """Each with its values, None for null."""
    kinds = {spec.name: spec for spec in contract.features}
    out: list[tuple[dict[str, Any], list[Any]]] = []
    for name in names_of(rows):
        values = [row[name] for row in rows]
        present = [value for value in values if value is not None]
        spec = kinds.get(name)
        shape = [len(rows)]
        if present and isinstance(present[0], list):
            datatype, shape = "FP64", [len(rows), len(present[0])]
        elif all(isinstance(v, bool) for v in present) and present:
            datatype = "BOOL"
        elif all(isinstance(v, int) for v in present) and len(present) == len(values):
            datatype = "INT64"
        elif all(isinstance(v, int | float) for v in present) and (
            present or (spec is not None and spec.type in (T.NUMBER, T.INTEGER))
        ):
            datatype = "FP64"
        else:
            datatype = "BYTES"
            values = [v.isoformat() if isinstance(v, datetime) else v for v in values]
        out.append(({"name": name, "shape": shape, "datatype": datatype}, values))
    out.append(({"name": "unit", "shape": [len(rows)], "datatype": "BYTES"}, list(units)))
    return out


def nulls_of(values: Sequence[Any]) -> dict[str, Any]:
    nulls = [i for i, value in enumerate(values) if value is None]
    return {"nulls": nulls} if nulls else {}


def oip_json(contract: Contract, rows: Sequence[Row], units: Sequence[str]) -> Sent:
    inputs = []
    for said, values in tensors_of(contract, rows, units):
        data: list[Any] = [plain(value) for value in values]
        parameters: dict[str, Any] = {}
        if len(said["shape"]) == 2:
            data = [v if v is not None else [0.0] * said["shape"][1] for v in data]
            parameters = nulls_of(values)
        inputs.append({**said, "data": data, "parameters": parameters})
    body = json.dumps({"inputs": inputs}).encode()
    return Sent(f"/v2/models/{MODEL}/infer", body, {"content-type": JSON})


def oip_binary(contract: Contract, rows: Sequence[Row], units: Sequence[str]) -> Sent:
    inputs, tail = [], b""
    for said, values in tensors_of(contract, rows, units):
        parameters: dict[str, Any] = {}
        if said["datatype"] == "BYTES":
            parts = [v if isinstance(v, bytes) else (v or "").encode() for v in values]
            held = b"".join(struct.pack("<I", len(part)) + part for part in parts)
            parameters = nulls_of(values)
        elif said["datatype"] == "FP64" and len(said["shape"]) == 1:
            held = np.array([math.nan if v is None else v for v in values], "<f8").tobytes()
        else:
            blank: Any = [0.0] * said["shape"][1] if len(said["shape"]) == 2 else 0
            dtype = {"FP64": "<f8", "INT64": "<i8", "BOOL": "?"}[said["datatype"]]
            held = np.array([blank if v is None else v for v in values], dtype).tobytes()
            parameters = nulls_of(values)
        tail += held
        inputs.append({**said, "parameters": {**parameters, "binary_data_size": len(held)}})
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    length = {"inference-header-content-length": str(len(head))}
    octets = {"content-type": "application/octet-stream"}
    return Sent(f"/v2/models/{MODEL}/infer", head + tail, {**octets, **length})


def mlflow(form: str) -> Callable[..., Sent]:
    def made(contract: Contract, rows: Sequence[Row], units: Sequence[str]) -> Sent:
        given = with_units(plain_rows(rows), units)
        names = names_of(given)
        data = [list(row.values()) for row in given]
        body: dict[str, Any] = {
            "dataframe_split": {"columns": names, "data": data, "index": list(range(len(rows)))},
            "dataframe_records": given,
            "instances": given,
            "inputs": {name: [row[name] for row in given] for name in names},
        }
        sent = json.dumps({form: body[form], "params": {}}).encode()
        path = f"/models/{MODEL}/invocations"
        return Sent(path, sent, {"content-type": "application/json; charset=utf-8"})

    return made


def csv_text(rows: Sequence[Row], *, header: bool = True) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    if header:
        writer.writerow(names_of(rows))
    for row in rows:
        cells = [
            json.dumps(v) if isinstance(v, list | bool) else "" if v is None else v
            for v in row.values()
        ]
        writer.writerow([repr(c) if isinstance(c, float) else c for c in cells])
    return out.getvalue().encode()


def csv_native(contract: Contract, rows: Sequence[Row], units: Sequence[str]) -> Sent:
    body = csv_text(with_units(plain_rows(rows), units))
    return Sent(f"/v1/models/{MODEL}/predict", body, {"content-type": CSV})


def csv_mlflow(contract: Contract, rows: Sequence[Row], units: Sequence[str]) -> Sent:
    body = csv_text(with_units(plain_rows(rows), units))
    return Sent(f"/models/{MODEL}/invocations", body, {"content-type": f"{CSV}; charset=UTF-8"})


def json_lines(contract: Contract, rows: Sequence[Row], units: Sequence[str]) -> Sent:
    lines = [
        # What a feature is called comes before what a line may be.
        json.dumps(
            {**row, "unit": unit}
            if "features" in contract.names
            else {"features": row, "unit": unit}
        )
        for row, unit in zip(plain_rows(rows), units, strict=True)
    ]
    body = "\n".join(lines).encode()
    return Sent(f"/models/{MODEL}/invocations", body, {"content-type": "application/jsonlines"})


def arrow_stream(columns: dict[str, Any]) -> bytes:
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def arrow(contract: Contract, rows: Sequence[Row], units: Sequence[str]) -> Sent:
    columns: dict[str, Any] = {}
    kinds = {spec.name: spec for spec in contract.features}
    for name in names_of(rows):
        values = [row[name] for row in rows]
        present = [value for value in values if value is not None]
        spec = kinds.get(name)
        kind = None
        if (
            spec is not None
            and spec.type is T.CATEGORY
            and all(isinstance(v, str) for v in present)
        ):
            columns[name] = pa.array(values, pa.string()).dictionary_encode()
            continue
        if present and isinstance(present[0], list):
            kind = pa.list_(pa.float64(), len(present[0]))
        elif present and isinstance(present[0], datetime) and present[0].tzinfo is not None:
            kind = pa.timestamp("us", tz="Europe/Berlin")
        elif present and isinstance(present[0], str):
            kind = pa.large_string()
        columns[name] = pa.array(values, kind)
    columns["unit"] = pa.array(list(units))
    return Sent(f"/v1/models/{MODEL}/predict", arrow_stream(columns), {"content-type": ARROW})


CODECS: dict[str, Callable[[Contract, Sequence[Row], Sequence[str]], Sent]] = {
    "native": native,
    "oip json": oip_json,
    "oip binary": oip_binary,
    **{
        form: mlflow(form)
        for form in ("dataframe_split", "dataframe_records", "instances", "inputs")
    },
    "csv": csv_native,
    "mlflow csv": csv_mlflow,
    "json lines": json_lines,
    "arrow": arrow,
}


def values_of(answer: Answer) -> list[float]:
    """What each protocol says of the rows."""
    assert answer.status == 200, answer.body
    length = answer.headers.get("inference-header-content-length")
    if length is not None:
        said = json.loads(answer.body[: int(length)])
        assert said["outputs"][0]["name"] == "value"
        return np.frombuffer(answer.body[int(length) :], "<f8").tolist()
    if "outputs" in answer.json:
        return answer.json["outputs"][0]["data"]
    found = answer.json["predictions"]
    return [row["value"] if isinstance(row, dict) else row for row in found]


def number_of(row: Sequence[Any]) -> float:
    """Another answer for every other row."""
    return float(int.from_bytes(repr(row).encode()[-40:], "little") % 1_000_003)


async def ask(harness: Harness, sent: Sent) -> Answer:
    return await harness.call("POST", sent.path, sent.body, headers=sent.headers)


async def published(harness: Harness, contract: Contract) -> None:
    harness.predictor().answers = number_of
    await harness.publish(route(contract=contract, cache_ttl_s=0.0))


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
            found = st.lists(finite, min_size=spec.length, max_size=spec.length)
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
        said = {}
        for name in codecs:
            said[name] = values_of(await ask(harness, CODECS[name](contract, rows, units)))
        assert said == dict.fromkeys(codecs, said["native"])
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


ALL = Contract(
    (
        FeatureSpec("number", "s", T.NUMBER, low=0.0, high=10.0),
        FeatureSpec("integer", "s", T.INTEGER),
        FeatureSpec("boolean", "s", T.BOOLEAN),
        FeatureSpec("category", "s", T.CATEGORY, known=("van", "bike")),
        FeatureSpec("datetime", "s", T.DATETIME),
        FeatureSpec("text", "s", T.TEXT, high=5),
        FeatureSpec("vector", "s", T.VECTOR, length=2),
        FeatureSpec("image", "s", T.IMAGE, high=4),
    ),
    TaskSpec("regression"),
)
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
GOOD: Row = {
    "number": 1.5, "integer": 2, "boolean": True, "category": "van", "datetime": NOW,
    "text": "hey", "vector": [1.0, 2.0], "image": b"png",
}  # fmt: skip
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
                assert answer.json["error"].startswith("CON-110: number 99.0 is outside 0 to 10")

    run(story)


# What a protocol has of its own.

NUMBERS = Contract(
    (
        FeatureSpec("a", "s", T.NUMBER, low=-5.0, high=5.0),
        FeatureSpec("b", "s", T.NUMBER, nullable=True),
        FeatureSpec("c", "s", T.INTEGER),
    ),
    TaskSpec("regression"),
)


def matrix(values: Any, datatype: str = "FP64", **more: Any) -> Sent:
    array = np.array(values)
    head = json.dumps({
        "inputs": [{
            "name": "input-0", "shape": list(array.shape), "datatype": datatype,
            "parameters": {"binary_data_size": array.nbytes}, **more,
        }]
    }).encode()  # fmt: skip
    headers = {"inference-header-content-length": str(len(head))}
    return Sent(f"/v2/models/{MODEL}/infer", head + array.tobytes(), headers)


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
        said = json.loads(answer.body[:length])
        assert said["id"] == "mine"
        assert said["outputs"][0] == {
            "name": "value", "datatype": "BYTES", "shape": [2], "data": ["ü", "ü"],
        }  # fmt: skip
        assert said["outputs"][1]["shape"] == [2, 3]
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


# Bounds: all are a 4xx that names what is wrong, and none costs what it claims.

X = {"name": "a", "shape": [1], "datatype": "FP64", "data": [1.0]}


def changed(**more: Any) -> dict[str, Any]:
    return {"inputs": [{**X, **more}]}


WRONG: list[tuple[Any, str]] = [
    ({"inputs": []}, "no inputs"),
    ({"inputs": [X, X]}, "'a' is there twice"),
    (changed(shape=[-1]), "'a': shape [-1] is negative"),
    (changed(shape=[1, -1]), "negative"),
    (changed(shape=[]), "'a': 0 dimensions"),
    (changed(shape=[1, 1, 1]), "'a': 3 dimensions"),
    (changed(shape=[2**62, 2**62]), "'a': 4,611,686,018,427,387,904 rows"),
    (changed(shape=[1, 2**62]), "'a': 4,611,686,018,427,387,904 numbers a row"),
    (changed(shape=[1e300]), "shape"),
    (changed(shape=["1"]), "shape"),
    (changed(shape=[2]), "'a': data has 1 elements, the shape 2"),
    (changed(shape=[0], data=[]), "no rows"),
    (changed(datatype="FP128"), "'a': datatype 'FP128' is none of BOOL"),
    (changed(data="AAAA"), "'a': data must be a list"),
    (changed(data=[[[1.0]]]), "'a': element 0"),
    (changed(data=["far"]), "'a': element 0 of data is no FP64"),
    (changed(data=[True]), "'a': element 0 of data is no FP64"),
    (changed(datatype="INT8", data=[128]), "'a': element 0 of data is outside of INT8"),
    (changed(datatype="FP32", data=[10**400]), "a"),
    (changed(data=None), "'a': it has neither data"),
    (changed(parameters={"binary_data_size": 8}), "'a': it has both data"),
    (changed(data=None, parameters={"binary_data_size": 8}), "'a': binary_data_size is 8, 0"),
    (changed(data=None, parameters={"binary_data_size": -8}), "'a': binary_data_size is -8"),
    (changed(data=None, parameters={"binary_data_size": True}), "binary_data_size is True"),
    (changed(parameters={"shared_memory_region": "x"}), "'a': there is no shared memory"),
    (changed(parameters={"nulls": [1]}), "'a': nulls must list rows"),
    (changed(parameters={"nulls": "all"}), "'a': nulls must list rows"),
    (changed(parameters={"nulls": [0, 0]}), "'a': nulls must list rows"),
    (changed(shape=[2, 1], data=[[1.0]]), "'a': data has 1 rows, the shape 2"),
    (changed(shape=[2, 1], data=[[1.0], 2.0]), "'a': data is nested in some places only"),
    ({"inputs": [X, {**X, "name": "b", "shape": [2], "data": [1, 2]}]}, "'b': 2 rows, 'a' has 1"),
    ({"inputs": [{**X, "name": f"t{i}"} for i in range(100)]}, "100 columns for 3 features"),
    ({"inputs": [X], "outputs": [{"name": "v"}]}, "no output 'v'"),
    ({"inputs": [X], "outputs": [{"name": "value"}] * 2}, "'value' is there twice"),
    (
        {"inputs": [X], "outputs": [{"name": "value", "parameters": {"classification": 3}}]},
        "'value': the parameter 'classification'",
    ),
    ({"inputs": [X], "parameters": {"sequence_id": 3}}, "'sequence_id'"),
    ({"inputs": [X], "parameters": {"unit": 3}}, "unit"),
    ({}, "inputs"),
]


@pytest.mark.parametrize(("body", "said"), WRONG)
def test_tensors_that_are_not_what_they_say_are_refused(body: Any, said: str) -> None:
    async def story(harness: Harness) -> None:
        await published(harness, Contract(NUMBERS.features, TaskSpec("regression")))
        answer = await harness.call("POST", f"/v2/models/{MODEL}/infer", json.dumps(body).encode())
        assert 400 <= answer.status < 500
        assert said in answer.json["error"]
        assert not [e for e in harness.spool.events if isinstance(e, Predicted)]

    run(story)


TEXTS = Contract((FeatureSpec("t", "s", T.TEXT),), TaskSpec("regression"))


@pytest.mark.parametrize(
    ("tail", "size", "said"),
    [
        (b"", 0, "element 0 of 1 begins behind the end"),
        (b"\x01\0\0", 3, "begins behind the end"),
        (b"\xff\xff\xff\xff", 4, "element 0 has 4,294,967,295 bytes, 0 are there"),
        (b"\x02\0\0\0a", 5, "has 2 bytes, 1 are there"),
        (b"\x01\0\0\0ab", 6, "1 bytes behind its 1 elements"),
        (b"\x01\0\0\0\xff", 5, "element 0 is not UTF-8"),
        (b"\x01\0\0\0ab", 5, "1 bytes behind the last tensor"),
        (b"\x01\0\0\0a", 10**12, "binary_data_size is 1,000,000,000,000, 5 bytes are there"),
    ],
)
def test_byte_strings_that_do_not_fit_are_refused(tail: bytes, size: int, said: str) -> None:
    said_of: dict[str, Any] = {"binary_data_size": size}
    tensor = {"name": "t", "shape": [1], "datatype": "BYTES", "parameters": said_of}
    head = json.dumps({"inputs": [tensor]}).encode()

    async def story(harness: Harness) -> None:
        await published(harness, TEXTS)
        headers = {"inference-header-content-length": str(len(head))}
        path = f"/v2/models/{MODEL}/infer"
        answer = await harness.call("POST", path, head + tail, headers=headers)
        assert answer.status == 400
        assert said in answer.json["error"]
        for length in ("-1", "9" * 30, "x", str(len(head) + len(tail) + 1), "3"):
            headers["inference-header-content-length"] = length
            wrong = await harness.call("POST", path, head + tail, headers=headers)
            assert wrong.status == 400, length

    run(story)


@pytest.mark.parametrize(
    ("path", "kind", "taken"),
    [
        (f"/v1/models/{MODEL}/predict", "text/plain", ("application/json", "text/csv", ARROW)),
        (f"/v1/models/{MODEL}/predict", "text/csv; charset=latin-1", ("latin-1", "UTF-8")),
        (f"/v2/models/{MODEL}/infer", "text/csv", (JSON,)),
        (f"/models/{MODEL}/invocations", "application/xml", ("text/csv", "jsonlines")),
    ],
)
def test_another_content_type_is_415_and_says_what_is_taken(
    path: str, kind: str, taken: tuple[str, ...]
) -> None:
    async def story(harness: Harness) -> None:
        await published(harness, NUMBERS)
        answer = await harness.call("POST", path, b"x", headers={"content-type": kind})
        assert answer.status == 415
        assert all(word in answer.body.decode() for word in taken)

    run(story)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no line of names"),
        (b"a,b,c", "no rows"),
        (b"a,b,c\n1,2", "row 0 has 2 cells for 3 columns"),
        (b"a,a,c\n1,2,3", "column 'a' is there twice"),
        (b'a,b,c\n"1,2,3', "not CSV"),
        (b"a,b,c\n\xff,2,3", "not UTF-8"),
        (b"a,b,c\n" + b"1,2,3\n" * 101, "rows, 100 allowed"),
        (b"a,b,c\n" + b"\n" * 1_100 + b"1,2,3", "over 1,000 empty lines"),
        (b'"a",b,c\n' + b"\n" * 1_100 + b"1,2,3", "over 1,000 empty lines"),
        (b"," * 60_000, "60,001 columns for 3 features"),
    ],
)
def test_tables_of_text_that_cannot_be_read_are_refused(body: bytes, said: str) -> None:
    async def story(harness: Harness) -> None:
        await published(harness, NUMBERS)
        path = f"/v1/models/{MODEL}/predict"
        answer = await harness.call("POST", path, body, headers={"content-type": CSV})
        assert answer.status in (400, 413)
        assert said in answer.body.decode()

    run(story)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "must be an object"),
        ({}, "none of them is there"),
        ({"inputs": {}, "instances": []}, "instances and inputs is there"),
        ({"input": []}, "unknown field 'input'"),
        ({"inputs": [[1, 2, 3]], "params": {"top": 1}}, "params are not taken"),
        ({"inputs": {"a": [1], "b": [1, 2]}}, "inputs.b has 2 values for 1 rows"),
        ({"inputs": {"a": 1}}, "inputs.a must be a list"),
        ({"inputs": {}}, "no rows"),
        ({"inputs": {str(i): [1] for i in range(99)}}, "99 columns for 3 features"),
        ({"instances": [[1, 2, 3], [1]]}, "instances[1] must be a list of 3 values"),
        ({"instances": [{"a": 1}, 3]}, "instances[1] must be an object"),
        ({"instances": 3}, "must be a list or an object"),
        ({"dataframe_records": {}}, "must be a list"),
        ({"dataframe_split": []}, "must be an object with columns and data"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, "'a' is there twice"),
        ({"dataframe_split": {"columns": [1], "data": [[1]]}}, "must be a list of names"),
        ({"dataframe_split": {"column": ["a"], "data": [[1]]}}, "unknown field 'column'"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, "a list of 1 values"),
    ],
)
def test_payloads_of_mlflow_that_are_not_as_documented_are_refused(body: Any, said: str) -> None:
    async def story(harness: Harness) -> None:
        await published(harness, NUMBERS)
        answer = await harness.call(
            "POST", f"/models/{MODEL}/invocations", json.dumps(body).encode()
        )
        assert answer.status == 400, answer.body
        assert answer.json["error_code"] == "BAD_REQUEST"
        assert said in answer.json["message"]

    run(story)


def test_nan_of_mlflows_own_client_is_null() -> None:
    async def story(harness: Harness) -> None:
        await published(harness, NUMBERS)
        path = f"/models/{MODEL}/invocations"
        fine = await harness.call("POST", path, b'{"instances": [{"a":1,"b":NaN,"c":2}]}')
        assert fine.status == 200
        wrong = await harness.call("POST", path, b'{"instances": [{"a":1,"b":Infinity,"c":2}]}')
        assert (wrong.status, wrong.json["error"]["problems"][0]["field"]) == (422, "b")

    run(story)
