"""A fault of the rows with one value of a declared feature is that segment's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from usecases.harness import CARRIERS, FILE, MODEL, START, TENANTS, WINDOW_S, Harness, columns
from usecases.timeline import only, verdicts

from windvane.core.sketch import TRAFFIC, Sketch
from windvane.ports.control_store import Checkpoint, WindowKey
from windvane.ports.segments import SegmentKey
from windvane.usecases.closed_window import segment_subject

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

SEGMENTED = FILE.replace("  min_rows: 20\n", "  min_rows: 20\n  segments: [carrier]\n")
HEALTHY = 80
Spoil = Callable[[dict[str, Any]], dict[str, Any]]


def without_temp(carrier: str) -> Spoil:
    def spoil(given: dict[str, Any]) -> dict[str, Any]:
        mine = np.array(given["carrier"]) == carrier
        return {**given, "temp": np.where(mine, np.nan, given["temp"])}

    return spoil


class Installation:
    """Two tenants whose rows are of four carriers, minute after minute."""

    def __init__(self, harness: Harness) -> None:
        self.harness, self.at = harness, 0

    def play(self, windows: int, spoil: Spoil | None = None, tenants: tuple[str, ...] = ()) -> None:
        layout = self.harness.layout
        empty = Sketch.empty(layout.id, layout.size)
        for _ in range(windows):
            start = START + WINDOW_S * self.at
            found: dict[WindowKey, Sketch] = {}
            segments: dict[SegmentKey, Sketch] = {}
            for i, tenant in enumerate(TENANTS):
                given = columns(120, 10_000 * (i + 1) + self.at)
                if spoil and (not tenants or tenant in tenants):
                    given = spoil(given)
                told = {"rows": 120, "requests": 120}
                traffic = np.array([told.get(name, 0) for name in TRAFFIC], np.int64)
                key = WindowKey(MODEL, start, "1", "champion", tenant, "r1")
                found[key] = replace(empty, features=layout.count(given)[0], traffic=traffic)
                for carrier in CARRIERS:
                    mine = np.array(given["carrier"]) == carrier
                    rows = {
                        n: [v for v, m in zip(c, mine, strict=True) if m] for n, c in given.items()
                    }
                    name = SegmentKey(MODEL, start, f"carrier={carrier}", "r1")
                    part = replace(empty, features=layout.count(rows)[0])
                    segments[name] = segments[name] + part if name in segments else part
            with self.harness.store.begin() as tx:
                tx.add_sketches(found)
                tx.add_segments([*segments.items()])
                tx.set_checkpoint(Checkpoint("m/w0", 0, start + WINDOW_S))
            self.harness.clock.at = max(self.harness.clock.at, start + WINDOW_S)
            assert self.harness.judge()
            self.at += 1

    def open_causes(self) -> list[str]:
        return sorted(i.cause for i in self.harness.incidents() if i.closed_at is None)


@pytest.fixture
def healthy(
    empty_harness_of: Callable[[], AbstractContextManager[Harness]], tmp_path: Path
) -> Iterator[Installation]:
    del tmp_path
    with empty_harness_of() as harness:
        harness.add_keys()
        harness.apply(SEGMENTED)
        harness.add_version("1")
        harness.add_version("2", ["plan"])
        harness.put("1")
        found = Installation(harness)
        found.play(HEALTHY)
        assert harness.incidents() == []
        yield found


def test_nulls_of_one_carrier_are_that_segments(healthy: Installation) -> None:
    healthy.play(4, without_temp("mq"))
    assert healthy.open_causes() == ["segment_feed:carrier=mq"]
    incident = only(healthy.harness, "segment_feed:carrier=mq")
    assert incident.title.startswith("weather of carrier=mq changed: temp has no value in all rows")
    assert incident.since == START + WINDOW_S * HEALTHY
    assert incident.runbook.endswith("segment-feed-broken.md")
    (change, *_) = incident.evidence["changes"]
    assert change["nulls"][1] == 1.0
    live = healthy.harness.live
    assert (live.standing_in, dict(live.stand_ins)) == (None, {}), "nobody is served worse for it"
    healthy.play(10, without_temp("mq"))
    assert len(healthy.harness.incidents()) == 1
    healthy.play(12, without_temp("mq"))
    found = verdicts(healthy.harness, "training_drift")[-1]
    assert (found.outcome, found.code) == ("hold", "DRI-204"), "it is the segment's"
    healthy.play(12)
    assert healthy.open_causes() == []
    assert [i.cause for i in healthy.harness.incidents()] == ["segment_feed:carrier=mq"]


def test_nulls_of_one_tenant_stay_that_tenants(healthy: Installation) -> None:
    healthy.play(4, lambda given: {**given, "temp": np.full(120, np.nan)}, tenants=(TENANTS[0],))
    assert healthy.open_causes() == [f"tenant_feed:{TENANTS[0]}"]


def test_nulls_of_all_stay_everyones(healthy: Installation) -> None:
    healthy.play(4, lambda given: {**given, "temp": np.full(120, np.nan)})
    assert healthy.open_causes() == ["feed:weather"]


def test_a_segment_that_is_no_more_declared_is_forgotten(healthy: Installation) -> None:
    assert segment_subject("carrier=mq") in healthy.harness.carried("sudden_shift")
    healthy.harness.apply(FILE)
    healthy.play(1)
    assert not [s for s in healthy.harness.carried("sudden_shift") if s.startswith("segment/")]


def test_an_incident_of_a_segment_ends_when_it_is_no_more_declared(healthy: Installation) -> None:
    healthy.play(4, without_temp("mq"))
    assert healthy.open_causes() == ["segment_feed:carrier=mq"]
    healthy.harness.clock.at += 1
    healthy.harness.apply(FILE)
    healthy.play(2)
    assert healthy.open_causes() == []


def test_what_heals_for_all_but_one_segment_is_that_segments(healthy: Installation) -> None:
    """Whose rows every tenant sends: no tenant is blamed for being slower to heal."""
    healthy.play(6, in_celsius(*CARRIERS))
    assert healthy.open_causes() == ["feed:weather"]
    healthy.play(8, in_celsius("mq"))
    assert healthy.open_causes() == ["segment_feed:carrier=mq"]
    assert healthy.harness.live.standing_in is None
    causes = {i.cause for i in healthy.harness.incidents()}
    assert not [cause for cause in causes if cause.startswith("tenant_feed")]


def in_celsius(*carriers: str) -> Spoil:
    def spoil(given: dict[str, Any]) -> dict[str, Any]:
        mine = np.isin(np.array(given["carrier"]), carriers)
        temp = np.array(given["temp"], float)
        return {**given, "temp": np.where(mine, (temp - 32.0) / 1.8, temp)}

    return spoil
