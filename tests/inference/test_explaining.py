"""Explanations on request: right, bounded, recorded, and never at the price of the answer."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from inference.harness import (
    CONTRACT,
    MODEL,
    Answer,
    FakePredictor,
    Harness,
    entry,
    features,
    route,
    run,
    until,
)

from windvane.adapters.sqlite import SqliteIdempotency
from windvane.core.execution import BACKGROUND_FILE, Background, Breaker, Circuit
from windvane.core.explanation import Explanation, Method, Scale
from windvane.core.routing import CascadeSpec
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract, ExplainedNumber, TaskSpec
from windvane.inference.explaining import MAX_EVALUATIONS, MAX_ROWS
from windvane.inference.idempotency import Idempotency
from windvane.ports.events import Predicted
from windvane.ports.runtime import CannotExplain

BACKGROUND = Background(("x", "n", "kind"), ((0.0, 0, "van"), (10.0, None, "bike")))
BINARY = replace(CONTRACT, task=TaskSpec("binary"))


def price(row: Sequence[Any]) -> float:
    """x costs 2, n costs 3 each on a bike only."""
    n = row[1] or 0
    return 2.0 * row[0] + (3.0 * n if row[2] == "bike" else 0.0)


async def deployed(harness: Harness, **more: Any) -> FakePredictor:
    harness.artifacts.files[BACKGROUND_FILE] = msgspec.msgpack.encode(BACKGROUND)
    found = harness.predictor()
    found.answers = price
    await harness.publish(replace(route(), **{"cache_ttl_s": 0.0, **more}))
    return found


async def explained(harness: Harness, *rows: Any, model: str = MODEL, **more: Any) -> Answer:
    instances = [{"features": row} for row in rows]
    body = json.dumps({"instances": instances, "explain": True}).encode()
    return await harness.call("POST", f"/v1/models/{model}/predict", body, **more)


def test_contributions_and_base_add_up_to_the_answer() -> None:
    async def story(harness: Harness) -> None:
        await deployed(harness)
        answer = await explained(harness, features(4.0, 5, "bike"), features(0.0, 0, "van"))
        assert answer.status == 200, answer.body
        first, second = (row["explanation"] for row in answer.rows)
        assert [row["value"] for row in answer.rows] == [23.0, 0.0]
        assert first["base"] + sum(first["contributions"].values()) == pytest.approx(23.0)
        assert first["contributions"]["x"] == pytest.approx(2.0 * (4.0 - 5.0))
        assert first["base"] == pytest.approx(10.0)
        assert first["method"] == "permutation"
        assert first["output"] == "value"
        assert first["scale"] == "output"
        assert 0 < first["evaluations"] <= MAX_EVALUATIONS
        assert second["base"] + sum(second["contributions"].values()) == pytest.approx(0.0)

    run(story)


def test_who_does_not_ask_gets_none_and_costs_none() -> None:
    async def story(harness: Harness) -> None:
        predictor = await deployed(harness)
        answer = await harness.predict(1.0)
        assert "explanation" not in answer.rows[0]
        assert predictor.batches == [[1.0]]
        (event,) = harness.spool.events
        assert event.explanations == ""

    run(story)


@pytest.mark.parametrize("version", ["2026-11-01", "2026-11-21"])
def test_older_answers_have_it_too(version: str) -> None:
    async def story(harness: Harness) -> None:
        await deployed(harness)
        answer = await explained(harness, features(), headers={"Windvane-Version": version})
        assert answer.rows[0]["explanation"]["contributions"]["x"] == pytest.approx(-8.0)

    run(story)


def test_the_event_has_the_explanation_of_each_row() -> None:
    async def story(harness: Harness) -> None:
        await deployed(harness)
        answer = await explained(harness, features(1.0), features(2.0))
        (event,) = harness.spool.events
        kept = [json.loads(text) for text in event.explanations_of()]
        assert kept == [row["explanation"] for row in answer.rows]

    run(story)


def test_a_feature_that_the_version_does_not_take_is_not_in_it() -> None:
    async def story(harness: Harness) -> None:
        await deployed(harness, versions=(entry(MODEL, "1", features=("x",)),))
        answer = await explained(harness, features(3.0, 7, "van"))
        assert answer.status == 200, answer.body
        assert list(answer.rows[0]["explanation"]["contributions"]) == ["x"]

    run(story)


def test_an_answer_from_the_cache_is_explained() -> None:
    async def story(harness: Harness) -> None:
        await deployed(harness, cache_ttl_s=60.0)
        await harness.predict(3.0)
        answer = await explained(harness, features(3.0))
        assert "cached" in answer.rows[0]["flags"]
        assert answer.rows[0]["explanation"]["contributions"]["x"] == pytest.approx(-4.0)

    run(story)


def unexplained(answer: Answer, at: int = 0) -> tuple[Any, str]:
    assert answer.status == 200, answer.body
    row = answer.rows[at]
    assert row["explanation"] is None
    assert row["unexplained"]["hint"]
    return row["unexplained"]["code"], row["unexplained"]["message"]


def test_a_version_without_background_rows_still_answers() -> None:
    async def story(harness: Harness) -> None:
        await deployed(harness)
        harness.artifacts.files.clear()
        await harness.publish(route(versions=("2",), champion="2", cache_ttl_s=0.0))
        code, message = unexplained(await explained(harness, features()))
        assert code == "EXP-101"
        assert "version 2 was registered without background rows" in message
        assert harness.spool.events[0].explanations_of() == [""]

    run(story)


def test_a_rule_or_constant_is_no_model() -> None:
    async def story(harness: Harness) -> None:
        predictor = await deployed(harness, constant=(0.5,))
        predictor.fails = lambda row: row[0] > 100.0
        answer = await explained(harness, features(1.0), features(200.0))
        assert answer.rows[0]["explanation"]
        assert unexplained(answer, 1)[0] == "EXP-101"
        texts = harness.spool.events[0].explanations_of()
        assert texts[0]
        assert texts[1] == ""

    run(story)


def test_a_version_that_fails_on_a_row_between_says_so() -> None:
    async def story(harness: Harness) -> None:
        predictor = await deployed(harness)
        predictor.fails = lambda row: row[1] is None
        code, message = unexplained(await explained(harness, features()))
        assert code == "EXP-101"
        assert "RuntimeError" in message

    run(story)


def test_a_deadline_costs_the_explanation_and_not_the_answer() -> None:
    async def story(harness: Harness) -> None:
        predictor = await deployed(harness)

        def late(row: Sequence[Any]) -> float:
            harness.ticks.ahead_s += 0.01  # of each evaluation, 4.4 s are left
            return price(row)

        predictor.answers = late
        answer = await explained(harness, *[features(float(i), 3, "van") for i in range(1, 31)])
        told = [row["explanation"] for row in answer.rows]
        assert told[0] is not None
        assert told[-1] is None
        assert answer.rows[-1]["unexplained"]["code"] == "EXP-102"
        assert answer.rows[-1]["value"] == pytest.approx(60.0)

    run(story)


def test_more_rows_than_may_be_explained_are_refused_before_any_is_predicted() -> None:
    async def story(harness: Harness) -> None:
        predictor = await deployed(harness)
        answer = await explained(harness, *[features()] * (MAX_ROWS + 1))
        assert answer.status == 413
        assert answer.code == "GAT-104"
        assert f"at most {MAX_ROWS} rows" in answer.json["error"]["message"]
        assert predictor.batches == []

    run(story)


@pytest.mark.parametrize("given", [1, "yes", None, [True]])
def test_explain_is_true_or_false(given: Any) -> None:
    async def story(harness: Harness) -> None:
        await deployed(harness)
        body = json.dumps({"instances": [{"features": features()}], "explain": given}).encode()
        answer = await harness.call("POST", f"/v1/models/{MODEL}/predict", body)
        assert answer.status == 400
        assert "explain" in answer.json["error"]["message"]

    run(story)


def test_csv_has_no_place_for_explanations() -> None:
    async def story(harness: Harness) -> None:
        await deployed(harness)
        answer = await explained(harness, features(), headers={"Accept": "text/csv"})
        assert answer.status == 400
        assert "Accept: application/json" in answer.json["error"]["hint"]

    run(story)


def test_others_have_their_turn_between_two_passes() -> None:
    async def story(harness: Harness) -> None:
        predictor = await deployed(harness)
        asked = asyncio.ensure_future(explained(harness, features(4.0, 5, "bike")))
        await until(lambda: len(predictor.batches) > 2)
        other = await harness.predict(77.0)
        assert other.status == 200
        assert not asked.done()
        assert (await asked).rows[0]["explanation"]

    run(story)


class TreePredictor(FakePredictor):
    """Whose library explains itself, or raises."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Any, ...]] = []
        self.raises: Exception | None = None

    def explain(
        self, rows: Sequence[Sequence[Any]], answers: Sequence[tuple[ExplainedNumber, float]]
    ) -> list[Explanation]:
        self.asked += [
            (row, number.name, value) for row, (number, value) in zip(rows, answers, strict=True)
        ]
        assert self.released.wait(20.0)
        if self.raises is not None:
            raise self.raises
        return [
            Explanation(Method.TREE_SHAP, number.name, Scale.LOG, 1.0, {"x": value})
            for number, value in answers
        ]


