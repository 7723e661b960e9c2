"""The watching benchmark: it writes what it promises, and its checks can fail."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_watch import PAGE, PARTS
from flight_rows import FLIGHT, NAMES, PLANE, VIEWS, WEATHER
from results import (
    Measure,
    fill_page,
    markdown_measures,
    markdown_table,
    missed_by,
    write_results,
)
from watch_estimates import estimate_measures
from watch_false_alarms import false_alarm_measures
from watch_faults import FAULTS, TENANTS, columns, fault_measures, rows_needed
from watch_libraries import Extent, _delays, equal_rate, library_measures
from watch_peers import KS_AT, PSI_AT, TableReference, exact_psi, ks_p
from watch_real import scaled, steady_measures
from watch_small_shifts import small_shift_measures
from watch_tables import Table, TableFault, burst, nulls, stale_day, swapped, usual_faults
from watch_truth import DATA_DRIFT, SHOWN, truth_measures
from watch_truth import FAULTS as LABEL_FAULTS
from watch_worlds import START, WORLDS, Rows, bench_of, lower_95, normal_file, normal_layout

from windvane.core.sketch import CategoryAxis, Layout, NumericAxis

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
    for part in (
        "AR(.9)", "faults of a tenant of 2%", "20 rows an hour", "flights", "40 features",
        "faults in flights of a tenant of 18%", "a shift of .1 deviations", "a report on",
    ):  # fmt: skip
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
    # Real weather has an incident open by then: the fault makes it grow.
    assert held["faults in flights of everyone: found (share)"]


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
        "first": True, "dated": True, "target": "everyone",
    }  # fmt: skip
    assert all(m.ok for m in fault_measures([good]))
    for worse in (
        {"first": False}, {"guilty": False}, {"named": False}, {"incidents": 2}, {"early": True},
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


def small_table() -> Table:
    """Two windows of 3 hours on each of two days, of two tenants."""
    hours = np.array([0.0, 3.0, 24.0, 27.0]).repeat(4)
    columns = {
        "a": np.arange(16.0), "b": np.arange(16.0) + 100.0,
        "hour": hours % 24.0, "name": np.array(["x", "y", None, "x"] * 4, object),
    }  # fmt: skip
    layout = Layout((
        *(NumericAxis.fit(n, columns[n]) for n in ("a", "b", "hour")),
        CategoryAxis("name", ("x", "y")),
    ))  # fmt: skip
    windows = {3_600.0 * float(h): np.flatnonzero(hours == h) for h in sorted(set(hours))}
    return Table(
        name="small", steady=True, watch="{window: 3h}", views=dict.fromkeys(columns, "all"),
        columns=columns, windows=windows, tenant_of=np.array(["t1", "t2"] * 8, object),
        trained_to=0.0, fault_at=0.0, window_s=3 * 3_600.0, faults={}, faulty=1, after=1,
        layout=layout, targets={},
    )  # fmt: skip


def test_a_fault_of_a_table_changes_its_features_and_no_other() -> None:
    table = small_table()
    start = 86_400.0 + 3 * 3_600.0
    rows = table.windows[start]
    healthy = table.take(rows)
    faults = usual_faults(
        "a", "b", "name", "x", "hour", ("a", "name"), lambda v: v * 2.0, tuple(table.columns)
    )
    assert set(faults) >= {"timezone shift", "stale day", "duplicate burst", "category casing"}
    for name, fault in faults.items():
        sent = fault.changed(table, start, rows)
        changed = {n for n, v in healthy.items() if [*map(str, v)] != [*map(str, sent[n])]}
        if name != "nulls 10%":
            assert changed, name
        assert changed <= set(fault.guilty)
    assert [*table.take(rows)["a"]] == [*healthy["a"]], "the table itself is left as it was"


def test_what_a_fault_of_a_table_sends() -> None:
    table = small_table()
    start = 86_400.0 + 3 * 3_600.0
    rows = table.windows[start]
    assert np.isnan(nulls("a", 1.0).changed(table, start, rows)["a"]).all()
    both = swapped("a", "b").changed(table, start, rows)
    assert [*both["a"]] == [112.0, 113.0, 114.0, 115.0]
    assert [*stale_day(("a",)).changed(table, start, rows)["a"]] == [4.0, 5.0, 6.0, 7.0]
    again = burst(("a",)).changed(table, start, rows)["a"]
    assert [*again] == [12.0, 13.0, 14.0, 15.0, 12.0, 12.0, 12.0, 12.0]


def test_a_fault_of_one_tenant_leaves_the_others() -> None:
    table = small_table()
    fault: TableFault = nulls("a", 1.0)
    healthy = table.counts(0.0)
    spoiled = table.counts(0.0, fault, "t2")
    assert (healthy["t1"] == spoiled["t1"]).all()
    assert table.layout.part(spoiled["t2"], "a")[0] == 2
    everyone = table.counts(0.0, fault)
    assert all(table.layout.part(c, "a")[0] == 2 for c in everyone.values())


def test_rows_needed_are_more_the_smaller_the_change() -> None:
    layout = normal_layout(1)
    rng = np.random.default_rng(1)
    healthy, large, small = (
        layout.count({"x0": rng.standard_normal(20_000) + by})[0] for by in (0.0, 1.0, 0.2)
    )
    found = [rows_needed(layout, c, healthy, ("x0",), 1e5) for c in (large, small)]
    # KL of N(by, 1) from N(0, 1) is by^2 / 2.
    assert found[0] == pytest.approx(2 * np.log(1e5) / 0.5, rel=0.15)
    assert found[1] == pytest.approx(2 * np.log(1e5) / 0.02, rel=0.3)
    assert rows_needed(layout, healthy, healthy, ("x0",), 1e5) == float("inf")


def test_at_equal_rate_a_peer_flags_as_many_calm_windows_as_we_did() -> None:
    rng = np.random.default_rng(1)
    calm = [{"a": float(x), "b": 1_000.0 * float(y)} for x, y in rng.random((50, 2))]
    for allowed in (0, 3):
        assert sum(map(bool, equal_rate(calm, calm, allowed))) == allowed
    assert equal_rate(calm, [{"a": 50.0, "b": 1.0}, {"b": 50.0}], 0) == [["a"], []]


def test_a_peer_finds_a_fault_only_by_a_guilty_feature() -> None:
    flags = [["x"], ["a"], [], ["b"], ["a"], []]
    assert _delays(flags, [("a",), ("a", "b")]) == [2.0, 1.0]
    assert _delays(flags, [("c",), ("c",)]) == [float("inf")] * 2


def test_a_peer_that_is_as_fast_is_told() -> None:
    def line(detector: str, delay: float) -> dict[str, Any]:
        return {"table": "t", "target": "everyone", "detector": detector, "faults": 2,
                "at_equal_rate": [delay, delay]}  # fmt: skip

    lines = [line("Windvane", 2.0), line("slow", float("inf")), line("fast", 3.0)]
    first, *_ = library_measures(lines, Extent(faulty=10))
    assert first.value == pytest.approx(2 / 3)
    assert not first.ok
    assert "fast" in first.measure
    lines[0] = line("Windvane", 1.5)
    assert library_measures(lines, Extent(faulty=10))[0].ok


def steady(**other: Any) -> dict[str, Any]:
    loose = {"pages": 36, "allowed": 12.0}
    return {"table": "t", "pages": 4, "alarms": 9, "allowed": 12.0, "psi_pages": 100,
            "loosened": loose, **other}  # fmt: skip


def test_three_times_the_budget_on_real_rows_is_told() -> None:
    assert all(m.ok for m in steady_measures([steady()]))
    assert [m.ok for m in steady_measures([steady(pages=36, alarms=36)])] == [
        False, False, True, True,
    ]  # fmt: skip
    assert [m.ok for m in steady_measures([steady(pages=41, psi_pages=100, allowed=90.0)])] == [
        True, True, True, False,
    ]  # fmt: skip
    # A benchmark that three times the budget could pass is at fault itself.
    weak = steady(loosened={"pages": 3, "allowed": 1.0})
    assert [m.ok for m in steady_measures([weak])] == [True, True, False, True]


def test_a_scaled_detector_has_its_thresholds_divided() -> None:
    layout = normal_layout(1)
    rng = np.random.default_rng(1)
    past = {START + 60.0 * i: layout.count({"x0": rng.standard_normal(100)})[0] for i in range(50)}
    bench = bench_of(normal_file(1), layout, past, tenants=1, since=START)
    assert scaled(bench, 3.0).policy.alarm_at == pytest.approx(bench.policy.alarm_at / 3.0)
    assert scaled(bench, 1e30).policy.alarm_at == 1.0


def test_small_shifts_are_held_to_what_bench_null_was() -> None:
    def run(rows: int, delay: float, found: int = 0) -> dict[str, Any]:
        return {"rows": rows, "windows": 10_080, "found": found, "allowed": 100.0,
                "delays": [delay]}  # fmt: skip

    assert all(m.ok for m in small_shift_measures([run(200, 34.0), run(1_000, 4.0)]))
    held = [m.ok for m in small_shift_measures([run(200, 35.0, 300), run(1_000, 5.0)])]
    assert held == [False, True, False, True, True, False]


def test_a_table_reference_has_a_bin_for_what_it_does_not_know() -> None:
    reference = TableReference.of({
        "n": np.arange(1_000.0), "c": np.array(["x", "y"] * 500, object),
    })  # fmt: skip
    same = {"n": np.arange(0.0, 1_000.0, 5.0), "c": np.array(["x", "y"] * 100, object)}
    assert max(reference.psi(same).values()) < 0.01
    other = {"n": np.full(200, np.nan), "c": np.array(["z", None] * 100, object)}
    assert min(reference.psi(other).values()) > PSI_AT
    assert set(reference.ks_p(same)) == {"n"}


def test_a_miss_says_by_how_much() -> None:
    assert missed_by(Measure("m", 1.5, at_most=1.0)) == "missed by 50%"
    assert missed_by(Measure("m", 3.0, at_most=0.0)) == "missed by 3"
    assert missed_by(Measure("m", float("inf"), at_most=1.0)) == "never"
    assert missed_by(Measure("m", float("nan"), at_least=1.0)) == "not measured"
    assert missed_by(Measure("m", 1.0, at_most=1.0)) == ""


def test_the_page_has_a_place_for_each_part() -> None:
    text = PAGE.read_text()
    assert re.findall(r"^### `(\w+)`$", text, re.MULTILINE) == [*PARTS]
    assert re.findall(r"^<!-- end of (\w+) -->$", text, re.MULTILINE) == [*PARTS]
    for part in PARTS:
        assert text.count(f"<!-- {part} -->") == text.count(f"<!-- end of {part} -->") == 1


def test_the_page_is_filled_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- low -->\nold\n<!-- end of low -->\nafter\n")
    table = markdown_measures([Measure("delay", 2.0, at_most=1.0)])
    fill_page(page, "low", table + markdown_table("Cost", [{"who": "a|b", "ms": 1.23456}]))
    text = page.read_text()
    assert "| delay | 2 | <= 1 | **missed by 100%** |" in text
    assert "| a/b | 1.23 |" in text
    assert "old" not in text
    assert text.startswith("before")
    assert text.endswith("after\n")
    page.write_text("no marks")
    with pytest.raises(ValueError, match="to write between"):
        fill_page(page, "low", table)


def test_an_interval_that_covers_too_seldom_is_told() -> None:
    def run(covered: float) -> dict[str, Any]:
        return {"table": f"t{covered}", "rows": 1_000, "covered": covered}

    assert [m.ok for m in estimate_measures([run(0.9), run(0.89)])] == [True, False]


def test_spoiled_labels_that_are_told_late_or_as_anothers_are_told() -> None:
    def run(fault: str, **other: Any) -> dict[str, Any]:
        return {
            "fault": fault,
            "of": "everyone",
            "windows": 2.0,
            "floor": 7.0,
            "alarms": 0,
            **other,
        }

    good = [run("half of the labels flipped"), run(DATA_DRIFT)]
    assert [m.ok for m in truth_measures(good)] == [True] * 3
    never = float("inf")
    late = [run("half of the labels flipped", windows=8.0), run(DATA_DRIFT, alarms=1)]
    assert [m.ok for m in truth_measures(late)] == [True, False, False]
    missed = [run("half of the labels flipped", windows=never, floor=never), run(DATA_DRIFT)]
    assert [m.ok for m in truth_measures(missed)] == [False, False, True]
    assert [m.ok for m in truth_measures([*good, run(SHOWN[0], windows=never)])] == [True] * 3


def test_faults_of_labels_are_what_they_are_called() -> None:
    rng = np.random.default_rng(1)
    answers = rng.random(20_000)
    labels = (rng.random(20_000) < answers).astype(float)

    def spoiled(name: str) -> Any:
        return LABEL_FAULTS[name](answers, labels, rng)

    assert (spoiled("half of the labels flipped") != labels).mean() == pytest.approx(0.5, abs=0.02)
    fewer = spoiled("base rate falls to .06 of it")
    assert fewer.mean() / labels.mean() == pytest.approx(0.06, abs=0.01)
    lost = spoiled("calibration lost")
    low = answers < 0.3
    assert (lost[low] == labels[low]).all()
    assert lost[(answers > 0.5) & (answers < 0.6)].mean() == pytest.approx(0.275, abs=0.03)
