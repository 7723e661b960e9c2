"""All that is carried of one cell: of a model's traffic as a whole, or of one tenant's.

A cell is one value that begins and ends with it: what its windows were compared with, what is
usual of it, its runs and its detectors. Nothing else is remembered between two windows, so a
restart changes no verdict.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

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
from windvane.core.drift.doubtful import Doubtful, hold_back, sift
from windvane.core.drift.excursions import Excursions, count_excursions, discount
from windvane.core.drift.forecast import (
    Forecast,
    Residuals,
    hour_reach,
    hour_variance,
    largest_residual,
    learn,
    learn_late,
    mean_variance,
    places_of,
    residuals,
    run_variance,
    size_of,
)
from windvane.core.drift.judge import Kind, Reading, StreamState
from windvane.core.drift.outage import Runs, Total, learn_often, log_chance
from windvane.core.drift.pending import Pending, rows_of
from windvane.core.sketch import Layout
from windvane.core.verdict import e_values, log_chance_to_e

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
_HELD_FROM = 2.0
"""The log evidence from which counts are held back, until it is known what they are of."""
_MOST_OVERDISPERSION = 1e6
_FADES = 0.5
_HOURS_LAST = 8.0  # windows that an hour's own level lasts, about
_SCORES = (Measure.LOCATION, Measure.SPREAD, Measure.POSITION)
_RANKED_A_DEGREE, _FREEDOM = 150.0, (3.0, 12.0)
_NEAR_NORMAL = 30.0  # degrees of freedom: what is measured is a mean of some tens of rows
_BEYOND = 1.2  # times the largest healthy residual
_MOVED = 0.25  # of the largest effect
_USUAL = 2.0  # deviations that few healthy windows exceed
_A_FEW = 8
_HOURS_DIFFER = 0.5  # deviations of a feature's own
_SHAPE_THAT_MATTERS = 0.1 / 8.0  # a divergence of a stability index of 0.1
NO_VALUE = "no value"
_WORDS = {
    Total.NULL: NO_VALUE,
    Total.UNSEEN: "values hardly ever seen",
    Total.CONSTANT: "one value",
}


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """``previous`` and ``current`` (layout size,): healthy counts of the last whole and of this
    generation, which ``began`` (s); ``held``: counts of features since there is evidence of a
    change in them, or since they changed, with ``left`` (axes, MEASURES), the sum of what was
    left in so many ``looks`` since then. ``streams``: detectors that have something to carry, by
    stream, ``excursions`` how far the evidence of each measure climbs in healthy windows,
    ``known`` (layout size,) values that came more than a few times, ``former`` (layout size,) the
    past before a change that lasts, ``doubtful`` looks that are not learned from yet. All but
    detectors and what is ``pending`` changes by looks only."""

    forecast: Forecast
    pending: Pending
    previous: Counts
    current: Counts
    held: Counts
    left: Floats
    looks: Floats
    began: float
    excursions: Excursions
    known: NDArray[np.bool_]
    former: Counts
    doubtful: Doubtful = field(default_factory=Doubtful.empty)
    streams: Mapping[str, StreamState] = field(default_factory=dict[str, StreamState])

    @classmethod
    def empty(cls, layout: Layout, began: float) -> Cell:
        axes, none = len(layout.axes), np.zeros(layout.size, np.int64)
        return cls(
            Forecast.empty(axes), Pending.empty(layout), none, none, none,
            np.zeros((axes, MEASURES)), np.zeros((axes, MEASURES)), began,
            Excursions.empty((axes, MEASURES)), none.astype(bool), none,
        )  # fmt: skip

    @classmethod
    def of_past(cls, layout: Layout, began: float, past: Counts) -> Cell:
        """A cell of which nothing but healthy counts is known."""
        return begin_past(cls.empty(layout, began), layout, past)

    @property
    def past(self) -> Counts:
        """Healthy counts that windows are compared with: of one to two generations."""
        return self.previous + self.current

    @property
    def alarmed(self) -> bool:
        return any(held.alarmed for held in self.streams.values())


@dataclass(frozen=True, slots=True, eq=False)
class HealthyWindows:
    """How windows are when all is healthy: ``ranks`` (axes, MEASURES, RANKED) of their residuals,
    as in `Forecast`, and the ``discount`` (axes, MEASURES) of their evidence, see `discount`."""

    ranks: Floats
    discount: Floats

    @classmethod
    def of(cls, cell: Cell) -> HealthyWindows:
        return cls(cell.forecast.ranks, discount(cell.excursions))


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A cell's rows that are enough to be looked at, and what was measured of them, judged by
    how ``healthy`` windows are."""

    counts: Counts
    reference: Reference
    found: Deviations
    residuals: Residuals
    healthy: HealthyWindows


