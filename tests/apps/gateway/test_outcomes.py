"""Outcomes: who may send them, what they may be, and that they are kept before they are told so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from inference.harness import MODEL, Harness, run

from windvane.ports.events import Refused, event_key

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


@pytest.mark.parametrize("given", ['"id": "a\\u0000"', '"request_id": "a\\nb"', '"id": "\\u202eb"'])
def test_an_id_that_no_prediction_can_have_is_refused(given: str) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        sent = f'{{"model": "late", "outcomes": [{{{given}, "value": 1}}]}}'
        answer = await harness.call("POST", "/v1/outcomes", sent.encode())
        assert (answer.status, answer.code) == (400, "CON-100")
        assert "is not printable" in answer.json["error"]["message"]
        assert [type(event) for event in harness.spool.events] == [Refused]

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
        seen = [(e.tenant, e.key, e.prediction_id, e.row, e.value) for e in harness.spool.events]
        assert seen == [("acme", "acme", "q", 2, 1.0), ("bolt", "bolt", "q", 2, 1.0)]
        over = {"model": MODEL, "outcomes": [{"request_id": "q", "value": 1}] * 4}
        answer = await harness.call("POST", "/v1/outcomes", json.dumps(over).encode())
        assert (answer.status, answer.code) == (413, "GAT-104")
        harness.spool.full = True
        answer = await harness.call("POST", "/v1/outcomes", json.dumps(told).encode())
        assert (answer.status, answer.code) == (503, "GAT-107")

    run(story, max_rows=3)


def test_a_value_may_be_revised_and_revised_back() -> None:
    """Nothing behind the gateway may take the third for the first."""

    async def story(harness: Harness) -> None:
        await harness.publish()
        for value in (1.0, 0.0, 1.0):
            told = {"model": MODEL, "outcomes": [{"request_id": "q", "value": value}]}
            answer = await harness.call("POST", "/v1/outcomes", json.dumps(told).encode())
            assert answer.status == 202
        assert [event.value for event in harness.spool.events] == [1.0, 0.0, 1.0]
        assert len({event_key(event) for event in harness.spool.events}) == 3

    run(story)


@pytest.mark.parametrize(
    ("outcomes", "told"),
    [
        (
            [{"request_id": "q", "value": 1}, {"request_id": "p", "value": 1},
             {"request_id": "q", "value": 0}],
            "outcomes[0] and outcomes[2] are of the same row, and their values differ",
        ),
        ([{"id": "mine", "value": 1, "row": 1}], "a prediction made elsewhere has one"),
    ],
)  # fmt: skip
def test_what_cannot_be_true_together_is_refused(outcomes: list[Any], told: str) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        body = json.dumps({"model": MODEL, "outcomes": outcomes}).encode()
        answer = await harness.call("POST", "/v1/outcomes", body)
        assert (answer.status, answer.code) == (422, "CON-112")
        assert told in answer.json["error"]["message"]
        (event,) = harness.spool.events
        assert isinstance(event, Refused)
        assert (event.code, event.tenant) == ("CON-112", "acme")

    run(story)


def test_a_value_that_the_task_cannot_have_is_told_of_the_tenant() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        body = json.dumps({"model": MODEL, "outcomes": [{"request_id": "q", "value": "much"}]})
        answer = await harness.call("POST", "/v1/outcomes", body.encode())
        assert (answer.status, answer.code) == (422, "CON-111")
        (event,) = harness.spool.events
        assert isinstance(event, Refused)
        assert (event.code, event.tenant) == ("CON-111", "acme")

    run(story)


def test_the_same_value_twice_is_no_contradiction() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        body = json.dumps({"model": MODEL, "outcomes": [{"request_id": "q", "value": 1}] * 2})
        answer = await harness.call("POST", "/v1/outcomes", body.encode())
        assert (answer.status, answer.json) == (202, {"accepted": 2})

    run(story)
