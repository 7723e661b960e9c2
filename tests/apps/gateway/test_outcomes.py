"""Outcomes: who may send them, what they may be, and that they are kept before they are told so."""

from __future__ import annotations

import json

import pytest
from inference.harness import MODEL, Harness, run

from windvane.ports.events import Refused

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
        seen = [(e.tenant, e.key, e.event_id, e.row, e.value) for e in harness.spool.events]
        assert seen == [("acme", "acme", "q/2", 2, 1.0), ("bolt", "bolt", "q/2", 2, 1.0)]
        over = {"model": MODEL, "outcomes": [{"request_id": "q", "value": 1}] * 4}
        answer = await harness.call("POST", "/v1/outcomes", json.dumps(over).encode())
        assert (answer.status, answer.code) == (413, "GAT-104")
        harness.spool.full = True
        answer = await harness.call("POST", "/v1/outcomes", json.dumps(told).encode())
        assert (answer.status, answer.code) == (503, "GAT-107")

    run(story, max_rows=3)
