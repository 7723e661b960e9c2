"""What arrives is bounded in bytes and time, and checked in one pass or explained in another."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from types import SimpleNamespace
from typing import Any

import pytest
from inference.harness import MODEL, Harness, body, features, route, run, until
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.signature import FeatureSpec, FeatureType
from windvane.apps.gateway import bodies
from windvane.apps.gateway.conform import _explain, conform
from windvane.apps.gateway.live import LiveModel, make_decoder
from windvane.inference.errors import Rejection
from windvane.apps.gateway.steps import Context
from windvane.core.conformance import check_row

PREDICT = f"/v1/models/{MODEL}/predict"


def pieces(*parts: bytes, then: dict[str, Any] | None = None) -> Any:
    """A client that sends its body in parts; ``then`` comes instead of the end."""
    said = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    said.append(then or {"type": "http.request", "body": b"", "more_body": False})
    rest = iter(said)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return next(rest)

    return receive


@given(st.lists(st.integers(0, 80), max_size=6))
def test_a_body_may_come_in_any_pieces(cuts: list[int]) -> None:
    whole = body(1.0, 2.0)
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    parts = [whole[a:b] for a, b in itertools.pairwise(edges)]

    async def story(harness: Harness) -> None:
        await harness.publish()
        answer = await harness.call("POST", PREDICT, receive=pieces(*parts))
        assert [row["value"] for row in answer.rows] == [1.001, 1.002]

    run(story)


@pytest.mark.parametrize("path", [PREDICT, "/v1/outcomes"])
def test_too_many_bytes_are_refused_before_they_have_all_come(path: str) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        taken: list[int] = []

        async def endless() -> dict[str, Any]:
            taken.append(1)
            return {"type": "http.request", "body": b"x" * 1_000, "more_body": True}

        answer = await harness.call("POST", path, receive=endless)
        assert (answer.status, answer.code) == (413, "GAT-104")
        assert len(taken) == 6
        exact = b" " * (5_000 - len(body(1.0))) + body(1.0)
        assert (await harness.call("POST", PREDICT, exact)).status == 200
        assert (await harness.call("POST", PREDICT, b" " + exact)).status == 413

    run(story, max_body=5_000)


def test_a_client_that_goes_away_is_not_waited_for() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        leaving = pieces(b'{"inst', then={"type": "http.disconnect"})
        answer = await harness.call("POST", PREDICT, receive=leaving)
        assert (answer.status, answer.code) == (408, "GAT-105")
        assert harness.predictor().batches == []

    run(story)


def test_a_body_that_does_not_arrive_is_given_up_and_the_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = SimpleNamespace(at=100.0)
    swept = asyncio.Event()
    sleep = asyncio.sleep

    async def next_look(_seconds: float) -> None:
        await swept.wait()
        swept.clear()
        await sleep(0)

    async def story(harness: Harness) -> None:
        monkeypatch.setattr(bodies, "time", SimpleNamespace(monotonic=lambda: now.at))
        monkeypatch.setattr(
            bodies, "asyncio",
            SimpleNamespace(sleep=next_look, current_task=asyncio.current_task,
                            CancelledError=asyncio.CancelledError),
        )  # fmt: skip
        await harness.publish()
        watch = asyncio.create_task(harness.services.bodies.watch())
        silence = asyncio.Event()

        async def slow() -> dict[str, Any]:
            await silence.wait()
            return {"type": "http.request", "body": body(1.0), "more_body": False}

        early = asyncio.create_task(harness.call("POST", PREDICT, receive=slow))
        await until(lambda: len(harness.services.bodies._reading) == 1)
        now.at += 6.0
        later = asyncio.create_task(harness.call("POST", PREDICT, receive=slow))
        await until(lambda: len(harness.services.bodies._reading) == 2)
        now.at += 4.5
        swept.set()
        answer = await early
        assert (answer.status, answer.code) == (408, "GAT-105")
        assert early.cancelling() == 0
        assert not later.done()
        silence.set()
        assert (await later).status == 200
        assert harness.services.bodies._reading == {}
        assert harness.services.bodies._late == set()
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)

    run(story)


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
        assert "49 more" in answer.json["error"]["message"]

    run(story)


def test_rows_are_bounded() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        assert (await harness.predict(1.0, 2.0, 3.0)).status == 200
        for rows in ([1.0] * 4, [features(x=-1.0)] * 4):
            answer = await harness.predict(*rows)
            assert (answer.status, answer.code) == (413, "GAT-104")

    run(story, max_rows=3)


def test_a_row_without_a_unit_has_one_of_its_own() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        await harness.predict(1.0, 2.0, 3.0, units=["", "mine"], headers={"x-request-id": "q"})
        (event,) = harness.spool.events
        assert [row.unit for row in event.rows] == ["q/0", "mine", "q/2"]

    run(story)


NAMES = st.sampled_from(
    ["x", "order.distance", "a-b", "class", "None", "__class__", "__handles__", "__dict__",
     "__post_init__", "_", "f0", "f1", "features", "unit", "self", "A", "x.y.z-w"]
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
        known = draw(st.sampled_from([(), ("a", "é"), ("",)]))
        low, high = (None, None)
        if kind is not FeatureType.CATEGORY:
            known = ()
            low, high = draw(BOUNDS), draw(BOUNDS)
            if low is not None and high is not None and low > high:
                low, high = high, low
        out.append(FeatureSpec(name, "v", kind, draw(st.booleans()), low, high, known))
    return tuple(out)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-200, 200), st.integers(),
    st.floats(-200, 200), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -0.0, 3.0, 0.5, 2**53, 2**53 + 1, -(2**53), 2**63, 10**40, "", "a", "é"]),
    st.text(max_size=3),
)  # fmt: skip


def context_of(schema: tuple[FeatureSpec, ...], given: bytes) -> Context:
    context = Context("q", {}, MODEL)
    model = LiveModel(route(schema=schema), {}, make_decoder(schema))
    context.way = SimpleNamespace(model=model)  # type: ignore[assignment]
    context.body = given
    return context


def outcome(step: Any, schema: tuple[FeatureSpec, ...], given: bytes) -> Any:
    context = context_of(schema, given)
    try:
        step(context, 10)
    except Rejection as error:
        return type(error), error.message, getattr(error, "problems", None)
    return [[(type(v), v) for v in row] for row in context.values]


@given(st.data())
def test_the_fast_path_and_the_slow_path_agree_on_every_row(data: st.DataObject) -> None:
    """Whatever the schema and the row: the same values of the same types, or the same no."""
    schema = data.draw(schemas())
    rows: list[dict[str, Any]] = []
    for _ in range(data.draw(st.integers(1, 3))):
        row = {s.name: data.draw(VALUES) for s in schema if data.draw(st.integers(0, 9)) > 0}
        rows.append(row)
    sent = json.dumps({"instances": [{"features": row} for row in rows]}).encode()
    fast, slow = outcome(conform, schema, sent), outcome(_explain, schema, sent)
    assert fast == slow
    kept = not any(check_row(schema, row) for row in rows)
    assert isinstance(slow, list) is kept


@given(st.binary(max_size=60), st.data())
def test_no_bytes_at_all_make_the_check_fail_otherwise(noise: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(body(1.0))))
    sent = body(1.0)[:at] + noise + body(1.0)[at:]
    outcome(conform, route().schema, sent)


def test_a_feature_may_have_any_name_that_a_models_file_allows() -> None:
    names = ("order.distance", "a-b", "class", "__handles__", "features")
    schema = tuple(FeatureSpec(n, "v", FeatureType.NUMBER) for n in names)

    async def story(harness: Harness) -> None:
        await harness.publish(route(schema=schema), route("other"))
        answer = await harness.predict({name: float(i) for i, name in enumerate(names)})
        assert answer.status == 200
        assert harness.spool.events[0].rows[0].values == [0.0, 1.0, 2.0, 3.0, 4.0]
        missing = await harness.predict({"a-b": 1.0})
        assert {p["field"] for p in missing.json["error"]["problems"]} == set(names) - {"a-b"}

    run(story)


OUTCOMES = {
    "nothing": b"", "a list": b"[]", "no model": b'{"outcomes": []}',
    "a number for an id": b'{"model": "late", "outcomes": [{"request_id": 1, "value": 1}]}',
    "no value": b'{"model": "late", "outcomes": [{"request_id": "r"}]}',
    "too large a value": b'{"model": "late", "outcomes": [{"request_id": "r", "value": 1e999}]}',
    "no UTF-8": b'{"model": "late\xff", "outcomes": []}',
    "half a surrogate": b'{"model": "late", "outcomes": [{"request_id": "\\ud800", "value": 1}]}',
    "a long id": b'{"model": "late", "outcomes": [{"request_id": "' + b"x" * 257
                 + b'", "value": 1}]}',
    "a negative row": b'{"model": "late", "outcomes": [{"request_id": "r", "value": 1,'
                      b' "row": -1}]}',
    "an unknown field": b'{"model": "late", "outcomes": [], "tenant": "bolt"}',
    "too deep": b"[" * 60_000,
}  # fmt: skip


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcomes_that_are_none(name: str) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        answer = await harness.call("POST", "/v1/outcomes", OUTCOMES[name])
        assert (answer.status, answer.code) == (400, "CON-100"), answer.body
        assert harness.spool.events == []

    run(story)


def test_outcomes_are_kept_under_the_tenant_of_the_key() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        told = {"model": MODEL, "outcomes": [{"request_id": "q", "value": 1.0, "row": 2}]}
        for who in ("acme", "bolt"):
            answer = await harness.call(
                "POST", "/v1/outcomes", json.dumps(told).encode(), auth=f"Bearer wv_{who}"
            )
            assert (answer.status, answer.json) == (202, {"accepted": 1})
        seen = [(e.tenant, e.key, e.event_id, e.row, e.value) for e in harness.spool.events]
        assert seen == [("acme", "acme", "q/2", 2, 1.0), ("bolt", "bolt", "q/2", 2, 1.0)]
        over = {"model": MODEL, "outcomes": [{"request_id": "q", "value": 1}] * 4}
        answer = await harness.call("POST", "/v1/outcomes", json.dumps(over).encode())
        assert (answer.status, answer.code) == (413, "GAT-104")
        harness.spool.full = True
        answer = await harness.call("POST", "/v1/outcomes", json.dumps(told).encode())
        assert (answer.status, answer.code) == (503, "GAT-107")

    run(story, max_rows=3)
