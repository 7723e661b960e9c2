"""The real year: what seasons do to the drift table, and whom quiet weeks would have woken."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from flight_rows import FlightRows, fit_layout
from steward_loop import StewardLoop

from windvane.core.drift import build_baseline
from windvane.usecases.monitors import watch_policy
from windvane.usecases.read_model_file import read_model_file

DAY = 86_400.0
TENANTS = 16  # the airlines


def _at(text: str) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()


TRAIN_UNTIL = _at("2013-07-01")  # as the demo does


@dataclass(frozen=True, slots=True)
class Week:
    """One look at training drift and the pages of the same seven days.

    ``drifted``: features whose detector against the training data sounds; ``top``: the largest
    PSI; ``pages``: alarms against the recent past, which would have woken a person.
    """

    start: float
    rows: int
    drifted: int
    top: tuple[tuple[str, float], ...]
    pages: tuple[str, ...]

    @property
    def day(self) -> str:
        return dt.datetime.fromtimestamp(self.start, dt.UTC).date().isoformat()


def run_year(rows: FlightRows, tick: Callable[[], None], weeks: int = 26) -> list[Week]:
    """The demo's model file on unspoilt flights after its training months, 26 whole weeks."""
    file = read_model_file(
        files("windvane.apps.demo").joinpath("model.yaml").read_text(encoding="utf-8")
    )
    names = [spec.name for spec in file.schema]
    policy = watch_policy(file, models=1, tenants=TENANTS)
    window_s, week_s = policy.window_s, policy.drift_over_s
    trained = rows.times < TRAIN_UNTIL
    layout = fit_layout(rows, np.flatnonzero(trained), names)
    starts, groups = np.unique(rows.times // window_s * window_s, return_inverse=True)
    counts = layout.count(rows.columns, groups.astype(np.int64), len(starts))
    windows = dict(zip(starts.tolist(), counts, strict=True))
    past = {start: of for start, of in windows.items() if start < TRAIN_UNTIL}
    baseline = build_baseline(layout, past, window_s, policy.recent_s, policy.min_rows)
    loop = StewardLoop(file, layout, baseline, policy)
    out: list[Week] = []
    for week in range(weeks):
        first = TRAIN_UNTIL + week * week_s
        grid = [first + i * window_s for i in range(round(week_s / window_s))]
        pages: list[str] = []
        for start in grid:
            # Night hours hold no flights: those windows are absent, as in the steward.
            if start in windows:
                _, opened = loop.judge_sudden_shift(start, windows[start])
                pages += [f"{a.feature}/{a.kind.value} {a.size:.2f}" for a in opened]
            tick()
        merged = np.sum([windows[s] for s in grid if s in windows], axis=0)
        readings, _ = loop.judge_training_drift(first, merged)
        top = sorted(((r.feature, r.size) for r in readings), key=lambda x: -x[1])[:4]
        drifted = sum(state.alarmed for state in loop.drifting.values())
        rows_seen = int(layout.part(merged, names[0]).sum())
        out.append(Week(first, rows_seen, drifted, tuple(top), tuple(pages)))
    return out
