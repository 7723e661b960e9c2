"""Bodies that do not fit are refused in JSON's words, at a bounded cost."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference.harness import MODEL, Harness, key, run

from windvane.apps.gateway.imported_events import EventsBody
from windvane.apps.gateway.outcomes import OutcomesBody
from windvane.apps.gateway.protocols.open_inference_tensors import InferRequest
from windvane.apps.gateway.typed_bodies import TypedBody
from windvane.inference.errors import BadBody

# What msgspec calls things; none of it is for a client.
LEAKS = re.compile(r"Expected|`(str|int|float|object|array|null|bool)|Object |\$[.\[`]|NoneType")
OUTCOMES, EVENTS, INFER = "/v1/outcomes", f"/v1/models/{MODEL}/events", f"/v2/models/{MODEL}/infer"
ID = "a string of 1 to 256 characters"
VALUE = "a number, or a string, or true or false, or a list"


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (OUTCOMES, {"model": MODEL, "outcomes": [{"request_id": "r", "value": None}]},
         f"outcomes[0].value must be {VALUE}, got null"),
        (OUTCOMES, {"model": MODEL, "outcomes": [{"request_id": "r"}]},
         f"outcomes[0].value is missing, it must be {VALUE}"),
        (OUTCOMES, {"model": MODEL, "outcomes": [{"request_id": "r", "value": 1, "row": -1}]},
         "outcomes[0].row must be a whole number from 0 to 1e+06, got the number -1"),
        (OUTCOMES, [], "the body must be an object of model, outcomes, got a list"),
        (OUTCOMES, {"model": MODEL, "outcomes": [], "tenant": "bolt"},
         "tenant is an unknown field"),
        (EVENTS, {"events": [{"id": 1}]}, f"events[0].id must be {ID}, got the number 1"),
        (EVENTS, {"events": [{"id": "", "features": {}, "outputs": 1}]},
         f"events[0].id must be {ID}, got ''"),
        (EVENTS, {"events": 3}, "events must be a list, got the number 3"),
        (INFER, {"inputs": [{"name": 1}]}, "inputs[0].name must be a string, got the number 1"),
        (INFER, {"inputs": [{"name": "x", "shape": [1, "b"]}]},
         "inputs[0].shape[1] must be a whole number, got 'b'"),
    ],
)  # fmt: skip
def test_the_place_and_both_sides_are_named_as_json_has_them(
    path: str, body: Any, message: str
) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(keys=(key("all", "acme", "events", "outcomes", "predict"),))
        sent = json.dumps(body).encode()
        answer = await harness.call("POST", path, sent, auth="Bearer wv_all")
        assert answer.status == 400
        text = json.dumps(answer.json)
        assert "CON-100" in text
        assert json.dumps(message)[1:-1] in text
        assert not LEAKS.search(text)

    run(story)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["late", "x", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from([
            "model", "outcomes", "events", "inputs", "id", "value", "row", "name", "shape", "data",
            "features", "outputs", "request_id", "datatype", "zzz",
        ]), inner, max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.sampled_from([OutcomesBody, EventsBody, InferRequest]), JSON)
def test_no_body_is_refused_in_the_words_of_a_library(kind: Any, value: Any) -> None:
    body = msgspec.json.encode(value)
    try:
        msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:
        with pytest.raises(BadBody) as caught:
            TypedBody(kind, "send it so").decode(body)
        assert not LEAKS.search(f"{caught.value.message} {caught.value.advice}")
        assert "twice" not in caught.value.message
    else:
        TypedBody(kind, "").decode(body)


def test_a_field_that_is_given_twice_is_named_so() -> None:
    typed = TypedBody(EventsBody, "send it so")
    right = b'{"id": "x", "features": {}, "outputs": 1}'
    for first, last in ((b"3", b""), (b"[3]", b""), (b'[{"id": 1}]', right)):
        body = b'{"events": ' + first + b', "events": [' + last + b"]}"
        with pytest.raises(BadBody, match="given twice"):
            typed.decode(body)


@pytest.mark.parametrize(
    ("kind", "least", "bad"),
    [
        (OutcomesBody, {"request_id": "r", "value": 1}, {"request_id": "r", "value": None}),
        (EventsBody, {"id": "x", "features": {"a": 1}, "outputs": 1}, {"id": 1}),
        (InferRequest, {"name": "x", "shape": [1], "datatype": "FP64"}, {"name": 1}),
    ],
)
def test_the_last_place_of_many_costs_a_few_times_what_reading_them_costs(
    kind: Any, least: Any, bad: Any
) -> None:
    (field,) = {"outcomes", "events", "inputs"} & set(kind.__struct_fields__)
    rest = {"model": "late"} if field == "outcomes" else {}
    good = msgspec.json.encode({**rest, field: [least] * 20_000})
    body = msgspec.json.encode({**rest, field: [least] * 20_000 + [bad]})
    typed = TypedBody(kind, "")
    with pytest.raises(BadBody, match=r"\[20000\]"):
        typed.decode(body)
    # One by one, or each level of nesting anew, it is 20 to 100 times.
    assert best(lambda: refused(typed, body)) < 12 * best(lambda: typed.decode(good))


def refused(typed: TypedBody[Any], body: bytes) -> None:
    with pytest.raises(BadBody):
        typed.decode(body)


def best(call: Any) -> float:
    spent: list[float] = []
    for _ in range(5):
        began = time.process_time()
        call()
        spent.append(time.process_time() - began)
    return min(spent)
