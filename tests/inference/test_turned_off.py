"""A model that somebody turned off answers nobody, whatever could stand in for it."""

from __future__ import annotations

import json

from inference.harness import MODEL, Harness, route, run

from windvane.core.routing import CascadeSpec
from windvane.ports.events import OutcomeSeen, Refused

DEAR = "dear"


def test_neither_version_nor_constant_nor_cache_answers() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(constant=(0.5,), cache_ttl_s=60.0))
        assert (await harness.predict(1.0)).status == 200
        asked = len(harness.predictor().batches)
        await harness.publish(route(constant=(0.5,), cache_ttl_s=60.0, off=True))
        for rows in ((1.0,), (2.0, 3.0)):
            answer = await harness.predict(*rows)
            assert (answer.status, answer.code) == (503, "GAT-125")
            assert answer.headers["retry-after"] == "30"
            assert "windvane on" in answer.json["error"]["hint"]
        for body in (b"{", b'{"instances": [{"features": {"x": "far"}}]}'):
            answer = await harness.call("POST", f"/v1/models/{MODEL}/predict", body)
            assert (answer.status, answer.code) == (503, "GAT-125")
        assert len(harness.predictor().batches) == asked, "it was not even asked"
        assert harness.queues[0].circuits.all_closed, "nobody blames the version"
        await harness.publish(route(constant=(0.5,), cache_ttl_s=60.0))
        assert (await harness.predict(1.0)).status == 200

    run(story)


def test_its_refusals_are_counted_and_outcomes_are_taken() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(off=True))
        await harness.predict(1.0)
        told = {"model": MODEL, "outcomes": [{"request_id": "q", "value": 1.0}]}
        answer = await harness.call("POST", "/v1/outcomes", json.dumps(told).encode())
        assert answer.status == 202, answer.body
        assert any(isinstance(event, OutcomeSeen) for event in harness.spool.events)
        assert not any(isinstance(event, Refused) for event in harness.spool.events), (
            "no monitor takes it for the tenant's fault"
        )
        assert harness.metrics.requests[MODEL, "acme", "GAT-125"] == 1

    run(story)


def test_a_model_that_others_turn_to_is_passed_by() -> None:
    """The cheap one's own answer stands, where the dear one is off."""

    async def story(harness: Harness) -> None:
        from inference.test_cascade import BINARY, CHEAP, SPEC, answers

        assert isinstance(SPEC, CascadeSpec)
        harness.predictor(model=CHEAP).answers = answers
        dear = harness.predictor(model=DEAR)
        cheap = route(CHEAP, contract=BINARY, cascade=SPEC, cache_ttl_s=0.0)
        await harness.publish(cheap, route(DEAR, contract=BINARY, off=True))
        answer = await harness.predict(500.0, model=CHEAP)
        (row,) = answer.rows
        assert (row["version"], row["value"]) == ("1", 0.5)
        assert "unsure" in row["flags"]
        assert dear.batches == []

    run(story)
