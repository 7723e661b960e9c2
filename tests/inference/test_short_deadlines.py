"""A client that allows less time than the model's own deadline is told so in time; that does not
make the version slow."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from inference.harness import MODEL, Answer, Harness, route, run, until

from windvane.core.execution import ALL_CLOSED, Circuit
from windvane.core.routing import Arm, CircuitSpec
from windvane.ports.events import Predicted, Refused

HURRIED = {"x-request-deadline": "2ms"}


class Remote:
    """A version on another server, which answers once it may, as the real ones within the time
    that they are given."""

    blocking = False
    memory = 0
    concurrency = 4

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.given: list[float] = []
        self.ended: list[str] = []

    def encode(self, values: Sequence[Any]) -> Sequence[Any]:
        return values

    async def predict_async(self, rows: Sequence[Sequence[Any]], within_s: float) -> Any:
        self.given.append(within_s)
        try:
            async with asyncio.timeout(within_s):
                await self.may.wait()
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise
        self.ended.append("")
        return [np.array([row[0] for row in rows], np.float64)]

    def close(self) -> None: ...


def remote_of(harness: Harness, version: str = "1") -> Remote:
    remote = Remote()
    harness.runtime.predictors[f"{MODEL}/{version}"] = lambda: remote  # type: ignore[assignment,return-value]
    return remote


def flags_of(answer: Answer) -> list[str]:
    return answer.rows[0]["flags"]


def test_a_client_in_a_hurry_opens_no_circuit() -> None:
    async def story(harness: Harness) -> None:
        remote = remote_of(harness)
        tuned = CircuitSpec(failures=2, pause_s=60.0, probes=1)
        await harness.publish(route(constant=(0.5,), deadline_s=5.0, circuit=tuned))
        for _ in range(4):
            answer = await harness.predict(1.0, headers=HURRIED)
            assert flags_of(answer) == ["hurried", "RUN-108", "constant"]
        assert remote.ended == []
        assert min(remote.given) > 4.0, "what the model's file allows, not what the client does"
        remote.may.set()
        await until(lambda: len(remote.ended) == 4)
        assert set(remote.ended) == {""}
        assert harness.queues[0].circuits is ALL_CLOSED
        assert flags_of(await harness.predict(1.0)) == []

    run(story)


@pytest.mark.parametrize("headers", [{}, HURRIED])
def test_a_version_that_is_slow_by_its_own_deadline_counts_whoever_asks(
    headers: dict[str, str],
) -> None:
    async def story(harness: Harness) -> None:
        remote = remote_of(harness)
        tuned = CircuitSpec(failures=2, pause_s=60.0, probes=1)
        await harness.publish(route(constant=(0.5,), deadline_s=0.05, circuit=tuned))
        for _ in range(2):
            await harness.predict(1.0, headers=headers)
            await until(lambda: len(remote.ended) == len(remote.given))
        assert harness.queues[0].circuits.of("acme").circuit is Circuit.OPEN

    run(story)


@pytest.mark.parametrize("rows", [(1.0,), (1.0, 2.0)])
def test_no_version_owes_what_its_client_does_not_wait_for(rows: Any) -> None:
    """The judge of a canary counts events by the version that is named in them."""

    async def story(harness: Harness) -> None:
        remote_of(harness)
        await harness.publish(route(deadline_s=0.05))
        answers = [await harness.predict(*rows, headers=h) for h in (HURRIED, {})]
        assert [(one.status, one.code) for one in answers] == [(504, "GAT-112")] * 2
        hurried, slow = harness.spool.events
        assert isinstance(hurried, Refused)
        assert isinstance(slow, Refused)
        assert (hurried.code, hurried.routed, hurried.arm) == ("GAT-112", "", "")
        assert (slow.code, slow.routed, slow.arm) == ("GAT-112", "1", Arm.CHAMPION)

        await harness.publish(route(deadline_s=0.05, constant=(0.5,)))
        for headers in (HURRIED, {}):
            await harness.predict(*rows, headers=headers)
        hurried, slow = harness.spool.events[2:]
        assert isinstance(hurried, Predicted)
        assert isinstance(slow, Predicted)
        assert {tuple(one.flags) for one in hurried.routes} == {("hurried", "RUN-108", "constant")}
        assert {tuple(one.flags) for one in slow.routes} == {("failed", "RUN-108", "constant")}

    run(story)


@pytest.mark.parametrize("rows", [(1.0,), (1.0, 2.0)])
def test_of_a_rollout_only_whom_a_version_owed_an_answer_is_recorded(rows: Any) -> None:
    """A client's own short deadline says nothing of the version: it counts for no unit."""

    async def story(harness: Harness) -> None:
        remote_of(harness, "2")
        units = [f"u{i}" for i in range(len(rows))]
        rolling = route(
            versions=("1", "2"), challenger="2", challenger_share=1.0, rollout="delay/2/9#1",
            deadline_s=0.05,
        )  # fmt: skip
        await harness.publish(rolling)
        for headers in (HURRIED, {}):
            answer = await harness.predict(*rows, units=units, headers=headers)
            assert answer.code == "GAT-112"
        hurried, slow = harness.spool.events
        assert isinstance(hurried, Refused)
        assert isinstance(slow, Refused)
        assert (hurried.rollout, hurried.units, hurried.arms) == ("", [], [])
        assert (slow.rollout, slow.units) == ("delay/2/9#1", units)
        assert slow.arms == [Arm.CHALLENGER] * len(rows)

    run(story)
