"""Stand-ins that are asked beside the way of a prediction: what they would have answered is kept,
and no client waits for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from inference.harness import CONTRACT, MODEL, Harness, features, route, run, until

from windvane.core.routing import RuleStep
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract
from windvane.ports.events import Compared, Predicted

BOTH = {"versions": ("2", "1"), "champion": "2", "chain": ("1",), "compared_share": 1.0}


def compared(harness: Harness) -> list[Compared]:
    return [event for event in harness.spool.events if isinstance(event, Compared)]


def results(harness: Harness) -> dict[str, int]:
    counts = harness.metrics.counts["stand_in_compared_total"]
    assert {key[:2] for key in counts} <= {(MODEL, "2")}
    return {key[2]: count for key, count in counts.items()}


async def told(harness: Harness, rows: int) -> dict[str, int]:
    """What became of so many rows that were drawn."""
    await until(lambda: sum(results(harness).values()) >= rows)
    return results(harness)


def test_what_the_version_before_would_have_answered_is_kept() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(**BOTH))
        assert (await harness.predict(500.0)).status == 200
        assert await told(harness, 1) == {"answered": 1}
        predicted, found = harness.spool.events
        assert isinstance(predicted, Predicted)
        assert found == Compared(
            predicted.event_id, harness.clock.at, MODEL, "acme", CONTRACT.id, "2", "champion", "1",
            1.0, [2.5], [1.5],
        )  # fmt: skip

    run(story)


def test_of_a_request_one_row_is_drawn_with_its_probability() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(**BOTH))
        await harness.predict(100.0, 200.0, 300.0, 400.0)
        await told(harness, 1)
        (found,) = compared(harness)
        assert found.probability == 0.25
        assert round(found.outputs[0] - found.answers[0], 9) == 1.0
        assert sum(map(len, harness.predictor("1").batches)) == 1

    run(story)


def test_a_share_of_requests_is_drawn() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(**{**BOTH, "compared_share": 0.2}))
        draws = iter([0.19, 0.0, 0.2, 0.9])
        harness.app.engine._comparing._draw = lambda: next(draws)
        for _ in range(3):
            await harness.predict(1.0)
        assert await told(harness, 1) == {"answered": 1}
        assert next(draws, None) is None

    run(story)


def test_no_client_waits_for_a_stand_in() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(**BOTH))
        slow = harness.hold("1")
        assert (await harness.predict(1.0)).status == 200
        await until(slow.started.is_set)
        for _ in range(5):
            assert (await harness.predict(1.0)).status == 200
        assert compared(harness) == []
        slow.let_go()
        assert await told(harness, 6) == {"answered": 6}

    run(story)


def test_what_waits_is_bounded() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(**BOTH))
        slow = harness.hold("1")
        for _ in range(70):
            assert (await harness.predict(1.0)).status == 200
        await until(lambda: results(harness).get("left_out", 0) >= 5)
        assert len(harness.app.engine._comparing._waiting) <= 64
        slow.let_go()

    run(story)


def test_one_that_fails_is_silent_and_its_circuit_stays_closed() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(**BOTH))
        harness.predictor("1").fails = lambda _row: True
        for _ in range(8):
            assert (await harness.predict(1.0)).status == 200
        assert await told(harness, 8) == {"silent": 8}
        assert [found.answers for found in compared(harness)] == [[]] * 8
        assert all(queue.circuits.all_closed for queue in harness.queues)

    run(story)


def test_one_that_cannot_be_loaded_is_silent() -> None:
    async def story(harness: Harness) -> None:
        harness.runtime.predictors[f"{MODEL}/1"] = ValueError("its files are gone")
        await harness.publish(route(**BOTH))
        assert (await harness.predict(1.0)).status == 200
        assert await told(harness, 1) == {"silent": 1}

    run(story)


def test_one_that_was_unloaded_to_make_room_is_not_brought_back_for_this() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(**BOTH))
        await harness.predict(1.0)
        await told(harness, 1)
        handle = harness.services.models._handles
        (place,) = [held for held in handle.values() if held.entry.version == "1"]
        harness.services.models._drop(place)
        loads = len(harness.runtime.loads)
        await harness.predict(1.0)
        assert await told(harness, 2) == {"answered": 1, "left_out": 1}
        assert len(harness.runtime.loads) == loads

    run(story)


def test_a_rule_and_a_constant_run_nothing() -> None:
    async def story(harness: Harness) -> None:
        alone: dict[str, Any] = {**BOTH, "versions": ("2",), "chain": ()}
        steps = (RuleStep((9.0,), "x", above=100.0),)
        await harness.publish(route(**alone, rule=steps))
        await harness.predict(500.0)
        await harness.predict(1.0)
        assert await told(harness, 2) == {"answered": 1, "silent": 1}
        await harness.publish(route(**alone, rule=steps, constant=(7.0,)))
        await harness.predict(1.0)
        assert await told(harness, 3) == {"answered": 2, "silent": 1}
        assert [(c.stand_in, c.answers) for c in compared(harness)] == [
            ("", [9.0]), ("", []), ("", [7.0]),
        ]  # fmt: skip

    run(story)


def test_only_what_the_version_answered_itself_is_compared() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(**BOTH))
        harness.predictor("2").fails = lambda _row: True
        assert (await harness.predict(1.0)).status == 200
        assert harness.spool.events[0].routes[0].answered == "1"
        await asyncio.sleep(0.05)
        assert results(harness) == {}

    run(story)


def test_rows_that_lack_a_new_feature_are_not_compared() -> None:
    late = FeatureSpec("late", "order", FeatureType.NUMBER, nullable=True, optional=True)
    wider = Contract((*CONTRACT.features, late), CONTRACT.task)

    async def story(harness: Harness) -> None:
        await harness.publish(replace(route(**BOTH), contract=wider))
        assert (await harness.predict(features())).status == 200
        assert (await harness.predict({**features(), "late": 1.0})).status == 200
        assert await told(harness, 1) == {"answered": 1}

    run(story)


def test_without_a_share_nothing_is_drawn() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(**{**BOTH, "compared_share": 0.0}))

        def draw() -> float:
            raise AssertionError("nothing is to be drawn")

        harness.app.engine._comparing._draw = draw
        assert (await harness.predict(1.0)).status == 200
        assert results(harness) == {}

    run(story)


def test_a_full_spool_keeps_nobody() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(**BOTH))
        slow = harness.hold("1")
        assert (await harness.predict(1.0)).status == 200
        await until(slow.started.is_set)
        harness.spool.full = True
        slow.let_go()
        assert await told(harness, 1) == {"left_out": 1}
        harness.spool.full = False
        assert (await harness.predict(1.0)).status == 200  # it counts as no failure to record

    run(story)
