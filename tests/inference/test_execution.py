"""When a version cannot answer: who does, in which order, and what the answer says about it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from inference.harness import CONTRACT, MODEL, Answer, Harness, entry, features, route, run, until

from windvane.core.execution import ALL_CLOSED, Circuit
from windvane.core.routing import Arm, CircuitSpec, ModelRoute, RuleStep, choose, unit_of
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract, TaskSpec
from windvane.inference.elsewhere import ElsewherePredictor
from windvane.ports.events import Refused, column_values
from windvane.ports.runtime import CannotLoad, RuntimeFailed, UnencodableRow

ROLLOUT = "delay/2/9#1"
RULE = (RuleStep((0.9,), "x", above=500.0), RuleStep((0.1,), "kind", among=("bike",)))


def told(answer: Answer) -> list[tuple[Any, ...]]:
    assert answer.status == 200, answer.body
    return [(r["version"], r["value"], tuple(r["flags"]), r["why"]) for r in answer.rows]


def test_the_chain_goes_in_its_order_then_the_rule_then_the_constant() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(
            route(versions=("1", "2", "3"), chain=("2", "3"), rule=RULE, constant=(0.5,))
        )
        assert told(await harness.predict(1.0)) == [("1", 1.001, (), "")]
        harness.predictor("1").fails = lambda _row: True
        assert told(await harness.predict(1.0)) == [
            ("2", 2.001, ("failed", "RUN-103", "fallback"),
             "version 1 failed (RUN-103); version 2 answered")
        ]  # fmt: skip
        harness.predictor("2").fails = lambda _row: True
        assert told(await harness.predict(1.0)) == [
            ("3", 3.001, ("failed", "RUN-103", "failed:2", "fallback"),
             "version 1 failed (RUN-103), and so did 2; version 3 answered")
        ]  # fmt: skip
        harness.predictor("3").fails = lambda _row: True
        flags = ("failed", "RUN-103", "failed:2", "failed:3")
        why = "version 1 failed (RUN-103), and so did 2, 3; "
        assert told(await harness.predict(501.0, features(kind="bike"), 1.0)) == [
            ("", 0.9, (*flags, "rule"), why + "the rule answered"),
            ("", 0.1, (*flags, "rule"), why + "the rule answered"),
            ("", 0.5, (*flags, "constant"), why + "the constant answered"),
        ]

    run(story)


def test_without_any_fallback_the_answer_is_503_and_is_recorded_with_its_version() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route())
        harness.predictor().fails = lambda _row: True
        answer = await harness.predict(1.0, headers={"x-request-id": "q"})
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "GAT-108", "1")
        (event,) = harness.spool.events
        assert (event.event_id, event.request_id) == (answer.json["request_id"], "q")
        assert (event.code, event.routed, event.arm, event.key) == (
            "GAT-108", "1", "champion", "acme",
        )  # fmt: skip

    run(story)


def canary(**changed: Any) -> ModelRoute:
    """Half of the units meet version 2 beside version 1, which is the champion."""
    given: dict[str, Any] = {
        "versions": ("1", "2"), "challenger": "2", "challenger_share": 0.5, "rollout": ROLLOUT,
        **changed,
    }  # fmt: skip
    return route(**given)


def units_of(arm: Arm, many: int) -> list[str]:
    """Units that the canary gives to an arm."""
    names = (f"u{i}" for i in range(100))
    return [name for name in names if choose(canary(), unit_of("acme", name))[1] is arm][:many]


def test_who_is_owed_an_answer_that_nobody_has_is_recorded_row_by_row() -> None:
    """The judge of a canary counts units: one request may have some of either arm's."""

    async def story(harness: Harness) -> None:
        await harness.publish(canary())
        for version in ("1", "2"):
            harness.predictor(version).fails = lambda _row: True
        ours, theirs = units_of(Arm.CHALLENGER, 2), units_of(Arm.CHAMPION, 1)
        units = [ours[0], theirs[0], ours[1]]
        answer = await harness.predict(1.0, 2.0, 3.0, units=units)
        assert (answer.status, answer.code) == (503, "GAT-108")
        (event,) = harness.spool.events
        assert isinstance(event, Refused)
        assert event.rollout == ROLLOUT
        assert event.units == units
        assert event.arms == ["challenger", "champion", "challenger"]
        assert (event.routed, event.arm) == ("2", "challenger"), "of the first of them"

    run(story)


