"""An incident says whom it hurts, by each tenant's own usual, and what is known of the answers."""

from __future__ import annotations

from typing import Any

import pytest
from usecases.harness import FILE, MODEL, START, WINDOW_S, Harness
from usecases.timeline import CELSIUS, QUIET, play

from windvane.core.alerting import Cause
from windvane.ports.control_store import Incident, WindowVerdict
from windvane.usecases.measure_impact import (
    known_quality,
    measure_impact,
    measure_incident,
    read_counted,
    span_before,
)
from windvane.usecases.monitors.errors import TENANT_ERRORS
from windvane.usecases.monitors.sudden_shift import FEED
from windvane.usecases.publish_routing import NOTIFY
from windvane.usecases.read_model_file import read_model_file

MODEL_FILE = read_model_file(FILE)


def told(harness: Harness, held: Incident) -> list[str]:
    with harness.store.read() as tx:
        items = tx.due_effects(harness.clock.wall(), 100)
    bodies = [i.body for i in items if i.kind == NOTIFY and i.body.get("incident") == held.id]
    return str(bodies[-1]["body"]).splitlines()


def test_nulls_are_told_by_tenant_against_its_own_usual(harness: Harness) -> None:
    harness.put("1")
    play(harness, [QUIET] * 12 + [{"nulls": 0.9}] * 6)
    held = next(i for i in harness.incidents() if i.kind == "feed")
    lines = told(harness, held)
    hurt = [line for line in lines if line.startswith("hurts: tenant ")]
    assert len(hurt) == 2, "both tenants lack it"
    assert all("temp missing in" in line and "usually 0.0%)" in line for line in hurt)
    impact = held.evidence["impact"]
    assert (impact["feature"], impact["from"]) == ("temp", held.since)
    with harness.store.read() as tx:
        layout = tx.layout(tx.sketches(MODEL, 0.0, impact["to"])[0][1].layout_id)
        nulls = sum(
            int(layout.part(sketch.features, "temp")[0])
            for key, sketch in tx.sketches(MODEL, impact["from"], impact["to"])
            if key.version
        )
    assert sum(hit["part"] for hit in impact["hits"]) == nulls > 0
    assert any(line.startswith("counted: ") for line in lines)


def test_moved_values_count_rows_and_no_nulls(harness: Harness) -> None:
    harness.put("1")
    play(harness, [QUIET] * 12 + [CELSIUS] * 6)
    held = next(i for i in harness.incidents() if i.kind == "feed")
    (line,) = [one for one in told(harness, held) if one.startswith("hurts: ")]
    assert line.endswith("all of their rows, for values changed")
    assert "missing" not in line


def test_what_was_as_bad_before_is_no_harm(harness: Harness) -> None:
    harness.put("1")
    for index in range(20):
        harness.traffic(index, failed=20 if index < 10 else 22)
    began = START + 10 * WINDOW_S
    until = START + 20 * WINDOW_S
    with harness.store.read() as tx:
        counted = read_counted(tx, MODEL_FILE, began, until)
        cause = Cause(FEED, "weather")
        assert measure_impact(tx, MODEL_FILE, counted, cause, began, until, {})["hits"] == []
        worse = measure_impact(tx, MODEL_FILE, counted, cause, began - 10 * WINDOW_S, until, {})
    assert {hit["harm"] for hit in worse["hits"]} == {"failed"}, "nothing is known of before"
    assert all(hit["usual_of"] == 0 for hit in worse["hits"])


def test_what_is_of_one_tenant_counts_that_one_alone(harness: Harness) -> None:
    harness.put("1")
    for index in range(20):
        harness.traffic(index, failed=0 if index < 10 else 30)
    began, until = START + 10 * WINDOW_S, START + 20 * WINDOW_S
    with harness.store.read() as tx:
        counted = read_counted(tx, MODEL_FILE, began, until)
        cause = Cause(TENANT_ERRORS, "UA")
        found = measure_impact(tx, MODEL_FILE, counted, cause, began, until, {})
    assert [one["tenant"] for one in found["tenants"]] == ["UA"]
    assert {hit["tenant"] for hit in found["hits"]} <= {"UA"}
    assert found["rows"] == found["tenants"][0]["rows"]


def test_of_a_long_incident_the_last_windows_are_read(harness: Harness) -> None:
    harness.put("1")
    play(harness, [QUIET] * 12 + [{"nulls": 0.9}] * 6)
    held = next(i for i in harness.incidents() if i.kind == "feed")
    later = held.since + 10 * 86_400.0
    with harness.store.read() as tx:
        found = measure_incident(tx, MODEL_FILE, held, later)
    assert found["from"] == later - span_before(MODEL_FILE)
    assert (found["rows"], found["usual_to"]) == (0, held.since)


def look(monitor: str, start: float, code: str = "", **detail: Any) -> WindowVerdict:
    return WindowVerdict(MODEL, start, monitor, "", "pass", code, "", {"metric": "auc", **detail})


MEASURED = look("outcomes", 90.0, auc=0.7, lower=0.6, upper=0.8, scored=500, ended=100.0)
ESTIMATED = look(
    "estimates", 190.0, "OUT-420", value=0.5, lower=0.4, upper=0.6, rows=900, ended=200.0
)


@pytest.mark.parametrize(
    ("began", "value", "estimated", "before"),
    [(50.0, 0.7, False, False), (150.0, 0.5, True, False), (250.0, 0.7, False, True)],
)
def test_outcomes_go_before_estimates_and_what_was_before_says_so(
    began: float, value: float, estimated: bool, before: bool
) -> None:
    found = known_quality([MEASURED, ESTIMATED], began)
    assert (found["value"], found["estimated"]) == (value, estimated)
    assert found.get("before", False) is before


def test_an_estimate_that_is_not_told_is_not_told_here_either() -> None:
    assert known_quality([look("estimates", 190.0, "OUT-499", value=0.5, ended=200.0)], 0.0) == {}
    assert known_quality([look("outcomes", 90.0, auc=None, ended=100.0)], 0.0) == {}
