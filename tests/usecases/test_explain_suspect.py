"""An incident says what the version makes of its suspect, by what its record keeps."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from usecases.harness import FILE, MODEL, Harness
from usecases.timeline import CELSIUS, QUIET, play

from windvane.apps.console.evidence import evidence_of
from windvane.core.alerting import Cause
from windvane.core.alerting.suspect import suspect_words
from windvane.core.explanation import Curve, PartialDependence, Point, Where
from windvane.core.sketch import NumericAxis
from windvane.ports.control_store import Incident
from windvane.usecases.explain_suspect import explain_suspect
from windvane.usecases.measure_impact import read_counted
from windvane.usecases.measure_partial_dependence import pack_partial_dependence
from windvane.usecases.monitors.sudden_shift import FEED, TENANT_FEED
from windvane.usecases.monitors.training_drift import TRAINING_DRIFT
from windvane.usecases.publish_routing import NOTIFY
from windvane.usecases.read_model_file import read_model_file

MODEL_FILE = read_model_file(FILE)

# Late by 0.01 for each degree below 100, and by 0.4 where nobody knows.
TEMP = Curve(
    "temp",
    (
        Point(-100.0, Where.OUTSIDE, 2.0), Point(0.0, Where.TRAINING, 1.0),
        Point(100.0, Where.TRAINING, 0.0), Point(200.0, Where.OUTSIDE, None),
        Point(None, Where.NULL, 0.4),
    ),
    (50.0, 60.0, 70.0),
    0.05,
)  # fmt: skip
WIDE = replace(
    TEMP,
    points=(
        Point(0.0, Where.TRAINING, 1.0), Point(100.0, Where.TRAINING, 0.0),
        Point(300.0, Where.OUTSIDE, 0.9), Point(900.0, Where.OUTSIDE, 0.7),
        Point(None, Where.NULL, 0.4),
    ),
)  # fmt: skip
CARRIER = Curve(
    "carrier",
    (
        Point("UA", Where.TRAINING, 0.2), Point("B6", Where.TRAINING, 0.3),
        Point("unseen in training", Where.UNSEEN, 0.5),
    ),
    (),
    0.01,
)  # fmt: skip
KNOWN = PartialDependence("late", 200, 3, (TEMP, CARRIER))


def keep(harness: Harness, text: str, version: str = "1") -> None:
    with harness.store.begin() as tx:
        tx.add_version(replace(tx.version(MODEL, version), partial_dependence=text))


def feed_of(harness: Harness) -> Incident:
    return next(i for i in harness.incidents() if i.kind == "feed")


def told(harness: Harness, held: Incident) -> list[str]:
    bodies = [body for body in harness.queued(NOTIFY) if body.get("incident") == held.id]
    return str(bodies[-1]["body"]).splitlines()


def seen_by_the_model(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("as the model sees it: ")]


def asked(harness: Harness, evidence: dict[str, Any], **given: Any) -> dict[str, Any]:
    """As of one quiet hour."""
    file, cause = given.get("file", MODEL_FILE), given.get("cause", Cause(FEED, "weather"))
    with harness.store.read() as tx:
        start = harness.clock.now() - 36_000.0
        counted = read_counted(tx, file, start, harness.clock.now() + 1.0)
        return explain_suspect(
            tx, file, counted, given.get("version", "1"), cause, start,
            harness.clock.now() + 1.0, evidence,
        )  # fmt: skip


def test_values_that_moved_are_told_with_both_answers(harness: Harness) -> None:
    harness.put("1")
    keep(harness, pack_partial_dependence(KNOWN))
    play(harness, [QUIET] * 12 + [{"warmer": 25.0}] * 6)
    held = feed_of(harness)
    found = held.evidence["partial_dependence"]
    before, after = next(
        change["quartiles"] for change in held.evidence["changes"] if change["feature"] == "temp"
    )
    assert (found["usual"]["value"], found["now"]["value"]) == (before[1], after[1])
    assert found["usual"]["answer"] == pytest.approx(1.0 - before[1] / 100.0)
    assert found["now"]["answer"] == pytest.approx(1.0 - after[1] / 100.0)
    assert (found["version"], found["rank"], found["features"]) == ("1", 1, 3)
    (line,) = seen_by_the_model(told(harness, held))
    assert line == (
        f"as the model sees it: mean answer (late) {1 - before[1] / 100:.3g} at temp "
        f"{before[1]:.4g} (usual), {1 - after[1] / 100:.3g} at {after[1]:.4g} (now)"
    )


def test_nulls_are_told_with_the_answer_without_a_value(harness: Harness) -> None:
    harness.put("1")
    keep(harness, pack_partial_dependence(KNOWN))
    play(harness, [QUIET] * 12 + [{"nulls": 0.9}] * 6)
    (line,) = seen_by_the_model(told(harness, feed_of(harness)))
    assert line.endswith("(usual), 0.4 where it is missing (now)")
    assert feed_of(harness).evidence["partial_dependence"]["now"]["share"] > 0.5


FAHRENHEIT: dict[str, Any] = {"warmer": 500.0}


def test_values_beyond_training_with_some_nulls_are_told_as_beyond_training(
    harness: Harness,
) -> None:
    """Nobody sent the edge of training, and the answer there is none of training."""
    harness.put("1")
    keep(harness, pack_partial_dependence(replace(KNOWN, curves=(WIDE,))))
    play(harness, [QUIET] * 12 + [{**FAHRENHEIT, "nulls": 0.05}] * 4)
    held = feed_of(harness)
    found = held.evidence["partial_dependence"]
    axis = harness.layout.axes[harness.layout.names.index("temp")]
    assert isinstance(axis, NumericAxis)
    edge = axis.edges[-1]
    assert found["now"] == {
        "value": edge, "beyond": "over", "where": "outside", "answer": 0.9, "asked": 300.0,
    }  # fmt: skip
    lines = told(harness, held)
    (line,) = seen_by_the_model(lines)
    assert line.endswith(f"0.9 at 300, the nearest asked over {edge:.4g} (now)")
    (change,) = [line for line in lines if line.startswith("changed: temp")]
    assert f" -> over {edge:.6g}" in change
    assert any(f" to over {edge:.4g}" in line for line in evidence_of(held).changes)


def test_a_total_fault_says_what_all_rows_of_each_suspect_are(harness: Harness) -> None:
    harness.put("1")
    keep(harness, pack_partial_dependence(KNOWN))
    play(harness, [QUIET] * 12 + [{"nulls": 1.0}] * 4)
    held = feed_of(harness)
    assert held.evidence["outages"] == {"temp": "no value"}
    (line,) = seen_by_the_model(told(harness, held))
    assert line.endswith("(usual), 0.4 where it is missing (now)")


def test_a_version_from_before_says_why_and_nobody_is_told(harness: Harness) -> None:
    harness.put("1")
    play(harness, [QUIET] * 12 + [CELSIUS] * 6)
    held = feed_of(harness)
    assert held.evidence["partial_dependence"] == {
        "feature": "temp", "version": "1",
        "missing": "version 1 was registered before this was computed",
    }  # fmt: skip
    assert not seen_by_the_model(told(harness, held))


def test_a_record_that_cannot_be_read_keeps_nobody_from_being_told(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.put("1")
    keep(harness, "of a later release")
    with caplog.at_level(logging.ERROR):
        play(harness, [QUIET] * 12 + [CELSIUS] * 6)
    held = feed_of(harness)
    assert "impact" in held.evidence
    assert "partial_dependence" not in held.evidence
    assert told(harness, held)
    (record,) = {one.getMessage() for one in caplog.records}
    assert record == (
        "what the version makes of the suspect of sudden_shift/feed:weather is not known"
    )


SUSPECT = {"suspects": [{"feature": "temp", "size": 0.3}]}


def test_without_a_change_on_record_it_is_training_against_what_was_counted(
    harness: Harness,
) -> None:
    harness.put("1")
    keep(harness, pack_partial_dependence(KNOWN))
    play(harness, [CELSIUS] * 3)
    found = asked(harness, SUSPECT, cause=Cause(TRAINING_DRIFT, MODEL))
    assert 40.0 < found["usual"]["value"] < 80.0
    assert found["now"]["value"] < 25.0, "a temperature in Celsius"
    assert found["quartiles"][1] == found["usual"]["value"]
    nobody = Cause(TENANT_FEED, "nobody")
    assert asked(harness, SUSPECT, cause=nobody)["now"] is None


def changed(feature: str, **what: Any) -> dict[str, Any]:
    return {
        "suspects": [{"feature": feature, "size": 0.3}],
        "changes": [{"feature": feature, "nulls": [0.0, 0.0], **what}],
    }


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        (changed("temp", quartiles=[[50.0, 60.0, 70.0], [0.0, 150.0, 160.0]]),
         "mean answer (late) 0.4 at temp 60 (usual), not asked at 150 (now)"),
        (changed("temp", quartiles=[[50.0, 60.0, 70.0], [0.0, -400.0, 0.0]]),
         "mean answer (late) 0.4 at temp 60 (usual), 2 at -100, the furthest asked of -400 (now)"),
        (changed("temp", quartiles=[[50.0, 60.0, 70.0], [50.0, 60.0, 70.0]]),
         ""),
        (changed("temp", quartiles=[[50.0, 60.0, 70.0], [50.0, 60.0, 70.0]],
                 beyond=[["under 0", 0.0, 0.05]]),
         ("mean answer (late) 0.4 at temp 60 (usual), "
         "2 at -100, the nearest asked under 0 (5% of rows now)")),
        (changed("temp", quartiles=[[50.0, 60.0, 70.0], [0.0, 0.0, 0.0]],
                 quartiles_beyond=[["", "", ""], ["under"] * 3]),
         "mean answer (late) 0.4 at temp 60 (usual), 2 at -100, the nearest asked under 0 (now)"),
        (changed("temp", quartiles=[[50.0, 100.0, 100.0], [100.0, 100.0, 100.0]],
                 quartiles_beyond=[["", "", ""], ["over"] * 3]),
         ("mean answer (late) 0 at temp 100 (usual), "
         "not asked at 200, the nearest asked over 100 (now)")),
        (changed("temp", quartiles=[[50.0, 60.0, 70.0], [250.0, 250.0, 250.0]],
                 quartiles_beyond=[["", "", ""], ["over"] * 3]),
         "mean answer (late) 0.4 at temp 60 (usual), not asked at over 250 (now)"),
        # Some nulls more, while all else is beyond training: it is not missing.
        (changed("temp", quartiles=[[50.0, 60.0, 70.0], [0.0, 0.0, 0.0]], nulls=[0.0, 0.04],
                 quartiles_beyond=[["", "", ""], ["under"] * 3])
         | {"kinds": ["outage"], "outages": {"temp": "values hardly ever seen"}},
         "mean answer (late) 0.4 at temp 60 (usual), 2 at -100, the nearest asked under 0 (now)"),
        (changed("temp", quartiles=[[50.0, 60.0, 70.0], [50.0, 60.0, 70.0]], nulls=[0.0, 0.4])
         | {"kinds": ["outage"], "outages": {"temp": "no value"}},
         "mean answer (late) 0.4 at temp 60 (usual), 0.4 where it is missing (now)"),
        # Only nulls rose: what the few other rows are like is chance.
        (changed("temp", quartiles=[[50.0, 60.0, 70.0], [50.0, 58.0, 70.0]], nulls=[0.02, 0.35])
         | {"kinds": ["nulls"]},
         "mean answer (late) 0.4 at temp 60 (usual), 0.4 where it is missing (now)"),
        (changed("temp", quartiles=[[50.0, 60.0, 70.0], [50.0, 80.0, 90.0]], nulls=[0.5, 0.0]),
         "mean answer (late) 0.4 where temp is missing (usual), 0.2 at 80 (now)"),
        (changed("temp", quartiles=[[50.0, 60.0, 70.0], [50.0, 80.0, 90.0]], nulls=[0.6, 0.8]),
         "mean answer (late) 0.4 at temp 60 (usual), 0.2 at 80 (now)"),
        (changed("temp", quartiles=[[50.0, 60.0, 70.0], [50.0, 60.0, 70.0]],
                 beyond=[["over 100", 0.05, 0.0]]),
         ""),
        (changed("temp", quartiles=[[50.0, 60.0, 70.0], None], nulls=[0.0, 1.0]),
         "mean answer (late) 0.4 at temp 60 (usual), 0.4 where it is missing (now)"),
        (changed("carrier", names=[["UA", 0.5, 0.1], ["B6", 0.2, 0.6]]),
         "mean answer (late) 0.2 at carrier 'UA' (usual), 0.3 at 'B6' (now)"),
        (changed("carrier", names=[["UA", 0.9, 0.4], ["unseen", 0.0, 0.5]]),
         "mean answer (late) 0.2 at carrier 'UA' (usual), 0.5 at 'unseen in training' (now)"),
        (changed("carrier", names=[["ZZ", 0.1, 0.5]]),
         "mean answer (late) 0.2 at carrier 'UA' (usual), not asked at 'ZZ' (now)"),
        (changed("carrier", names=[["UA", 0.5, 0.1]]), ""),
    ],
)  # fmt: skip
def test_one_sentence_says_from_what_to_what(
    harness: Harness, evidence: dict[str, Any], said: str
) -> None:
    keep(harness, pack_partial_dependence(KNOWN))
    found = asked(harness, evidence)
    assert suspect_words({"partial_dependence": found}) == said
    assert suspect_words({"partial_dependence": found}, {found["feature"]}) == ""


def test_what_is_not_known_says_why(harness: Harness) -> None:
    def why(feature: str = "temp", **given: Any) -> str:
        return asked(harness, changed(feature), **given)["missing"]

    late = "there was no time for more within 10 s"
    keep(harness, pack_partial_dependence(PartialDependence("late", 9, 2, (), late)))
    assert why() == late
    keep(harness, pack_partial_dependence(replace(KNOWN, curves=(CARRIER,))))
    assert why() == "version 1 gave no answers as temp moved"
    keep(harness, pack_partial_dependence(replace(KNOWN, curves=(CARRIER,), features=40)))
    assert why() == (
        "temp is not among the 32 features that matter most to the answers of version 1"
    )
    harness.add_version("2", ("plan",))
    keep(harness, pack_partial_dependence(replace(KNOWN, curves=(CARRIER,))), "2")
    assert why(version="2") == "version 2 does not take temp"
    private = read_model_file(FILE.replace("temp: {", "temp: {tags: [pii], "))
    keep(harness, pack_partial_dependence(KNOWN))
    assert why(file=private) == "values of temp are tagged as pii"


def test_what_is_no_feature_has_no_answers(harness: Harness) -> None:
    keep(harness, pack_partial_dependence(KNOWN))
    assert asked(harness, {}) == {}
    assert asked(harness, changed("output")) == {}
    assert asked(harness, changed("temp"), version="") == {}
    assert asked(harness, changed("temp"), version="99") == {}