def test_rows_that_their_versions_answered_are_owed_nothing_though_their_request_failed() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(canary())
        for version in ("1", "2"):
            harness.predictor(version).fails = lambda row: row[0] == 13.0
        ours, theirs = units_of(Arm.CHALLENGER, 2), units_of(Arm.CHAMPION, 2)
        answer = await harness.predict(1.0, 13.0, 1.0, 13.0, units=[*ours, *theirs])
        assert answer.status == 503
        (event,) = harness.spool.events
        assert isinstance(event, Refused)
        assert event.units == [ours[1], theirs[1]]
        assert event.arms == ["challenger", "champion"]

    run(story)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_row_without_a_unit_is_owed_an_answer_as_well(share: float) -> None:
    """It has no name in the record, whatever it was drawn by."""

    async def story(harness: Harness) -> None:
        await harness.publish(canary(challenger_share=share))
        for version in ("1", "2"):
            harness.predictor(version).fails = lambda _row: True
        for rows in ((1.0,), (1.0, 2.0)):
            assert (await harness.predict(*rows)).status == 503
            event = harness.spool.events[-1]
            assert isinstance(event, Refused)
            assert event.units == [""] * len(rows)
            assert event.arms == ["challenger" if share else "champion"] * len(rows)

    run(story)


def test_what_a_stand_in_does_not_answer_is_recorded_as_its_own() -> None:
    """By design it answers: what it fails is held against neither arm of the rollout."""

    async def story(harness: Harness) -> None:
        await harness.publish(canary(versions=("1", "2", "3"), standing_in="3"))
        for version in ("1", "3"):
            harness.predictor(version).fails = lambda _row: True
        (theirs,) = units_of(Arm.CHAMPION, 1)
        assert (await harness.predict(1.0, units=[theirs])).status == 503
        (event,) = harness.spool.events
        assert isinstance(event, Refused)
        assert (event.units, event.arms) == ([theirs], ["fallback"])

    run(story)


def test_outside_of_a_rollout_no_rollout_is_named() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route())
        harness.predictor().fails = lambda _row: True
        await harness.predict(1.0, units=["u1"])
        refused = harness.spool.events[-1]
        assert isinstance(refused, Refused)
        assert (refused.rollout, refused.units, refused.arms) == ("", ["u1"], ["champion"])
        broken = await harness.predict({**features(), "x": "many"})
        assert broken.status == 422
        refused = harness.spool.events[-1]
        assert isinstance(refused, Refused)
        assert (refused.rollout, refused.units, refused.arms) == ("", [], [])

    run(story)


def test_one_bad_row_falls_back_alone() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(versions=("1", "2"), chain=("2",)))
        harness.predictor("1").fails = lambda row: row[0] == 13.0
        answer = told(await harness.predict(1.0, 13.0, 2.0))
        assert [version for version, *_ in answer] == ["1", "2", "1"]
        assert [value for _, value, *_ in answer] == [1.001, 2.013, 1.002]

    run(story)


@pytest.mark.parametrize("rows", [(13.0,), (13.0, 1.0)])
def test_a_row_that_a_version_cannot_take_does_not_count_against_it(rows: Any) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(constant=(0.5,)))

        def encode(values: Any) -> Any:
            if values[0] == 13.0:
                raise UnencodableRow("13 was not in the categories of training")
            return tuple(values)

        harness.predictor().encodes = encode
        for _ in range(30):
            first = told(await harness.predict(*rows))[0]
            assert first[2] == ("failed", "RUN-102", "constant")
        assert harness.queues[0].circuits.of("acme").circuit is Circuit.CLOSED
        assert told(await harness.predict(1.0))[0][0] == "1"

    run(story)


@pytest.mark.parametrize("rows", [(1.0,), (1.0, 2.0)])
def test_a_failing_challenger_is_answered_by_the_champion(rows: Any) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(versions=("1", "2"), challenger="2", challenger_share=1.0))
        harness.predictor("2").fails = lambda _row: True
        answer = await harness.predict(*rows)
        assert {r["version"] for r in answer.rows} == {"1"}
        assert {r["arm"] for r in answer.rows} == {"challenger"}
        (event,) = harness.spool.events
        assert event.rows == len(rows)
        taken = {(r.routed, r.answered, r.arm) for r in event.routes_of()}
        assert taken == {("2", "1", "challenger")}

    run(story)


