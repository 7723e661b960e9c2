"""A steward's leases hold from its first turn to its last, however long it works and rests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from usecases.conftest import (
    deployed_file,
    empty_harness_of,
    harness,
    harness_of,
    trained,
    worlds,
)
from usecases.harness import Harness

from windvane.adapters.sql.decisions import LeaseRows
from windvane.apps.steward.lease_keeper import LeaseKeeper
from windvane.apps.steward.loop import Steward
from windvane.ports.control_store import StoreUnavailable
from windvane.ports.leases import LeaseLost
from windvane.usecases.leases import SHARDS, hold_shards

__all__ = ["deployed_file", "empty_harness_of", "harness", "harness_of", "trained", "worlds"]
LEASE_S = 10.0
STEP_S = 0.5


@dataclass
class Time:
    """That of the machine and of the database, moved by who waits; what is asked at each step."""

    at: float = 5_000.0
    at_each_step: Callable[[], None] = lambda: None

    def now(self, _: Any = None) -> float:
        return self.at

    def wait(self, for_s: float) -> bool:
        until = self.at + for_s
        while self.at < until:
            self.at = min(until, self.at + STEP_S)
            self.at_each_step()
        return False


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(LeaseRows, "_now", made.now)
    return made


@pytest.fixture
def steward(harness: Harness, time: Time) -> Steward:
    with harness.store.begin() as tx:
        for lease in tx.leases("steward/"):
            tx.release(lease.name, lease.token)
    return Steward(
        "two", harness.store, harness.log, harness.clock, harness.feed, lease_s=LEASE_S,
        monotonic=time.now,
    )  # fmt: skip


def held(harness: Harness) -> int:
    with harness.store.read() as tx:
        return sum(one.alive and one.holder == "two" for one in tx.leases("steward/shard/"))


def test_they_are_renewed_while_it_rests(harness: Harness, time: Time, steward: Steward) -> None:
    """It rested up to 30 s after a slow turn, and nobody held what ends after 10."""
    assert steward.turn()
    seen: list[int] = []
    time.at_each_step = lambda: seen.append(held(harness))
    for _ in range(3):
        steward.rest(30.0, time.wait)
        assert steward.turn()
    assert set(seen) == {SHARDS}
    assert len(seen) == 3 * 30.0 / STEP_S


def test_a_rest_ends_when_it_is_told_to(time: Time, steward: Steward) -> None:
    asked: list[float] = []
    steward.rest(30.0, lambda for_s: asked.append(for_s) or True)
    assert asked == [LEASE_S / 4]


def long_turn(
    steward: Steward, time: Time, takes_s: float, monkeypatch: pytest.MonkeyPatch
) -> bool:
    """A turn that takes so long, with the keeper at work beside it."""
    keeper = LeaseKeeper(steward.extend_leases, steward.renew_every_s)
    until = time.at + takes_s

    def judging() -> None:
        keeper.keep(lambda for_s: time.wait(for_s) or time.at >= until)

    monkeypatch.setattr(steward, "_judge", judging)
    return steward.turn()


def test_they_are_renewed_while_a_turn_takes_longer_than_they_last(
    harness: Harness, time: Time, steward: Steward, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    time.at_each_step = lambda: seen.append(held(harness))
    assert steward.turn()
    assert long_turn(steward, time, 5 * LEASE_S, monkeypatch)
    assert set(seen) == {SHARDS}


def test_a_turn_that_hangs_gives_the_models_to_another(
    harness: Harness, time: Time, steward: Steward, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert steward.turn()
    long_turn(steward, time, 70 * LEASE_S, monkeypatch)
    assert held(harness) == 0


def test_what_another_took_is_not_taken_back_in_a_turn(
    harness: Harness, time: Time, steward: Steward, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert steward.turn()
    time.at += 2 * LEASE_S
    other = hold_shards(harness.store, "three", 100 * LEASE_S)
    monkeypatch.setattr(steward, "_turn_began", time.at)
    with pytest.raises(LeaseLost):
        steward.extend_leases()
    with harness.store.read() as tx:
        taken = [one.name for one in tx.leases("steward/shard/") if one.holder == "three"]
    assert set(taken) == set(other.tokens)


def test_between_turns_nothing_is_extended(harness: Harness, time: Time, steward: Steward) -> None:
    assert steward.turn()
    time.at += 2 * LEASE_S
    steward.extend_leases()
    assert held(harness) == 0


def test_a_store_that_is_away_does_not_end_the_keeper() -> None:
    said: list[Exception] = [StoreUnavailable("gone"), LeaseLost("another's")]
    asked: list[float] = []

    def extend() -> None:
        if said:
            raise said.pop()

    LeaseKeeper(extend, 2.5).keep(lambda for_s: asked.append(for_s) or len(asked) > 3)
    assert asked == [2.5] * 4
    assert not said
