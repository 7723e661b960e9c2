"""A change of values that stays is what the next change is seen against."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from usecases.harness import MODEL, START, WINDOW_S, Harness, Trained, columns
from usecases.timeline import only

from windvane.core.drift import Baseline
from windvane.core.sketch import TRAFFIC, Sketch
from windvane.ports.control_store import Checkpoint, WindowKey
from windvane.usecases.actions import About
from windvane.usecases.monitors import sudden_shift

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

HEALTHY, RECENT = 70, 30


def play(harness: Harness, first: int, windows: int, **shape: float) -> int:
    for i in range(first, first + windows):
        harness.traffic(i, **shape)  # pyright: ignore[reportArgumentType]
        harness.judge()
    return first + windows


def open_causes(harness: Harness) -> list[str]:
    return sorted(i.cause for i in harness.incidents() if i.closed_at is None)


@pytest.fixture
def lasting(harness: Harness) -> tuple[Harness, int]:
    """Warmer by two deviations, for longer than the recent past is."""
    at = play(harness, 0, HEALTHY)
    assert harness.incidents() == []
    at = play(harness, at, RECENT + 12, warmer=20.0)
    assert open_causes(harness) == ["feed:weather"]
    return harness, at


def test_what_breaks_next_is_seen_while_the_first_is_open(lasting: tuple[Harness, int]) -> None:
    harness, at = lasting
    incident = only(harness, "feed:weather")
    before = len(harness.timeline(incident))
    at = play(harness, at, 20, warmer=20.0)
    assert len(harness.timeline(incident)) == before, "as it has been"
    at = play(harness, at, 10, warmer=45.0)
    assert open_causes(harness) == ["feed:weather"]
    assert len(harness.timeline(incident)) > before
    play(harness, at, 12, warmer=20.0)
    assert open_causes(harness) == ["feed:weather"], "nobody said yet what it was"


def test_what_comes_back_to_what_it_was_ends_it(lasting: tuple[Harness, int]) -> None:
    """Nobody has to say so, and the stand-in does not serve for ever."""
    harness, at = lasting
    at = play(harness, at, 20, warmer=20.0)
    assert harness.live.standing_in == "2"
    at = play(harness, at, 24)
    assert open_causes(harness) == []
    assert harness.live.standing_in is None
    at = play(harness, at, 20)
    assert len(harness.incidents()) == 1, "it is usual again"
    play(harness, at, 8, warmer=20.0)
    assert open_causes(harness) == ["feed:weather"]


def test_accepting_ends_it_and_nothing_begins_again(lasting: tuple[Harness, int]) -> None:
    harness, at = lasting
    harness.act("accept", About.INCIDENT, incident=only(harness, "feed:weather").id)
    at = play(harness, at, 20, warmer=20.0)
    assert open_causes(harness) == []
    play(harness, at, 4, warmer=20.0, nulls=1.0)
    assert open_causes(harness) == ["feed:weather"]


def test_a_total_fault_is_no_past_however_long_it_lasts(harness: Harness) -> None:
    at = play(harness, 0, HEALTHY)
    at = play(harness, at, RECENT + 12, nulls=1.0)
    assert open_causes(harness) == ["feed:weather"]
    play(harness, at, 8)
    assert open_causes(harness) == []


ROWS = {"AA": 20, "UA": 150, "BB": 150}
WELL: Mapping[str, Mapping[str, Any]] = {tenant: {} for tenant in ROWS}
CELSIUS: Mapping[str, Mapping[str, Any]] = {t: {"celsius": True} for t in ROWS}


def send(
    harness: Harness, first: int, windows: int, shapes: Mapping[str, Mapping[str, Any]],
    version: str = "1",
) -> int:  # fmt: skip
    """Windows of several tenants, each with rows of its own shape."""
    empty = Sketch.empty(harness.layout.id, harness.layout.size)
    for i in range(first, first + windows):
        start = START + WINDOW_S * i
        sketches: dict[WindowKey, Sketch] = {}
        for j, (tenant, shape) in enumerate(shapes.items()):
            rows = ROWS[tenant]
            counts = harness.layout.count(columns(rows, 7_919 * i + j, **shape))[0]
            told = {"rows": rows, "requests": rows}
            traffic = np.array([told.get(name, 0) for name in TRAFFIC], np.int64)
            key = WindowKey(MODEL, start, version, "champion", tenant, "r1")
            sketches[key] = Sketch(harness.layout.id, counts, traffic, empty.latency)
        with harness.store.begin() as tx:
            tx.put_layout(harness.layout)
            tx.add_sketches(sketches)
            tx.set_checkpoint(Checkpoint("m/w0", 0, start + WINDOW_S))
        harness.clock.at = max(harness.clock.at, start + WINDOW_S)
        assert harness.judge()
    return first + windows


def test_everyones_lasting_change_is_not_over_for_what_one_tenant_has_beside_it(
    harness: Harness,
) -> None:
    """Everyone's past is the change by then, which says nothing of who has healed of it."""
    at = send(harness, 0, HEALTHY, WELL)
    at = send(harness, at, RECENT + 20, CELSIUS)
    at = send(harness, at, 20, {**CELSIUS, "UA": {"celsius": True, "nulls": 1.0}})
    assert open_causes(harness) == ["feed:weather", "tenant_feed:UA"]
    assert harness.live.standing_in == "2"


