"""Labels of real answers that are spoiled: what is told, and whether before the floor's alarm.

Employment (see `watch_tables.py`) with the answers and the labels that it comes with, in order,
2,400 rows in each window of six hours, labelled within the hour; a window is one block of the
monitor's.
Pure data drift: rows are drawn by their answer alone, so that labels depend on answers as before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from results import Measure
from watch_faults import TENANTS
from watch_tables import PACKAGES
from watch_worlds import START, Bench, bench_of

from windvane.core.sketch import Layout, NumericAxis
from windvane.ports.event_log import EventLog, ScoredRows
from windvane.usecases.monitors.outcomes import Outcomes
from windvane.usecases.monitors.truth_shift import TruthShift
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.replay_windows import Replay, ToldAlarm

Floats = NDArray[np.float64]
Spoil = Callable[[Floats, Floats, np.random.Generator], Floats]
"""Labels from (answers, labels, draws)."""
ROWS, WINDOW_S = 2_400, 6 * 3_600.0
CALM, FAULTY = 28, 21  # windows: a look at the floor is due every seventh
FILE = """
model: employment
features:
  person:
    answer: {type: number, nullable: true}
watch: {window: 6h, drift_over: 42h, recent: 14d, outcomes: {floor: 0.8, arrive_within: 1h}}
"""
TRUTH = ("concept_drift", "calibration", "base_rate", "tenant_truth")


def _flip(share: float) -> Spoil:
    def spoil(_answers: Floats, labels: Floats, rng: np.random.Generator) -> Floats:
        return np.where(rng.random(len(labels)) < share, 1.0 - labels, labels)

    return spoil


def _fewer(share: float) -> Spoil:
    def spoil(_answers: Floats, labels: Floats, rng: np.random.Generator) -> Floats:
        return labels * (rng.random(len(labels)) < share)

    return spoil


def _uncalibrated(answers: Floats, labels: Floats, rng: np.random.Generator) -> Floats:
    """Labels of middling answers are as often 1 as those of low ones."""
    middling = (answers > 0.3) & (answers < 0.8)
    return np.where(middling & (rng.random(len(labels)) < 0.5), 0.0, labels)


FAULTS: dict[str, Spoil] = {
    "half of the labels flipped": _flip(0.5),
    "a tenth of the labels flipped": _flip(0.1),
    "base rate falls to .06 of it": _fewer(0.06),
    "calibration lost": _uncalibrated,
}
WHOSE = {"everyone": "", "a tenant of 18%": "t18", "a tenant of 2%": "t02"}
DATA_DRIFT = "pure data drift"
SHOWN = ("a tenth of the labels flipped",)
"""Without a bound: how small a change of how small a tenant is told."""


@dataclass
class LabelLog:
    """The event log of answers whose labels have all come."""

    windows: list[ScoredRows] = field(default_factory=list[ScoredRows])

    def scored(
        self, model: str, contract: Any, began: float, until: float, *given: Any, **named: Any
    ) -> list[ScoredRows]:
        del model, contract, given, named
        return [one for one in self.windows if began <= one.times[0] < until]

    def label_delays(self, *given: Any, **named: Any) -> list[Any]:
        del given, named
        return []

    def outcome_counts(self, *given: Any, **named: Any) -> list[Any]:
        del given, named
        return []


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """In order: the model's answers, labels, and tenants, dealt by person."""

    answers: Floats
    labels: Floats
    tenants: NDArray[Any]


def read_people() -> People:
    """Those of after the reference."""
    folder = PACKAGES / "nannyml/datasets/data"
    later: Any = pd.read_parquet(folder / "employment_MA_analysis.pq")
    labels: Any = pd.read_parquet(folder / "employment_MA_analysis_target.pq")
    both = later.merge(labels, on="id", validate="one_to_one")
    both = both[~both["RELP"].astype(str).isin(("16", "17"))]
    rng = np.random.default_rng(5)
    tenants = rng.choice(np.array(list(TENANTS)), len(both), p=list(TENANTS.values()))
    return People(
        both["predicted_probability"].to_numpy(float), both["employed"].to_numpy(float), tenants
    )


def _bench(people: People) -> Bench:
    layout = Layout((NumericAxis.fit("answer", people.answers[: 10 * ROWS]),))
    past = {
        START - WINDOW_S * (10 - i): _counts(layout, people.answers[ROWS * i : ROWS * (i + 1)])
        for i in range(10)
    }
    return bench_of(read_model_file(FILE), layout, past, tenants=len(TENANTS), since=START)


def _counts(layout: Layout, answers: Floats) -> NDArray[np.int64]:
    return layout.count({"answer": answers})[0]


