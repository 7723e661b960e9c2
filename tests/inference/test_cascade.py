"""Where a cheap model is unsure a dearer one answers, and both are recorded."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from inference.harness import CONTRACT, Answer, FakePredictor, Harness, route, run

from windvane.core.routing import CascadeSpec
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract, TaskSpec
from windvane.ports.events import Predicted, Refused

CHEAP, DEAR = "cheap", "dear"
BINARY = replace(CONTRACT, task=TaskSpec("binary"))
SPEC = CascadeSpec(DEAR, 0.8)


def answers(row: Any) -> float:
    """Unsure of those between 200 and 800."""
    return row[0] / 1_000


async def deployed(harness: Harness, dear: Any = BINARY, **more: Any) -> FakePredictor:
    """The dear one's predictor, which says 0.99 to all."""
    harness.predictor(model=CHEAP).answers = answers
    found = harness.predictor(model=DEAR)
    found.answers = lambda _row: 0.99
    await harness.publish(
        route(CHEAP, contract=BINARY, cascade=SPEC, cache_ttl_s=0.0),
        route(DEAR, contract=dear, versions=("1", "2"), cache_ttl_s=0.0, **more),
    )
    return found


def told(answer: Answer) -> list[tuple[Any, ...]]:
    assert answer.status == 200, answer.body
    return [(r["version"], r["value"], tuple(r["flags"])) for r in answer.rows]


def events(harness: Harness, model: str) -> list[Predicted]:
    return [e for e in harness.spool.events if isinstance(e, Predicted) and e.model == model]


def flat(columns: Any) -> list[Any]:
    """Of an event of one row, which may say a column of equal values once."""
    return [column[0] if isinstance(column, list) else column for column in columns]


def test_the_dear_model_answers_the_rows_of_which_the_cheap_one_is_unsure() -> None:
    async def story(harness: Harness) -> None:
        dear = await deployed(harness)
        answer = await harness.predict(100.0, 500.0, 900.0, 300.0, model=CHEAP, units="abcd")
        assert told(answer) == [
            ("1", 0.1, ()),
            ("dear:1", 0.99, ("unsure", "cascaded")),
            ("1", 0.9, ()),
            ("dear:1", 0.99, ("unsure", "cascaded")),
        ]
        assert answer.rows[1]["why"] == "version 1 was unsure; dear:1 answered in its place"
        assert dear.batches == [[500.0, 300.0]]  # at once

    run(story)


def test_both_answers_are_recorded_each_as_its_own_models() -> None:
    async def story(harness: Harness) -> None:
        await deployed(harness)
        answer = await harness.predict(
            100.0, 500.0, model=CHEAP, units="ab", headers={"x-request-id": "mine"}
        )
        message = answer.json["request_id"]
        (own,) = events(harness, CHEAP)
        assert (own.event_id, own.outputs) == (message, [[0.1, 0.5]])
        assert [tuple(one.flags) for one in own.routes] == [(), ("unsure",)]
        (dear,) = events(harness, DEAR)
        assert (dear.event_id, dear.rows, dear.tenant) == (f"{message}/1", 1, "acme")
        assert (dear.request_id, dear.units) == ("mine", "b")
        assert flat(dear.outputs) == [0.99]
        assert flat(dear.features) == [500.0, 2, "van"]

    run(story)


def test_the_cheap_answer_stays_where_the_dear_one_gives_none() -> None:
    async def story(harness: Harness) -> None:
        dear = await deployed(harness, constant=(0.7,))
        dear.fails = lambda _row: True
        # A constant is no better than an unsure model.
        assert told(await harness.predict(500.0, model=CHEAP)) == [("1", 0.5, ("unsure",))]
        assert events(harness, DEAR) == []
        # It owed an answer, which its monitors have to see.
        refused = [e for e in harness.spool.events if isinstance(e, Refused)]
        assert [(e.model, e.code, e.event_id[-2:]) for e in refused] == [(DEAR, "GAT-108", "/0")]
        await harness.publish(route(CHEAP, contract=BINARY, cascade=SPEC, cache_ttl_s=0.0))
        assert told(await harness.predict(500.0, model=CHEAP)) == [("1", 0.5, ("unsure",))]

    run(story)