def test_who_stays_changed_when_everyones_change_is_over_is_told(harness: Harness) -> None:
    at = send(harness, 0, HEALTHY, WELL)
    at = send(harness, at, RECENT + 20, CELSIUS)
    assert open_causes(harness) == ["feed:weather"]
    at = send(harness, at, 25, {**WELL, "AA": {"celsius": True}})
    assert open_causes(harness) == ["tenant_feed:AA"]
    assert harness.live.stand_ins == {"AA": "2"}
    assert harness.live.standing_in is None
    send(harness, at, 12, WELL)
    assert open_causes(harness) == []


def test_a_version_that_an_earlier_release_registered_is_watched_by_tenant(
    harness: Harness,
) -> None:
    """Its baseline has counts only: what is usual of windows is learned from what is served."""

    class Former:
        def to_bytes(self) -> bytes:
            held: Baseline = known.baseline
            body = {"layout_id": held.layout_id, "counts": held.counts.tolist()}
            return zlib.compress(json.dumps(body).encode())

    known = harness.trained
    harness.trained = Trained(known.layout, Former())  # type: ignore[arg-type]
    harness.add_version("9")
    harness.put("9")
    at = send(harness, 0, HEALTHY, WELL, version="9")
    send(harness, at, 3, {**WELL, "UA": {"nulls": 1.0}}, version="9")
    assert open_causes(harness) == ["tenant_feed:UA"]


def test_what_is_open_of_a_tenant_that_sends_nothing_any_more_ends(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can wait for rows that never come; when they do, it is told anew."""
    monkeypatch.setattr(sudden_shift, "_SILENT_S", 20 * WINDOW_S)  # a week
    at = send(harness, 0, HEALTHY, WELL)
    at = send(harness, at, 5, {**WELL, "UA": {"nulls": 1.0}})
    assert open_causes(harness) == ["tenant_feed:UA"]
    others = {tenant: shape for tenant, shape in WELL.items() if tenant != "UA"}
    at = send(harness, at, 10, others)
    assert open_causes(harness) == ["tenant_feed:UA"], "that may be a night"
    at = send(harness, at, 12, others)
    assert open_causes(harness) == []
    incident = only(harness, "tenant_feed:UA")
    assert any("UA sends nothing since" in line for line in harness.timeline(incident))
    assert harness.live.stand_ins == {}
    send(harness, at, 3, {**WELL, "UA": {"nulls": 1.0}})
    assert "tenant_feed:UA" in open_causes(harness)
