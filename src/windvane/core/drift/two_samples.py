"""Two tables, once: how far one lies from the other, and whether chance does that.

Rows of a table depend on each other, so their number says little of what chance can do. The
reference is cut into chunks in its own order, and how far these lie from the whole says it: a
dependence that ends within a chunk is in it. Two tables that differ by more than any of the
reference's own chunks do are told apart; those that differ by less are not, however many rows
they have. That nothing was told apart says something only of changes that the tests could have
seen: from which size they would is `Detectable`.

Sources: batch means, Law & Kelton, *Simulation Modeling and Analysis*, 9.5.3; the mean of the
Kolmogorov distribution, Marsaglia, Tsang & Wang, Journal of Statistical Software 8, 2003; the
conditional test of two rates, Przyborowski & Wilenski, Biometrika 31, 1940; the minimum
detectable effect, Cohen, *Statistical Power Analysis for the Behavioral Sciences*, 1.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from windvane.core.drift.axes import axis_index
from windvane.core.drift.chance import js_chance, psi_chance, psi_terms
from windvane.core.drift.deviation import MEASURES, Measure, Reference, measure_deviations
from windvane.core.drift.measure import js_divergence, kl_divergence, ks_distance, total_variation
from windvane.core.sketch import Layout

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
LEAST_CHUNKS, MOST_CHUNKS = 8, 32
ROWS_A_CHUNK = 25
_Seen = tuple[float, float, float]  # a size, that of one row, how many rows count as one
_KOLMOGOROV = 0.8687  # mean of sup |F - G| times the root of the rows
_LEAST_P = 1e-300
_POWER_Z = 0.8416  # quantile of the normal law at a power of 80%, of one test by itself
_LEAST_POWER_Z = 0.5244  # at 70%
_INDEPENDENT = 0.01  # p of all dependences together from which on chance explains one


@dataclass(frozen=True, slots=True)
class Detectable:
    """From which ``size`` a change would mostly have been seen. ``at_best``: the same if rows
    depend on each other only where that is beyond chance; of many columns some look as if theirs
    did.

    ``one_row``: the stability index that it would be if the current table had one independent row
    and the reference no end of them; of nulls the square of the rise of their share. ``depends``:
    how many rows count as one for it."""

    size: float
    at_best: float
    one_row: float
    depends: float

    def more_rows(self, limit: float, rows: int, past_rows: int) -> tuple[int, bool]:
        """How many more independent rows of the current table make ``limit`` (as ``one_row``)
        detectable, and False; where the reference is what limits, how many independent rows each
        of both needs, and True."""
        sum_of_both = limit / max(self.one_row, 1e-300)
        room = sum_of_both - self.depends / max(past_rows, 1)
        # Of its own rows alone the reference may take no more than half of what is allowed.
        if room < sum_of_both / 2.0:
            return math.ceil(2.0 / sum_of_both), True
        return max(math.ceil(1.0 / room - rows / self.depends), 1), False


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of one feature, what chance does already taken off and never below 0: the population
    stability index ``psi``, Jensen-Shannon (bits, 0 to 1), Kullback-Leibler (bits), Kolmogorov-
    Smirnov (0 to 1; None for names) and total variation (0 to 1), all of what is not null;
    ``nulls``: the rise of their share; ``unseen``: the share of rows with names that the reference
    has not (None for numbers). ``p``: of changes as large by chance, over all measures;
    ``depends``: how many rows of the reference count as one. ``as_independent``: the stability
    index beyond what chance does where rows are independent. ``values``, ``null_share``: from
    which stability index, and which rise of nulls, a change would have been seen."""

    psi: float
    js: float
    kl: float
    ks: float | None
    tv: float
    nulls: float
    unseen: float | None
    p: float
    depends: float
    as_independent: float
    values: Detectable
    null_share: Detectable


def chunk_count(rows: int) -> int:
    """Into how many chunks a reference of so many rows is cut: a power of two, 0 where there are
    not enough for ``LEAST_CHUNKS``."""
    count = MOST_CHUNKS
    while count >= LEAST_CHUNKS:
        if rows >= count * ROWS_A_CHUNK:
            return count
        count //= 2
    return 0


