"""What a version's training data looked like, and how its windows used to vary."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.axes import AxisIndex, axis_index
from windvane.core.drift.cell import Cell, known_bins, measured_evidence, rare_bins
from windvane.core.drift.deviation import (
    MEASURES,
    Deviations,
    Measure,
    Reference,
    measure_deviations,
)
from windvane.core.drift.excursions import Excursions, choose, count_excursions, discount
from windvane.core.drift.forecast import (
    SLOTS,
    Forecast,
    day_slot,
    hours_around,
    learn,
    residuals,
)
from windvane.core.drift.outage import Runs, extend_runs, learn_often
from windvane.core.drift.packing import (
    pack_learned,
    pack_pending,
    pack_text,
    unpack_learned,
    unpack_pending,
    unpack_text,
)
from windvane.core.drift.pending import Pending, rows_of
from windvane.core.sketch import Layout
from windvane.core.verdict import e_values

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_BLOCKS = 112
_LEARNED = 2_500  # looks at the end of the training data that a forecast learns from
_HOUR_S = 3_600.0
_DOUBT, _MOST_EVIDENCE = 6.0, 9.0  # logs: where learning stops, and what is remembered
_MOST_LEFT_OUT = 0.25  # of the looks: what lasts longer is how the data is
_RANKED_FROM = 50
_OFTEN_LEFT_OUT = 5  # times: fewer are faults, and more are how evidence climbs
_LATE = 3  # looks that evidence takes to tell
_MOST_OUT = 0.1  # of the windows: a source that has no value for longer is like that
_OUT = 0.9
_OUT_ROWS = 8
_BLOCKS_OF_PAST = 8
_GENERATIONS = 1.5  # a past in service is of one to two
_LEAST_SPANS = 3
_KNOWN_FIRST = 10  # windows that a level by medians is worth


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """A version's reference.

    ``counts`` (layout size,) of all training rows. ``cell``: what a model's first windows are
    compared with and how its windows used to vary, learned from the end of the training data.
    ``between`` (axes, MEASURES): variance of the deviations of ``spans`` spans of the training
    data, as long as a look against it, from the whole; ``left_out``: features of which some
    training windows were left out because they were faults, with their number.
    """

    layout_id: str
    counts: Counts
    cell: Cell
    between: Floats
    spans: int
    left_out: Mapping[str, int]

    def to_bytes(self) -> bytes:
        body = {
            "layout_id": self.layout_id,
            "counts": self.counts.tolist(),
            "learned": base64.b64encode(pack_learned(self.cell)).decode(),
            "pending": pack_pending(self.cell.pending),
            "between": pack_text({"between": self.between}),
            "spans": self.spans,
            "left_out": dict(self.left_out),
        }
        return zlib.compress(json.dumps(body, separators=(",", ":")).encode(), 6)

    @classmethod
    def from_bytes(cls, packed: bytes) -> Baseline:
        body = json.loads(zlib.decompress(packed))
        counts = np.array(body["counts"], np.int64)
        if "learned" not in body:
            return _learned_nothing(layout_id=body["layout_id"], counts=counts)
        return cls(
            body["layout_id"],
            counts,
            unpack_learned(base64.b64decode(body["learned"]), unpack_pending(body["pending"]), {}),
            unpack_text(body["between"])["between"],
            int(body["spans"]),
            body["left_out"],
        )


def _learned_nothing(layout_id: str, counts: Counts) -> Baseline:
    """Of a version that an earlier release registered: how its windows vary is learned from what
    is served. How many axes the counts are of is not known here."""
    none = np.zeros_like(counts)
    flat = np.zeros((0, MEASURES))
    pending = Pending(none, Runs.empty(0), none.astype(bool))
    cell = Cell(
        Forecast.empty(0),
        pending,
        none,
        none,
        none,
        flat,
        flat,
        0.0,
        Excursions.empty(flat.shape),
        none.astype(bool),
        none,
    )
    return Baseline(layout_id, counts, cell, flat, 0, {})


def block_seconds(window_s: float, recent_s: float) -> float:
    """Counts of windows are kept in about ``_BLOCKS`` blocks of whole windows, not by window."""
    return window_s * max(1, round(recent_s / window_s) // _BLOCKS)


def calibration_seconds(window_s: float, recent_s: float) -> float:
    """How much of the end of the training data is read window by window."""
    return max(_LEARNED * window_s, recent_s)


def build_baseline(
    layout: Layout,
    windows: Mapping[float, Counts],
    window_s: float,
    recent_s: float,
    min_rows: int,
    counts: Counts | None = None,
    spans: Mapping[float, Counts] | None = None,
) -> Baseline:
    """From the training data's windows by start (quiet hours may be absent), of which those of
    the last ``calibration_seconds`` are learned from; ``counts`` of all rows where ``windows`` are
    not all of them; ``spans`` of all rows by spans as long as a look at training drift."""
    rows: Counts = np.sum(list(windows.values()), axis=0) if counts is None else counts
    last = max(windows)
    kept = {
        start: windows[start]
        for start in sorted(windows)
        if start > last - calibration_seconds(window_s, recent_s)
    }
    cell, left_out = learn_cell(layout, kept, window_s, recent_s, min_rows)
    between, known = _between(layout, rows, {} if spans is None else spans, min_rows)
    return Baseline(layout.id, rows, cell, between, known, left_out)


def learn_cell(
    layout: Layout,
    windows: Mapping[float, Counts],
    window_s: float,
    recent_s: float,
    min_rows: int,
) -> tuple[Cell, Mapping[str, int]]:
    """What past windows, by start in order, teach; and features of which windows were left out.

    The past is judged as the present would be, so that an outage in it is not learned as usual:
    while there is evidence of a change nothing is.
    """
    index = axis_index(layout)
    last = max(windows) + window_s
    tail = {s: c for s, c in windows.items() if s >= last - recent_s}
    out = _outages(index, windows)
    sound = {s: np.where(index.spread(out[s]), 0, c) for s, c in windows.items()}
    past = _RollingPast(index, sound, window_s, recent_s)
    forecast = _learn_hours(layout, windows, window_s, past, min_rows)
    runs = Runs.empty(len(layout.axes))
    looks = list(_looks(layout, windows, window_s, min_rows))[-_LEARNED:]
    seldom_out = np.mean(list(out.values()), axis=0) <= _MOST_OUT
    left = np.zeros((len(looks), len(layout.axes)), bool)
    evidence = np.zeros((len(layout.axes), 2))
    excursions = sound_only = of_all = Excursions.empty((len(layout.axes), MEASURES))
    occasions = np.zeros(len(layout.axes))
    known_values = known_bins(layout, np.sum(list(sound.values()), axis=0))
    for i, (at, merged, starts) in enumerate(looks):
        reference = past.at(at)
        found = measure_deviations(merged, reference)
        seen = residuals(forecast, found, at, np.full(found.value.shape, 0.5))
        log_e = _log_e(seen.p, discount(excursions))
        evidence = np.minimum(np.maximum(evidence, 0.0) + log_e, _MOST_EVIDENCE)
        ranked = forecast.ranked[:, Measure.NULLS] >= _RANKED_FROM
        doubtful = (evidence > _DOUBT) & ranked[:, None]
        usual = left[:i].mean(axis=0) > _MOST_LEFT_OUT if i > 2 * _RANKED_FROM else False
        left[i] = doubtful.any(axis=1) & ~np.asarray(usual)
        left[i] |= np.any([out[start] for start in starts], axis=0) & seldom_out
        mask = np.repeat(~left[i][:, None], MEASURES, axis=1)
        forecast = learn(forecast, found, seen, mask, mask)
        if i >= _RANKED_FROM:
            measured = measured_evidence(seen.p)
            sound_only = count_excursions(sound_only, measured, mask)
            of_all = count_excursions(of_all, measured, np.ones_like(mask))
            occasions += left[i] & ~left[i - 1]
            excursions = choose((occasions >= _OFTEN_LEFT_OUT)[:, None], of_all, sound_only)
        runs = learn_often(runs, merged, index, reference.rare & ~known_values, ~left[i])
    none = np.zeros(layout.size, np.int64)
    current = none.copy()
    begun = _with_looks_before(left)
    broken = {start: begun[i] for i, (_, _, starts) in enumerate(looks) for start in starts}
    healthy = {
        s: np.where(index.spread(broken[s]), 0, c) if s in broken else c for s, c in sound.items()
    }
    known_values = known_bins(layout, np.sum(list(healthy.values()), axis=0))
    for start in tail:
        current = current + healthy[start]
    total = np.sum([bad for start, bad in out.items() if start not in broken], axis=0)
    began = max(min(tail), last - recent_s)
    names = layout.names
    left_out = {names[i]: int(n) for i, n in enumerate(left.sum(axis=0) + total) if n}
    flat = np.zeros((len(layout.axes), MEASURES))
    doubted = {s: out[s] | broken.get(s, False) for s in windows}
    runs = _with_runs_before(runs, index, windows, doubted, ~known_values & ~index.null)
    pending = Pending(none, runs, rare_bins(layout, current, known_values))
    cell = Cell(
        forecast, pending, none, current, none, flat, flat, began, excursions, known_values, none
    )
    return cell, left_out


def _with_looks_before(left: Flags) -> Flags:
    """What was left out (looks, axes) with the looks in which there was too little evidence yet."""
    out = left.copy()
    for late in range(1, _LATE + 1):
        out[:-late] |= left[late:]
    return out


def _with_runs_before(
    runs: Runs, index: AxisIndex, windows: Mapping[float, Counts],
    doubted: Mapping[float, Flags], rare: Flags,
) -> Runs:  # fmt: skip
    """With how often windows were total faults, and for how long, and with no run that goes on; of
    those that were left out (axes,) as of what was told."""
    before = np.zeros(len(index.first), bool)
    for start, counts in windows.items():
        # A run ends with the first window after it, which is none of it.
        doubt = doubted[start] | before
        runs = extend_runs(runs, counts, index, rare, start, doubt, may_be_faults=True)
        before = doubted[start]
    none = np.zeros_like(runs.lasts)
    return replace(runs, rows=none.astype(np.float64), lasts=none, told=none)


class _RollingPast:
    """What a window of the past would have been compared with: the time before it, as in service.
    Those that have too little before them are compared with the first of all."""

    def __init__(
        self, index: AxisIndex, windows: Mapping[float, Counts], window_s: float, recent_s: float
    ) -> None:
        self._index, self._recent_s = index, recent_s
        self._block_s = max(window_s, recent_s / _BLOCKS_OF_PAST)
        self._blocks: dict[float, Counts] = {}
        for start, counts in windows.items():
            block = start // self._block_s * self._block_s
            self._blocks[block] = self._blocks.get(block, 0) + counts
        self._first = min(windows)
        self._held: dict[float, Reference] = {}

    def at(self, time: float) -> Reference:
        block = time // self._block_s * self._block_s
        if block not in self._held:
            low, high = block - _GENERATIONS * self._recent_s, block
            if block - self._first < self._recent_s / 2.0:
                low, high = self._first - self._block_s, self._first + self._recent_s
            mine = [c for s, c in self._blocks.items() if low <= s and s + self._block_s <= high]
            mine = mine or list(self._blocks.values())
            self._held = {block: Reference.of(self._index, np.sum(mine, axis=0))}
        return self._held[block]


def _outages(index: AxisIndex, windows: Mapping[float, Counts]) -> Mapping[float, Flags]:
    """Whether (axes,) a window has hardly a value of what is usually there, by its start."""
    counts = np.stack(list(windows.values())).astype(np.float64)
    rows = index.sum(counts)
    nulls = np.where(rows > 0, counts[:, index.first] / np.maximum(rows, 1.0), np.nan)
    usual = np.nan_to_num(_median(nulls))
    # One row without a value is no outage: where there are few rows, that is how nulls come.
    out = (np.nan_to_num(nulls) >= _OUT) & (usual < _OUT / 2.0) & (rows >= _OUT_ROWS)
    return dict(zip(windows, out, strict=True))


def _looks(
    layout: Layout, windows: Mapping[float, Counts], window_s: float, min_rows: int
) -> Iterator[tuple[float, Counts, tuple[float, ...]]]:
    """(middle, counts, starts) of windows merged until they have enough rows."""
    waiting: Counts | None = None
    starts: list[float] = []
    for start, counts in windows.items():
        waiting = counts if waiting is None else waiting + counts
        starts.append(start)
        if rows_of(layout, waiting) >= min_rows:
            yield (starts[0] + start + window_s) / 2.0, waiting, tuple(starts)
            waiting, starts = None, []


def _learn_hours(
    layout: Layout,
    windows: Mapping[float, Counts],
    window_s: float,
    past: _RollingPast,
    min_rows: int,
) -> Forecast:
    """A forecast that knows levels, hours and days of the week only, by medians: one bad day moves
    them little."""
    forecast = Forecast.empty(len(layout.axes))
    if window_s >= 24 * _HOUR_S:
        return forecast
    span = max(_HOUR_S, window_s)
    by_hour: dict[float, Counts] = {}
    for start, counts in windows.items():
        hour = start // span * span
        by_hour[hour] = by_hour.get(hour, 0) + counts
    middles: list[float] = []
    values: list[Floats] = []
    for hour, counts in by_hour.items():
        if rows_of(layout, counts) < min_rows // 8:
            continue
        middles.append(hour + span / 2.0)
        values.append(measure_deviations(counts, past.at(hour)).value)
    if not values:
        return forecast
    found = np.stack(values)
    level = np.nan_to_num(_median(found))
    slots, slots_seen = np.zeros((SLOTS, *level.shape)), np.zeros(SLOTS)
    per_slot = max(1.0, span / window_s)
    left = found - level
    hours = np.array([max(hours_around(at), key=lambda s: s[1])[0] for at in middles])
    days = np.array([day_slot(at) for at in middles])
    for slot_of, part in ((hours, 1.0), (days, span / (24.0 * _HOUR_S))):
        for slot in set(slot_of.tolist()):
            mine = slot_of == slot
            times = float(mine.sum()) * part
            slots[slot] = np.nan_to_num(_median(left[mine])) * times / (times + 1.0)
            slots_seen[slot] = float(mine.sum()) * per_slot
        left = left - slots[slot_of]
    known = np.full(level.shape, float(min(len(found), _KNOWN_FIRST)))
    return replace(forecast, seen=known, level=level, slots=slots, slots_seen=slots_seen)


def _median(values: Floats) -> Floats:
    """Of (n, ...), ignoring NaN; NaN where all are."""
    known = ~np.isnan(values)
    filled = np.where(known, values, np.inf)
    ordered = np.sort(filled, axis=0)
    count = known.sum(axis=0)
    low = np.maximum((count - 1) // 2, 0)[None]
    high = np.maximum(count // 2, 0)[None]
    middle = np.take_along_axis(ordered, low, 0)[0] + np.take_along_axis(
        ordered, np.minimum(high, len(values) - 1), 0
    )[0]  # fmt: skip
    return np.where(count > 0, middle / 2.0, np.nan)


def _log_e(p: Floats, power: Floats) -> Floats:
    """Log e-values (axes, 2) of values and nulls, discounted by ``power`` (axes, MEASURES)."""
    known = ~np.isnan(p)
    e = e_values(p) ** power
    values = known[:, : Measure.NULLS].sum(axis=1)
    mean_e = np.where(values > 0, e[:, : Measure.NULLS].sum(axis=1) / np.maximum(values, 1), 1.0)
    nulls = np.where(known[:, Measure.NULLS], e[:, Measure.NULLS], 1.0)
    return np.log(np.stack([mean_e, nulls], axis=-1))


def _between(
    layout: Layout, rows: Counts, spans: Mapping[float, Counts], min_rows: int
) -> tuple[Floats, int]:
    """Mean square deviation of spans from the whole, and how many there are."""
    reference = Reference.of(axis_index(layout), rows)
    found: list[Deviations] = [
        measure_deviations(counts, reference)
        for counts in spans.values()
        if rows_of(layout, counts) >= min_rows
    ]
    if len(found) < _LEAST_SPANS:
        return np.zeros((len(layout.axes), MEASURES)), len(found)
    values = np.stack([one.value for one in found])
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0) - 1, 1)
    return (np.where(known, values, 0.0) ** 2).sum(axis=0) / count, len(found)
