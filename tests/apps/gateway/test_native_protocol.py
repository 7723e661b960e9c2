"""Windvane's own JSON: checked in one pass, or explained in another that agrees with it."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference.harness import CONTRACT, MODEL, Harness, body, features, route, run

from windvane.apps.gateway.protocols import native
from windvane.apps.gateway.protocols.native import NativeProtocol
from windvane.core.conformance import check_row
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract, TaskSpec, make_task
from windvane.inference.errors import Rejection
from windvane.inference.snapshot import ServedModel
from windvane.ports.events import column_values

PREDICT = f"/v1/models/{MODEL}/predict"


BAD = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"instances": [{"features": {"x": 1, "n": 2, "kind": "\xff"}}]}',
    "no UTF-8 in a name": b'{"instances": [{"features": {"x\xff": 1}}]}',
    "half a surrogate": b'{"instances": [{"features": {"kind": "\\ud800"}}]}',
    "too deep": b"[" * 60_000,
    "too deep in an unknown field": b'{"instances": [{"features": {"x": ' + b"[" * 60_000,
    "an unknown field that is deep": b'{"instance": ' + b"[" * 60_000,
    "a list": b"[]",
    "null": b"null",
    "no instances": b"{}",
    "instances null": b'{"instances": null}',
    "empty": b'{"instances": []}',
    "an unknown field": b'{"instances": [{"features": {}}], "inputs": 1}',
    "an instance that is a number": b'{"instances": [1]}',
    "no features": b'{"instances": [{}]}',
    "features as a list": b'{"instances": [{"features": [1, 2, "van"]}]}',
    "an unknown field of a row": b'{"instances": [{"features": {}, "id": 1}]}',
    "a unit that is a number": b'{"instances": [{"features": {}, "unit": 1}]}',
    "two documents": b'{"instances": []}{"instances": []}',
}


@pytest.mark.parametrize("name", BAD)
def test_a_body_that_is_none_is_400_and_an_event(name: str) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        answer = await harness.call("POST", PREDICT, BAD[name])
        assert (answer.status, answer.code) == (400, "CON-100"), answer.body
        (event,) = harness.spool.events
        assert (event.code, event.routed) == ("CON-100", "")

    run(story)


PROBLEMS = {
    "CON-101": [{"n": 1, "kind": "van"}, {"x": None, "n": 1, "kind": "van"}, {}],
    "CON-102": [
        {"x": "1", "n": 1, "kind": "van"}, {"x": True, "n": 1, "kind": "van"},
        {"x": 1, "n": 1.5, "kind": "van"}, {"x": 1, "n": 1, "kind": 7},
        {"x": [1], "n": 1, "kind": "van"}, {"x": {"a": 1}, "n": 1, "kind": "van"},
    ],
    "CON-103": [
        {"x": -1, "n": 1, "kind": "van"}, {"x": 1000.1, "n": 1, "kind": "van"},
        {"x": 1, "n": 10**30, "kind": "van"}, {"x": 1, "n": 2**53 + 1, "kind": "van"},
    ],
    "CON-104": [{"x": 1, "n": 1, "kind": "boat"}, {"x": 1, "n": 1, "kind": ""}],
    "CON-105": [{"x": 1, "n": 1, "kind": "van", "y": 1}],
}  # fmt: skip


@pytest.mark.parametrize(("code", "row"), [(c, r) for c, rows in PROBLEMS.items() for r in rows])
def test_every_broken_promise_names_its_row_and_field(code: str, row: dict[str, Any]) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        answer = await harness.predict(features(), row, features())
        assert (answer.status, answer.code) == (422, "CON-110")
        found = answer.json["error"]["problems"]
        assert (found[0]["row"], found[0]["code"]) == (1, code)
        assert found[0]["field"] in {"x", "n", "kind", "y"}
        assert harness.predictor().batches == []
        assert harness.spool.events[0].code == code

    run(story)


def test_at_most_twenty_problems_are_told() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        answer = await harness.predict(*(features(x=-1.0) for _ in range(50)))
        assert len(answer.json["error"]["problems"]) == 20
        assert "19 more at least" in answer.json["error"]["message"], "nobody looked further"

    run(story)


def test_rows_are_bounded() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        assert (await harness.predict(1.0, 2.0, 3.0)).status == 200
        for rows in ([1.0] * 4, [features(x=-1.0)] * 4):
            answer = await harness.predict(*rows)
            assert (answer.status, answer.code) == (413, "GAT-104")

    run(story, max_rows=3)


def test_a_row_without_a_unit_has_none_and_meets_a_version_by_its_request() -> None:
    """The event says that nobody named one, for evidence is weaker then."""

    async def story(harness: Harness) -> None:
        await harness.publish()
        await harness.predict(1.0, 2.0, 3.0, units=["", "mine"], headers={"x-request-id": "q"})
        (event,) = harness.spool.events
        assert column_values(event.units, 3) == ["", "mine", ""]

    run(story)


NAMES = st.sampled_from(
    ["x", "order.distance", "a-b", "class", "None", "__class__", "__handles__", "__dict__",
     "__post_init__", "_", "f0", "f1", "features", "unit", "self", "A", "x.y.z-w",
     "mean radius", "größe [cm]", "X", 'a "b"', ""]
)  # fmt: skip
BOUNDS = st.one_of(
    st.none(),
    st.sampled_from([0.0, -0.5, 0.5, 2.5, 1e300, -1e300, math.inf, -math.inf, 2.0**53, 2.0**63]),
    st.floats(-100, 100),
)


@st.composite
def schemas(draw: st.DrawFn) -> tuple[FeatureSpec, ...]:
    out: list[FeatureSpec] = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=5, unique=True)):
        kind = draw(st.sampled_from(list(FeatureType)))
        spec = FeatureSpec(name, "v", kind, draw(st.booleans()), optional=draw(st.booleans()))
        match kind:
            case FeatureType.NUMBER | FeatureType.INTEGER:
                low, high = draw(BOUNDS), draw(BOUNDS)
                if low is not None and high is not None and low > high:
                    low, high = high, low
                # No model's file has a range without a single number in it.
                low = None if low == math.inf else low
                high = None if high == -math.inf else high
                spec = replace(spec, low=low, high=high)
            case FeatureType.CATEGORY:
                spec = replace(spec, known=draw(st.sampled_from([(), ("a", "é"), ("",)])))
            case FeatureType.TEXT | FeatureType.IMAGE:
                spec = replace(spec, high=draw(st.sampled_from([None, 0.0, 3.0, 8.0])))
            case FeatureType.VECTOR:
                spec = replace(spec, length=draw(st.integers(1, 3)))
            case _:
                pass
        out.append(spec)
    return tuple(out)


TIMES = st.one_of(
    st.datetimes(timezones=st.timezones()).map(lambda t: t.isoformat()),
    st.datetimes().map(lambda t: t.isoformat()),
    st.builds(
        "{}-{:02}-{:02}T{:02}:{:02}:{:02}.{}{}".format,
        st.sampled_from(["2026", "1969", "0000", "0001", "9999"]), st.integers(0, 13),
        st.integers(0, 32), st.integers(0, 24), st.integers(0, 60), st.integers(0, 61),
        st.integers(0, 10**10), st.sampled_from(["Z", "z", "+01:00", "-0130", "+23:59", "", " Z"]),
    ),
)  # fmt: skip
FLOATS = st.floats(-1e6, 1e6)
OF_TYPE: dict[FeatureType, st.SearchStrategy[Any]] = {
    FeatureType.DATETIME: TIMES,
    FeatureType.TEXT: st.text(max_size=12),
    FeatureType.BOOLEAN: st.booleans(),
    FeatureType.VECTOR: st.lists(st.one_of(FLOATS, st.integers(-9, 9)), max_size=4),
    FeatureType.IMAGE: st.one_of(
        st.binary(max_size=12).map(lambda b: base64.b64encode(b).decode()),
        st.binary(max_size=12).map(lambda b: base64.urlsafe_b64encode(b).decode().rstrip("=")),
        st.text("AB=+/ \n", max_size=8),
    ),
}


def value_of(spec: FeatureSpec) -> st.SearchStrategy[Any]:
    """Mostly what its type has, sometimes anything."""
    likely = OF_TYPE.get(spec.type)
    return VALUES if likely is None else st.one_of(likely, likely, likely, VALUES)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-200, 200), st.integers(),
    st.floats(-200, 200), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -0.0, 3.0, 0.5, 2**53, 2**53 + 1, -(2**53), 2**63, 10**40, "", "a", "é"]),
    st.text(max_size=3),
)  # fmt: skip


def served(schema: tuple[FeatureSpec, ...]) -> ServedModel:
    contract = Contract(schema, CONTRACT.task)
    return ServedModel(route(contract=contract), {}, make_task(contract.task))


def fast(schema: tuple[FeatureSpec, ...], given: bytes) -> Any:
    """What the way of a request gives: the quick pass, and the slow one if that gives up."""
    codec = NativeProtocol().codec({}, None)
    return outcome(lambda: codec.decode(given, served(schema), 10))


def slow(schema: tuple[FeatureSpec, ...], given: bytes) -> Any:
    return outcome(lambda: native._explain(given, Contract(schema), 10))


def outcome(step: Any) -> Any:
    try:
        found = step()
    except Rejection as error:
        return type(error), error.message, getattr(error, "violations", None)
    return [[(type(v), v) for v in row] for row in found.rows], found.units


@given(st.data())
def test_the_fast_path_and_the_slow_path_agree_on_every_row(data: st.DataObject) -> None:
    """Whatever the schema and the row: the same values of the same types, or the same no."""
    schema = data.draw(schemas())
    rows: list[dict[str, Any]] = []
    for _ in range(data.draw(st.integers(1, 3))):
        row = {s.name: data.draw(value_of(s)) for s in schema if data.draw(st.integers(0, 9)) > 0}
        rows.append(row)
    sent = json.dumps({"instances": [{"features": row} for row in rows]}).encode()
    quick, explained = fast(schema, sent), slow(schema, sent)
    assert quick == explained
    kept = not any(check_row(schema, row) for row in rows)
    assert isinstance(explained[0], list) is kept


def test_most_rows_are_taken_by_the_quick_pass_of_every_type(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Were the slow one asked each time, the two would agree, and slowly."""

    def never(*_: Any) -> Any:
        raise AssertionError("the quick pass gave up")

    monkeypatch.setattr(native, "_explain", never)
    sent = json.dumps({"instances": [{"features": EIGHT_ROW, "unit": "u"}]}).encode()
    found, units = fast(EIGHT, sent)
    assert [v for _, v in found[0]] == EIGHT_VALUES
    assert units == ["u"]


