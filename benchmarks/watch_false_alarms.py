"""Alarms where nothing changed: before any size is looked at, and as the product's pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results import Measure
from scipy.special import ndtri
from watch_peers import KS_AT, PSI_AT, exact_psi, ks_p
from watch_worlds import (
    DAY,
    ROWS,
    SHARES,
    START,
    WINDOW_S,
    WORLDS,
    Rows,
    bench_of,
    count,
    lower_95,
    new_replay,
    normal_file,
    normal_layout,
)

from windvane.core.drift import (
    Cell,
    DriftPolicy,
    Kind,
    Reference,
    Watching,
    axis_index,
    build_baseline,
    measure_deviations,
    watch,
)
from windvane.core.sketch import Layout

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
AT = 1_000.0
"""The threshold that bare evidence is counted at: low, so that there is something to count."""
STREAMS = 2
"""Of values and of nulls of a feature; total faults have no share of their own here."""
TOO_MANY = 3.0
PEER_ROWS = 200  # of a window of the peers: the largest tenant's
PEER_EVERY = 10
MULTIPLIERS = (3.0, 10.0, 30.0, 100.0, 300.0)


@dataclass(frozen=True, slots=True)
class Length:
    """``past`` windows are trained on, ``bare`` ones judged by the evidence of the cells of
    everyone and of the tenants ``cells``, ``pages`` (of them) by the monitor with all tenants."""

    features: int = 40
    past: int = 3 * DAY
    warm: int = 240
    bare: int = DAY
    pages: int = DAY // 3
    cells: tuple[int, ...] = (0, 5, 9)


FULL = Length()
QUICK = Length(features=3, past=400, warm=60, bare=60, pages=30, cells=(0,))


def bare(alarm_at: float) -> DriftPolicy:
    """Every alarm is material: what is left is the evidence."""
    return DriftPolicy(alarm_at, material=dict.fromkeys(Kind, -1.0), unusual=0.0)


@dataclass
class BareCell:
    """A cell whose detectors begin anew after each alarm."""

    layout: Layout
    cell: Cell
    alarm_at: float
    alarms: int = 0
    looks: int = 0

    def see(self, counts: Counts, index: int) -> None:
        views = dict.fromkeys(self.layout.names, "source")
        how = Watching(self.layout, views, bare(self.alarm_at), 50, 14 * 86_400.0)
        start = START + WINDOW_S * index
        seen = watch(how, self.cell, counts, start, start + WINDOW_S, index)
        self.looks += seen.looked
        self.alarms += sum(alarm.opened for alarm in seen.alarms)
        streams = {s: h for s, h in seen.cell.streams.items() if not h.alarmed}
        self.cell = replace(seen.cell, streams=streams)


def trained_cell(layout: Layout, past: Mapping[float, Counts]) -> Cell:
    return build_baseline(layout, past, WINDOW_S, 14 * 86_400.0, 50).cell


def run_world(name: str, seed: int, length: Length) -> dict[str, Any]:
    """What one world's windows without drift led to, by detector."""
    world, layout = WORLDS[name], normal_layout(length.features)
    tenants = [
        Rows(world, length.features, round(ROWS * share), (seed, i))
        for i, share in enumerate(SHARES)
    ]
    past: list[list[Counts]] = []
    sample: list[Floats] = []
    for i in range(length.past):
        values = [one.window(i) for one in tenants]
        past.append([count(layout, v) for v in values])
        sample += [values[0]] if i % max(1, length.past // 50) == 0 else []
    starts = [START + WINDOW_S * i for i in range(length.past)]
    every = {s: np.sum(c, axis=0) for s, c in zip(starts, past, strict=True)}
    bench = bench_of(
        normal_file(length.features), layout, every, tenants=len(SHARES),
        since=START + WINDOW_S * (length.past - length.warm),
    )  # fmt: skip
    cells = [BareCell(layout, bench.baseline.cell, AT)]
    for k in length.cells:
        own = {start: counts[k] for start, counts in zip(starts, past, strict=True)}
        cells.append(BareCell(layout, trained_cell(layout, own), AT))
    replay = new_replay()
    names = [f"t{k}" for k in range(len(SHARES))]
    for i in range(length.past - length.warm, length.past):
        replay.judge(bench.window(starts[i], dict(zip(names, past[i], strict=True))))
    peers = Peers.of(layout, np.concatenate(sample), np.sum(list(every.values()), axis=0))
    for i in range(length.past, length.past + length.bare):
        values = [one.window(i) for one in tenants]
        counts = [count(layout, v) for v in values]
        total = np.sum(counts, axis=0)
        for one, seen in zip(cells, [total, *(counts[k] for k in length.cells)], strict=True):
            one.see(seen, i)
        peers.see(total, values[0], i)
        if i < length.past + length.pages:
            replay.judge(bench.window(START + WINDOW_S * i, dict(zip(names, counts, strict=True))))
    if replay.left_out:
        raise SystemExit(f"the monitor failed: {replay.left_out}")
    return {
        "world": name,
        "seed": seed,
        "found": sum(one.alarms for one in cells),
        "allowed": sum(one.looks for one in cells) * length.features * STREAMS / AT,
        "naive_found": peers.z_found,
        "naive_allowed": length.bare * length.features / AT,
        "pages": len(replay.alarms),
        "page_windows": length.warm + length.pages,
        "psi_pages": peers.psi_found,
        "ks_pages": peers.ks_found,
        "peer_windows": peers.looks,
    }


@dataclass
class Peers:
    """Detectors that take rows as independent, on the same rows; each alarm is a page."""

    reference: Reference
    edges: Floats
    ordered: list[Floats]
    expected: list[Floats]
    layout: Layout
    z_found: int = 0
    psi_found: int = 0
    ks_found: int = 0
    looks: int = 0

    @classmethod
    def of(cls, layout: Layout, sample: Floats, counts: Counts) -> Peers:
        edges = np.linspace(-3.0, 3.0, 21)
        ordered = [np.sort(c[~np.isnan(c)]) for c in sample.T]
        expected = []
        for column, known in zip(sample.T, ordered, strict=True):
            bins = np.bincount(np.searchsorted(edges, known, side="right"), minlength=22)
            expected.append(np.append(bins, np.isnan(column).sum()).astype(float))
        return cls(Reference.of(axis_index(layout), counts), edges, ordered, expected, layout)

    def see(self, total: Counts, values: Floats, index: int) -> None:
        found = measure_deviations(total, self.reference)
        z = found.value[:, 0] / np.sqrt(found.chance[:, 0])
        self.z_found += int((np.abs(z) > -ndtri(0.5 / AT)).sum())
        if index % PEER_EVERY == 0:
            self.looks += 1
            for k, column in enumerate(values.T):
                self.psi_found += exact_psi(column, self.edges, self.expected[k]) > PSI_AT
                self.ks_found += ks_p(column, self.ordered[k]) < KS_AT


def loosened(length: Length) -> dict[str, Any]:
    """A detector whose evidence is multiplied until it alarms three times as often as it may."""
    layout = normal_layout(length.features)
    rows = Rows(WORLDS["AR(.9) rows"], length.features, 200, (99,))
    cell = trained_cell(
        layout, {START + WINDOW_S * i: count(layout, rows.window(i)) for i in range(length.past)}
    )
    windows = [count(layout, rows.window(length.past + i)) for i in range(length.bare)]
    out: dict[str, Any] = {}
    for times in MULTIPLIERS:
        one = BareCell(layout, cell, AT / times)
        for i, counts in enumerate(windows):
            one.see(counts, length.past + i)
        allowed = one.looks * length.features * STREAMS / AT
        out = {"multiplied_by": times, "found": one.alarms, "allowed": allowed}
        if one.alarms >= TOO_MANY * allowed:
            break
    return out


def false_alarm_measures(
    worlds: list[dict[str, Any]], loose: Mapping[str, Any], *, quick: bool = False
) -> list[Measure]:
    out: list[Measure] = []
    for name in WORLDS:
        mine = [w for w in worlds if w["world"] == name]
        if not mine:
            continue
        found, allowed = sum(w["found"] for w in mine), sum(w["allowed"] for w in mine)
        out.append(
            Measure(f"{name}: alarms before any size, lower 95% bound over what is allowed",
                    lower_95(found) / allowed, at_most=1.0)
        )  # fmt: skip
        out.append(
            Measure(f"{name}: the same bound of a detector at {TOO_MANY:g}x the budget",
                    lower_95(TOO_MANY * allowed) / allowed, at_least=1.01)
        )  # fmt: skip
        if WORLDS[name].follows or WORLDS[name].cycle or WORLDS[name].burst:
            naive = lower_95(sum(w["naive_found"] for w in mine))
            out.append(
                Measure(f"{name}: the same bound of a z-test of the window that takes rows as"
                        " independent", naive / sum(w["naive_allowed"] for w in mine),
                        at_least=1.01)
            )  # fmt: skip
    out.append(
        Measure("AR(.9) rows: the same bound with evidence multiplied until it alarms 3x too often",
                lower_95(loose["found"]) / loose["allowed"], at_least=1.01)
    )  # fmt: skip
    weeks = sum(w["page_windows"] for w in worlds) / (7.0 * DAY)
    pages = sum(w["pages"] for w in worlds)
    out.append(
        Measure("false pages of the monitor with 10 tenants, lower 95% bound over 1 a week",
                lower_95(pages) / weeks, at_most=1.0)
    )  # fmt: skip
    peer_weeks = sum(w["peer_windows"] for w in worlds) / (7.0 * DAY)
    psi_pages = sum(w["psi_pages"] for w in worlds) / peer_weeks
    if not quick:
        out.append(
            Measure("false pages a week, as a share of those of PSI > 0.2 with 200 rows a window",
                    pages / weeks / psi_pages if psi_pages else float("nan"), at_most=0.4)
        )  # fmt: skip
    return out