def compare_samples(
    layout: Layout, chunks: Counts, current: Counts, alpha: float = 0.05
) -> tuple[Sizes, ...]:
    """Of each axis. ``chunks`` (``chunk_count``, layout size): the reference's, in its order.
    ``alpha``: the level that all axes have together, by which what is detectable goes."""
    index = axis_index(layout)
    whole: Counts = chunks.sum(axis=0)
    reference = Reference.of(index, whole)
    found = measure_deviations(current, reference)
    held, past = current.astype(np.float64), whole.astype(np.float64)
    rows, past_rows = index.sum(held), index.sum(past)
    known = np.maximum(rows - held[index.first], 1.0)
    past_known = np.maximum(past_rows - past[index.first], 1.0)
    more = 1.0 + known / past_known  # a reference of few rows is itself off by chance
    expected = reference.shares * index.spread(known)
    js_mean, js_variance = js_chance(expected)
    psi_mean, _ = psi_chance(expected)
    for bins in (js_mean, js_variance, psi_mean):
        bins[index.null] = 0.0
    mean, spread = index.sum(js_mean), index.sum(js_variance)
    depends, freedom = np.ones((len(rows), MEASURES)), np.full((len(rows), MEASURES), np.inf)
    proven = np.zeros((len(rows), MEASURES), bool)
    independent_shape = np.maximum(2.0 * mean**2 / np.maximum(spread, 1e-300), 1.0)
    shape_freedom = independent_shape
    scales = list(_scales(layout, chunks, reference))
    independent = _INDEPENDENT / (depends.size * max(len(scales), 1))
    for part, free, count in scales:
        larger = part > depends
        depends = np.where(larger, part, depends)
        freedom = np.where(larger, float(count - 1), np.minimum(freedom, count - 1))
        shape_freedom = np.minimum(shape_freedom, np.maximum(free, 1.0))
        degrees = np.full((len(rows), MEASURES), count - 1.0)
        degrees[:, Measure.SHAPE] *= independent_shape
        proven |= scipy.special.chdtrc(degrees, degrees * part) < independent
    both_rows = np.stack([*[more] * Measure.NULLS, 1.0 + rows / past_rows], axis=-1)
    one = found.chance * depends * both_rows
    z = np.abs(found.value) / np.sqrt(np.maximum(one, 1e-300))
    p = 2.0 * scipy.special.stdtr(freedom, -z)
    shape = (found.value[:, Measure.SHAPE] * known + mean) / np.maximum(mean * more, 1e-300)
    ratio = np.maximum(shape / depends[:, Measure.SHAPE], 0.0)
    p[:, Measure.SHAPE] = scipy.special.fdtrc(
        shape_freedom, shape_freedom * freedom[:, Measure.SHAPE], ratio
    )
    exact = _exact(held[index.first], rows, past[index.first], past_rows)
    p[:, Measure.NULLS] = np.maximum(p[:, Measure.NULLS], exact)
    missing = np.isnan(found.value)
    tests = np.maximum((~missing).sum(axis=1), 1)
    least = np.where(missing, 1.0, np.clip(p, _LEAST_P, 1.0)).min(axis=1)
    psi = psi_terms(np.where(index.null, 0.0, held), expected)
    psi[index.null] = 0.0
    worst = depends[:, : Measure.NULLS].max(axis=1)
    psi_sum, psi_chance_sum = index.sum(psi), more * index.sum(psi_mean)
    stability, as_independent = psi_sum - worst * psi_chance_sum, psi_sum - psi_chance_sum
    level = alpha / (len(rows) * tests)
    null_variance = reference.nulls * (1.0 - reference.nulls)
    both = (
        1.0 / known + 1.0 / past_known,
        1.0 / np.maximum(rows, 1.0) + 1.0 / np.maximum(past_rows, 1.0),
    )
    tested = _detectable(
        level, _POWER_Z, depends, freedom, shape_freedom, mean, null_variance, index.ordered, both
    )
    at_best = _detectable(
        level, _LEAST_POWER_Z, np.where(proven, depends, 1.0),
        np.where(proven, freedom, len(chunks) - 1.0),
        np.where(proven[:, Measure.SHAPE], shape_freedom, independent_shape), mean,
        null_variance, index.ordered, both,
    )  # fmt: skip
    out: list[Sizes] = []
    for i, axis in enumerate(layout.axes):
        now, then = layout.part(current, axis.name), layout.part(whole, axis.name)
        has_both = now[1:].any() and then[1:].any()
        scale = float(worst[i] * (1.0 / known[i] + 1.0 / past_known[i]))
        js, kl, ks, tv = distances_beyond_chance(now, then, scale, ordered=bool(index.ordered[i]))
        nulls = float(now[0] / max(now.sum(), 1) - then[0] / max(then.sum(), 1))
        unseen = None
        if not index.ordered[i] and index.open_ended[i]:
            unseen = float((now[-1] / known[i]) if has_both else 0.0)
        out.append(
            Sizes(
                psi=max(float(stability[i] / known[i]), 0.0) if has_both else 0.0,
                js=js,
                kl=kl,
                ks=ks,
                tv=tv,
                nulls=nulls,
                unseen=unseen,
                p=float(min(1.0, least[i] * tests[i])),
                depends=float(worst[i]),
                as_independent=max(float(as_independent[i] / known[i]), 0.0) if has_both else 0.0,
                values=_of_both(tested[0][i], at_best[0][i]),
                null_share=_of_both(tested[1][i], at_best[1][i]),
            )
        )
    return tuple(out)


