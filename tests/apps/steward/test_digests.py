"""The steward that leads sends the digest, once, and trouble with it stops no turn."""

from __future__ import annotations

import datetime as dt
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

from windvane.apps.steward import loop
from windvane.apps.steward.loop import Steward
from windvane.usecases.send_digest import DIGEST, DigestPlan

__all__ = ["deployed_file", "empty_harness_of", "harness", "harness_of", "trained", "worlds"]
MONDAY = dt.datetime(2026, 3, 2, 8, tzinfo=dt.UTC).timestamp()


def made(harness: Harness, woken: list[bool]) -> Steward:
    with harness.store.begin() as tx:
        for lease in tx.leases("steward/"):
            tx.release(lease.name, lease.token)
    return Steward(
        "two", harness.store, harness.log, harness.clock, harness.feed, lease_s=10.0,
        wake=lambda: woken.append(True), background=lambda work: None,
        digests=[DigestPlan(("notify",))], console_url="https://w.example",
    )  # fmt: skip


def test_it_is_queued_at_its_hour_and_the_lanes_are_woken(harness: Harness) -> None:
    woken: list[bool] = []
    steward = made(harness, woken)
    for wall, queued in ((MONDAY - 100.0, 0), (MONDAY, 1), (MONDAY + 61.0, 1)):
        harness.clock.wall_at = wall
        before = len(woken)
        assert steward.turn()
        assert len(harness.queued(DIGEST)) == queued
        assert (len(woken) > before) is (wall == MONDAY)
    assert "https://w.example/" in harness.queued(DIGEST)[0]["html"]


def test_trouble_with_it_keeps_nobody_from_judging(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*given: Any) -> int:
        raise ValueError("no digest")

    monkeypatch.setattr(loop, "queue_digests", broken)
    harness.clock.wall_at = MONDAY
    assert made(harness, []).turn()
    assert "the weekly digest was not written" in caplog.text