def test_a_stand_in_says_that_it_is_one() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(versions=("1", "2"), standing_in="2"))
        for rows in ((1.0,), (1.0, 2.0)):
            answer = told(await harness.predict(*rows))
            assert answer[0] == (
                "2", 2.001, ("stand_in",), "version 2 stands in for the champion",
            )  # fmt: skip

    run(story)


def test_the_champion_answers_where_its_stand_in_cannot() -> None:
    """Rather than a constant: it was taken off for its inputs, and still is a model."""

    async def story(harness: Harness) -> None:
        await harness.publish(route(versions=("1", "2"), standing_in="2", constant=(0.5,)))
        harness.predictor("2").fails = lambda _row: True
        for rows in ((1.0,), (1.0, 2.0)):
            answer = told(await harness.predict(*rows))
            assert {version for version, *_ in answer} == {"1"}
        harness.predictor("1").fails = lambda _row: True
        answer = told(await harness.predict(1.0))
        assert answer[0][1] == 0.5

    run(story)


def test_a_tenants_stand_in_answers_that_tenant_only() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(versions=("1", "2"), stand_ins=(("acme", "2"),)))
        for rows in ((1.0,), (1.0, 2.0)):
            answer = told(await harness.predict(*rows))
            assert answer[0][:3] == ("2", 2.001, ("stand_in",))
        await harness.publish(route(versions=("1", "2"), stand_ins=(("another", "2"),)))
        assert told(await harness.predict(1.0))[0][:3] == ("1", 1.001, ())

    run(story)


def test_a_version_that_does_not_load_never_answers() -> None:
    """Its files were swapped, or its warm-up failed: the chain answers, and it is not tried
    again for each request."""

    async def story(harness: Harness) -> None:
        harness.runtime.predictors[f"{MODEL}/2"] = CannotLoad("not the registered file")
        await harness.publish(route(versions=("2", "1"), champion="2", chain=("1",)))
        for _ in range(5):
            for rows in ((1.0,), (1.0, 2.0)):
                for version, _, flags, _ in told(await harness.predict(*rows)):
                    assert (version, flags) == ("1", ("failed", "RUN-105", "fallback"))
        assert harness.runtime.loads.count(f"{MODEL}/2") == 1

    run(story)


def test_the_first_version_pins_its_answers_without_why() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(constant=(0.5,)))
        harness.predictor().fails = lambda _row: True
        answer = await harness.predict(1.0, headers={"windvane-version": "2026-11-01"})
        assert set(answer.rows[0]) == {"value", "version", "arm", "flags"}
        assert answer.headers["windvane-version"] == "2026-11-01"

    run(story)


def test_a_circuit_opens_is_probed_and_closes() -> None:
    """By default after 5 failures of the last 20, for 30 s."""

    async def story(harness: Harness) -> None:
        await harness.publish(route(constant=(0.5,), deadline_s=1e9))
        predictor = harness.predictor()
        predictor.fails = lambda row: row[0] == 13.0
        for x in [13.0] * 4 + [1.0] * 16 + [13.0] * 4 + [1.0] * 16:  # never 5 of any 20
            told(await harness.predict(x))
        queue = harness.queues[0]
        assert queue.circuits.of("acme").circuit is Circuit.CLOSED
        for _ in range(5):
            assert told(await harness.predict(13.0))[0][2] == ("failed", "RUN-103", "constant")
        assert queue.circuits.of("acme").circuit is Circuit.OPEN
        tried = len(predictor.batches)
        for rows in ((1.0,), (1.0, 2.0)):
            answer = told(await harness.predict(*rows))
            assert {flags for _, _, flags, _ in answer} == {("failed", "RUN-107", "constant")}
        harness.ticks.ahead_s += 29.0
        assert told(await harness.predict(1.0))[0][2][1] == "RUN-107"
        assert len(predictor.batches) == tried, "an open circuit was tried"
        harness.ticks.ahead_s += 1.0  # its pause is over; the model is still broken
        assert told(await harness.predict(13.0))[0][2][1] == "RUN-103"
        assert told(await harness.predict(1.0))[0][2][1] == "RUN-107"
        assert len(predictor.batches) == tried + 1, "a failed probe opens it again at once"
        harness.ticks.ahead_s += 31.0
        assert told(await harness.predict(1.0))[0][2][1] == "RUN-107", "the pause has doubled"
        harness.ticks.ahead_s += 30.0
        harness.hold()
        probes = [asyncio.create_task(harness.predict(float(i))) for i in range(1, 11)]
        await until(lambda: sum(p.done() for p in probes) == 7)
        predictor.let_go()
        answers = [told(await p)[0] for p in probes]
        assert [flags for _, _, flags, _ in answers].count(()) == 3, "limited probes"
        assert told(await harness.predict(1.0))[0][0] == "1"
        assert queue.circuits.of("acme").circuit is Circuit.CLOSED

    run(story)


