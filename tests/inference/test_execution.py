"""When a version cannot answer: who does, in which order, and what the answer says about it."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from inference.harness import MODEL, Answer, Harness, features, route, run, until

from windvane.apps.gateway import execute, telling
from windvane.core.execution import Circuit
from windvane.core.routing import RuleStep
from windvane.ports.runtime import CannotLoad, UnencodableRow

RULE = (RuleStep(0.9, "x", above=500.0), RuleStep(0.1, "kind", among=("bike",)))


def told(answer: Answer) -> list[tuple[Any, ...]]:
    assert answer.status == 200, answer.body
    return [(r["version"], r["value"], tuple(r["flags"]), r["why"]) for r in answer.rows]


def test_the_chain_goes_in_its_order_then_the_rule_then_the_constant() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(
            route(versions=("1", "2", "3"), chain=("2", "3"), rule=RULE, constant=0.5)
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
        assert (event.request_id, event.code, event.routed, event.arm, event.key) == (
            "q", "GAT-108", "1", "champion", "acme",
        )  # fmt: skip

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
        await harness.publish(route(constant=0.5))

        def encode(values: Any) -> Any:
            if values[0] == 13.0:
                raise UnencodableRow("13 was not in the categories of training")
            return tuple(values)

        harness.predictor().encodes = encode
        for _ in range(30):
            first = told(await harness.predict(*rows))[0]
            assert first[2] == ("failed", "RUN-102", "constant")
        assert harness.queues[0].breaker.circuit is Circuit.CLOSED
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
        assert {(r.routed, r.answered, r.arm) for r in event.rows} == {("2", "1", "challenger")}

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


def test_a_version_that_does_not_load_never_answers() -> None:
    """Its files were swapped, or its warm-up failed: the chain answers, and it is not tried
    again for each request."""

    async def story(harness: Harness) -> None:
        harness.runtime.models[f"{MODEL}/2"] = CannotLoad("not the registered file")
        await harness.publish(route(versions=("2", "1"), champion="2", chain=("1",)))
        for _ in range(5):
            for rows in ((1.0,), (1.0, 2.0)):
                for version, _, flags, _ in told(await harness.predict(*rows)):
                    assert (version, flags) == ("1", ("failed", "RUN-105", "fallback"))
        assert harness.runtime.loads.count(f"{MODEL}/2") == 1

    run(story)


def test_the_first_version_pins_its_answers_without_why() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(constant=0.5))
        harness.predictor().fails = lambda _row: True
        answer = await harness.predict(1.0, headers={"windvane-version": "2026-11-01"})
        assert set(answer.rows[0]) == {"value", "version", "arm", "flags"}
        assert answer.headers["windvane-version"] == "2026-11-01"

    run(story)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock for circuits and deadlines, and pauses without jitter."""
    clock = SimpleNamespace(at=1_000.0)
    hands = SimpleNamespace(monotonic=lambda: clock.at)
    monkeypatch.setattr(execute, "time", hands)
    monkeypatch.setattr(telling, "time", hands)
    monkeypatch.setattr(telling, "random", SimpleNamespace(random=lambda: 0.0))
    return clock


def test_a_circuit_opens_is_probed_and_closes(now: SimpleNamespace) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(constant=0.5, deadline_s=1e9))
        predictor = harness.predictor()
        predictor.fails = lambda _row: True
        for _ in range(10):
            assert told(await harness.predict(1.0))[0][2] == ("failed", "RUN-103", "constant")
        queue = harness.queues[0]
        assert queue.breaker.circuit is Circuit.OPEN
        tried = len(predictor.batches)
        for rows in ((1.0,), (1.0, 2.0)):
            answer = told(await harness.predict(*rows))
            assert {flags for _, _, flags, _ in answer} == {("failed", "RUN-107", "constant")}
        assert len(predictor.batches) == tried, "an open circuit was tried"
        now.at += 1.0  # its pause is over; the model is still broken
        assert told(await harness.predict(1.0))[0][2][1] == "RUN-103"
        assert told(await harness.predict(1.0))[0][2][1] == "RUN-107"
        assert len(predictor.batches) == tried + 1, "a failed probe opens it again at once"
        now.at += 1.0
        assert told(await harness.predict(1.0))[0][2][1] == "RUN-107", "the pause has doubled"
        now.at += 1.0
        predictor.fails = lambda _row: False
        queue.apart = True
        predictor.hold()
        probes = [asyncio.create_task(harness.predict(float(i))) for i in range(20)]
        await until(lambda: sum(p.done() for p in probes) == 17)
        predictor.let_go()
        answers = [told(await p)[0] for p in probes]
        assert [flags for _, _, flags, _ in answers].count(()) == 3, "limited probes"
        assert told(await harness.predict(1.0))[0][0] == "1"
        assert queue.breaker.circuit is Circuit.CLOSED

    run(story)


def test_an_open_circuit_is_answered_by_the_chain_and_hurts_no_other_model(
    now: SimpleNamespace,
) -> None:
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
        await harness.publish(plain, route(other, rule=RULE), route("fixed", constant=0.5))
        for queue in harness.queues:
            queue.apart = True
        for model in (MODEL, other, "fixed"):
            harness.predictor("1", model).hold()
        given = {header: "30ms" if header.startswith("x") else "30m"}
        late = await harness.predict(*rows, headers=given)
        assert (late.status, late.code) == (504, "GAT-112")
        assert "retry-after" not in late.headers
        assert harness.predictor("2").batches == [], "tried another version after the deadline"
        ruled = told(await harness.predict(*rows, model=other, headers=given))
        assert {t[1:3] for t in ruled} == {(0.9, ("failed", "RUN-108", "rule"))}
        fixed = told(await harness.predict(*rows, model="fixed", headers=given))
        assert {t[1:3] for t in fixed} == {(0.5, ("failed", "RUN-108", "constant"))}

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
        queue = harness.queues[0]
        queue.apart = True
        harness.predictor().hold()
        answer = await harness.predict(headers={"x-request-deadline": "1000s"})
        assert answer.status == 504

    run(story, max_deadline_s=0.02)


def test_what_is_late_is_told_so_while_the_answer_can_still_be_in_time() -> None:
    """A request is given up when 98% of the time that the client gave is over."""

    async def story(harness: Harness) -> None:
        await harness.publish()
        queue = harness.queues[0]
        queue.apart = True
        harness.predictor().hold()
        first = asyncio.create_task(harness.predict())
        await until(lambda: queue.busy)
        before = time.monotonic()
        second = asyncio.create_task(harness.predict(headers={"x-request-deadline": "50s"}))
        await until(lambda: queue.jobs)
        assert before + 49.0 <= queue.jobs[0].deadline <= time.monotonic() + 49.0
        harness.predictor().let_go()
        assert {(await first).status, (await second).status} == {200}

    run(story)


def test_while_a_version_loads_its_requests_wait_no_longer_than_their_deadline() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route("a"), route("b", constant=0.5))
        first, second = harness.services.models._handles.values()
        harness.services.models._drop(first)
        harness.services.models._drop(second)
        harness.runtime.gate.clear()
        given = {"x-request-deadline": "30ms"}
        assert (await harness.predict(model="a", headers=given)).code == "GAT-112"
        answer = told(await harness.predict(model="b", headers=given))
        assert answer[0][2] == ("failed", "RUN-108", "constant")
        waiting = asyncio.create_task(harness.predict(model="b"))
        await asyncio.sleep(0)
        harness.runtime.gate.set()
        assert told(await waiting)[0][2] == ()

    run(story)
