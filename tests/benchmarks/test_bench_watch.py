"""The watching benchmark: it writes what it promises, and its checks can fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flight_rows import FLIGHT, NAMES, PLANE, VIEWS, WEATHER
from results import Measure, write_results
from watch_false_alarms import false_alarm_measures
from watch_faults import FAULTS, TENANTS, columns, fault_measures
from watch_peers import KS_AT, PSI_AT, exact_psi, ks_p
from watch_worlds import WORLDS, Rows, lower_95

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, dict[str, Any]]:
    """Exit status, output and results of a quick run."""
    out = tmp_path_factory.mktemp("watch") / "watch.json"
    script = ROOT / "benchmarks" / "bench_watch.py"
    ran = subprocess.run(
        [sys.executable, str(script), "--quick", "--out", str(out)],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert ran.returncode in {0, 1}, ran.stderr
    return ran.returncode, ran.stdout, json.loads(out.read_text())


def test_a_quick_run_writes_its_measures(quick: tuple[int, str, dict[str, Any]]) -> None:
    status, shown, body = quick
    assert set(body) == {"machine", "versions", "settings", "measures", "informational"}
    assert body["settings"]["quick"] is True
    for measure in body["measures"]:
        bound = set(measure) - {"measure", "value", "ok"}
        assert bound in ({"at_least"}, {"at_most"})
    assert (status == 0) == all(m["ok"] for m in body["measures"])
    names = [m["measure"] for m in body["measures"]]
    assert len(set(names)) == len(names)
    for part in ("AR(.9)", "faults of a tenant of 2%", "20 rows an hour", "flights", "40 features"):
        assert any(part in name for name in names)
    for title in ("No drift", "Faults", "Total faults at 20 rows an hour", "Cost"):
        assert title in shown


def test_a_total_fault_is_found_at_once_and_named(
    quick: tuple[int, str, dict[str, Any]],
) -> None:
    held = {m["measure"]: m["ok"] for m in quick[2]["measures"]}
    for whose in ("everyone", "a tenant of 18%", "a tenant of 2%"):
        assert held[f"faults of {whose}: total ones in their first window"]
        assert held[f"faults of {whose}: told as theirs"]


def world(name: str, **other: Any) -> dict[str, Any]:
    return {
        "world": name, "found": 0, "allowed": 100.0, "naive_found": 5_000, "naive_allowed": 50.0,
        "pages": 0, "page_windows": 1_440, "psi_pages": 50, "peer_windows": 144, **other,
    }  # fmt: skip


def held(worlds: list[dict[str, Any]], loose: dict[str, Any]) -> dict[str, bool]:
    return {m.measure: m.ok for m in false_alarm_measures(worlds, loose)}


def test_a_detector_at_three_times_its_budget_fails() -> None:
    loose = {"found": 310, "allowed": 100.0}
    assert all(held([world(name) for name in WORLDS], loose).values())
    bad = held([world(name, found=300) for name in WORLDS], loose)
    missed = [name for name, ok in bad.items() if not ok]
    assert len(missed) == len(WORLDS)
    assert all("alarms before any size" in name for name in missed)
    assert not all(held([world(n) for n in WORLDS], {"found": 90, "allowed": 100.0}).values())
    assert not all(held([world(n, pages=3) for n in WORLDS], loose).values())


def test_a_bound_that_could_not_fail_is_told() -> None:
    short = held([world("AR(.9) rows", allowed=0.5)], {"found": 310, "allowed": 100.0})
    assert not short["AR(.9) rows: the same bound of a detector at 3x the budget"]


def test_the_lower_bound_is_that_of_a_poisson_mean() -> None:
    assert lower_95(0) == 0.0
    assert lower_95(1) == pytest.approx(0.0513, abs=1e-4)
    assert lower_95(10) == pytest.approx(5.43, abs=0.01)


def test_a_fault_that_is_missed_is_told() -> None:
    good = {
        "found": True, "windows": 1.0, "within": True, "guilty": True, "named": True,
        "incidents": 1, "early": False, "closed_after": 3.0, "since_error": 0.0, "total": True,
        "dated": True, "target": "everyone",
    }  # fmt: skip
    assert all(m.ok for m in fault_measures([good]))
    for worse in (
        {"windows": 2.0}, {"guilty": False}, {"named": False}, {"incidents": 2}, {"early": True},
        {"closed_after": 6.0}, {"since_error": 3.0}, {"within": False},
    ):  # fmt: skip
        assert [m.ok for m in fault_measures([good | worse])].count(False) == 1


def test_rows_of_a_world_are_as_it_says() -> None:
    rows = Rows(WORLDS["AR(.9) rows"], 2, 1_000, (1,))
    values = np.concatenate([rows.window(i) for i in range(20)])
    one, after = values[:-1, 0], values[1:, 0]
    known = ~np.isnan(one) & ~np.isnan(after)
    assert np.corrcoef(one[known], after[known])[0, 1] == pytest.approx(0.9, abs=0.02)
    assert np.isnan(values).mean() == pytest.approx(0.02, abs=0.005)
    assert np.nanstd(values) == pytest.approx(1.0, abs=0.1)


def test_each_fault_changes_the_features_that_it_is_in_and_no_other() -> None:
    for fault in FAULTS.values():
        healthy = columns("t18", 500, np.random.default_rng(1))
        spoiled = {name: values.copy() for name, values in healthy.items()}
        fault.spoil(spoiled, np.random.default_rng(2))
        changed = {
            name for name, values in healthy.items()
            if [str(v) for v in values] != [str(v) for v in spoiled[name]]
        }  # fmt: skip
        assert changed == set(fault.guilty)
    assert sum(TENANTS.values()) == pytest.approx(1.0)


def test_the_peers_are_exact() -> None:
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(1)
    reference, current = np.sort(rng.standard_normal(5_000)), rng.standard_normal(200) + 0.1
    exact = ks_2samp(current, reference, method="asymp").pvalue
    assert ks_p(current, reference) == pytest.approx(exact, abs=0.03)
    assert ks_p(current + 1.0, reference) < KS_AT
    edges = np.array([-1.0, 0.0, 1.0])
    assert exact_psi(np.full(200, 5.0), edges, np.array([16.0, 34, 34, 16, 0])) > PSI_AT
    same = np.repeat([-2.0, -0.5, 0.5, 2.0], [16, 34, 34, 16])
    assert exact_psi(same, edges, np.array([16.0, 34, 34, 16, 0])) == pytest.approx(0.0)


def test_forty_real_features() -> None:
    assert len(VIEWS) == 40 == len(FLIGHT) + len(PLANE) + len(WEATHER)
    assert set(VIEWS) > NAMES


def test_a_measure_has_one_bound_and_nothing_measured_holds_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give one of"):
        Measure("m", 1.0)
    out = tmp_path / "r.json"
    assert not write_results(out, [Measure("m", float("nan"), at_most=1.0)], settings={})
    assert json.loads(out.read_text())["measures"][0]["value"] is None