def test_the_models_file_says_when_a_circuit_opens_and_it_holds_at_once() -> None:
    async def story(harness: Harness) -> None:
        plain = route(constant=(0.5,), deadline_s=1e9)
        await harness.publish(plain)
        harness.predictor().fails = lambda _row: True
        assert told(await harness.predict(1.0))[0][2][1] == "RUN-103"
        tuned = CircuitSpec(failures=2, pause_s=5.0, probes=1)
        await harness.publish(route(constant=(0.5,), deadline_s=1e9, circuit=tuned))
        assert told(await harness.predict(1.0))[0][2][1] == "RUN-103"
        assert told(await harness.predict(1.0))[0][2][1] == "RUN-107"
        harness.predictor().fails = lambda _row: False
        harness.ticks.ahead_s += 5.0
        assert told(await harness.predict(1.0))[0][2] == ()
        assert harness.queues[0].circuits.of("acme").circuit is Circuit.CLOSED

    run(story)


def test_another_circuit_in_the_models_file_ends_the_pause_of_the_one_before() -> None:
    async def story(harness: Harness) -> None:
        slow = CircuitSpec(failures=1, pause_s=3_600.0, probes=1)
        await harness.publish(route(constant=(0.5,), deadline_s=1e9, circuit=slow))
        harness.predictor().fails = lambda _row: True
        for _ in range(3):  # of one tenant alone, then of all
            await harness.predict(1.0)
        assert told(await harness.predict(1.0))[0][2][1] == "RUN-107"
        harness.predictor().fails = lambda _row: False
        await harness.publish(route(constant=(0.5,), deadline_s=1e9, circuit=slow))
        assert told(await harness.predict(1.0))[0][2][1] == "RUN-107", "nothing changed"
        quick = CircuitSpec(failures=1, pause_s=5.0, probes=1)
        await harness.publish(route(constant=(0.5,), deadline_s=1e9, circuit=quick))
        assert told(await harness.predict(1.0))[0][2] == ()

    run(story)


async def ask(harness: Harness, tenant: str, *rows: Any) -> list[tuple[str, ...]]:
    answer = await harness.predict(*rows, auth=f"Bearer wv_{tenant}")
    return [flags for _, _, flags, _ in told(answer)]


OPEN = ("failed", "RUN-107", "constant")
FAILED = ("failed", "RUN-103", "constant")


@pytest.mark.parametrize("rows", [(13.0,), (13.0, 13.0)])
@pytest.mark.parametrize("good", [0, 1, 3])
def test_one_tenants_bad_rows_take_the_version_from_nobody_else(rows: Any, good: int) -> None:
    """Whether others ask meanwhile or only later: their rows are answered."""

    async def story(harness: Harness) -> None:
        await harness.publish(route(constant=(0.5,), deadline_s=1e9))
        harness.predictor().fails = lambda row: row[0] == 13.0
        for _ in range(5):
            assert set(await ask(harness, "acme", *rows)) == {FAILED}
            for _ in range(good):
                assert await ask(harness, "bolt", 1.0) == [()]
        for _ in range(40):
            assert await ask(harness, "bolt", 1.0) == [()]
            assert await ask(harness, "bolt", 1.0, 2.0) == [(), ()]
        # The version is well, so no time is spent on who only makes it fail.
        tried = len(harness.predictor().batches)
        assert await ask(harness, "acme", 1.0) == [OPEN]
        assert len(harness.predictor().batches) == tried
        assert harness.metrics.counts["breaker_opened_total"] == {(MODEL, "1"): 1}
        harness.ticks.ahead_s += 31.0
        for _ in range(3):
            assert await ask(harness, "acme", 1.0) == [()]
        assert harness.queues[0].circuits.all_closed

    run(story)


