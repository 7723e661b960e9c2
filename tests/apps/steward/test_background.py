"""Judging never waits for the log to be put in order, however long that takes."""

from __future__ import annotations

import threading
from typing import Any

from usecases.conftest import (
    deployed_file,
    empty_harness_of,
    harness,
    harness_of,
    trained,
    worlds,
)
from usecases.harness import Harness

from windvane.adapters.delta import DeltaEventLog
from windvane.apps.steward.background import BackgroundThread
from windvane.apps.steward.loop import Steward

__all__ = ["deployed_file", "empty_harness_of", "harness", "harness_of", "trained", "worlds"]
WITHIN_S = 20.0


class SlowLog(DeltaEventLog):
    """Its compaction takes until it is let go."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.begun, self.let_go = threading.Event(), threading.Event()
        self.calls = 0

    def compact(self, most: int) -> int:
        self.calls += 1
        self.begun.set()
        assert self.let_go.wait(WITHIN_S)
        return super().compact(most)


def steward(harness: Harness, log: SlowLog, background: Any) -> Steward:
    return Steward(
        "two", harness.store, harness.log, harness.clock, harness.feed, lease_s=10.0,
        upkeep_log=log, background=background,
    )  # fmt: skip


def test_a_long_compaction_keeps_no_turn_waiting(harness: Harness) -> None:
    log, upkeep = SlowLog(str(harness.folder / "log")), BackgroundThread("log-upkeep")
    made = steward(harness, log, upkeep)
    with harness.store.begin() as tx:
        for lease in tx.leases("steward/"):
            tx.release(lease.name, lease.token)
    assert made.turn()
    assert log.begun.wait(WITHIN_S)
    for _ in range(3):
        harness.clock.wall_at += 61.0
        assert made.turn(), "it still leads, and judges"
    assert log.calls == 1, "one at a time"
    log.let_go.set()
    upkeep.stop()
    harness.clock.wall_at += 61.0
    assert made.turn()
    upkeep.stop()
    assert log.calls == 2


def test_one_piece_after_the_other() -> None:
    done: list[int] = []
    background = BackgroundThread("one")
    for i in range(3):
        background(lambda i=i: done.append(i))
        background.stop()
    assert done == [0, 1, 2]