def _detectable(
    level: Floats,
    power_z: float,
    depends: Floats,
    freedom: Floats,
    shape_freedom: Floats,
    shape_mean: Floats,
    null_variance: Floats,
    ordered: NDArray[np.bool_],
    both: tuple[Floats, Floats],
) -> tuple[list[_Seen], list[_Seen]]:
    """Of values and of nulls, by axis, at a ``level`` (axes,) for each test; ``both`` (axes,): the
    sums of one over the rows of either table, of those with a value and of all.

    Of a mean rank ``d`` off, the stability index is ``d^2`` over the rank's variance (see
    `effects`); of a shape eight times the Jensen-Shannon divergence. A change of values is seen by
    whichever sees it first."""
    z = -scipy.special.stdtrit(freedom, level[:, None] / 2.0) + power_z
    place = z[:, Measure.LOCATION] ** 2
    degrees = shape_freedom * freedom[:, Measure.SHAPE]
    ratio = scipy.special.fdtri(shape_freedom, degrees, 1.0 - level)
    beyond = np.maximum(ratio - 1.0, 0.0) + power_z * np.sqrt(2.0 / shape_freedom)
    shape = 8.0 * shape_mean * beyond
    values: list[_Seen] = []
    nulls: list[_Seen] = []
    for i in range(len(level)):
        ways = [(float(shape[i]), float(depends[i, Measure.SHAPE]))]
        if ordered[i]:
            ways.append((float(place[i]), float(depends[i, Measure.LOCATION])))
        one_row, of = min(ways, key=lambda way: way[0] * way[1])
        values.append((one_row * of * float(both[0][i]), one_row, of))
        of = float(depends[i, Measure.NULLS])
        one_row = float(z[i, Measure.NULLS] ** 2 * null_variance[i])
        nulls.append((math.sqrt(one_row * of * float(both[1][i])), one_row, of))
    return values, nulls


def _of_both(tested: _Seen, at_best: _Seen) -> Detectable:
    return Detectable(max(tested[0], at_best[0]), *at_best)