def test_bad_rows_beside_others_of_the_same_batch_open_nothing() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(constant=(0.5,), deadline_s=1e9))
        harness.predictor().fails = lambda row: row[0] == 13.0
        for _ in range(10):
            bad, good = await asyncio.gather(ask(harness, "acme", 13.0), ask(harness, "bolt", 1.0))
            assert (bad, good) == ([FAILED], [()])
        assert harness.queues[0].circuits is ALL_CLOSED

    run(story)


@pytest.mark.parametrize("together", [False, True])
def test_a_version_that_is_broken_for_all_opens_for_all_as_soon_as_ever(together: bool) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(constant=(0.5,), deadline_s=1e9))
        predictor = harness.predictor()
        predictor.fails = lambda _row: True
        for i in range(5):
            if together:
                both = ask(harness, "acme", 1.0), ask(harness, "bolt", 1.0)
                assert await asyncio.gather(*both) == [[FAILED], [FAILED]]
            else:
                assert await ask(harness, ("bolt", "acme")[i == 4], 1.0) == [FAILED]
        tried = len(predictor.batches)
        for tenant in ("acme", "bolt"):
            assert await ask(harness, tenant, 1.0) == [OPEN]
        assert len(predictor.batches) == tried
        harness.ticks.ahead_s += 31.0
        # A probe of one tenant fails: its rows may be at fault. Then another one's does.
        assert await ask(harness, "acme", 1.0) == [FAILED]
        assert await ask(harness, "acme", 1.0) == [OPEN]
        assert await ask(harness, "bolt", 1.0) == [FAILED]
        assert await ask(harness, "bolt", 1.0) == [OPEN]
        predictor.fails = lambda row: row[0] == 13.0
        harness.ticks.ahead_s += 61.0
        assert await ask(harness, "acme", 13.0) == [FAILED]
        for _ in range(3):
            assert await ask(harness, "bolt", 1.0) == [()]
        assert await ask(harness, "acme", 1.0) == [OPEN]
        harness.ticks.ahead_s += 121.0  # twice the last pause
        assert await ask(harness, "acme", 1.0) == [()]

    run(story)


def test_a_version_whose_process_ends_is_left_alone_whoever_asked() -> None:
    """It is not there for the others either while it is started again."""

    async def story(harness: Harness) -> None:
        await harness.publish(route(constant=(0.5,), deadline_s=1e9))
        gone = RuntimeFailed("its process was ended by SIGKILL")
        harness.predictor().fails = lambda _row: _raise(gone)
        for _ in range(5):
            assert await ask(harness, "acme", 1.0) == [("failed", "RUN-106", "constant")]
        assert await ask(harness, "bolt", 1.0) == [OPEN]

    run(story)


def _raise(error: Exception) -> bool:
    raise error


def test_a_batch_with_a_bad_row_does_not_count_against_the_version() -> None:
    """What others sent was answered: somebody's odd rows must not open the circuit for all."""

    async def story(harness: Harness) -> None:
        await harness.publish(route(constant=(0.5,)))
        harness.predictor().fails = lambda row: row[0] == 13.0
        for _ in range(30):
            answer = told(await harness.predict(13.0, 1.0))
            assert [version for version, *_ in answer] == ["", "1"]
        assert harness.queues[0].circuits.of("acme").circuit is Circuit.CLOSED

    run(story)


@pytest.mark.parametrize("given", [float("nan"), float("inf"), float("-inf"), 1_000.5, -0.5])
@pytest.mark.parametrize("rows", [(13.0,), (1.0, 13.0, 2.0)])
def test_what_the_task_does_not_allow_falls_back(given: float, rows: Any) -> None:
    """Outputs are checked on each answer, not only when the version is registered."""
    bounded = Contract(CONTRACT.features, TaskSpec("regression", low=0.0, high=1_000.0))

    async def story(harness: Harness) -> None:
        await harness.publish(route(versions=("1", "2"), chain=("2",), contract=bounded))
        harness.predictor("1").answers = lambda row: given if row[0] == 13.0 else row[0]
        answer = told(await harness.predict(*rows))
        for x, (version, value, flags, _) in zip(rows, answer, strict=True):
            if x == 13.0:
                assert (version, value) == ("2", 2.013)
                assert flags == ("failed", "RUN-103", "fallback")
            else:
                assert (version, value, flags) == ("1", x, ())
        harness.predictor("2").answers = lambda row: given
        answer = await harness.predict(13.0)
        assert (answer.status, answer.code) == (503, "GAT-108")

    run(story)


