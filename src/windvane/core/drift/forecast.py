"""What the next window's deviations should be, learned window by window.

A deviation is forecast by its own level, by what it usually is at that hour of a working day or
of a weekend and on that day of the week, and by how far it was off lately: an autoregression of
the first order, observed with the noise of a sample. What is left, in units of its own error, is
compared with what was left in earlier healthy windows. Its rank among them is a p-value that holds
*given the past*, also where rows depend on each other, hours differ and requests come in bursts; a
p-value that holds only on average over time would let evidence pile up in every slow wave.

Sources: state-space filtering, Durbin & Koopman, *Time Series Analysis by State Space Methods*,
2012, section 4.3; the autocovariances of a first-order autoregression with noise, ibid., section
3.4; conformal ranks of residuals, Xu & Xie, arXiv 2010.09107; why evidence must be conditional,
Shin, Ramdas & Rinaldo, arXiv 2203.03532.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.deviation import MEASURES, ONE_SIDED, Deviations
from windvane.core.drift.doubtful import Doubtful

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
HOURS = 48
"""Hours of a day: of a working day, then of a weekend."""
DAYS = 7
SLOTS = HOURS + DAYS
"""What is usual is learned of: hours, then days of the week."""
_HALF_DAY = 24
_HOURS_OF, _DAYS_OF = slice(0, HOURS), slice(HOURS, SLOTS)
_MEMORY = 2_000.0  # windows that moments are learned over
_SLOT_MEMORY = 600.0
_SLOT_PRIOR = 8.0
_OF_MEDIANS = np.pi / 2.0  # times that of a mean, for normal values
_DAY_MEMORY, _DAY_PRIOR = 8.0, 0.5  # days of that name
_FEW_DAYS = 3  # of the week, by which how they differ is not known
_FARTHEST = 0.995  # an autoregression that never returns has no level
_WANDERS = 2.5  # times its own deviation: how far from its level a forecast may follow
_CLIPPED = 6.0
_FOLLOWED = 4.0  # errors that a forecast follows a window by
_UNRANKED = 20  # residuals before the error is known well enough to rank by
_MOST_RANKED = 4_000.0
_MOST_STEPS = 1e4
_STEP_MEMORY = 20.0
EDGES = np.concatenate([np.arange(0.0, 4.0, 0.25), np.geomspace(4.0, 40.0, 24)])
"""Lower edges of the bins that sizes of residuals are kept in."""
RANKED = len(EDGES)
_DAY_S, _HOUR_S = 86_400.0, 3_600.0
_WEEKEND = (2, 3)  # after a Thursday


Around: TypeAlias = tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """What was learned of each measure; all (axes, MEASURES) unless another shape is given.

    ``seen``: healthy windows learned from. ``level``: their mean. ``lag0``, ``lag1``, ``lag2``:
    moments of what is left after level, hour and day, with itself and with the one and two windows
    before. ``chance``: mean variance by independent rows. ``before``, ``before2``: what was left in
    the last two windows. ``ahead``, ``ahead_variance``: how far off the autoregression is now.
    ``slots`` (SLOTS, axes, MEASURES): what is usual at each hour beyond the level, and on each day
    of the week beyond that; ``slots_seen`` (SLOTS,): windows. ``last``: the middle of the last
    window (s, NaN before the first), and ``step`` how long after one another they come (s, 0
    before the second). ``ranks`` (axes, MEASURES, RANKED): healthy residuals by their size; of a
    forecast that ranks among those of another (axes, MEASURES, 0).
    """

    seen: Floats
    level: Floats
    lag0: Floats
    lag1: Floats
    lag2: Floats
    chance: Floats
    before: Floats
    before2: Floats
    ahead: Floats
    ahead_variance: Floats
    slots: Floats
    slots_seen: Floats
    last: Floats
    step: Floats
    ranks: Floats

    @classmethod
    def empty(cls, axes: int, *, ranked: bool = True) -> Forecast:
        """Knows nothing; never learns ranks unless ``ranked``."""
        flat = np.zeros((axes, MEASURES))
        held = {f.name: flat for f in fields(cls)}
        held |= {
            "slots": np.zeros((SLOTS, axes, MEASURES)),
            "slots_seen": np.zeros(SLOTS),
            "last": np.array(np.nan),
            "step": np.array(0.0),
            "ranks": np.zeros((axes, MEASURES, RANKED if ranked else 0)),
        }
        return cls(**held)

    BY_AXIS: ClassVar[tuple[str, ...]] = (
        "seen", "level", "lag0", "lag1", "lag2", "chance", "before", "before2", "ahead",
        "ahead_variance", "ranks",
    )  # fmt: skip

    @classmethod
    def of_part(cls, whole: Forecast) -> Forecast:
        """Of a part of what ``whole`` forecasts, with residuals that rank among those of the whole:
        knows nothing but how hours differ for everyone, shrunk by what few looks make of it. Source
        of the shrinkage: Efron, *Large-Scale Inference*, 2010, chapter 1."""
        seen = np.minimum(whole.slots_seen, 1.0)
        seen[_DAYS_OF] = 0.0
        differ = _variance_of(whole, _HOURS_OF)
        real = np.where(differ > 0.0, hour_variance(whole) / np.maximum(differ, 1e-300), 0.0)
        slots = whole.slots * real * (seen > 0.0)[:, None, None]
        return replace(cls.empty(len(whole.level), ranked=False), slots=slots, slots_seen=seen)

    @property
    def ranked(self) -> Floats:
        """Healthy residuals that a rank is taken among."""
        return self.ranks.sum(axis=-1)


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """What a forecast says of the window in the middle of which it is ``at`` (s), before it is
    looked at; as in `Forecast`. ``around``: the slots that it lies in, with their weights.
    ``unknown`` (axes, MEASURES): the variance of what is usual then, of which few days were
    seen; ``of_hour`` (axes, MEASURES): what of the usual is the hour's."""

    at: float
    usual: Floats
    around: Around
    ahead: Floats
    ahead_variance: Floats
    overdispersion: Floats
    unknown: Floats
    of_hour: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """Of one window, all (axes, MEASURES): ``p`` (NaN where nothing was measured), ``z`` how many
    of its errors it lies off the forecast, ``as_known`` if what is usual at that hour were known;
    ``left`` what is left of the deviation after what is
    usual at that hour, in a healthy window of the ``variance``; ``expected`` what was forecast."""

    p: Floats
    z: Floats
    as_known: Floats
    left: Floats
    variance: Floats
    expected: Expected