def rare_bins(layout: Layout, past: Counts, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Values that hardly ever come now, and never came but a few times."""
    return Reference.of(axis_index(layout), past).rare & ~known


def known_bins(layout: Layout, counts: Counts) -> NDArray[np.bool_]:
    """Values (layout size,) of which these rows have more than a few: however seldom they come, all
    rows of a window may have them, as of a day whose weather comes once a year. What training never
    had has to come often for that."""
    index = axis_index(layout)
    often = ~index.beyond | ~Reference.of(index, counts).rare
    return ~index.null & (counts >= _A_FEW) & often


def look(
    cell: Cell, reference: Reference, end: float, seed: int, healthy: HealthyWindows | None = None
) -> Look:
    """Measure what waits, up to ``end`` (s). By how ``healthy`` windows of another cell are,
    which may know its own error worse, nothing is rarer than its tails are."""
    waiting, waits = cell.pending.waiting, cell.pending.waits
    found = measure_deviations(waiting, reference)
    at = ((waits if waits is not None else end) + end) / 2.0
    uniform = np.random.default_rng(seed).random(found.value.shape)
    if healthy is None:
        left = residuals(cell.forecast, found, at, uniform)
        return Look(waiting, reference, found, left, HealthyWindows.of(cell))
    left = residuals(cell.forecast, found, at, uniform, healthy.ranks)
    seen = Look(waiting, reference, found, left, healthy)
    p = np.where(
        np.isnan(left.p), np.nan, np.maximum(left.p, _tail_chance(cell, seen, _NEAR_NORMAL, 0.0))
    )
    return replace(seen, residuals=replace(left, p=p))


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
    runs, rare = cell.pending.runs, cell.pending.rare
    chance = log_chance(runs, reference, rare, of_values)
    of_nulls = log_chance(runs, reference, rare, worst[:, Measure.NULLS])
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
                began=float(cell.pending.runs.since[i, kind]),
                what=_WORDS[kind] if going_on else "",
            )
        )  # fmt: skip
    return out


def suddenly_total(
    cell: Cell, layout: Layout, outages: Sequence[Reading], least: float
) -> frozenset[str]:
    """Features whose rows that wait are by themselves evidence of ``least`` (log) of a total fault:
    not where a long run is unlikely that any part of is usual."""
    rows = rows_of(layout, cell.pending.waiting)
    longest = dict(zip(layout.names, cell.pending.runs.rows.max(axis=1), strict=True))
    return frozenset(
        r.feature for r in outages
        if r.log_e * min(rows / max(float(longest[r.feature]), 1.0), 1.0) >= least
    )  # fmt: skip


def readings(
    cell: Cell, seen: Look, layout: Layout, views: Mapping[str, str], *, all_streams: bool
) -> list[Reading]:
    """VALUES and NULLS of each feature; without ``all_streams`` only those that say something: the
    others would leave their detectors as they are."""
    p = seen.residuals.p
    known = ~np.isnan(p)
    far = np.where(known, _far_chance(cell, seen), np.nan)
    # Ranks for what is odd, tails for what is far beyond all.
    e = np.stack([e_values(p), e_values(far)], axis=-1) ** seen.healthy.discount[..., None]
    values = known[:, : Measure.NULLS].sum(axis=1)
    mean_e = e[:, : Measure.NULLS].sum(axis=(1, 2)) / np.maximum(2 * values, 1)
    nulls_e = e[:, Measure.NULLS].mean(axis=-1)
    log_e = np.log(np.maximum(e, 1e-12))
    sizes, usual, now, noise, noise_off = _sizes(cell, seen)
    hours = _usual_now(cell, seen)
    value_size = np.nanmax(np.where(known, sizes, 0.0)[:, : Measure.NULLS], axis=1)
    out: list[Reading] = []
    for i, axis in enumerate(layout.axes):
        if axis.name not in views:
            continue
        for kind, there, e_value, size, places in (
            (Kind.VALUES, values[i] > 0, mean_e[i], value_size[i], VALUE_MEASURES),
            (Kind.NULLS, known[i, Measure.NULLS], nulls_e[i], sizes[i, Measure.NULLS],
             (Measure.NULLS,)),
        ):  # fmt: skip
            stream = f"{axis.name}/{kind.value}"
            if not there or not (all_streams or e_value > 1.0 or stream in cell.streams):
                continue
            # What hardly moved since the onset says nothing of whether it is over.
            moved = [m for m in places if sizes[i, m] >= _MOVED * size] if size > 0.0 else places
            top = max(moved, key=lambda m: (known[i, m], now[i, m] / noise[i, m]))
            out.append(
                Reading(
                    axis.name, views[axis.name], kind,
                    log_e=float(np.log(max(e_value, 1e-12))),
                    size=float(size),
                    now=float(now[i, top]),
                    noise=float(noise[i, top]),
                    noise_off=float(noise_off[i, top]),
                    usual=float(max(usual[i, m] for m in places)),
                    known=int(cell.forecast.seen[i, places[-1]]),
                    parts=tuple(
                        round(float(part), 4) for m in places if known[i, m] for part in log_e[i, m]
                    ),
                    usual_now=tuple(round(float(hours[i, m]), 3) for m in places)
                    if stream in cell.streams
                    else (),
                )
            )  # fmt: skip
    return out


def _usual_now(cell: Cell, seen: Look) -> Floats:
    """What is usual at that hour beyond the level (axes, MEASURES), in halves of how far hours are
    apart; 0 where they differ by less than would matter."""
    expected, reach = seen.residuals.expected, hour_reach(cell.forecast)
    units = np.sqrt(np.maximum(seen.found.units, 1e-12))
    units[:, Measure.SHAPE] = _SHAPE_THAT_MATTERS / _HOURS_DIFFER
    differ = reach >= _HOURS_DIFFER * units
    return np.where(differ, expected.of_hour / np.maximum(reach / 2.0, 1e-12), 0.0)


def _far_chance(cell: Cell, seen: Look) -> Floats:
    """Chances (axes, MEASURES) of residuals that lie well beyond all healthy ones, 1 of others: a
    rank is never rarer than one in as many as are known. Three to twelve degrees of freedom, more
    the more healthy ones are known."""
    beyond = _BEYOND * largest_residual(seen.healthy.ranks)
    known = seen.healthy.ranks.sum(axis=-1)
    freedom = np.clip(known / _RANKED_A_DEGREE, *_FREEDOM)
    freedom[:, Measure.SHAPE] = _FREEDOM[0]  # a divergence has few rare bins to thank for its tail
    chance = np.maximum(_tail_chance(cell, seen, freedom, 1.0), _skewed_chance(seen))
    return np.where(size_of(seen.residuals.z) > beyond, chance, 1.0)


def _skewed_chance(seen: Look) -> Floats:
    """Bounds (axes, MEASURES) on the chances of mean scores, by Bernstein's inequality: the mean of
    what is nearly always the same has a long tail on one side. 0 of what is no mean score."""
    z, found = size_of(seen.residuals.z), seen.found
    off = np.abs(np.nan_to_num(seen.residuals.left - seen.residuals.expected.ahead))
    row_variance = found.chance * np.maximum(found.rows, 1.0)[:, None]
    skewed = 2.0 * np.exp(-(z**2) / (2.0 * (1.0 + off / (3.0 * np.maximum(row_variance, 1e-12)))))
    return np.where(np.isin(np.arange(MEASURES), _SCORES), skewed, 0.0)


def _tail_chance(cell: Cell, seen: Look, freedom: Floats | float, errors: float) -> Floats:
    """Chances (axes, MEASURES) by assumption, not by rank: that residuals have tails no heavier
    than Student's with so many degrees of ``freedom``; of nulls also that as many rows as are left
    of clustered ones each have none by itself, at what is usual and so many ``errors`` more
    (binomial)."""
    z, held, found = seen.residuals.z, cell.forecast, seen.found
    size = size_of(z)
    sides = np.where(ONE_SIDED, 1.0, 2.0)
    chance = sides * np.asarray(scipy.special.stdtr(freedom, -size), np.float64)
    error = np.sqrt(seen.residuals.variance[:, Measure.NULLS])
    usual = found.value[:, Measure.NULLS] - seen.residuals.left[:, Measure.NULLS]
    most = np.clip(
        seen.reference.nulls + np.nan_to_num(usual) + errors * error,
        1e-9, 1.0 - 1e-9,
    )  # fmt: skip
    spread = held.lag0[:, Measure.NULLS] + hour_variance(held)[:, Measure.NULLS]
    clustered = spread / np.maximum(held.chance[:, Measure.NULLS], 1e-300)
    rows = found.rows / np.clip(np.nan_to_num(clustered), 1.0, _MOST_OVERDISPERSION)
    share = np.nan_to_num(found.value[:, Measure.NULLS]) + seen.reference.null_mean
    hits = np.clip(share, 0.0, 1.0) * rows
    tail = scipy.special.betainc(np.maximum(hits, 1e-9), rows - hits + 1.0, most)
    one_by_one = np.where(share > most, tail, 1.0)
    chance[:, Measure.NULLS] = np.maximum(chance[:, Measure.NULLS], one_by_one)
    return np.minimum(chance, 1.0)


def _sizes(cell: Cell, seen: Look) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """All (axes, MEASURES): the size since there is evidence of a change, what is usual of means of
    as many looks, and this look's amplitude with its noise in healthy windows and in those that
    are as far off as the mean since then."""
    left = np.nan_to_num(seen.residuals.left)
    units = np.maximum(seen.found.units, 1e-12)
    looks = cell.looks + 1.0
    mean = (cell.left + left) / looks
    variance = mean_variance(cell.forecast, looks) + seen.residuals.expected.unknown
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
    # A share that rose varies more.
    healthy = seen.reference.nulls
    risen = np.clip(healthy + np.maximum(mean[:, Measure.NULLS], 0.0), healthy, 0.5)
    wider = np.maximum(risen * (1.0 - risen) / np.maximum(healthy * (1.0 - healthy), 1e-9), 1.0)
    noise_off = noise.copy()
    noise_off[:, Measure.NULLS] *= np.sqrt(wider)
    return sizes, usual, now, noise, noise_off


def settle(
    cell: Cell,
    layout: Layout,
    streams: Mapping[str, StreamState],
    doubtful_at: float,
    recent_s: float,
    least_rows: int,
    end: float,
    seen: Look | None,
    *,
    thin: bool = False,
    total: Collection[str] = (),
) -> Cell:
    """The cell after its window was judged: ``streams`` are its detectors now. What was looked at
    (None: rows still wait) becomes part of the past once there is no evidence of a change in it. A
    generation ends after ``recent_s`` seconds, but not with fewer than ``least_rows``. Of a look
    at few rows (``thin``) only its counts are kept: how such windows vary is not how others do; and
    nothing of features whose rows were all alike as healthy ones hardly are (``total``)."""
    if seen is None:
        return replace(cell, streams=streams)
    index = axis_index(layout)
    learns = np.ones((len(layout.axes), MEASURES), bool)
    sure = np.ones_like(learns)
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
            quiet[i] &= not held.alarmed and held.log_evidence < _HELD_FROM
            # What came before most of the evidence did is hardly part of the change.
            kept[i, places] = 1.0 if held.sure > 0.0 else _FADES
            learns[i, places] &= not held.alarmed and held.log_evidence < doubtful_at
            sure[i, places] &= held.log_evidence < _HELD_FROM
            follows[i, places] &= not held.alarmed
    sounds = ~follows.all(axis=1)
    learns[sounds] = False
    alike = np.array([axis.name in total for axis in layout.axes], bool)
    learns[alike] = False
    forecast, doubtful = cell.forecast, cell.doubtful
    if thin:
        learns[:] = follows[:] = False
    else:
        at = seen.residuals.expected.at
        waits = follows & ~sure
        waits[sounds] = False
        doubtful, late = sift(doubtful, learns & sure, waits, learns)
        forecast = learn_late(forecast, late)
        left, chance = seen.residuals.left, seen.found.chance
        present = ~np.isnan(seen.found.value)
        doubtful = hold_back(doubtful, waits & present, at, left, chance, places_of(seen.residuals))
    of_bins = index.spread(quiet)
    over = index.spread(ended & ~sounds)
    held = np.where(over, 0, cell.held) + np.where(index.spread(alike), 0, seen.counts)
    current = cell.current + np.where(of_bins, held, 0)
    rare = seen.reference.rare & ~cell.known
    grown = replace(
        cell,
        forecast=learn(forecast, seen.found, seen.residuals, learns & sure, follows),
        pending=Pending(
            np.zeros_like(cell.pending.waiting),
            learn_often(
                cell.pending.runs, seen.counts, index, rare, np.asarray(learns.all(axis=1))
            ),
            rare,
        ),
        current=current,
        held=np.where(of_bins, 0, held),
        left=kept * (cell.left + np.nan_to_num(seen.residuals.left)),
        looks=kept * (cell.looks + 1.0),
        doubtful=doubtful,
        excursions=cell.excursions if thin else _climbed(cell, seen, follows),
        streams=streams,
    )
    if end - grown.began < recent_s or rows_of(layout, current) < least_rows:
        return grown
    # Of a feature that was held back for long there is nothing new to take the place of its past.
    rows = index.sum(current.astype(np.float64))
    grew = index.spread(rows >= rows.max(initial=0.0) / 2.0)
    return replace(
        grown,
        previous=np.where(grew, current, cell.previous + current),
        known=cell.known | known_bins(layout, current),
        current=np.zeros_like(current),
        began=end,
    )


def _climbed(cell: Cell, seen: Look, learn: NDArray[np.bool_]) -> Excursions:
    """Of a cell that is judged by its own healthy windows."""
    if not cell.forecast.ranks.shape[-1]:
        return cell.excursions
    return count_excursions(cell.excursions, measured_evidence(seen.residuals.p), learn)


def measured_evidence(p: Floats) -> Floats:
    """Log e-values (axes, MEASURES) of p-values, 0 where nothing was measured."""
    return np.where(np.isnan(p), 0.0, np.log(np.maximum(e_values(p), 1e-12)))


def begin_past(cell: Cell, layout: Layout, counts: Counts) -> Cell:
    """A cell whose past ``counts`` become part of; nothing is pending after."""
    current = cell.current + counts
    known_values = cell.known | known_bins(layout, counts)
    rare = rare_bins(layout, cell.previous + current, known_values)
    pending = Pending(np.zeros_like(counts), cell.pending.runs, rare)
    return replace(cell, current=current, pending=pending, known=known_values)


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

    def moved_by_axis(of: object, into: object, names: Iterable[str]) -> dict[str, Floats]:
        return {name: moved(getattr(of, name), getattr(into, name), 0) for name in names}

    had, begun = cell.pending.runs, fresh.pending.runs
    by_axis = [f.name for f in fields(Runs) if f.name != "value"]
    runs = replace(begun, **moved_by_axis(had, begun, by_axis))
    value = np.array(begun.value, copy=True)
    offset = had.value[rows] - old.first[rows]
    value[places] = np.where(offset >= 0, offset + new.first[places], 0)
    forecast = replace(
        fresh.forecast,
        **moved_by_axis(cell.forecast, fresh.forecast, Forecast.BY_AXIS),
        slots=moved(cell.forecast.slots, fresh.forecast.slots, 1),
        slots_seen=cell.forecast.slots_seen,
        last=cell.forecast.last,
        step=cell.forecast.step,
    )
    heights = [f.name for f in fields(Excursions)]
    excursions = replace(
        fresh.excursions, **moved_by_axis(cell.excursions, fresh.excursions, heights)
    )
    doubtful = cell.doubtful.onto({old: new for new, old in zip(places, rows, strict=True)})
    names = {axis.name for axis in onto.axes if axis in held}
    streams = {s: state for s, state in cell.streams.items() if s.rpartition("/")[0] in names}
    previous, current = counts(cell.previous, fresh.previous), counts(cell.current, fresh.current)
    known_values = counts(cell.known.astype(np.int64), fresh.known.astype(np.int64)) > 0
    pending = Pending(
        counts(cell.pending.waiting, fresh.pending.waiting), replace(runs, value=value),
        rare_bins(onto, previous + current, known_values), cell.pending.waits,
    )  # fmt: skip
    return Cell(
        forecast, pending, previous, current, counts(cell.held, fresh.held),
        moved(cell.left, fresh.left, 0), moved(cell.looks, fresh.looks, 0), cell.began, excursions,
        known_values, counts(cell.former, fresh.former), doubtful, streams,
    )  # fmt: skip