def holm(p: Floats) -> Floats:
    """Adjusted p-values (n,): those below a level are wrong with at most that probability, all
    together, however they depend. Source: Holm, Scandinavian Journal of Statistics 6, 1979."""
    order = np.argsort(p, kind="stable")
    raised = p[order] * np.arange(len(p), 0, -1)
    out = np.empty_like(p)
    out[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return out


def _scales(
    layout: Layout, chunks: Counts, reference: Reference
) -> Iterator[tuple[Floats, Floats, int]]:
    """By chunks, and by these merged two and four at a time: how many rows count as one (axes,
    MEASURES), and the degrees of freedom of a chunk's shape (axes,)."""
    index = axis_index(layout)
    merged = chunks
    while len(merged) >= LEAST_CHUNKS:
        count = len(merged)
        found = [measure_deviations(one, reference) for one in merged]
        value = np.stack([one.value for one in found])
        chance = np.stack([one.chance for one in found])
        ratio = value**2 / np.maximum(chance, 1e-300)
        known = index.sum(np.where(index.null, 0, merged).astype(np.float64))
        expected = reference.shares * index.spread(np.maximum(known, 1.0))
        js_mean = js_chance(expected)[0]
        js_mean[:, index.null] = 0.0
        mean = index.sum(js_mean)
        shape = (value[..., Measure.SHAPE] * known + mean) / np.maximum(mean, 1e-300)
        ratio[..., Measure.SHAPE] = shape
        there = ~np.isnan(ratio)
        total = np.where(there, ratio, 0.0)
        chunks_known = np.maximum(there.sum(axis=0), 1)
        average = total.sum(axis=0) / chunks_known
        varies = (np.where(there, ratio - average, 0.0) ** 2).sum(axis=0) / chunks_known
        free = 2.0 * average[:, Measure.SHAPE] ** 2 / np.maximum(varies[:, Measure.SHAPE], 1e-300)
        # The whole holds each chunk: they lie less far from it than from the truth.
        yield average * count / (count - 1), free, count
        merged = merged.reshape(count // 2, 2, -1).sum(axis=1)


def _exact(now: Floats, rows: Floats, then: Floats, past_rows: Floats) -> Floats:
    """p-values (axes,) of so many nulls ``now`` given how many there are in both together, if rows
    were independent: exact also where there were none."""
    share = rows / np.maximum(rows + past_rows, 1.0)
    # Tails of a binomial law as incomplete beta functions, which take counts of any size.
    some, rest = np.maximum(now, 1.0), np.maximum(then, 1.0)
    above = np.where(now > 0, scipy.special.betainc(some, then + 1.0, share), 1.0)
    below = np.where(then > 0, scipy.special.betaincc(now + 1.0, rest, share), 1.0)
    return np.minimum(1.0, 2.0 * np.minimum(above, below))


def distances_beyond_chance(
    now: Counts, then: Counts, scale: float, *, ordered: bool
) -> tuple[float, float, float | None, float]:
    """JS (bits), KL (bits), KS (None where bins have no order) and TV of what is not null, beyond
    what counts of as many rows show by chance; ``scale``: the sum of one over the rows of either
    side that count."""
    if not now[1:].any() or not then[1:].any():
        return 0.0, 0.0, 0.0 if ordered else None, 0.0
    p, q = now[1:], then[1:]
    shares = (p + q) / max(int(p.sum() + q.sum()), 1)
    bins = float(max(int((shares > 0).sum()) - 1, 0))
    js = float(js_divergence(p, q)) - bins * scale / (8.0 * math.log(2.0))
    kl = kl_divergence(p, q) - bins * scale / (2.0 * math.log(2.0))
    ks = max(ks_distance(now, then) - _KOLMOGOROV * scale**0.5, 0.0) if ordered else None
    chance = float(np.sqrt(2.0 / np.pi * shares * (1.0 - shares) * scale).sum() / 2.0)
    return max(js, 0.0), max(kl, 0.0), ks, max(total_variation(p, q) - chance, 0.0)


def wasserstein(now: Floats, then: Floats) -> float:
    """1-Wasserstein distance of two samples (any, sorted, finite), in their own unit: the mean
    distance of their quantiles. 0.0 where one is empty. Source: Villani, *Topics in Optimal
    Transportation*, 2.2.2."""
    if not len(now) or not len(then):
        return 0.0
    cuts = np.union1d(np.arange(len(now) + 1) / len(now), np.arange(len(then) + 1) / len(then))
    middle = (cuts[:-1] + cuts[1:]) / 2.0
    left = now[np.minimum((middle * len(now)).astype(np.int64), len(now) - 1)]
    right = then[np.minimum((middle * len(then)).astype(np.int64), len(then) - 1)]
    return float((np.abs(left - right) * np.diff(cuts)).sum())


def wasserstein_chance(sample: Floats, scale: float) -> float:
    """What it is on average of two samples of one law, by a sorted ``sample`` of it; ``scale`` as
    in the other distances. Source: del Barrio, Giné & Matrán, Annals of Probability 27, 1999."""
    if len(sample) < 2:
        return 0.0
    share = np.arange(1, len(sample)) / len(sample)
    gaps = np.diff(sample)
    return float((np.sqrt(share * (1.0 - share)) * gaps).sum() * (2.0 / np.pi * scale) ** 0.5)
