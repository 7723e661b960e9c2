"""Estimates of quality before labels come, against what the labels then say.

Employment (binary, ranked by the AUC; see `watch_tables.py`) and the made-up car prices of nannyml
0.13.1 (a regression, MAE): the reference of each is the holdout, windows are of the rows after it,
in order. The prices drift from the middle of those on, and the error at the same answers with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from results import Measure
from watch_tables import PACKAGES

from windvane.core.outcomes import estimate, fit_calibration
from windvane.core.sketch import NumericAxis
from windvane.core.statistics import auc
from windvane.usecases.measure_quality import ALPHA

Floats = NDArray[np.float64]
COVERED = 0.9
_FOLDER = PACKAGES / "nannyml/datasets/data"


def _employment() -> tuple[Floats, Floats, int]:
    """(score, label, rows of the holdout)."""
    first: Any = pd.read_parquet(_FOLDER / "employment_MA_reference.pq")
    later: Any = pd.read_parquet(_FOLDER / "employment_MA_analysis.pq")
    labels: Any = pd.read_parquet(_FOLDER / "employment_MA_analysis_target.pq")
    later = later.merge(labels, on="id", validate="one_to_one")
    both = pd.concat([first, later], ignore_index=True)
    score = both["predicted_probability"].to_numpy(float)
    return score, both["employed"].to_numpy(float), len(first)


def _prices() -> tuple[Floats, Floats, int]:
    """(prediction, truth, rows of the holdout)."""
    read: list[Any] = [
        pd.read_csv(_FOLDER / f"regression_synthetic_{part}.csv")
        for part in ("reference", "analysis", "analysis_targets")
    ]
    first, later, truth = read
    answers = np.concatenate([first["y_pred"], later["y_pred"]]).astype(float)
    values = np.concatenate([first["y_true"], truth["y_true"]]).astype(float)
    return answers, values, len(first)


@dataclass(frozen=True, slots=True)
class Labelled:
    """``read`` gives the answers, the truth and how many rows are the holdout; ``part``: from where
    to where of the rows after it is looked at; ``ranked`` by the AUC, else by the MAE."""

    read: Callable[[], tuple[Floats, Floats, int]]
    ranked: bool
    part: tuple[float, float] = (0.0, 1.0)


TABLES = {
    "CBPE of an AUC, employment": Labelled(_employment, ranked=True),
    "DLE of a MAE, car prices before they drift": Labelled(_prices, ranked=False, part=(0.0, 0.5)),
    "DLE of a MAE, car prices after they drift": Labelled(_prices, ranked=False, part=(0.5, 1.0)),
}


def run_estimates(name: str, rows: int, windows: int) -> dict[str, Any]:
    """Of the first ``windows`` of so many rows: how often the interval has what came out."""
    table = TABLES[name]
    ranked = table.ranked
    answers, truth, held = table.read()
    axis = NumericAxis.fit("answers", answers[:held])
    values = truth if ranked else np.abs(truth - answers)
    fitted = fit_calibration(
        axis.codes(answers[:held]), axis.bins, values[:held], np.arange(float(held)),
        answers[:held] if ranked else None,
    )  # fmt: skip
    assert fitted is not None
    inside = looks = 0
    widths: list[float] = []
    errors: list[float] = []
    begins, ends = (held + round(share * (len(answers) - held)) for share in table.part)
    for at in range(begins, min(ends - rows + 1, begins + rows * windows), rows):
        part = slice(at, at + rows)
        counts = np.bincount(axis.codes(answers[part]), minlength=axis.bins)
        told = estimate(fitted, counts, ALPHA)
        real = auc(answers[part], truth[part] > 0.5) if ranked else float(values[part].mean())
        looks += 1
        inside += told.lower <= real <= told.upper
        widths.append(told.upper - told.lower)
        errors.append(told.value - real)
    return {
        "table": name, "rows": rows, "windows": looks, "covered": inside / looks,
        "width": float(np.median(widths)), "mean error": float(np.mean(errors)),
    }  # fmt: skip


def estimate_measures(runs: Sequence[dict[str, Any]]) -> list[Measure]:
    return [
        Measure(f"{run['table']}, {run['rows']:,} rows a window: share of windows that the interval"
                " covers", run["covered"], at_least=COVERED)
        for run in runs
    ]  # fmt: skip