def hours_around(at: float) -> tuple[tuple[int, float], tuple[int, float]]:
    """The two hours around a time (s, UTC) with their weights: a day has no steps at full hours."""
    start = _HALF_DAY if _day(at) in _WEEKEND else 0
    middle = at % _DAY_S / _HOUR_S - 0.5
    low = int(np.floor(middle))
    part = middle - low
    return (start + low % _HALF_DAY, 1.0 - part), (start + (low + 1) % _HALF_DAY, part)


def day_slot(at: float) -> int:
    """The slot of the day of the week that a time (s, UTC) lies in."""
    return HOURS + _day(at)


def _day(at: float) -> int:
    """Days since a Thursday, as the epoch began on one."""
    return int(at // _DAY_S) % DAYS


def _parameters(held: Forecast) -> tuple[Floats, Floats, Floats]:
    """(autoregression, its variance, overdispersion of the rest) by the moments' own equations."""
    seen = np.maximum(held.seen, 1.0)
    power = np.maximum(held.lag0, 1e-300)
    depends = held.lag1 / power > 2.0 / np.sqrt(seen)
    safe = np.where(depends, held.lag1, 1.0)
    regression = np.where(depends, np.clip(held.lag2 / safe, 0.05, _FARTHEST), 0.0)
    wander = np.where(depends, np.minimum(held.lag1 / np.maximum(regression, 0.05), held.lag0), 0.0)
    noise = (held.lag0 - wander) / np.maximum(held.chance, 1e-300)
    return regression, wander, np.maximum(noise, 1.0)


def usual_at(held: Forecast, at: float) -> tuple[Floats, Floats]:
    """What deviations usually are at a time (s), and the variance of what is not known of it; both
    (axes, MEASURES)."""
    around = _around(at)
    return _usual(held, around), _unknown(held, around)


def _around(at: float) -> Around:
    return (*hours_around(at), (day_slot(at), 1.0))


def _usual(held: Forecast, around: Around) -> Floats:
    return held.level + sum(weight * held.slots[slot] for slot, weight in around)


def _expect(held: Forecast, at: float) -> Expected:
    around = _around(at)
    usual = _usual(held, around)
    regression, wander, overdispersion = _parameters(held)
    unknown = _unknown(held, around)
    reach = _WANDERS * np.sqrt(wander + unknown)
    over = regression ** _steps(held, at)
    ahead = np.clip(over * held.ahead, -reach, reach)
    ahead_variance = over**2 * held.ahead_variance + wander * (1.0 - over**2)
    of_hour = sum(
        (w * held.slots[slot] for slot, w in around if slot < HOURS), np.zeros_like(usual)
    )
    return Expected(at, usual, around, ahead, ahead_variance, overdispersion, unknown, of_hour)


def _unknown(held: Forecast, around: Around) -> Floats:
    """How far what is usual at an hour or on a day of the week may be from what is known of it, as
    a shrunk mean of as many as were seen: by as much as such differ, where that is more than what
    wanders makes them, and by how far a mean of one wanders."""
    hours = [(slot, part) for slot, part in around if slot < HOURS]
    days = [(slot, part) for slot, part in around if slot >= HOURS]
    of_hours = _unknown_of(held, hours, _HOURS_OF, _HOUR_S)
    return of_hours + _unknown_of(held, days, _DAYS_OF, _DAY_S)


def _unknown_of(
    held: Forecast, around: Sequence[tuple[int, float]], slots: slice, span_s: float
) -> Floats:
    seen_of = held.slots_seen[slots]
    seen = seen_of[seen_of > 0.0]
    times = sum(part * held.slots_seen[slot] for slot, part in around) * float(held.step) / span_s
    noise = held.lag0 / (seen.mean() + _SLOT_PRIOR) if len(seen) else held.lag0
    differ = np.maximum(_variance_of(held, slots) - 2.0 * noise, 0.0)
    return (differ + times * _variance_of_one(held, span_s)) / (1.0 + times) ** 2


def _variance_of_one(held: Forecast, span_s: float) -> Floats:
    """Of the mean of all windows of one hour or day, by how what wanders lasts."""
    return mean_variance(held, np.full_like(held.lag0, _looks_in(held, span_s)))


def _looks_in(held: Forecast, span_s: float) -> float:
    step = float(held.step)
    return max(span_s / step, 1.0) if step > 0.0 else 1.0


def _steps(held: Forecast, at: float) -> float:
    """How many of its steps lie between the last window and one at this time: what wandered is
    forgotten over a gap."""
    last, step = float(held.last), float(held.step)
    return min(max((at - last) / step, 1.0), _MOST_STEPS) if step > 0.0 else 1.0


def _miscorrected(held: Forecast, found: Deviations) -> Floats:
    """The variance of what was taken off for chance where windows are not like the reference but
    for chance: those of other sizes than were learned from are off by the difference."""
    sizes = np.sqrt(np.maximum(held.chance, 1e-300) / np.maximum(found.chance, 1e-300))
    usual = np.abs(held.level)
    differs = usual / np.maximum(usual + found.corrected, 1e-12)
    off = found.corrected * (np.where(held.chance > 0.0, sizes, 1.0) - 1.0)
    return differs * np.minimum(off, 1.0) ** 2


def residuals(
    held: Forecast, found: Deviations, at: float, uniform: Floats, ranks: Floats | None = None
) -> Residuals:
    """Of the window whose middle is ``at`` (s).

    ``uniform`` (axes, MEASURES) in [0, 1) settles ties. ``ranks`` of another forecast are ranked
    among in place of its own.
    """
    expected = _expect(held, at)
    expected = replace(expected, unknown=expected.unknown + _miscorrected(held, found))
    present = ~np.isnan(found.value)
    known_variance = expected.ahead_variance + expected.overdispersion * found.chance
    error = np.sqrt(np.maximum(known_variance + expected.unknown, 1e-300))
    left = found.value - expected.usual
    off = left - expected.ahead
    z = np.nan_to_num(off / error)
    # Ranks are of a time when hours are known, or a first week would make all later ones odd.
    as_known = np.nan_to_num(off / np.sqrt(np.maximum(known_variance, 1e-300)))
    known = held.ranks if ranks is None else ranks
    p = np.where(present, _rank(known, _places(z), uniform), np.nan)
    return Residuals(p, z, as_known, left, np.maximum(held.lag0, found.chance), expected)


def largest_residual(ranks: Floats) -> Floats:
    """What no healthy residual exceeded (axes, MEASURES), in units of its error; infinite where
    some lay beyond all bins, and where none is known."""
    some = ranks > 0.0
    top = RANKED - 1 - np.argmax(some[..., ::-1], axis=-1)
    upper = np.append(EDGES[1:], np.inf)[top]
    return np.where(some.any(axis=-1), upper, np.inf)


def mean_variance(held: Forecast, looks: Floats) -> Floats:
    """Variance (axes, MEASURES) of the mean of what is left over so many ``looks`` in a
    row (axes, MEASURES), which follow each other. Source: Durbin & Koopman, section 3.4."""
    regression, wander, _ = _parameters(held)
    slow = _slow_variance(regression, wander)
    count = np.maximum(looks, 1.0)
    return np.minimum(slow / count, wander) + np.maximum(held.lag0 - wander, 0.0) / count


def run_variance(held: Forecast) -> Floats:
    """Variance (axes, MEASURES) of one window's mean that as many independent windows would have
    for the mean of a long run to vary as it does."""
    regression, wander, _ = _parameters(held)
    return np.maximum(held.lag0 - wander, 0.0) + _slow_variance(regression, wander)


def hour_reach(held: Forecast) -> Floats:
    """How far apart (axes, MEASURES) what is usual at the hours that were seen is at most, 0 where
    fewer than half of a day's were."""
    seen = held.slots_seen[_HOURS_OF] > 0
    if seen.sum() < _HALF_DAY / 2:
        return np.zeros_like(held.lag0)
    return np.ptp(held.slots[_HOURS_OF][seen], axis=0)


def hour_variance(held: Forecast) -> Floats:
    """Variance (axes, MEASURES) of what is usual at the hours that were seen, beyond that of the
    medians of so few looks."""
    slots = np.count_nonzero(held.slots_seen[_HOURS_OF])
    looks = np.clip(held.seen, 1.0, _SLOT_MEMORY * max(slots, 1))
    times = looks / (_looks_in(held, _HOUR_S) * max(slots, 1))
    noise = _OF_MEDIANS * _variance_of_one(held, _HOUR_S) / times
    return np.maximum(_variance_of(held, _HOURS_OF) - noise, 0.0)


def _variance_of(held: Forecast, slots: slice) -> Floats:
    seen = held.slots_seen[slots] > 0
    if slots is _DAYS_OF and seen.sum() < _FEW_DAYS:
        return np.zeros_like(held.lag0)
    return held.slots[slots][seen].var(axis=0) if seen.any() else np.zeros_like(held.lag0)


def _slow_variance(regression: Floats, wander: Floats) -> Floats:
    """Of an autoregression's long mean, times the windows that it is of."""
    return wander * (1.0 + regression) / np.maximum(1.0 - regression, 1.0 - _FARTHEST)


def learn(
    held: Forecast, found: Deviations, seen: Residuals, mask: Flags, follow: Flags
) -> Forecast:
    """What is known after the window that left ``seen``.

    ``mask`` (axes, MEASURES): what may be learned from it; nothing is while there is evidence of a
    change. ``follow``: where the autoregression follows it; elsewhere it falls back to its level.
    """
    expected = seen.expected
    present = ~np.isnan(found.value)
    left = np.nan_to_num(seen.left)
    ahead, ahead_variance = expected.ahead, expected.ahead_variance
    noise = expected.overdispersion * found.chance + expected.unknown
    variance = np.maximum(ahead_variance + noise, 1e-300)
    gain = ahead_variance / variance
    seen_now = present & follow
    # A jump is not followed at once: what wanders comes back into reach, what broke does not.
    most = _FOLLOWED * np.sqrt(variance)
    innovation = np.clip(left - ahead, -most, most)
    last, step = float(held.last), float(held.step)
    since = expected.at - last
    if mask.any() and since > 0.0:
        step = since if step <= 0.0 else step + (min(since, 4.0 * step) - step) / _STEP_MEMORY
    after = replace(
        held,
        last=np.array(expected.at),
        step=np.array(step),
        ahead=np.where(seen_now, ahead + gain * innovation, ahead),
        ahead_variance=np.where(seen_now, (1.0 - gain) * ahead_variance, ahead_variance),
    )
    learns = present & mask
    return _learn(after, found.chance, learns, left, expected.around, places_of(seen), 1.0)


def learn_late(held: Forecast, late: Doubtful) -> Forecast:
    """What is known with looks that had to wait, too."""
    shape = held.level.shape
    for at, look in late.by_look():
        where = look.axis, look.measure
        learns, left, chance = np.zeros(shape, bool), np.zeros(shape), held.chance.copy()
        places = np.zeros(shape, np.int64)
        learns[where], left[where], chance[where] = True, look.left, look.chance
        places[where] = look.place
        held = _learn(held, chance, learns, left, _around(at), places, 0.0)
    return held


def places_of(seen: Residuals) -> NDArray[np.int64]:
    """Which bin of `EDGES` (axes, MEASURES) the residuals rank in once they are learned."""
    return _places(seen.as_known)


def size_of(z: Floats) -> Floats:
    """How far a residual (axes, MEASURES) lies off, in the direction that is a change."""
    return np.where(ONE_SIDED, np.maximum(z, 0.0), np.abs(z))


def _places(z: Floats) -> NDArray[np.int64]:
    """Which bin of `EDGES` a residual's size lies in."""
    return np.clip(np.searchsorted(EDGES, size_of(z), side="right") - 1, 0, RANKED - 1)


def _rank(ranks: Floats, places: NDArray[np.int64], uniform: Floats) -> Floats:
    """Randomised rank of a size among healthy ones, in bins: those of its own bin are ties."""
    rows, columns = np.indices(places.shape)
    above = np.cumsum(ranks[..., ::-1], axis=-1)[..., ::-1]
    ties = ranks[rows, columns, places]
    larger = above[rows, columns, places] - ties
    return (larger + uniform * (ties + 1.0)) / (above[..., 0] + 1.0)


def _learn(
    held: Forecast, chance: Floats, learn: Flags, left: Floats,
    around: Around, places: NDArray[np.int64], looks: float,
) -> Forecast:  # fmt: skip
    seen = held.seen + learn
    weight = np.where(learn, 1.0 / np.minimum(np.maximum(seen, 1.0), _MEMORY), 0.0)
    young = held.seen < _UNRANKED
    most = _CLIPPED * np.sqrt(held.lag0) + 3.0 * np.sqrt(chance)
    clipped = np.where(young, left, np.clip(left, -most, most))
    slots, slots_seen = held.slots.copy(), held.slots_seen.copy()
    learns = looks * float(learn.any())
    for slot, part in around:
        memory, prior = _memory_of(slot, float(held.step))
        slots_seen[slot] += part * learns
        rate = part / min(slots_seen[slot] + prior, memory)
        slots[slot] += np.where(learn, rate * clipped, 0.0)
    ranks = held.ranks
    counted = learn & ~young
    if ranks.shape[-1] and counted.any():
        ranks = ranks.copy()
        rows, columns = np.nonzero(counted)
        ranks[rows, columns, places[rows, columns]] += 1.0
        full = ranks.sum(axis=-1) > _MOST_RANKED
        ranks[full] *= 0.5
    return replace(
        held,
        seen=seen,
        level=held.level + weight * clipped,
        lag0=held.lag0 + weight * (clipped**2 - held.lag0),
        lag1=held.lag1 + weight * (clipped * held.before - held.lag1),
        lag2=held.lag2 + weight * (clipped * held.before2 - held.lag2),
        chance=held.chance + weight * (chance - held.chance),
        before2=np.where(learn, held.before, held.before2),
        before=np.where(learn, clipped, held.before),
        slots=slots,
        slots_seen=slots_seen,
        ranks=ranks,
    )


def _memory_of(slot: int, step: float) -> tuple[float, float]:
    """Over how many windows a slot is learned, and as how many its prior counts; ``step`` (s)
    between windows."""
    if slot < HOURS:
        return _SLOT_MEMORY, _SLOT_PRIOR
    a_day = max(_DAY_S / step, 1.0) if step > 0.0 else np.inf
    return _DAY_MEMORY * a_day, _DAY_PRIOR * a_day


def long_run_variance(held: Forecast, found: Deviations, span_s: float) -> Floats:
    """Variance (axes, MEASURES) of the deviations of many windows merged, which follow each other:
    that of their noise, and of an autoregression's mean. What differs by hour averages out over
    whole days only, and what differs by day over whole weeks. Source: Durbin & Koopman (see above),
    section 3.4."""
    regression, wander, overdispersion = _parameters(held)
    fewer = np.clip(found.chance / np.maximum(held.chance, 1e-300), 0.0, 1.0)
    slow = np.minimum(_slow_variance(regression, wander) * fewer, wander)
    part_of_day = hour_variance(held) if span_s < _DAY_S else 0.0
    part_of_week = _variance_of(held, _DAYS_OF) if span_s < DAYS * _DAY_S else 0.0
    return overdispersion * found.chance + slow + part_of_day + part_of_week
