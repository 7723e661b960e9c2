"""Predictions that were made elsewhere become the events that our own would be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from inference.harness import ACME, Answer, Harness, features, key, route, run

from windvane.core.routing import Scope, TenantLimit
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract, TaskSpec, make_task
from windvane.inference.imported import read_outputs
from windvane.ports.events import OutcomeSeen, Predicted, Refused, RouteTaken

PATH = "/v1/models/late/events"
NOW = 1_700_000_000.0


def event(name: str = "order-1", **more: Any) -> dict[str, Any]:
    return {"id": name, "features": features(), "outputs": 0.5, **more}


async def send(harness: Harness, *events: dict[str, Any], **more: Any) -> Answer:
    return await harness.call("POST", PATH, json.dumps({"events": events}).encode(), **more)


def predicted(harness: Harness) -> list[Predicted]:
    return [found for found in harness.spool.events if isinstance(found, Predicted)]


def problems(answer: Answer) -> list[tuple[int, str, str]]:
    assert (answer.status, answer.code) == (422, "CON-110")
    return [(p["row"], p["code"], p["field"]) for p in answer.json["error"]["problems"]]


def test_they_are_told_as_the_same_events_that_serving_makes() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        answer = await send(
            harness,
            event("a", unit="u1", time=NOW - 60.0, latency_ms=12.5),
            event("b", features=features(5.0, None, "bike"), outputs={"value": 3}),
        )
        assert answer.status == 202
        first, second = predicted(harness)
        assert answer.json == {"accepted": 2, "request_ids": [first.event_id, second.event_id]}
        assert first == Predicted(
            first.event_id, NOW - 60.0, "late", "acme", route().contract.id, "", 12_500, 1, "u1",
            [RouteTaken("1", "1", "champion", ["imported"])], [1.0, 2, "van"], [0.5], "a", "acme",
        )  # fmt: skip
        assert (second.ts, second.features, second.outputs) == (NOW, [5.0, None, "bike"], [3.0])
        served = await harness.predict(features(5.0, None, "bike"))
        ours = predicted(harness)[-1]
        assert served.status == 200
        assert ours.features == second.features
        assert (ours.contract, ours.routes[0].routed) == (second.contract, "1")
        await harness.post_metrics()
        assert harness.metrics.counts["imported_rows_total"] == {("late", "acme"): 2}

    run(story)


def test_the_same_prediction_told_twice_has_one_id_and_another_tenants_has_its_own() -> None:
    bolt = key("bolt", "bolt", "events")

    async def story(harness: Harness) -> None:
        await harness.publish(route(), route("early"), keys=(ACME, bolt))
        ids = [
            (await send(harness, event("a"))).json["request_ids"][0],
            (await send(harness, event("a"))).json["request_ids"][0],
            (await send(harness, event("a"), auth="Bearer wv_bolt")).json["request_ids"][0],
            (await send(harness, event("b"))).json["request_ids"][0],
        ]
        sent = json.dumps({"events": [event("a")]}).encode()
        ids.append(
            (await harness.call("POST", "/v1/models/early/events", sent)).json["request_ids"][0]
        )
        assert ids[0] == ids[1]
        assert len(set(ids)) == 4

    run(story)


def test_an_outcome_finds_its_prediction_by_the_clients_id() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        made = (await send(harness, event("order-7"))).json["request_ids"][0]
        body = {"model": "late", "outcomes": [{"id": "order-7", "value": 2.0}]}
        answer = await harness.call("POST", "/v1/outcomes", json.dumps(body).encode())
        assert answer.status == 202
        outcome = harness.spool.events[-1]
        assert isinstance(outcome, OutcomeSeen)
        assert (outcome.prediction_id, outcome.row) == (made, 0)
        for wrong in ({"value": 1.0}, {"id": "a", "request_id": "b", "value": 1.0}):
            sent = json.dumps({"model": "late", "outcomes": [wrong]}).encode()
            refused = await harness.call("POST", "/v1/outcomes", sent)
            assert (refused.status, refused.code) == (400, "CON-100")

    run(story)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"features": features(-1.0)}, ("CON-103", "x")),
        ({"features": {"x": 1.0}}, ("CON-101", "kind")),
        ({"outputs": "late"}, ("CON-120", "outputs")),
        ({"outputs": {"value": "0.5"}}, ("CON-120", "outputs")),
        ({"outputs": {"value": [0.5]}}, ("CON-120", "outputs")),
        ({"outputs": {"value": True}}, ("CON-120", "outputs")),
        ({"outputs": {"other": 0.5}}, ("CON-120", "outputs")),
        ({"time": NOW + 301.0}, ("CON-121", "time")),
        ({"time": NOW - 3_601.0}, ("CON-121", "time")),
        ({"time": "2023-11-14T22:13:20"}, ("CON-121", "time")),
        ({"time": "yesterday"}, ("CON-121", "time")),
        ({"version": "2"}, ("CON-122", "version")),
        ({"latency_ms": -1.0}, ("CON-123", "latency_ms")),
        ({"outputs": 1e308}, ("CON-120", "outputs")),
        ({"outputs": {"value": -1e101}}, ("CON-120", "outputs")),
        ({"id": "a\x00"}, ("CON-124", "id")),
        ({"id": "b\n2026 fine"}, ("CON-124", "id")),
        ({"id": "\u202eb"}, ("CON-124", "id")),
        ({"id": "\x1b[2J"}, ("CON-124", "id")),
    ],
)
def test_one_wrong_event_refuses_all_and_is_named(more: Any, problem: tuple[str, str]) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        answer = await send(harness, event("a"), {**event("b"), **more}, event("c"))
        assert problems(answer) == [(1, *problem)]
        assert not predicted(harness)
        refused = harness.spool.events[-1]
        assert isinstance(refused, Refused)
        assert (refused.model, refused.tenant, refused.code) == ("late", "acme", problem[0])

    run(story)


def test_wrong_events_far_apart_are_all_named_at_their_places() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        sent = [event(f"e{i}") for i in range(200)]
        sent[3] = event("e3", outputs="x")
        sent[130] = event("e130", features=features(-1.0), time=NOW + 999.0)
        answer = await send(harness, *sent)
        assert problems(answer) == [
            (3, "CON-120", "outputs"), (130, "CON-103", "x"), (130, "CON-121", "time"),
        ]  # fmt: skip
        sent = [event(f"e{i}", outputs="x") for i in range(200)]
        assert len(problems(await send(harness, *sent))) == 20
        assert not predicted(harness)

    run(story, max_rows=200)


def test_times_are_as_told_and_never_ahead_of_now() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        text = datetime.fromtimestamp(NOW - 30.0, UTC).isoformat()
        answer = await send(
            harness,
            event("a", time=text),
            event("b", time=NOW + 299.0),
            event("c", time=NOW - 3_600),
        )
        assert answer.status == 202
        assert [found.ts for found in predicted(harness)] == [NOW - 30.0, NOW, NOW - 3_600.0]

    run(story)


def test_a_live_version_may_be_named() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(versions=("1", "2"), champion="2", chain=("1",)))
        assert (await send(harness, event("a", version="1"), event("b"))).status == 202
        assert [found.routes[0].routed for found in predicted(harness)] == ["1", "2"]

    run(story)


def test_what_is_no_body_is_refused() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        wrong: list[Any] = [
            [], {}, {"events": {}}, {"events": [{"id": "a"}]}, {"events": [event("")]},
            {"events": [event("x" * 257)]}, {"events": [event(), event()]}, {"events": []},
            {"events": [event(colour="red")]},
        ]  # fmt: skip
        for body in wrong:
            answer = await harness.call("POST", PATH, json.dumps(body).encode())
            assert (answer.status, answer.code) == (400, "CON-100"), body
        answer = await harness.call("POST", PATH, b'{"events": [' * 10_000)
        assert (answer.status, answer.code) == (400, "CON-100")
        many = await send(harness, *(event(f"e{i}") for i in range(101)))
        assert (many.status, many.code) == (413, "GAT-104")
        assert not predicted(harness)

    run(story, max_body=1 << 20)


def test_it_takes_its_own_scope_and_the_body_of_others_is_not_read() -> None:
    plain = key("plain", "acme")
    only = key("only", "acme", "events")

    async def story(harness: Harness) -> None:
        assert Scope.EVENTS.value not in plain.scopes
        await harness.publish(route(), route("secret", tenants=("bolt",)), keys=(plain, only))
        for auth, status, code in (
            ("Bearer wv_plain", 403, "GAT-111"), ("Bearer wv_no", 401, "GAT-101"),
            ("", 401, "GAT-101"),
        ):  # fmt: skip
            answer = await harness.call("POST", PATH, None, auth=auth)
            assert (answer.status, answer.code) == (status, code)
        assert (await send(harness, event(), auth="Bearer wv_only")).status == 202
        sent = json.dumps({"events": [event()]}).encode()
        answer = await harness.call("POST", "/v1/models/secret/events", sent, auth="Bearer wv_only")
        assert (answer.status, answer.code) == (404, "GAT-102")
        answer = await harness.call("GET", PATH, auth="Bearer wv_only")
        assert (answer.status, answer.headers["allow"]) == (405, "POST")

    run(story)


def test_a_tenants_limit_holds_and_its_place_is_given_back() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(limits=(TenantLimit("acme", rate=2, per_s=3_600.0),))
        codes = [(await send(harness, event(f"e{i}"))).status for i in range(3)]
        assert codes == [202, 202, 429]
        assert harness.limiter.held == 0

    run(story)


def test_a_spool_that_is_full_acknowledges_nothing() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        harness.spool.full = True
        answer = await send(harness, event())
        assert (answer.status, answer.code) == (503, "GAT-107")

    run(story)


def test_what_is_too_old_is_told_in_days_and_by_its_setting() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        answer = await send(harness, event("e1") | {"time": 1.0})
        (problem,) = answer.json["error"]["problems"]
        assert problem["code"] == "CON-121"
        assert problem["message"].endswith(" days ago, `events_max_age_s` allows 60 minutes")

    run(story)


def test_a_refused_batch_counts_as_many_as_it_told_of() -> None:
    """What is accepted is counted one by one, and a share needs both sides alike."""

    async def story(harness: Harness) -> None:
        await harness.publish()
        bad = event("e9") | {"outputs": {"probability": 2.0}}
        assert (await send(harness, event("e1"), event("e2"), bad)).status == 422
        (refused,) = harness.spool.events
        assert isinstance(refused, Refused)
        assert refused.requests == 3

    run(story)


SPECS = {
    "binary": TaskSpec("binary"),
    "multiclass": TaskSpec("multiclass", classes=("cat", "dog")),
    "multilabel": TaskSpec("multilabel", classes=("hot", "wet")),
    "regression": TaskSpec("regression", low=0.0),
    "two": TaskSpec("regression", outputs={"low": (), "high": ()}),
    "forecast": TaskSpec("regression", horizons=("1h", "2h")),
    "deciles": TaskSpec("regression", quantiles=(0.1, 0.9)),
    "bands": TaskSpec("regression", horizons=("1h", "2h"), quantiles=(0.1, 0.5, 0.9)),
    "ranking": TaskSpec("ranking"),
    "tensor": TaskSpec("tensor", outputs={"boxes": (-1, 2), "n": ()}),
}


@pytest.mark.parametrize("kind", list(SPECS))
def test_what_a_task_answers_by_name_is_read_back_as_it_was(kind: str) -> None:
    task = make_task(Contract((FeatureSpec("x", "v", FeatureType.NUMBER),), SPECS[kind]).task)
    row = {
        "binary": (0.25,), "multiclass": ([0.25, 0.75],), "multilabel": ([0.5, 1.0],),
        "regression": (3.5,), "two": (1.0, 2.0), "forecast": ([1.0, 2.0],), "ranking": (-1.5,),
        "deciles": ([1.0, 2.0],), "bands": ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],),
        "tensor": ([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], 3.0),
    }[kind]  # fmt: skip
    assert read_outputs(task, json.loads(json.dumps(task.named(row)))) == row


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("binary", 1.5),
        ("binary", {"probability": 1.5}),
        ("binary", {"probability": None}),
        ("multiclass", {"probabilities": {"cat": 1.0}}),
        ("multiclass", {"probabilities": [0.9, 0.9]}),
        ("multiclass", "horse"),
        ("multiclass", [["cat"]]),
        ("regression", {"value": -1.0}),
        ("regression", {"value": 10**400}),
        ("forecast", {"value": [1.0, 2.0, 3.0]}),
        ("forecast", {"value": [1.0, [2.0]]}),
        ("bands", {"value": {"1h": {"0.1": 1.0, "0.5": 2.0, "0.9": 3.0}}}),
        ("deciles", {"value": {"0.1": 1.0, "0.8": 2.0}}),
        ("tensor", {"boxes": [[1.0]], "n": 1}),
        ("tensor", 1.0),
        ("tensor", {"boxes": {"cat": 1.0}, "n": 1}),
    ],
)
def test_what_a_task_cannot_answer_is_no_output(kind: str, given: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_outputs(make_task(SPECS[kind]), given)


class Opened(list[Any]):
    """A list that counts how often it is opened."""

    times = 0

    def __iter__(self) -> Iterator[Any]:
        Opened.times += 1
        return super().__iter__()


@pytest.mark.parametrize("kind", list(SPECS))
@pytest.mark.parametrize("named", [True, False])
def test_what_nesting_costs_follows_from_what_the_task_promises(kind: str, named: bool) -> None:
    task = make_task(SPECS[kind])
    deep: Any = Opened()
    for _ in range(600):
        deep = Opened([deep])
    sent = Opened([*[0.0] * 1_000, deep])
    Opened.times = 0
    with pytest.raises(ValueError, match=r"\w"):
        read_outputs(task, {spec.name: sent for spec in task.outputs} if named else sent)
    assert Opened.times <= 100