def test_rows_that_failed_fall_back_together() -> None:
    """500 rows are one execution of the other version, not 500."""

    async def story(harness: Harness) -> None:
        await harness.publish(route(versions=("1", "2", "3"), chain=("2", "3"), deadline_s=60.0))
        harness.predictor("1").fails = lambda _row: True
        harness.predictor("2").answers = lambda row: row[0] if row[0] < 250 else float("nan")
        answer = told(await harness.predict(*map(float, range(500))))
        assert [v for v, *_ in answer] == ["2"] * 250 + ["3"] * 250
        assert [v for _, v, *_ in answer[:250]] == [float(i) for i in range(250)]
        assert [v for _, v, *_ in answer[250:]] == [3 + i / 1_000 for i in range(250, 500)]
        assert [len(batch) for batch in harness.predictor("2").batches] == [500]
        assert [len(batch) for batch in harness.predictor("3").batches] == [250]
        assert len(harness.predictor("1").batches) <= 65

    run(story, max_rows=1_000, max_body=1 << 20)


def test_an_open_circuit_is_answered_by_the_chain_and_hurts_no_other_model() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(
            route(versions=("1", "2"), chain=("2",), deadline_s=1e9), route("other")
        )
        harness.predictor("1").fails = lambda _row: True
        for _ in range(12):
            await harness.predict(1.0)
        assert told(await harness.predict(1.0))[0][2] == ("failed", "RUN-107", "fallback")
        await harness.post_metrics()
        series = {s.name: dict(s.values) for s in harness.board.held["gateway-0"]}
        assert series["breaker_opened_total"] == {(MODEL, "1"): [1.0]}
        assert series["breaker_open"] == {(MODEL, "1"): [1.0]}
        assert (await harness.predict(1.0, model="other")).rows[0]["flags"] == []

    run(story)


@pytest.mark.parametrize("header", ["x-request-deadline", "grpc-timeout"])
@pytest.mark.parametrize("rows", [(501.0,), (501.0, 502.0)])
def test_no_answer_by_the_deadline(rows: Any, header: str) -> None:
    """504 without a rule or constant; with one, that answers in time. Nobody's row is executed
    after its deadline."""

    async def story(harness: Harness) -> None:
        plain, other = route(versions=("1", "2"), chain=("2",)), "ruled"
        await harness.publish(plain, route(other, rule=RULE), route("fixed", constant=(0.5,)))
        for model in (MODEL, other, "fixed"):
            harness.hold("1", model)
        given = {header: "30ms" if header.startswith("x") else "30m"}
        late = await harness.predict(*rows, headers=given)
        assert (late.status, late.code) == (504, "GAT-112")
        assert "retry-after" not in late.headers
        assert harness.predictor("2").batches == [], "tried another version after the deadline"
        ruled = told(await harness.predict(*rows, model=other, headers=given))
        assert {t[1:3] for t in ruled} == {(0.9, ("hurried", "RUN-108", "rule"))}
        fixed = told(await harness.predict(*rows, model="fixed", headers=given))
        assert {t[1:3] for t in fixed} == {(0.5, ("hurried", "RUN-108", "constant"))}

    run(story)


@pytest.mark.parametrize("given", ["", "soon", "0", "-1s", "1h", "99999999999s", "1s;", "NaN"])
def test_a_deadline_that_cannot_be_read_is_refused(given: str) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        for header in ("x-request-deadline", "grpc-timeout"):
            answer = await harness.predict(headers={header: given})
            if (header, given) == ("grpc-timeout", "99999999999s"):
                continue
            assert (answer.status, answer.code) == (400, "GAT-114"), (header, given)

    run(story)


def test_a_deadline_is_never_longer_than_the_setting() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(deadline_s=0.02))
        harness.hold()
        answer = await harness.predict(headers={"x-request-deadline": "1000s"})
        assert answer.status == 504

    run(story, max_deadline_s=0.02)


def test_what_is_late_is_told_so_while_the_answer_can_still_be_in_time() -> None:
    """A request is given up when 98% of the time that the client gave is over."""

    async def story(harness: Harness) -> None:
        await harness.publish()
        queue = harness.queues[0]
        harness.hold()
        first = asyncio.create_task(harness.predict())
        await until(lambda: queue.busy)
        before = harness.ticks()
        second = asyncio.create_task(harness.predict(headers={"x-request-deadline": "50s"}))
        await until(lambda: queue.jobs)
        assert before + 49.0 <= queue.jobs[0].deadline <= harness.ticks() + 49.0
        harness.predictor().let_go()
        assert {(await first).status, (await second).status} == {200}

    run(story)


