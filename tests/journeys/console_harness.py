"""What the story's models look like: their files, their traffic, their baselines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from windvane.core.drift import Baseline, build_baseline
from windvane.core.sketch import (
    LATENCY_EDGES_US,
    TRAFFIC,
    CategoryAxis,
    Layout,
    NumericAxis,
    Sketch,
)
from windvane.ports.control_store import VersionRecord

WINDOW_S = 3 * 3600.0
NOW = 1_361_923_200.0 + 1_500.0  # 2013-02-27 00:25 UTC: a window is 25 minutes old
WINDOWS = 90
BROKEN = 7
TENANTS = (
    "alder-air", "birch-jet", "cedar-wings", "delta-coast", "elm-express", "fir-shuttle",
    "gale-lines", "harbor-air", "inlet-hop", "juniper-sky", "kelp-cargo", "<b>lark&co</b>",
)  # fmt: skip

FLIGHT = """\
model: flight-delay
owner: {team: ops, contact: "#ops-ml"}
tier: critical
runbook: docs/runbooks
predicts: {kind: binary, outcome: arr_late}
unit: passenger_id
features:
  weather:
    temp: {type: number, nullable: true}
    wind_speed: {type: number, nullable: true}
    visibility: {type: number, nullable: true}
    precip: {type: number, nullable: true}
  flight:
    distance: {type: number}
    hour: {type: integer}
    carrier: {type: category}
serve: {deadline: 100ms, fallback: [previous, {constant: 0.2}]}
slo: {availability: 99%, latency: {p99: 50ms}, over: 30d}
watch: {window: 3h, outcomes: {arrive_within: 1d, metric: auc, floor: 0.62}}
rollout: {steps: [5%, 25%, 50%, 100%], soak: 6h}
"""
DEMAND = """\
model: seat-demand
owner: {team: revenue, contact: "#seats"}
features:
  booking:
    lead_days: {type: integer}
    fare: {type: number}
watch: {window: 3h}
"""
NO_SHOW = """\
model: no-show
owner: {team: gates, contact: "#gates"}
features:
  booking:
    checked_in: {type: integer}
"""


def at_window(back: int) -> float:
    """The start of the window ``back`` before the open one."""
    return NOW // WINDOW_S * WINDOW_S - back * WINDOW_S


def draw_flights(rng: np.random.Generator, n: int, *, late: bool, broken: bool) -> dict[str, Any]:
    cold = -6.0 if late else 0.0
    columns: dict[str, Any] = {
        "temp": rng.normal(52 + cold, 12, n),
        "wind_speed": rng.gamma(3.0, 3.5, n),
        "visibility": np.minimum(10.0, rng.gamma(9.0, 1.2, n)),
        "precip": np.where(rng.random(n) < 0.85, 0.0, rng.exponential(0.1, n)),
        "distance": rng.gamma(3.0, 350.0, n),
        "hour": rng.integers(5, 24, n).astype(float),
        "carrier": rng.choice(["UA", "B6", "EV", "DL", "AA", "MQ"], n).tolist(),
        "output": np.clip(rng.beta(2, 6, n), 0, 1),
    }
    for name, rate in (("temp", 0.97), ("wind_speed", 0.97), ("visibility", 0.9), ("precip", 0.5)):
        lost = rng.random(n) < (rate if broken else 0.004)
        columns[name] = np.where(lost, np.nan, columns[name])
    return columns


def flight_layout(rng: np.random.Generator) -> Layout:
    columns = draw_flights(rng, 6_000, late=False, broken=False)
    axes: list[NumericAxis | CategoryAxis] = []
    for name, values in columns.items():
        if name == "carrier":
            axes.append(CategoryAxis(name, ("AA", "B6", "DL", "EV", "MQ", "UA")))
        else:
            axes.append(NumericAxis.fit(name, np.asarray(values, np.float64), bins=16))
    return Layout(tuple(axes))


def sketch_of(
    rng: np.random.Generator, layout: Layout, columns: Mapping[str, Any], n: int, **traffic: int
) -> Sketch:
    counts = {"rows": n, "requests": n, "outcomes": n // 2, **traffic}
    us = rng.lognormal(np.log(3_200), 0.55, n)
    bins = np.bincount(
        np.searchsorted(LATENCY_EDGES_US, us, side="left"), minlength=len(LATENCY_EDGES_US) + 1
    )
    flat = layout.count(columns)[0]
    tally = np.array([counts.get(name, 0) for name in TRAFFIC], np.int64)
    return Sketch(layout.id, flat, tally, bins.astype(np.int64))


def baseline_of(rng: np.random.Generator, layout: Layout, draw: Any) -> Baseline:
    first = at_window(WINDOWS + 150)
    windows = {first + i * WINDOW_S: layout.count(draw(rng, 300))[0] for i in range(140)}
    return build_baseline(layout, windows, WINDOW_S, 14 * 86400.0, 50)


def version_of(
    model: str, version: str, layout: Layout, views: tuple[str, ...], area: float, at: float,
    baseline: Baseline,
) -> VersionRecord:  # fmt: skip
    manifest = f"{abs(hash((model, version))) % 16**12:012x}".ljust(64, "0")
    return VersionRecord(
        model, version, f"artifacts/{model}/{version}", manifest, layout.id, views,
        {"auc": area}, {}, baseline.to_bytes(), at,
    )  # fmt: skip