def test_a_row_that_the_dear_model_cannot_answer_takes_no_other_rows_answer() -> None:
    async def story(harness: Harness) -> None:
        dear = await deployed(harness)
        dear.fails = lambda row: row[0] == 400.0
        answer = told(await harness.predict(300.0, 400.0, 500.0, model=CHEAP))
        assert [version for version, *_ in answer] == ["dear:1", "1", "dear:1"]
        refused = [e for e in harness.spool.events if isinstance(e, Refused)]
        assert [(e.model, e.routed, e.event_id[-2:]) for e in refused] == [(DEAR, "1", "/1")]

    run(story)


def test_the_time_that_the_dear_model_takes_is_part_of_the_latency() -> None:
    async def story(harness: Harness) -> None:
        dear = await deployed(harness)

        def slowly(_row: Any) -> float:
            harness.ticks.ahead_s += 0.25
            return 0.99

        dear.answers = slowly
        await harness.predict(500.0, model=CHEAP)
        (own,), (other,) = events(harness, CHEAP), events(harness, DEAR)
        assert own.latency_us >= 250_000
        assert other.latency_us >= 250_000
        assert [tuple(one.flags) for one in other.routes] == [("cascaded",)]

    run(story)


def test_a_failure_is_logged_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    async def story(harness: Harness) -> None:
        dear = await deployed(harness)
        dear.fails = lambda _row: True
        for _ in range(20):
            await harness.predict(500.0, model=CHEAP)

    run(story)
    assert len(caplog.records) < 8


def test_a_slow_dear_model_leaves_the_cheap_answer_time_to_leave() -> None:
    async def story(harness: Harness) -> None:
        harness.runtime.predictors[f"{DEAR}/1"] = FakePredictor(blocking=True)
        harness.predictor(model=CHEAP).answers = answers
        await harness.publish(
            route(CHEAP, contract=BINARY, cascade=SPEC, cache_ttl_s=0.0, deadline_s=0.2),
            route(DEAR, contract=BINARY, cache_ttl_s=0.0),
        )
        dear = harness.predictor(model=DEAR)
        dear.hold()
        async with asyncio.timeout(10):
            answer = await harness.predict(500.0, model=CHEAP)
        dear.let_go()
        assert told(answer) == [("1", 0.5, ("unsure",))]

    run(story)


def test_a_dear_model_that_the_tenant_may_not_see_is_not_asked() -> None:
    async def story(harness: Harness) -> None:
        dear = await deployed(harness, tenants=("bolt",))
        assert told(await harness.predict(500.0, model=CHEAP)) == [("1", 0.5, ("unsure",))]
        assert dear.batches == []

    run(story)


def test_rows_go_by_the_names_and_bounds_of_the_dear_model() -> None:
    features = (
        FeatureSpec("kind", "order", FeatureType.CATEGORY, known=("van", "bike")),
        FeatureSpec("more", "order", FeatureType.NUMBER, nullable=True),
        FeatureSpec("x", "order", FeatureType.NUMBER, high=550.0),
    )

    async def story(harness: Harness) -> None:
        await deployed(harness, Contract(features, TaskSpec("binary")))
        answer = told(await harness.predict(500.0, 600.0, model=CHEAP))
        assert [version for version, *_ in answer] == ["dear:1", "1"]  # 600 is beyond its bound
        (dear,) = events(harness, DEAR)
        assert flat(dear.features) == ["van", None, 500.0]

    run(story)


def test_a_dear_model_that_answers_another_question_is_not_asked() -> None:
    async def story(harness: Harness) -> None:
        other = replace(CONTRACT, task=TaskSpec("binary", classes=("no", "yes")))
        await deployed(harness, other)
        assert told(await harness.predict(500.0, model=CHEAP)) == [("1", 0.5, ("unsure",))]

    run(story)


def test_an_event_that_cannot_be_kept_is_no_answer() -> None:
    async def story(harness: Harness) -> None:
        await deployed(harness)
        harness.spool.full = True
        assert (await harness.predict(500.0, model=CHEAP)).code == "GAT-107"
        assert harness.spool.events == []  # neither

    run(story)