def test_while_a_version_loads_its_requests_wait_no_longer_than_their_deadline() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route("a"), route("b", constant=(0.5,)))
        first, second = harness.services.models._handles.values()
        harness.services.models._drop(first)
        harness.services.models._drop(second)
        harness.runtime.gate.clear()
        given = {"x-request-deadline": "30ms"}
        assert (await harness.predict(model="a", headers=given)).code == "GAT-112"
        answer = told(await harness.predict(model="b", headers=given))
        assert answer[0][2] == ("hurried", "RUN-108", "constant")
        waiting = asyncio.create_task(harness.predict(model="b"))
        await asyncio.sleep(0)
        harness.runtime.gate.set()
        assert told(await waiting)[0][2] == ()

    run(story)


GROWN = Contract(
    (*CONTRACT.features, FeatureSpec("rain", "order", FeatureType.NUMBER, optional=True)),
    CONTRACT.task,
)
OLD = tuple(spec.name for spec in CONTRACT.features)


def test_a_row_without_an_added_feature_goes_to_a_version_that_does_not_need_it() -> None:
    """The contract has grown: version 2, a canary for everybody, takes `rain`."""

    async def story(harness: Harness) -> None:
        versions = (entry(MODEL, "1", features=OLD), entry(MODEL, "2", features=GROWN.names))
        live = route(contract=GROWN, challenger="2", challenger_share=1.0)
        await harness.publish(replace(live, versions=versions))
        wet, dry = {**features(), "rain": 3.0}, {**features(), "rain": None}
        answer = told(await harness.predict(wet, features(), dry))
        lacks = "version 1 answered, for the row lacks a feature of the other one"
        assert answer == [
            ("2", 2.001, (), ""),
            ("1", 1.001, ("lacks_feature",), lacks),
            ("1", 1.001, ("lacks_feature",), lacks),
        ]
        (event,) = harness.spool.events
        assert [(r.routed, r.answered, r.arm) for r in event.routes_of()] == [
            ("2", "2", "challenger"), ("1", "1", "fallback"), ("1", "1", "fallback"),
        ]  # fmt: skip
        assert column_values(event.features[3], 3) == [3.0, None, None]

    run(story)


def test_rows_that_have_no_like_in_the_other_arm_say_so() -> None:
    """Drawn for the champion they are answered, drawn for the challenger they are not; and the
    other way round where a stand-in answers for the champion."""

    async def story(harness: Harness) -> None:
        versions = (entry(MODEL, "1", features=OLD), entry(MODEL, "2", features=GROWN.names))
        live = route(contract=GROWN, challenger="2", challenger_share=0.0)
        await harness.publish(replace(live, versions=versions))
        wet = {**features(), "rain": 3.0}
        assert [one[2] for one in told(await harness.predict(wet, features()))] == [
            (), ("unpaired",),
        ]  # fmt: skip
        await harness.publish(canary(versions=("1", "2", "3"), standing_in="3"))
        (ours,), (theirs,) = units_of(Arm.CHALLENGER, 1), units_of(Arm.CHAMPION, 1)
        answer = told(await harness.predict(1.0, 2.0, units=[ours, theirs]))
        assert [one[2] for one in answer] == [("unpaired",), ("stand_in",)]

    run(story)


def test_where_every_version_needs_the_added_feature_a_row_without_it_has_null() -> None:
    async def story(harness: Harness) -> None:
        versions = (entry(MODEL, "2", features=GROWN.names),)
        await harness.publish(replace(route(contract=GROWN, champion="2"), versions=versions))
        seen: list[Any] = []
        harness.predictor("2").answers = lambda row: seen.append(row[3]) or 7.0
        flagged = ("feature_null",)
        why = "the row lacks a feature that the version needs, which was taken for null"
        for rows in ((features(),), (features(), {**features(), "rain": 1.0})):
            answer = told(await harness.predict(*rows))
            assert answer[0] == ("2", 7.0, flagged, why)
            assert answer[-1][2] == (() if len(rows) == 2 else flagged)
        assert seen == [None, None, 1.0]

    run(story)


