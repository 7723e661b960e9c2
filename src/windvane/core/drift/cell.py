"""All that is carried of one cell: of a model's traffic as a whole, or of one tenant's.

A cell is one value that begins and ends with it: what its windows were compared with, what is
usual of it, its runs and its detectors. Nothing else is remembered between two windows, so a
restart changes no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import scipy
from numpy.typing import NDArray

from windvane.core.drift.axes import axis_index
from windvane.core.drift.deviation import (
    MEASURES,
    ONE_SIDED,
    VALUE_MEASURES,
    Deviations,
    Measure,
    Reference,
    effects,
    measure_deviations,
)
from windvane.core.drift.forecast import (
    Forecast,
    Residuals,
    hour_variance,
    largest_residual,
    learn,
    mean_variance,
    residuals,
    run_variance,
    size_of,
)
from windvane.core.drift.judge import Kind, Reading, StreamState
from windvane.core.drift.outage import Runs, Total, extend_runs, learn_often, log_chance
from windvane.core.sketch import Layout
from windvane.core.verdict import e_values, log_chance_to_e

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
_DOUBT = 0.5
"""The part of an alarm's log evidence from which nothing is learned any more."""
_MOST_OVERDISPERSION = 1e6
_FADES = 0.5
_HOURS_LAST = 8.0  # windows that an hour's own level lasts, about
_RANKED_A_DEGREE, _FREEDOM = 150.0, (3.0, 8.0)
_BEYOND = 1.5  # times the largest healthy residual
_USUAL = 2.0  # deviations that few healthy windows exceed
_WORDS = {
    Total.NULL: "no value",
    Total.UNSEEN: "values hardly ever seen",
    Total.CONSTANT: "one value",
}


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """``previous`` and ``current`` (layout size,): healthy counts of the last whole and of this
    generation, which ``began`` (s); ``held``: counts of features since there is evidence of a
    change in them, or since they changed, with ``left`` (axes, MEASURES), the sum of what was
    left in so many ``looks`` since then; ``waiting``: rows since the last look, which ``waits``
    since (s). ``streams``: detectors that have something to carry, by stream."""

    forecast: Forecast
    runs: Runs
    previous: Counts
    current: Counts
    held: Counts
    waiting: Counts
    left: Floats
    looks: Floats
    began: float
    waits: float | None = None
    streams: Mapping[str, StreamState] = field(default_factory=dict[str, StreamState])

    @classmethod
    def empty(cls, layout: Layout, began: float) -> Cell:
        axes, none = len(layout.axes), np.zeros(layout.size, np.int64)
        return cls(
            Forecast.empty(axes), Runs.empty(axes), none, none, none, none,
            np.zeros((axes, MEASURES)), np.zeros((axes, MEASURES)), began,
        )  # fmt: skip

    @property
    def past(self) -> Counts:
        """Healthy counts that windows are compared with: of one to two generations."""
        return self.previous + self.current

    @property
    def alarmed(self) -> bool:
        return any(held.alarmed for held in self.streams.values())


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A cell's rows that are enough to be looked at, and what was measured of them. ``ranks``:
    healthy residuals, as in `Forecast`."""

    counts: Counts
    reference: Reference
    found: Deviations
    residuals: Residuals
    ranks: Floats


def gather(cell: Cell, counts: Counts, start: float, reference: Reference) -> Cell:
    """The cell with one more window's counts, which began at ``start`` (s), waiting to be looked
    at; runs of total faults are followed window by window."""
    if not counts.any():
        return cell
    return replace(
        cell,
        waiting=cell.waiting + counts,
        waits=start if cell.waits is None else cell.waits,
        runs=extend_runs(cell.runs, counts, reference, start),
    )


def rows_of(layout: Layout, counts: Counts) -> int:
    """Rows in counts, by their fullest axis: some axes may be younger than others."""
    return int(axis_index(layout).sum(counts.astype(np.float64)).max(initial=0.0))


def look(
    cell: Cell, reference: Reference, end: float, seed: int, ranks: Floats | None = None
) -> Look:
    """Measure what waits, up to ``end`` (s). ``ranks`` as in `residuals`."""
    found = measure_deviations(cell.waiting, reference)
    at = ((cell.waits if cell.waits is not None else end) + end) / 2.0
    uniform = np.random.default_rng(seed).random(found.value.shape)
    left = residuals(cell.forecast, found, at, uniform, ranks)
    known = cell.forecast.ranks if ranks is None else ranks
    return Look(cell.waiting, reference, found, left, known)


def overdispersion(forecast: Forecast) -> Floats:
    """How many rows (axes, MEASURES) of a run of windows count as one, at least 1: they are as
    dependent as slow waves make them, within windows and across."""
    slow = run_variance(forecast) + _HOURS_LAST * hour_variance(forecast)
    spread = slow / np.maximum(forecast.chance, 1e-300)
    return np.clip(np.nan_to_num(spread), 1.0, _MOST_OVERDISPERSION)


def outage_readings(
    cell: Cell, layout: Layout, views: Mapping[str, str], reference: Reference
) -> list[Reading]:
    """Of each feature whose last rows are all alike in a way that healthy ones hardly are, and of
    those whose alarm is open."""
    worst = overdispersion(cell.forecast)
    of_values = worst[:, Measure.LOCATION]
    chance = log_chance(cell.runs, reference, of_values)
    of_nulls = log_chance(cell.runs, reference, worst[:, Measure.NULLS])
    chance[:, Total.NULL] = of_nulls[:, Total.NULL]
    out: list[Reading] = []
    for i, axis in enumerate(layout.axes):
        if axis.name not in views:
            continue
        kind = Total(int(chance[i].argmin()))
        least = float(chance[i, kind])
        stream = f"{axis.name}/{Kind.OUTAGE.value}"
        if least > -1.0 and stream not in cell.streams:
            continue
        going_on = least < -1.0
        out.append(
            Reading(
                axis.name, views[axis.name], Kind.OUTAGE,
                log_e=log_chance_to_e(least) if going_on else 0.0,
                size=1.0 if going_on else 0.0,
                now=1.0 if going_on else 0.0,
                noise=0.1,
                began=float(cell.runs.since[i, kind]),
                what=_WORDS[kind] if going_on else "",
            )
        )  # fmt: skip
    return out


def readings(
    cell: Cell, seen: Look, layout: Layout, views: Mapping[str, str], *, all_streams: bool
) -> list[Reading]:
    """VALUES and NULLS of each feature; without ``all_streams`` only those that say something: the
    others would leave their detectors as they are."""
    p = seen.residuals.p
    known = ~np.isnan(p)
    far = np.where(known, _far_chance(cell, seen), np.nan)
    # Of two e-values the mean is one: ranks for what is odd, tails for what is far beyond all.
    e = (e_values(p) + e_values(far)) / 2.0
    values = known[:, : Measure.NULLS].sum(axis=1)
    mean_e = e[:, : Measure.NULLS].sum(axis=1) / np.maximum(values, 1)
    sizes, usual, now, noise = _sizes(cell, seen)
    value_size = np.nanmax(np.where(known, sizes, 0.0)[:, : Measure.NULLS], axis=1)
    out: list[Reading] = []
    for i, axis in enumerate(layout.axes):
        if axis.name not in views:
            continue
        for kind, there, e_value, size, places in (
            (Kind.VALUES, values[i] > 0, mean_e[i], value_size[i], VALUE_MEASURES),
            (Kind.NULLS, known[i, Measure.NULLS], e[i, Measure.NULLS], sizes[i, Measure.NULLS],
             (Measure.NULLS,)),
        ):  # fmt: skip
            stream = f"{axis.name}/{kind.value}"
            if not there or not (all_streams or e_value > 1.0 or stream in cell.streams):
                continue
            top = max(places, key=lambda m: (known[i, m], now[i, m] / noise[i, m]))
            out.append(
                Reading(
                    axis.name, views[axis.name], kind,
                    log_e=float(np.log(max(e_value, 1e-12))),
                    size=float(size),
                    now=float(now[i, top]),
                    noise=float(noise[i, top]),
                    usual=float(max(usual[i, m] for m in places)),
                    known=int(cell.forecast.seen[i, places[-1]]),
                )
            )  # fmt: skip
    return out


def _far_chance(cell: Cell, seen: Look) -> Floats:
    """Chances (axes, MEASURES) by assumption, not by rank, which is never rarer than one in as many
    as are known; 1 unless a residual is well beyond all healthy ones. Of values, that residuals
    have tails no heavier than Student's with three to eight degrees of freedom, more the more
    healthy ones are known; of nulls, that their rate is the largest of healthy windows (exact,
    binomial)."""
    z, held, found = seen.residuals.z, cell.forecast, seen.found
    beyond = _BEYOND * largest_residual(seen.ranks)
    size = size_of(z)
    sides = np.where(ONE_SIDED, 1.0, 2.0)
    freedom = np.clip(seen.ranks.sum(axis=-1) / _RANKED_A_DEGREE, *_FREEDOM)
    chance = sides * np.asarray(scipy.special.stdtr(freedom, -size), np.float64)
    error = np.sqrt(seen.residuals.variance[:, Measure.NULLS])
    usual = found.value[:, Measure.NULLS] - seen.residuals.left[:, Measure.NULLS]
    most = np.clip(
        seen.reference.nulls + np.nan_to_num(usual) + beyond[:, Measure.NULLS] * error,
        1e-9, 1.0 - 1e-9,
    )  # fmt: skip
    spread = held.lag0[:, Measure.NULLS] + hour_variance(held)[:, Measure.NULLS]
    clustered = spread / np.maximum(held.chance[:, Measure.NULLS], 1e-300)
    rows = found.rows / np.clip(np.nan_to_num(clustered), 1.0, _MOST_OVERDISPERSION)
    share = np.nan_to_num(found.value[:, Measure.NULLS]) + seen.reference.nulls
    hits = np.clip(share, 0.0, 1.0) * rows
    tail = scipy.special.betainc(np.maximum(hits, 1e-9), rows - hits + 1.0, most)
    chance[:, Measure.NULLS] = np.where(share > most, tail, 1.0)
    return np.where(size > beyond, chance, 1.0)


def _sizes(cell: Cell, seen: Look) -> tuple[Floats, Floats, Floats, Floats]:
    """All (axes, MEASURES): the size since there is evidence of a change, what is usual of means of
    as many looks, and this look's amplitude with its noise in healthy windows."""
    left = np.nan_to_num(seen.residuals.left)
    units = np.maximum(seen.found.units, 1e-12)
    looks = cell.looks + 1.0
    mean = (cell.left + left) / looks
    variance = mean_variance(cell.forecast, looks)
    sizes = effects(mean, variance, units)
    usual = _USUAL**2 * variance / units
    usual[:, Measure.SHAPE] = 8.0 * _USUAL * np.sqrt(variance[:, Measure.SHAPE])
    usual[:, Measure.NULLS] = _USUAL * np.sqrt(variance[:, Measure.NULLS])
    one = seen.residuals.variance / units
    now = np.abs(left) / np.sqrt(units)
    noise = np.sqrt(np.maximum(one, 1e-12))
    for measure in (Measure.SHAPE, Measure.NULLS):
        now[:, measure] = np.maximum(left[:, measure], 0.0)
    now[:, Measure.SHAPE] = np.sqrt(8.0 * now[:, Measure.SHAPE])
    shape = 8.0 * np.sqrt(seen.residuals.variance[:, Measure.SHAPE])
    noise[:, Measure.SHAPE] = np.sqrt(np.maximum(shape, 1e-12))
    return sizes, usual, now, noise