def test_a_library_that_explains_its_trees_is_asked() -> None:
    async def story(harness: Harness) -> None:
        predictor = harness.runtime.predictors[f"{MODEL}/1"] = TreePredictor()
        await deployed(harness)
        answer = await explained(harness, features(1.0), features(2.0))
        assert [row["explanation"]["method"] for row in answer.rows] == ["tree_shap"] * 2
        assert predictor.asked == [((1.0, 2, "van"), "value", 2.0), ((2.0, 2, "van"), "value", 4.0)]
        assert predictor.batches == [[1.0, 2.0]]

    run(story)


@pytest.mark.parametrize("raised", [CannotExplain("it does not add up"), ZeroDivisionError()])
def test_where_the_library_cannot_the_answers_are_compared(raised: Exception) -> None:
    async def story(harness: Harness) -> None:
        predictor = harness.runtime.predictors[f"{MODEL}/1"] = TreePredictor()
        predictor.raises = raised
        await deployed(harness)
        answer = await explained(harness, features(1.0))
        assert answer.rows[0]["explanation"]["method"] == "permutation"

    run(story)


def test_a_version_is_not_unloaded_under_its_library() -> None:
    """Whoever asked may be gone, or told that it took too long: the library still reads."""

    async def story(harness: Harness) -> None:
        predictor = harness.runtime.predictors[f"{MODEL}/1"] = TreePredictor()
        await deployed(harness, deadline_s=0.2)
        queue = harness.queues[0]
        blocked = threading.Event()

        def explain(rows: Any, answers: Any) -> list[Explanation]:
            assert blocked.wait(20.0)
            return []

        predictor.explain = explain  # type: ignore[method-assign]
        code, message = unexplained(await explained(harness, features(1.0)))
        assert code == "EXP-102"
        assert "longer than" in message
        assert not queue.idle
        await harness.publish(route(versions=("2",), champion="2"))
        harness.services.models.let_go()
        assert predictor.closed == 0
        blocked.set()
        await until(lambda: queue.idle)
        harness.services.models.let_go()
        await until(lambda: predictor.closed == 1)

    run(story)