def test_a_version_of_the_chain_takes_the_row_that_the_live_one_cannot() -> None:
    async def story(harness: Harness) -> None:
        versions = (entry(MODEL, "2", features=GROWN.names), entry(MODEL, "1", features=OLD))
        live = route(contract=GROWN, champion="2", chain=("1",))
        await harness.publish(replace(live, versions=versions))
        assert told(await harness.predict(features()))[0][:3] == ("1", 1.001, ("lacks_feature",))
        assert told(await harness.predict({**features(), "rain": 0.0}))[0][:2] == ("2", 2.001)
        missing = await harness.predict({"x": 1.0, "rain": 1.0})
        assert (missing.status, missing.json["error"]["problems"][0]["field"]) == (422, "kind")

    run(story)


def test_who_falls_back_is_asked_first_who_needs_nothing_that_is_missing() -> None:
    """And a version that answers for it all the same says that it took null."""

    async def story(harness: Harness) -> None:
        versions = (
            entry(MODEL, "1", features=OLD), entry(MODEL, "2", features=GROWN.names),
            entry(MODEL, "3", features=GROWN.names),
        )  # fmt: skip
        live = route(contract=GROWN, champion="3", chain=("2", "1"))
        await harness.publish(replace(live, versions=versions))
        for version in ("1", "2", "3"):
            harness.predictor(version)
        harness.predictor("3").fails = lambda _row: True
        wet, dry = {**features(), "rain": 3.0}, features()
        answer = told(await harness.predict(wet, dry))
        assert [one[0] for one in answer] == ["2", "1"]
        harness.predictor("1").fails = lambda _row: True
        last = told(await harness.predict(dry))[0]
        assert last[0] == "2"
        assert "feature_null" in last[2]

    run(story)


def test_quantiles_that_cross_are_served_with_a_flag_and_counted() -> None:
    """In the answer, in the event and in the metrics, also for what was made elsewhere."""
    task = TaskSpec("regression", quantiles=(0.1, 0.5, 0.9))
    contract = Contract(CONTRACT.features, task)
    crossed = ("crossed_quantiles",)

    def gives(rows: Any) -> list[Any]:
        curves = [[3.0, 2.0, 4.0] if row[0] == 13.0 else [1.0, 2.0, 3.0] for row in rows]
        return [np.array(curves, np.float64)]

    async def story(harness: Harness) -> None:
        harness.predictor().gives = gives
        await harness.publish(route(contract=contract, constant=([0.0, 0.0, 0.0],)))
        for _ in range(2):
            assert told(await harness.predict(13.0))[0][:3] == ("1", 2.0, crossed)
            answer = told(await harness.predict(1.0, 13.0, 2.0))
            assert [flags for _, _, flags, _ in answer] == [(), crossed, ()]
        flags = [[list(r.flags) for r in event.routes_of()] for event in harness.spool.events]
        assert flags == [[[*crossed]], [[], [*crossed], []]] * 2
        counts = harness.metrics.counts
        assert counts["flagged_rows_total"] == {(MODEL, "1", "crossed_quantiles"): 4}
        elsewhere = {
            "events": [{"id": "e", "features": features(), "outputs": {"value": [3.0, 2.0, 4.0]}}]
        }
        told_of = await harness.call(
            "POST", f"/v1/models/{MODEL}/events", json.dumps(elsewhere).encode()
        )
        assert told_of.status == 202, told_of.body
        (taken,) = harness.spool.events[-1].routes_of()
        assert list(taken.flags) == ["imported", *crossed]

    run(story)


def test_a_model_that_is_only_watched_answers_nobody_and_is_blamed_for_nothing() -> None:
    async def story(harness: Harness) -> None:
        harness.runtime.predictors[f"{MODEL}/1"] = ElsewherePredictor  # type: ignore[assignment]
        await harness.publish(route(constant=(0.5,)))
        for _ in range(9):
            answer = await harness.predict(1.0)
            assert (answer.status, answer.code) == (409, "GAT-124")
        for body in (b"{", b'{"instances": [{"features": {"distance": "far"}}]}'):
            answer = await harness.call("POST", f"/v1/models/{MODEL}/predict", body)
            assert (answer.status, answer.code) == (409, "GAT-124")
        assert harness.spool.events == []
        assert harness.queues[0].circuits.all_closed

    run(story)