def settle(
    cell: Cell,
    layout: Layout,
    streams: Mapping[str, StreamState],
    alarm_at: float,
    recent_s: float,
    least_rows: int,
    end: float,
    seen: Look | None,
) -> Cell:
    """The cell after its window was judged: ``streams`` are its detectors now. What was looked at
    (None: rows still wait) becomes part of the past once there is no evidence of a change in it. A
    generation ends after ``recent_s`` seconds, but not with fewer than ``least_rows``."""
    if seen is None:
        return replace(cell, streams=streams)
    index = axis_index(layout)
    doubt = _DOUBT * np.log(alarm_at)
    learns = np.ones((len(layout.axes), MEASURES), bool)
    follows = np.ones_like(learns)
    quiet = np.ones(len(layout.axes), bool)
    ended = np.zeros(len(layout.axes), bool)
    kept = np.zeros((len(layout.axes), MEASURES))
    for i, axis in enumerate(layout.axes):
        for kind, places in (
            (Kind.VALUES, VALUE_MEASURES), (Kind.NULLS, (Measure.NULLS,)),
            (Kind.OUTAGE, tuple(Measure)),
        ):  # fmt: skip
            stream = f"{axis.name}/{kind.value}"
            before, held = cell.streams.get(stream), streams.get(stream)
            ended[i] |= before is not None and before.alarmed and held is None
            if held is None:
                continue
            quiet[i] = False
            # What came before most of the evidence did is hardly part of the change.
            kept[i, places] = 1.0 if held.sure > 0.0 else _FADES
            learns[i, places] &= not held.alarmed and held.log_evidence < doubt
            follows[i, places] &= not held.alarmed
    sounds = ~follows.all(axis=1)
    learns[sounds] = False
    of_bins = index.spread(quiet)
    over = index.spread(ended & ~sounds)
    held = np.where(over, 0, cell.held) + seen.counts
    current = cell.current + np.where(of_bins, held, 0)
    grown = replace(
        cell,
        forecast=learn(cell.forecast, seen.found, seen.residuals, learns, follows),
        runs=learn_often(cell.runs, seen.counts, seen.reference, np.asarray(learns.all(axis=1))),
        current=current,
        held=np.where(of_bins, 0, held),
        left=kept * (cell.left + np.nan_to_num(seen.residuals.left)),
        looks=kept * (cell.looks + 1.0),
        waiting=np.zeros_like(cell.waiting),
        waits=None,
        streams=streams,
    )
    if end - grown.began < recent_s or rows_of(layout, current) < least_rows:
        return grown
    return replace(grown, previous=current, current=np.zeros_like(current), began=end)