def test_a_cascades_row_is_explained_by_who_answered() -> None:
    async def story(harness: Harness) -> None:
        harness.artifacts.files[BACKGROUND_FILE] = msgspec.msgpack.encode(BACKGROUND)
        harness.predictor(model="cheap").answers = lambda row: row[0] / 1_000
        harness.predictor(model="dear").answers = lambda row: 0.9 + row[0] / 10_000
        spec = CascadeSpec("dear", 0.8)
        await harness.publish(
            route("cheap", contract=BINARY, cascade=spec, cache_ttl_s=0.0),
            route("dear", contract=BINARY, cache_ttl_s=0.0),
        )
        answer = await explained(harness, features(100.0), features(500.0), model="cheap")
        assert answer.status == 200, answer.body
        cheap, dear = (row["explanation"] for row in answer.rows)
        assert cheap["contributions"]["x"] == pytest.approx(0.095)
        assert dear["contributions"]["x"] == pytest.approx(0.0495)
        events = {e.model: e for e in harness.spool.events if isinstance(e, Predicted)}
        assert [bool(text) for text in events["cheap"].explanations_of()] == [True, False]
        assert json.loads(events["dear"].explanations_of()[0]) == dear

    run(story)


def stored(story: Any, tmp_path: Path, **settings: Any) -> None:
    """With idempotency keys, whose requests run in tasks of their own."""
    store = SqliteIdempotency(tmp_path / "i.db", deadline_s=20.0)

    async def told(harness: Harness) -> None:
        try:
            await story(harness)
        finally:
            await store.aclose()

    run(told, idempotency=Idempotency(store), **settings)


def test_a_version_is_not_unloaded_between_two_comparisons(tmp_path: Path) -> None:
    async def story(harness: Harness) -> None:
        predictor = await deployed(harness)
        await harness.publish(replace(route(), cache_ttl_s=0.0), route("other", cache_ttl_s=0.0))
        queue = next(queue for queue in harness.queues if queue.model == MODEL)
        queue.threaded = True
        queue.row_s = 0.01  # a row at a time
        key = {"Idempotency-Key": "k1"}
        asked = asyncio.ensure_future(explained(harness, features(4.0, 5, "bike"), headers=key))
        await until(lambda: len(predictor.batches) > 3)
        others = [x for x in harness.services.models._handles.values() if x.queue is not queue]
        harness.services.models.keep_only(others)
        assert predictor.closed == 0
        answers = [await harness.predict(1.0 + i, model="other") for i in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 200]
        assert (await asked).rows[0]["explanation"]
        await until(lambda: queue.idle)
        harness.services.models.let_go()
        await until(lambda: predictor.closed == 1)

    stored(story, tmp_path)