def _drifted(people: People, rng: np.random.Generator, rows: slice) -> NDArray[np.int64]:
    """As many rows, drawn by the answer: high ones four times as often."""
    weights = np.where(people.answers[rows] > 0.6, 4.0, 1.0)
    return rows.start + rng.choice(ROWS, ROWS, p=weights / weights.sum())


def run_truth(fault: str, whose: str, seed: int) -> dict[str, Any]:
    """Healthy, then spoiled to the end; and what each monitor told, in windows from the onset."""
    people, log = read_people(), LabelLog()
    bench, target = _bench(people), WHOSE[whose]
    # Alone, for the incident of what changed would take the floor's alarm in.
    replay, by_floor = (
        Replay((monitor,), log=cast("EventLog", log)) for monitor in (TruthShift(), Outcomes())
    )
    rng = np.random.default_rng([seed, 9])
    first = int(rng.integers(0, max(1, len(people.labels) - ROWS * (CALM + FAULTY))))
    for i in range(CALM + FAULTY):
        rows = slice(first + ROWS * i, first + ROWS * (i + 1))
        taken = np.arange(rows.start, rows.stop)
        if i >= CALM and fault == DATA_DRIFT:
            taken = _drifted(people, rng, rows)
        answers, labels = people.answers[taken], people.labels[taken]
        tenants = people.tenants[taken]
        if i >= CALM and fault in FAULTS:
            hit = np.ones(ROWS, bool) if not target else tenants == target
            labels = np.where(hit, FAULTS[fault](answers, labels, rng), labels)
        start = START + WINDOW_S * i
        times = np.float64(start) + np.arange(float(ROWS))
        log.windows.append(
            ScoredRows(
                "1", "1", "champion", "", times, np.arange(1, ROWS + 1, dtype=np.uint64) + ROWS * i,
                tenants, [answers], labels,
            )
        )  # fmt: skip
        counts = {t: _counts(bench.layout, answers[tenants == t]) for t in TENANTS}
        for one in (replay, by_floor):
            one.judge(bench.window(start, counts))
            if one.left_out:
                raise SystemExit(f"a monitor failed: {one.left_out}")
    onset = START + WINDOW_S * CALM
    truth = [a for a in replay.alarms if a.kind in TRUTH]
    mine = [a for a in truth if a.opened > onset and a.whom == target]
    floor = [a for a in by_floor.alarms if a.opened > onset]
    return {
        "fault": fault, "of": whose, "seed": seed, "windows": _windows(mine, onset),
        "floor": _windows(floor, onset), "told": sorted({a.cause for a in replay.alarms}),
        "false": sum(a.opened <= onset for a in replay.alarms),
        "alarms": len(truth),
    }  # fmt: skip


def _windows(alarms: Sequence[ToldAlarm], onset: float) -> float:
    return min(((a.opened - onset) / WINDOW_S for a in alarms), default=math.inf)


def truth_runs(seeds: Sequence[int]) -> list[tuple[str, str, int]]:
    """What `run_truth` is asked."""
    runs = [(fault, whose, seed) for fault in FAULTS for whose in WHOSE for seed in seeds]
    return [*runs, *((DATA_DRIFT, "everyone", seed) for seed in seeds)]


def truth_measures(runs: Sequence[dict[str, Any]]) -> list[Measure]:
    out: list[Measure] = []
    for whose in WHOSE:
        mine = [r for r in runs if r["of"] == whose and r["fault"] not in (DATA_DRIFT, *SHOWN)]
        if mine:
            found = sum(math.isfinite(r["windows"]) for r in mine) / len(mine)
            sooner = sum(r["windows"] < r["floor"] for r in mine) / len(mine)
            out += [
                Measure(f"spoiled labels of {whose}: told as theirs (share)", found, at_least=1.0),
                Measure(f"spoiled labels of {whose}: told before the floor's alarm would be",
                        sooner, at_least=1.0),
            ]  # fmt: skip
    drift = [r for r in runs if r["fault"] == DATA_DRIFT]
    if drift:
        out.append(
            Measure("the truth said to have changed under pure data drift (alarms)",
                    sum(r["alarms"] for r in drift), at_most=0.0)
        )  # fmt: skip
    return out


def truth_table(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "fault": r["fault"], "of": r["of"], "seed": r["seed"],
            "windows": r["windows"] if math.isfinite(r["windows"]) else "never",
            "floor's alarm": r["floor"] if math.isfinite(r["floor"]) else "never",
            "told": ", ".join(r["told"]), "before the fault": r["false"],
        }
        for r in runs
    ]  # fmt: skip