def accept_change(cell: Cell, layout: Layout, features: Sequence[str]) -> Cell:
    """The cell once what came of these features since they changed is how they are: it becomes
    their past, their alarms are gone, and how their windows vary is learned anew."""
    index = axis_index(layout)
    mine = np.array([name in features for name in layout.names])
    since = cell.held + cell.waiting
    some = index.sum(since.astype(np.float64)) > 0  # else there is nothing to begin with yet
    of_bins = index.spread(mine & some)
    runs = replace(cell.runs, rows=np.where(mine[:, None], 0.0, cell.runs.rows))
    anew = {
        name: np.where(mine.reshape(-1, *[1] * (held.ndim - 1)), 0.0, held)
        for name in Forecast.BY_AXIS
        for held in (getattr(cell.forecast, name),)
    }
    hours = np.where(mine[None, :, None], 0.0, cell.forecast.hours)
    return replace(
        cell,
        forecast=replace(cell.forecast, **anew, hours=hours),
        runs=runs,
        previous=np.where(of_bins, 0, cell.previous),
        current=np.where(of_bins, since, cell.current),
        held=np.where(of_bins, 0, cell.held),
        left=np.where(mine[:, None], 0.0, cell.left),
        looks=np.where(mine[:, None], 0.0, cell.looks),
        streams={s: h for s, h in cell.streams.items() if s.rpartition("/")[0] not in features},
    )