def test_comparisons_of_a_slow_version_go_in_small_pieces_while_nobody_waits() -> None:
    """Rows between clients' own hold nobody up, open nobody's circuit and end at the deadline."""

    async def story(harness: Harness) -> None:
        predictor = await deployed(harness, deadline_s=0.5)
        queue = harness.queues[0]
        queue.threaded, queue.row_s, queue.took_s = True, 0.004, 0.004

        def slow(rows: Sequence[Sequence[Any]]) -> list[Any]:
            time.sleep(0.004 * len(rows))
            predictor.batches.append([row[0] for row in rows])
            return [np.array([price(row) for row in rows])]

        predictor.gives = slow
        answer = await explained(harness, features(4.0, 5, "bike"))
        assert answer.status == 200
        assert max(map(len, predictor.batches)) <= 2
        assert sum(map(len, predictor.batches)) < 130  # not 2,000: the deadline
        assert queue.circuits.all_closed

    run(story)


def test_rows_that_no_client_sent_open_no_circuit() -> None:
    async def story(harness: Harness) -> None:
        predictor = await deployed(harness)
        predictor.fails = lambda row: row[1] is None
        for _ in range(12):
            assert unexplained(await explained(harness, features()))[0] == "EXP-101"
        assert harness.queues[0].circuits.all_closed
        assert (await harness.predict(3.0)).status == 200

    run(story)


def test_nothing_is_compared_while_the_circuit_is_not_closed() -> None:
    async def story(harness: Harness) -> None:
        predictor = await deployed(harness, cache_ttl_s=60.0)
        await harness.predict(3.0)
        queue = harness.queues[0]
        queue.circuits = replace(queue.circuits, version=Breaker(Circuit.OPEN, until=1e12))
        before = len(predictor.batches)
        code, message = unexplained(await explained(harness, features(3.0)))
        assert (code, "failed too often" in message) == ("EXP-101", True)
        assert len(predictor.batches) == before

    run(story)


def test_more_features_than_can_be_compared_are_not() -> None:
    names = [f"f{i}" for i in range(1_001)]
    contract = Contract(
        tuple(FeatureSpec(name, "v", FeatureType.NUMBER, nullable=True) for name in names),
        TaskSpec("regression"),
    )

    async def story(harness: Harness) -> None:
        held = Background(tuple(names), ((0.0,) * 1_001,))
        harness.artifacts.files[BACKGROUND_FILE] = msgspec.msgpack.encode(held)
        predictor = harness.predictor(model="wide")
        await harness.publish(route("wide", contract=contract, cache_ttl_s=0.0))
        answer = await explained(harness, {"f0": 1.0}, model="wide")
        code, message = unexplained(answer)
        assert code == "EXP-101"
        assert "1,001 features, at most 1,000 are compared" in message
        assert len(predictor.batches) == 1

    run(story)


def test_the_time_of_an_explanation_is_not_the_versions_latency() -> None:
    async def story(harness: Harness) -> None:
        predictor = harness.runtime.predictors[f"{MODEL}/1"] = TreePredictor()
        await deployed(harness)

        def late(rows: Any, answers: Any) -> list[Explanation]:
            harness.ticks.ahead_s += 3.0
            return [Explanation(Method.TREE_SHAP, "value", Scale.OUTPUT, 0.0, {}) for _ in rows]

        predictor.explain = late  # type: ignore[method-assign]
        assert (await explained(harness, features(1.0))).status == 200
        assert harness.spool.events[0].latency_us < 1_000_000

    run(story)


def test_one_tenants_slow_library_keeps_no_other_tenant_waiting() -> None:
    async def story(harness: Harness) -> None:
        slow = harness.runtime.predictors["slow/1"] = TreePredictor()
        harness.runtime.predictors[f"{MODEL}/1"] = TreePredictor()
        stuck = threading.Event()

        def explain(rows: Any, answers: Any) -> list[Explanation]:
            assert stuck.wait(20.0)
            return []

        slow.explain = explain  # type: ignore[method-assign]
        try:
            await harness.publish(
                replace(route(), cache_ttl_s=0.0), route("slow", cache_ttl_s=0.0, deadline_s=0.2)
            )
            for _ in range(6):  # more than there are threads
                late = await explained(harness, features(1.0), model="slow")
                assert late.rows[0]["unexplained"]["code"] == "EXP-102"
            other = await explained(harness, features(1.0), auth="Bearer wv_bolt")
            assert other.rows[0]["explanation"]
        finally:
            stuck.set()

    run(story)
