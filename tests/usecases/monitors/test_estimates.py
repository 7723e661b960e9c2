"""The quality is estimated from the sketches until outcomes come, and never passes anything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from usecases.harness import CARRIERS, FILE, MODEL, START, WINDOW_S, Harness, columns
from usecases.labelled import Floats, serve

from windvane.core.drift import pack_text
from windvane.core.sketch import Sketch
from windvane.core.statistics import auc
from windvane.core.task import make_task
from windvane.ports.control_store import WindowVerdict
from windvane.ports.segments import SegmentKey
from windvane.usecases.calibrate_answers import calibrate
from windvane.usecases.monitors import MONITORS, watch_policy
from windvane.usecases.monitors.estimates import MIXED, Estimates
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.read_quality import segment_estimates

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")
TASK = make_task(read_model_file(FILE).contract.task)
LATE = FILE.replace("outcomes: {floor: 0.6}", "outcomes: {floor: 0.6, arrive_within: 30d}")


def calibrated(harness: Harness, *, rows: int = 4_000, version: str = "1") -> float:
    """As if the version had a holdout whose probabilities are right; the area that it has there."""
    rng = np.random.default_rng(6)
    said = rng.beta(2.0, 6.0, rows)
    labels = (rng.random(rows) < said).astype(float)
    made = calibrate(TASK, harness.layout, [said], labels, np.arange(rows, dtype=float))
    packed = "" if made is None else pack_text(made.arrays())
    with harness.store.begin() as tx:
        tx.add_version(replace(tx.version(MODEL, version), calibration=packed))
    return auc(said, labels > 0.5)


def run(harness: Harness, windows: int = 21) -> None:
    for i in range(windows):
        harness.traffic(i, rows=200)
        harness.judge()


def looks(harness: Harness) -> list[WindowVerdict]:
    """Newest first."""
    with harness.store.read() as tx:
        return tx.verdicts(MODEL, Estimates.name, 0.0, 100)


def test_the_metric_is_estimated_by_what_the_sketches_count(harness: Harness) -> None:
    harness.apply(LATE)
    true = calibrated(harness)
    run(harness)
    (look,) = looks(harness)
    assert (look.outcome, look.code) == ("hold", "OUT-420")
    assert look.detail["lower"] < true < look.detail["upper"]
    assert look.detail["value"] == pytest.approx(true, abs=0.02)
    assert look.detail["rows"] == 20 * 200, "all windows of the span, each once"
    assert look.detail["began"] == START
    assert look.sentence.startswith(f"estimated AUC {look.detail['value']:.3f}"[:-1])
    assert "until outcomes come" in look.sentence


def test_it_opens_no_incident_however_bad_it_is(harness: Harness) -> None:
    harness.apply(FILE.replace("floor: 0.6", "floor: 0.9"))
    calibrated(harness)
    run(harness)
    (look,) = looks(harness)
    assert (look.outcome, look.code) == ("hold", "OUT-421")
    assert "below the floor 0.900" in look.sentence
    assert [one for one in harness.incidents() if one.kind == "outcomes"] == []
    assert Estimates().streams(read_model_file(FILE), 9) == 0
    fewer = tuple(m for m in MONITORS if m.name != Estimates.name)
    file = read_model_file(FILE)
    assert watch_policy(file, models=3, tenants=9) == watch_policy(
        file, models=3, tenants=9, monitors=fewer
    ), "it takes nothing of the budget of false alarms"


def test_a_version_without_a_holdout_has_none(harness: Harness) -> None:
    run(harness)
    (look,) = looks(harness)
    assert look.code == "OUT-422"
    assert look.sentence.endswith("version 1 has no holdout to do it by")
    assert "value" not in look.detail


def test_a_span_without_answers_says_so(harness: Harness) -> None:
    calibrated(harness)
    for i in range(21):
        harness.traffic(i, rows=20, version="2", arm="challenger")
        harness.judge()
    (look,) = looks(harness)
    assert look.code == "OUT-422"
    assert look.sentence == "AUC cannot be estimated: version 1 gave no answers"


def test_what_another_version_answered_is_not_mixed_in(harness: Harness) -> None:
    calibrated(harness)
    for i in range(21):
        harness.traffic(i, rows=200, checkpoint=False)
        harness.traffic(i, rows=100, version="2", arm="challenger")
        harness.judge()
    (look,) = looks(harness)
    assert look.detail["rows"] == 20 * 200


def test_known_outcomes_that_contradict_the_holdout_take_the_estimate_away(
    harness: Harness,
) -> None:
    """Of one tenant labels are the other way round: what is known there is held against it."""
    calibrated(harness)

    def truth(
        tenant: str, window: int, said: Floats, drawn: Floats, rng: np.random.Generator
    ) -> Floats:
        del window, rng
        return (drawn < (1.0 - said if tenant == "UA" else said)).astype(float)

    serve(harness, 20, truth, said_of=lambda _: (2.0, 6.0))
    run(harness)
    (look,) = looks(harness)
    assert look.code == "OUT-424"
    assert "of tenant UA" in look.sentence
    assert "UA" in look.detail["uncalibrated"]
    assert "AA" not in look.detail["uncalibrated"]
    assert "value" not in look.detail


def test_what_another_version_was_counted_by_begins_anew(harness: Harness) -> None:
    calibrated(harness)
    calibrated(harness, version="2")
    run(harness, 10)
    harness.put("2")
    for i in range(10, 21):
        harness.traffic(i, rows=200, version="2")
        harness.judge()
    (look,) = looks(harness)
    assert look.detail["version"] == "2"
    assert look.detail["rows"] == 10 * 200


def add_segments(harness: Harness, index: int, rows: int) -> None:
    """As the recorder counts the rows of `Harness.traffic` by carrier."""
    given, start = columns(rows, 1_000 + index), START + WINDOW_S * index
    empty = Sketch.empty(harness.layout.id, harness.layout.size)
    found: dict[SegmentKey, Sketch] = {}
    for carrier in CARRIERS:
        mine = np.array(given["carrier"]) == carrier
        part = {n: [v for v, m in zip(c, mine, strict=True) if m] for n, c in given.items()}
        key = SegmentKey(MODEL, start, f"carrier={carrier}", "r1")
        found[key] = replace(empty, features=harness.layout.count(part)[0])
    with harness.store.begin() as tx:
        tx.add_segments([*found.items()])


def segmented(harness: Harness) -> None:
    """All traffic from now on is counted by carrier, too."""
    harness.clock.at += 1
    harness.apply(LATE.replace("  min_rows: 20\n", "  min_rows: 20\n  segments: [carrier]\n"))
    of_all = harness.traffic

    def traffic(index: int, **given: Any) -> None:
        of_all(index, **given)
        add_segments(harness, index, given.get("rows", 60))

    setattr(harness, "traffic", traffic)  # noqa: B010


def by_segment(look: WindowVerdict) -> dict[str, dict[str, Any]]:
    return {one["segment"]: one for one in look.detail["segments"]}


def test_each_declared_segment_has_an_estimate_of_its_own(harness: Harness) -> None:
    true = calibrated(harness)
    segmented(harness)
    run(harness)
    (look,) = looks(harness)
    assert look.outcome == "hold"
    found = by_segment(look)
    assert set(found) == {f"carrier={name}" for name in CARRIERS}
    assert sum(one["rows"] for one in found.values()) == look.detail["rows"]
    for one in found.values():
        assert one["code"] == "OUT-420"
        assert one["lower"] < true < one["upper"]
        assert one["upper"] - one["lower"] > look.detail["upper"] - look.detail["lower"]
        assert "until outcomes come" in one["note"]
        assert one["checked"] == 0
    lines = segment_estimates(look)
    assert [line.of for line in lines][-1] == "segment carrier=mq", "most answers first"
    assert all(line.note.endswith("; calibration unchecked") for line in lines)


def test_known_outcomes_take_the_estimate_of_their_segment_away(harness: Harness) -> None:
    calibrated(harness)
    segmented(harness)
    harness.clock.at += 1
    harness.apply(FILE.replace("  min_rows: 20\n", "  min_rows: 20\n  segments: [carrier]\n"))

    def truth(
        tenant: str, window: int, said: Floats, drawn: Floats, rng: np.random.Generator
    ) -> Floats:
        del tenant, window, rng
        turned = np.arange(len(said)) % len(CARRIERS) == CARRIERS.index("mq")
        return (drawn < np.where(turned, 1.0 - said, said)).astype(float)

    serve(
        harness, 21, truth, said_of=lambda _: (2.0, 6.0),
        carrier_of=lambda _, row: CARRIERS[row % len(CARRIERS)],
    )  # fmt: skip
    (look,) = looks(harness)
    found = by_segment(look)
    assert found["carrier=mq"]["code"] == "OUT-424"
    assert "of segment carrier=mq" in found["carrier=mq"]["note"]
    assert "value" not in found["carrier=mq"]
    assert found["carrier=dl"]["code"] == "OUT-420"
    assert found["carrier=dl"]["checked"] > 500


def test_a_segment_is_not_estimated_by_another_versions_answers(harness: Harness) -> None:
    calibrated(harness)
    segmented(harness)
    run(harness, 10)
    add_segments(harness, 10, 100)  # a canary's, whose window has a version and the segment's none
    harness.traffic(10, rows=200)
    harness.judge()
    for i in range(11, 21):
        harness.traffic(i, rows=200)
        harness.judge()
    (look,) = looks(harness)
    assert look.detail["value"]
    assert {one["note"] for one in look.detail["segments"]} == {MIXED}
    assert not any("value" in one for one in look.detail["segments"])