def project_cell(cell: Cell, layout: Layout, onto: Layout, fresh: Cell) -> Cell:
    """A cell of one layout under another: axes that are the same in both keep all that is known of
    them, others begin as in ``fresh``."""
    if onto is layout or onto.id == layout.id:
        return cell
    held = {axis: i for i, axis in enumerate(layout.axes)}
    pairs = [(held[axis], i) for i, axis in enumerate(onto.axes) if axis in held]
    rows = np.array([i for i, _ in pairs], np.int64)
    places = np.array([i for _, i in pairs], np.int64)
    old, new = axis_index(layout), axis_index(onto)

    def counts(of: Counts, into: Counts) -> Counts:
        kept = np.zeros(len(onto.axes), bool)
        kept[places] = True
        return np.where(new.spread(kept), layout.project(of, onto), into)

    def moved(of: Floats, into: Floats, axis: int) -> Floats:
        out = np.array(into, copy=True)
        if of.shape[-1] != into.shape[-1] and axis == 0:
            return out
        source = np.take(of, rows, axis=axis)
        if axis == 0:
            out[places] = source
        else:
            out[:, places] = source
        return out

    runs = replace(
        fresh.runs,
        **{
            name: moved(getattr(cell.runs, name), getattr(fresh.runs, name), 0)
            for name in ("rows", "since", "often", "windows")
        },
    )
    value = np.array(fresh.runs.value, copy=True)
    offset = cell.runs.value[rows] - old.first[rows]
    value[places] = np.where(offset >= 0, offset + new.first[places], 0)
    forecast = replace(
        fresh.forecast,
        **{
            name: moved(getattr(cell.forecast, name), getattr(fresh.forecast, name), 0)
            for name in Forecast.BY_AXIS
        },
        hours=moved(cell.forecast.hours, fresh.forecast.hours, 1),
        hours_seen=cell.forecast.hours_seen,
    )
    names = {axis.name for axis in onto.axes if axis in held}
    streams = {s: state for s, state in cell.streams.items() if s.rpartition("/")[0] in names}
    return Cell(
        forecast, replace(runs, value=value),
        counts(cell.previous, fresh.previous), counts(cell.current, fresh.current),
        counts(cell.held, fresh.held), counts(cell.waiting, fresh.waiting),
        moved(cell.left, fresh.left, 0), moved(cell.looks, fresh.looks, 0),
        cell.began, cell.waits, streams,
    )  # fmt: skip
