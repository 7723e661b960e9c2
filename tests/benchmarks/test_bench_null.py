"""The null benchmark: it writes what it promises, and its checks can fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_null import null_measures
from flight_rows import FLIGHT, NAMES, PLANE, VIEWS, WEATHER, FlightRows
from null_run import SUDDEN_SHIFT, NullRun, NullSettings, Population, poisson_99, run_null
from results import Measure, write_results
from steward_loop import detector_alarms, pooled_draws

from windvane.core.drift import (
    DriftFacts,
    DriftPolicy,
    Kind,
    Reading,
    StreamState,
    baseline_readings,
    judge_drift,
)

ROOT = Path(__file__).parents[2]


def synthetic(rows: int = 20_000) -> FlightRows:
    rng = np.random.default_rng(5)
    temp = rng.normal(55.0, 18.0, rows)
    temp[rng.random(rows) < 0.03] = np.nan
    carrier = rng.choice(np.array(["AA", "B6", "UA"], object), rows, p=[0.2, 0.3, 0.5])
    return FlightRows(
        np.arange(float(rows)),
        {"temp": temp, "pressure": rng.normal(1_017.0, 7.0, rows), "carrier": carrier},
    )


def null_run(*, plug_in: bool) -> tuple[NullRun, NullSettings]:
    settings = NullSettings(
        features=("temp", "pressure", "carrier"),
        sizes=(1_000,),
        windows=200,
        drift_every=1,
        baseline_rows=2_000,
        training_windows=200,
        recent=60,
        pool=2_000,
        plug_in=plug_in,
    )
    population = Population(synthetic(), settings)
    return run_null(population, 1_000, population.baseline(1_000), lambda: None), settings


@pytest.fixture(scope="module")
def sound() -> NullRun:
    return null_run(plug_in=False)[0]


def test_forty_features_of_three_tables() -> None:
    assert len(VIEWS) == len(FLIGHT) + len(PLANE) + len(WEATHER) == 40
    assert set(VIEWS) > NAMES


def test_a_quick_run_writes_its_measures(tmp_path: Path) -> None:
    out = tmp_path / "null.json"
    script = ROOT / "benchmarks" / "bench_null.py"
    ran = subprocess.run(
        [sys.executable, str(script), "--quick", "--seed", "3", "--out", str(out)],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert ran.returncode in {0, 1}, ran.stderr
    body: dict[str, Any] = json.loads(out.read_text())
    assert set(body) == {"machine", "versions", "settings", "measures", "informational"}
    assert set(body["machine"]) == {"cpu", "cores", "memory_gib"}
    assert set(body["versions"]) == {"python", "windvane", "numpy", "scipy"}
    assert body["settings"]["seed"] == 3
    for measure in body["measures"]:
        bound = set(measure) - {"measure", "value", "ok"}
        assert bound in ({"at_least"}, {"at_most"})
        value, limit = measure["value"], measure[bound.pop()]
        if value is None:
            assert measure["ok"] is False
        else:
            assert measure["ok"] is (value >= limit if "at_least" in measure else value <= limit)
    assert (ran.returncode == 0) == all(m["ok"] for m in body["measures"])
    names = [m["measure"] for m in body["measures"]]
    assert len(set(names)) == len(names)
    message = " ".join(names + [note["measure"] for note in body["informational"]])
    for part in (
        "windows judged, W=200",
        "acted-on false alarms, sudden shift",
        "10% nulls",
        "real year",
    ):
        assert part in message
    assert "No drift" in ran.stdout
    assert "Windows until found" in ran.stdout


def test_without_drift_the_budget_holds(sound: NullRun) -> None:
    settings = NullSettings(sizes=(1_000,), windows=200)
    assert all(m.ok for m in null_measures([sound], settings))
    assert sound.acted == ()
    assert sound.allowed(SUDDEN_SHIFT) == pytest.approx(3 * 2 * 200 / (8 * 10_080))
    assert sound.allowed((Kind.DRIFT,), 10.0) == pytest.approx(10 * 3 * 200 / (4 * 10_080))


def test_a_plug_in_baseline_fails_the_check() -> None:
    run, settings = null_run(plug_in=True)
    failed = [m.measure for m in null_measures([run], settings) if not m.ok]
    assert any("detector alarms, training drift" in name for name in failed)
    assert not any("sudden shift" in name for name in failed)


def test_a_threshold_far_below_the_budgets_fails_the_check(sound: NullRun) -> None:
    low = NullRun(
        sound.rows,
        sound.features,
        {name: at / 5_000 for name, at in sound.alarm_at.items()},
        sound.p,
        sound.acted,
    )
    raised = sum(low.detected(SUDDEN_SHIFT).values())
    assert not Measure("alarms", raised, at_most=sound.allowed(SUDDEN_SHIFT)).ok


def test_windows_that_were_not_judged_fail_the_check(sound: NullRun) -> None:
    measures = null_measures([sound], NullSettings(sizes=(1_000,), windows=201))
    assert [m.measure for m in measures if not m.ok] == ["null run: windows judged, W=1000"]


def test_the_bare_detectors_are_the_judge_without_materiality() -> None:
    rng = np.random.default_rng(7)
    p = rng.random((400, 5)) ** 1.5
    p[rng.random(p.shape) < 0.05] = np.nan
    policy = DriftPolicy(50.0, dict.fromkeys(Kind, -np.inf))
    states: dict[str, StreamState] = {}
    expected: list[tuple[int, int]] = []
    for i, row in enumerate(p):
        readings = tuple(
            Reading(str(s), "v", Kind.VALUES, float(x), 0.0)
            for s, x in enumerate(row)
            if not np.isnan(x)
        )
        _, states, alarms = judge_drift(DriftFacts(float(i), 100, 50, readings, states), policy, 0)
        for alarm in alarms:
            expected.append((i, int(alarm.feature)))
            del states[f"{alarm.feature}/values"]
    assert len(expected) > 5
    assert detector_alarms(p, 50.0).tolist() == [list(pair) for pair in expected]


def test_pooled_draws_read_as_the_product_does() -> None:
    settings = NullSettings(
        features=("temp", "carrier"), baseline_rows=5_000, training_windows=20, recent=10
    )
    population = Population(synthetic(), settings)
    baseline = population.baseline(500)
    window = population.draw(np.random.default_rng(1), 500)
    own = baseline_readings(population.layout, VIEWS, window, baseline, seed=9)
    with pooled_draws(20_000):
        pooled = baseline_readings(population.layout, VIEWS, window, baseline, seed=9)
    assert [(r.stream, r.size) for r in own] == [(r.stream, r.size) for r in pooled]
    # 2,000 draws give p to .011 (1 sd); two such differ by less than 4 sd.
    assert all(abs(a.p - b.p) < 0.065 for a, b in zip(own, pooled, strict=True))


@pytest.mark.parametrize(("mean", "most"), [(0.0, 0), (1.0, 4), (10.0, 18)])
def test_poisson_99(mean: float, most: int) -> None:
    assert poisson_99(mean) == most


def test_a_measure_has_one_bound(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one of at_least and at_most"):
        Measure("rows", 1.0)
    with pytest.raises(ValueError, match="one of at_least and at_most"):
        Measure("rows", 1.0, at_least=1.0, at_most=1.0)
    assert Measure("rows", 1.0, at_least=1.0).ok
    assert not Measure("rows", float("nan"), at_least=0.0).ok
    never = Measure("delay", float("inf"), at_most=3.0)
    assert not never.ok
    path = tmp_path / "r.json"
    assert not write_results(path, [never], settings={})
    assert json.loads(path.read_text())["measures"] == [
        {"measure": "delay", "value": None, "at_most": 3.0, "ok": False}
    ]
