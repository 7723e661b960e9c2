"""A change of the truth of the rows with one value of a declared feature is that segment's; whose
it is over many draws is asked by `test_whose_truth`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from usecases.harness import CARRIERS, MODEL, START, WINDOW_S, Harness
from usecases.labelled import CHANGED, TEXT, Floats, Truth, calibrated, serve
from usecases.worlds import Worlds

from windvane.usecases.actions import About
from windvane.usecases.closed_window import segment_of
from windvane.usecases.monitors.truth_shift import TruthShift
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.replay_decision import replay_decision

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")
SEGMENTED = TEXT.replace("  min_rows: 20\n", "  min_rows: 20\n  segments: [carrier]\n")


@pytest.fixture
def watched(worlds: Worlds) -> Iterator[Harness]:
    with worlds.after(watch_segments) as found:
        yield found


@pytest.fixture
def healthy(worlds: Worlds) -> Iterator[Harness]:
    """All windows until the change."""
    with worlds.after(watch_segments, fly_healthy) as found:
        yield found


@pytest.fixture
def flipped(worlds: Worlds) -> Iterator[Harness]:
    """All labels of one segment are flipped since five windows."""
    with worlds.after(watch_segments, fly_healthy, flip_segment) as found:
        yield found


def watch_segments(harness: Harness) -> None:
    harness.clock.at += 1
    harness.apply(SEGMENTED)


def fly_healthy(harness: Harness) -> None:
    serve(harness, CHANGED, calibrated, carrier_of=carrier)


def flip_segment(harness: Harness) -> None:
    serve(harness, 5, flip(1.0, segment="mq"), first=CHANGED, carrier_of=carrier)


def carrier(tenant: str, row: int) -> str:
    """Of all tenants alike."""
    del tenant
    return CARRIERS[row % len(CARRIERS)]


def of_one_tenant(tenant: str, row: int) -> str:
    """WN flies mq, and nobody else does."""
    return "mq" if tenant == "WN" else CARRIERS[row % 3]


def flip(share: float, tenant: str = "", segment: str = "") -> Truth:
    def truth(
        mine: str, window: int, said: Floats, drawn: Floats, rng: np.random.Generator
    ) -> Floats:
        right = calibrated(mine, window, said, drawn, rng)
        if window < CHANGED:
            return right
        carriers = np.array([carrier(mine, i) for i in range(len(said))])
        hit = (rng.random(len(said)) < share) & ((carriers == segment) | (segment == ""))
        return np.where(hit, 1.0 - right, right) if tenant in ("", mine) else right

    return truth


def found_by(harness: Harness) -> list[list[str]]:
    """What this monitor finds that is open, by incident."""
    found = [
        [m for m in i.members if m.startswith("truth_shift/")]
        for i in harness.incidents()
        if i.closed_at is None
    ]
    return [mine for mine in found if mine]


def test_a_flip_of_one_segments_labels_is_that_segments(flipped: Harness) -> None:
    assert found_by(flipped) == [["truth_shift/segment_truth:carrier=mq"]]
    (incident,) = [i for i in flipped.incidents() if i.kind == "segment_truth"]
    assert incident.since == START + WINDOW_S * CHANGED
    assert incident.title.startswith("segment carrier=mq: ")
    assert "usually" in incident.title
    assert incident.runbook.endswith("segment-truth-changed.md")
    assert incident.evidence["segment"] == "carrier=mq"
    judged = [d for d in flipped.decisions() if d.judge == "truth_shift"]
    assert judged
    assert all(replay_decision(d).same for d in judged)
    serve(flipped, 6, calibrated, first=CHANGED + 5, carrier_of=carrier)
    assert found_by(flipped) == [], "it is over once the truth is as it was"
    of_truth = [m for i in flipped.incidents() for m in i.members if m.startswith("truth_shift")]
    assert of_truth == [], "nobody else was told meanwhile"
    assert [i.kind for i in flipped.incidents() if "segment" in i.kind] == ["segment_truth"]


def test_a_flip_of_half_of_all_labels_is_no_segments(healthy: Harness) -> None:
    serve(healthy, 6, flip(0.5), first=CHANGED, carrier_of=carrier)
    (mine,) = found_by(healthy)
    assert f"truth_shift/concept_drift:{MODEL}" in mine
    assert not any("segment" in m or "tenant" in m for i in healthy.incidents() for m in i.members)


def test_a_tenant_that_makes_a_segment_is_told_once(watched: Harness) -> None:
    serve(watched, CHANGED + 8, flip(1.0, tenant="WN"), carrier_of=of_one_tenant)
    assert found_by(watched) == [["truth_shift/tenant_truth:WN"]]
    assert not any(i.kind == "segment_truth" for i in watched.incidents())


def test_what_was_accepted_of_a_segment_is_the_new_level(flipped: Harness) -> None:
    (incident,) = [i for i in flipped.incidents() if i.kind == "segment_truth"]
    flipped.act("accept", About.INCIDENT, incident=incident.id, reason="a new rule for mq")
    serve(flipped, 10, flip(1.0, segment="mq"), first=CHANGED + 5, carrier_of=carrier)
    assert found_by(flipped) == []
    assert flipped.carried(TruthShift.name)["segment/carrier=mq"]["kinds"]["rate"]["level"]


def test_an_incident_of_a_segment_ends_when_it_is_no_more_declared(flipped: Harness) -> None:
    assert found_by(flipped) == [["truth_shift/segment_truth:carrier=mq"]]
    flipped.clock.at += 1
    flipped.apply(TEXT)
    serve(flipped, 1, calibrated, first=CHANGED + 5, carrier_of=carrier)
    assert found_by(flipped) == []
    assert not any(segment_of(key) for key in flipped.carried(TruthShift.name))


def test_segments_have_their_share_of_the_budget_of_false_alarms() -> None:
    of = TruthShift().streams
    assert of(read_model_file(SEGMENTED), 9) == 1.5 * of(read_model_file(TEXT), 9)