EIGHT = (
    FeatureSpec("mean radius", "v", FeatureType.NUMBER, low=0.0),
    FeatureSpec("n", "v", FeatureType.INTEGER),
    FeatureSpec("größe [cm]", "v", FeatureType.BOOLEAN),
    FeatureSpec("Kind", "v", FeatureType.CATEGORY, known=("a", "b")),
    FeatureSpec("kind", "v", FeatureType.DATETIME),
    FeatureSpec("said", "v", FeatureType.TEXT, high=10.0),
    FeatureSpec("v", "v", FeatureType.VECTOR, length=3),
    FeatureSpec("picture", "v", FeatureType.IMAGE),
)
EIGHT_ROW = {
    "mean radius": 1, "n": 2, "größe [cm]": True, "Kind": "a",
    "kind": "1970-01-01T01:00:00.5+01:00", "said": "é" * 10, "v": [1, 2.5, -3],
    "picture": base64.b64encode(b"\x89PNG").decode(),
}  # fmt: skip
EIGHT_VALUES = [1.0, 2, True, "a", 0.5, "é" * 10, [1.0, 2.5, -3.0], b"\x89PNG"]


def test_every_type_of_feature_goes_the_whole_way() -> None:
    """As the version, the event and the cache have it, alone and among others."""

    async def story(harness: Harness) -> None:
        seen: list[Any] = []
        predictor = harness.predictor()
        predictor.answers = lambda row: seen.append(list(row)) or 1.0
        contract = Contract(EIGHT, TaskSpec("regression"))
        await harness.publish(route(contract=contract, cache_ttl_s=60.0))
        late = {**EIGHT_ROW, "n": 3}
        for rows in ([EIGHT_ROW], [late, {**EIGHT_ROW, "n": 4}]):
            assert (await harness.predict(*rows)).status == 200
            assert (await harness.predict(*rows)).rows[0]["flags"] == ["cached"]
        assert seen == [[*EIGHT_VALUES[:1], n, *EIGHT_VALUES[2:]] for n in (2, 3, 4)]
        one, _, two, _ = harness.spool.events
        for event, n in ((one, 1), (two, 2)):
            columns = [column_values(found, n) for found in event.features]
            assert [column[-1] for column in columns[2:]] == EIGHT_VALUES[2:]
        for name, bad in (
            ("kind", "2026-11-28T17:45:00"), ("v", [1, 2]), ("picture", "no base64!"),
            ("said", "é" * 11), ("größe [cm]", 1), ("kind", 1_700_000_000),
        ):  # fmt: skip
            answer = await harness.predict({**EIGHT_ROW, name: bad})
            assert answer.status == 422
            assert [p["field"] for p in answer.json["error"]["problems"]] == [name]

    run(story)


@pytest.mark.parametrize("name", ['a "quoted" name', "back\\slash", 'both \\ and "'])
def test_a_name_that_json_writes_with_an_escape_is_served(name: str) -> None:
    contract = Contract((FeatureSpec(name, "v", FeatureType.NUMBER),), TaskSpec("regression"))

    async def story(harness: Harness) -> None:
        await harness.publish(route(contract=contract))
        answer = await harness.predict({name: 5.0})
        assert (answer.status, answer.rows[0]["value"]) == (200, 1.005)
        assert (await harness.predict({"other": 5.0})).status == 422

    run(story)


@given(st.binary(max_size=60), st.data())
def test_no_bytes_at_all_make_the_check_fail_otherwise(noise: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(body(1.0))))
    sent = body(1.0)[:at] + noise + body(1.0)[at:]
    assert fast(CONTRACT.features, sent) == slow(CONTRACT.features, sent)


def test_a_feature_may_have_any_name_that_a_models_file_allows() -> None:
    names = ("order.distance", "a-b", "class", "__handles__", "features")
    schema = tuple(FeatureSpec(n, "v", FeatureType.NUMBER) for n in names)

    async def story(harness: Harness) -> None:
        contract = Contract(schema, TaskSpec("regression"))
        await harness.publish(route(contract=contract), route("other"))
        answer = await harness.predict({name: float(i) for i, name in enumerate(names)})
        assert answer.status == 200
        assert harness.spool.events[0].features == [0.0, 1.0, 2.0, 3.0, 4.0]
        missing = await harness.predict({"a-b": 1.0})
        assert {p["field"] for p in missing.json["error"]["problems"]} == set(names) - {"a-b"}

    run(story)
