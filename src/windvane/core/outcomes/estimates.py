"""How good answers are likely to be while their labels are missing, by what a version's holdout
says of answers like these.

After confidence-based performance estimation (CBPE) of classifiers and direct loss estimation (DLE)
of regressions, as NannyML documents them (https://nannyml.readthedocs.io, "How it works: estimation
of performance"), by bins of the answers in place of rows: what is counted of a window is enough.
Such an estimate knows which answers were given, and supposes that they are as right as they were in
the holdout. It cannot see that the truth changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from windvane.core.statistics import auc, block_count, level_words
from windvane.core.task import metric_name
from windvane.core.verdict import Outcome, Verdict

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

LEAST_HOLDOUT = 400
"""Rows of a holdout, below which nothing is said by it."""
_LEAST_IN_BIN = 5
_MOST_TIMES = 3.0
_MOST_FREEDOM = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What a version's holdout says of each bin of its answers. ``rows`` and ``sums`` (blocks,
    bins) are of a value of each row, in blocks of equal numbers of rows, one after the other in
    time; ``squares`` (bins,) of its square. The values are what each row has of the metric; where
    that is an area they are 1 for rows that are to be ranked above the others, and ``within``
    (bins,) are the areas of each bin's own rows; None where it is a mean."""

    rows: Counts
    sums: Floats
    squares: Floats
    within: Floats | None = None

    def arrays(self) -> Mapping[str, Counts | Floats]:
        """To keep it; `of_arrays` reads them."""
        held = {"rows": self.rows, "sums": self.sums, "squares": self.squares}
        return held if self.within is None else {**held, "within": self.within}

    @classmethod
    def of_arrays(cls, held: Mapping[str, Counts | Floats]) -> Calibration:
        numbers = {name: np.asarray(one, np.float64) for name, one in held.items()}
        rows = np.asarray(held["rows"], np.int64)
        return cls(rows, numbers["sums"], numbers["squares"], numbers.get("within"))


def fit_calibration(
    bins: Counts, size: int, values: Floats, times: Floats, scores: Floats | None = None
) -> Calibration | None:
    """Of a holdout's rows (n,), each in one of ``size`` bins, made at ``times`` (s); ``scores`` is
    what an area ranks them by. None where they are too few or their values are no numbers."""
    if len(values) < LEAST_HOLDOUT or not bool(np.isfinite(values).all()):
        return None
    count = block_count(len(values))
    blocks = np.empty(len(values), np.int64)
    blocks[np.argsort(times, kind="stable")] = np.arange(len(values)) * count // len(values)
    cells = blocks * size + bins
    rows = np.bincount(cells, minlength=count * size).reshape(count, size)
    sums = np.bincount(cells, values, count * size).reshape(count, size)
    within: Floats | None = None
    if scores is not None:
        found = [auc(scores[bins == i], values[bins == i] > 0.5) for i in range(size)]
        within = np.nan_to_num(np.array(found), nan=0.5)
    squares = np.bincount(bins, values**2, size).astype(np.float64)
    return Calibration(rows, sums.astype(np.float64), squares, within)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The metric of ``rows`` answers as it is likely to turn out, with bounds that what comes out
    lies between as often as was asked for. ``unseen``: the share of the answers that are more than
    three times as many as the holdout has of their bin: it says little of such."""

    value: float
    lower: float
    upper: float
    rows: int
    unseen: float


def estimate(calibration: Calibration, counts: Counts, alpha: float) -> Estimate:
    """Of answers that are counted by bin (bins,), with bounds at level ``alpha`` on each side.

    A bin's values have the mean and the variance that the holdout's rows of that bin have. The
    variance of what comes out is the sum of three: of the labels to come, independent given the
    answers (of yes and no: Poisson's binomial law); of the means that were learned; and of how much
    further blocks of the holdout lie from what all of it says than those explain, which stands for
    the days that differ (a random effect, DerSimonian & Laird, Controlled Clinical Trials 7, 1986;
    more of it where a block is longer than what is estimated, for it is a mean of more days). The
    bounds are Student's t, with degrees of freedom by Satterthwaite (Biometrics 2, 1946). An area
    is linearised; rows of one bin rank among each other as the holdout's do.
    """
    rows = int(counts.sum())
    longer = calibration.rows.sum() / len(calibration.rows) / max(rows, 1)
    known = _known(calibration)
    value, error, freedom = _told(
        calibration, known, counts, calibration.within, max(float(longer), 1.0)
    )
    reach = -float(scipy.special.stdtrit(freedom, alpha)) * error
    lower, upper = value - reach, value + reach
    if calibration.within is not None:
        lower, upper = max(lower, 0.0), min(upper, 1.0)
    share = known.rows / max(int(known.rows.sum()), 1)
    unseen = float(np.maximum(counts / max(rows, 1) - _MOST_TIMES * share, 0.0).sum())
    return Estimate(value, lower, upper, rows, unseen)


def top_share_mean(calibration: Calibration, share: float) -> float | None:
    """The mean of the values of the ``share`` of the holdout's rows with the highest answers, a bin
    that is cut by it in proportion; None where no row has so high ones."""
    rows = calibration.rows.sum(axis=0)[::-1].astype(np.float64)
    sums = calibration.sums.sum(axis=0)[::-1]
    wanted = share * float(rows.sum())
    if not 0.0 < share <= 1.0 or wanted <= 0.0:
        return None
    before = np.cumsum(rows) - rows
    part = np.clip((wanted - before) / np.maximum(rows, 1.0), 0.0, 1.0)
    return float((part * sums).sum()) / wanted


@dataclass(frozen=True, slots=True)
class CalibrationCheck:
    """Of ``rows`` of a segment whose labels are known: the mean of their values, what the holdout
    ``expected`` it to be, and the standard error of their difference, with ``freedom``. The
    ``subject`` is a tenant, or ``declared`` by the model's file; "" for all rows."""

    subject: str
    rows: int
    observed: float
    expected: float
    error: float
    freedom: float
    declared: bool = False


def check_calibration(
    calibration: Calibration, subject: str, bins: Counts, values: Floats, *, declared: bool = False
) -> CalibrationCheck:
    """Of rows (n,) of a segment, in their bins, with the values of their labels."""
    counts = np.bincount(bins, minlength=calibration.rows.shape[1])
    expected, error, freedom = _told(calibration, _known(calibration), counts, None)
    observed = float(values.mean())
    return CalibrationCheck(subject, len(values), observed, expected, error, freedom, declared)


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """By bin: rows of the holdout, the mean of their values, and the variance of one."""

    rows: Counts
    mean: Floats
    variance: Floats


def _known(calibration: Calibration) -> _Known:
    """A bin with hardly any rows has the mean and the variance of the nearest that has."""
    rows, sums = calibration.rows.sum(axis=0), calibration.sums.sum(axis=0)
    held = np.maximum(rows, 1)
    mean = sums / held
    if calibration.within is not None:
        smooth = (sums + 0.5) / (held + 1.0)
        variance = smooth * (1.0 - smooth)
    else:
        spread = np.maximum(calibration.squares / held - mean**2, 0.0)
        variance = spread * held / np.maximum(held - 1, 1)
    good = np.flatnonzero(rows >= _LEAST_IN_BIN)
    if not len(good):
        return _Known(rows, mean, variance)
    nearest = good[np.abs(np.arange(len(rows))[:, None] - good).argmin(axis=1)]
    return _Known(rows, mean[nearest], variance[nearest])


def _told(
    calibration: Calibration,
    known: _Known,
    counts: Counts,
    within: Floats | None,
    longer: float = 1.0,
) -> tuple[float, float, float]:
    """The value by bins, its standard error, and degrees of freedom; of an area where ``within``
    is given, else of a mean. Blocks are so many times ``longer`` than what is told of."""
    every = np.maximum(known.rows, 1)
    value, gradient = _value(counts, known.mean, within)
    spread = _of_labels(counts, gradient, known, within)
    learned = float((gradient**2 * known.variance / every).sum())
    if within is not None:
        learned += _of_ranks(counts, known.rows, known.mean)
    apart: list[float] = []
    inside: list[float] = []
    for rows, sums in zip(calibration.rows, calibration.sums, strict=True):
        said, slope = _value(rows, known.mean, within)
        seen = _value(rows, sums / np.maximum(rows, 1), within)[0]
        if math.isfinite(said) and math.isfinite(seen):
            apart.append(seen - said)
            inside.append(float((slope**2 * known.variance / np.maximum(rows, 1)).sum()))
    count = len(apart)
    if count < 2:
        return value, math.sqrt(spread + learned), _MOST_FREEDOM
    between = float(np.square(apart).sum()) / (count - 1)
    times = longer + 1.0 / count
    more = max(0.0, between - float(np.mean(inside))) * times
    total = spread + learned + more
    if more <= 0.0:
        return value, math.sqrt(total), _MOST_FREEDOM
    freedom = (count - 1) * (total / (between * times)) ** 2
    return value, math.sqrt(total), min(max(freedom, count - 1.0), _MOST_FREEDOM)


def _of_labels(counts: Counts, gradient: Floats, known: _Known, within: Floats | None) -> float:
    """The variance of the metric by that of each row's value, given its bin."""
    found = float((gradient**2 * known.variance / np.maximum(counts, 1)).sum())
    return found if within is None else found + _of_ranks(counts, counts, known.mean)


def _of_ranks(counts: Counts, rows: Counts, mean: Floats) -> float:
    """The variance of an area by how ``rows`` of each bin rank among each other: as of random ranks
    (Mann & Whitney, Annals of Mathematical Statistics 18, 1947)."""
    ups, downs = float(counts @ mean), float(counts @ (1.0 - mean))
    if ups <= 0.0 or downs <= 0.0:
        return 0.0
    pairs = counts**2 * mean * (1.0 - mean) / (ups * downs)
    up, down = np.maximum(rows * mean, 1.0), np.maximum(rows * (1.0 - mean), 1.0)
    return float((pairs**2 * (up + down + 1.0) / (12.0 * up * down)).sum())


def _value(counts: Counts, mean: Floats, within: Floats | None) -> tuple[float, Floats]:
    """The metric by bins, and its derivative by each bin's mean."""
    if within is not None:
        return _area(counts, mean, within)
    rows = max(float(counts.sum()), 1.0)
    return float(counts @ mean) / rows, counts / rows


def _area(counts: Counts, mean: Floats, within: Floats) -> tuple[float, Floats]:
    """The expected area of answers by bin, of which ``mean`` are to be ranked above. NaN where all
    or none are."""
    up, down = counts * mean, counts * (1.0 - mean)
    ups, downs = float(up.sum()), float(down.sum())
    if ups <= 0.0 or downs <= 0.0:
        return math.nan, np.zeros(len(counts))
    below = np.cumsum(down) - (1.0 - within) * down
    above = ups - np.cumsum(up) + within * up
    area = float(up @ below) / (ups * downs)
    return area, counts * ((below - above) / (ups * downs) - area / ups + area / downs)


@dataclass(frozen=True, slots=True)
class EstimateFacts:
    """What is likely of the answers of ``version`` in [start, end) (s), by its holdout; None where
    that says nothing. ``checks`` are of tenants, and of all ("") as far as labels are known.
    ``answers``: how many there were; ``has_holdout``: whether it has one to estimate by."""

    version: str
    metric: str
    start: float
    end: float
    estimate: Estimate | None
    checks: tuple[CalibrationCheck, ...] = ()
    larger_is_better: bool = True
    awaited: str = ""
    answers: int = 0
    has_holdout: bool = True


@dataclass(frozen=True, slots=True)
class EstimatePolicy:
    """``floor`` of the metric, None where there is none. Calibration fails where a segment is
    further from what is expected than ``material`` (absolute, or as a ``relative`` share of it) and
    than chance explains at level ``alpha``, over all segments together. ``level``: of the
    estimate's interval."""

    floor: float | None
    material: float = 0.05
    relative: bool = False
    alpha: float = 0.01
    min_rows: int = 50
    most_unseen: float = 0.1
    revision: int = 3
    level: float = 0.95


def judge_estimate(facts: EstimateFacts, policy: EstimatePolicy, now: float) -> Verdict:
    """Always HOLD, whatever the number: nobody measured anything. It says what is likely, or why
    even that cannot be told."""
    del now
    name, found = metric_name(facts.metric), facts.estimate
    wanted = f"outcomes{facts.awaited}"
    if not facts.has_holdout:
        sentence = f"{name} cannot be estimated: version {facts.version} has no holdout to do it by"
        return Verdict(Outcome.HOLD, "OUT-422", sentence, wanted)
    if found is None and not facts.answers:
        sentence = f"{name} cannot be estimated: version {facts.version} gave no answers"
        return Verdict(Outcome.HOLD, "OUT-422", sentence, f"{policy.min_rows:,} answers")
    if found is None or not all(map(math.isfinite, (found.value, found.lower, found.upper))):
        sentence = (
            f"{name} cannot be estimated: the holdout of version {facts.version} does not tell it "
            f"of answers like these, n={facts.answers:,}"
        )
        return Verdict(Outcome.HOLD, "OUT-422", sentence, wanted)
    if found.rows < policy.min_rows:
        sentence = f"{found.rows:,} answers, {policy.min_rows:,} needed to estimate the {name}"
        short = f"{policy.min_rows - found.rows:,} answers"
        return Verdict(Outcome.HOLD, "OUT-422", sentence, short)
    if found.unseen > policy.most_unseen:
        sentence = (
            f"{name} cannot be estimated: {found.unseen:.1%} > {policy.most_unseen:.1%} of the "
            f"answers are such as the holdout has hardly any of, n={found.rows:,}"
        )
        return Verdict(Outcome.HOLD, "OUT-423", sentence, wanted)
    failed = failed_checks(facts, policy)
    if failed:
        worst = max(
            failed, key=lambda one: abs(one.observed - one.expected) / max(one.error, 1e-12)
        )
        kind = "segment" if worst.declared else "tenant"
        of = f"{kind} {worst.subject}" if worst.subject else "all tenants together"
        more = f", and {len(failed) - 1:,} more" if len(failed) > 1 else ""
        sentence = (
            f"{name} cannot be estimated: of {of} {worst.observed:.3f} was so, "
            f"{worst.expected:.3f} expected by the holdout, n={worst.rows:,}{more}"
        )
        return Verdict(Outcome.HOLD, "OUT-424", sentence, wanted)
    bounds = f"{found.lower:.3f} to {found.upper:.3f}, {level_words(policy.level)}"
    sides = f"estimated {name} {found.value:.3f} ({bounds})"
    tail = f"until outcomes come, n={found.rows:,}"
    if policy.floor is None:
        return Verdict(Outcome.HOLD, "OUT-420", f"{sides} {tail}", wanted)
    word = "floor" if facts.larger_is_better else "ceiling"
    worse = found.upper < policy.floor if facts.larger_is_better else found.lower > policy.floor
    beyond = "below" if facts.larger_is_better else "above"
    said = f"{beyond} the {word} {policy.floor:.3f}" if worse else f"{word} {policy.floor:.3f}"
    code = "OUT-421" if worse else "OUT-420"
    return Verdict(Outcome.HOLD, code, f"{sides}, {said}, {tail}", wanted)


def failed_checks(facts: EstimateFacts, policy: EstimatePolicy) -> tuple[CalibrationCheck, ...]:
    """The segments whose known labels are not as the holdout says."""
    level = policy.alpha / (2.0 * max(1, len(facts.checks)))
    out: list[CalibrationCheck] = []
    for one in facts.checks:
        apart = abs(one.observed - one.expected)
        matters = policy.material * (abs(one.expected) if policy.relative else 1.0)
        chance = -float(scipy.special.stdtrit(one.freedom, level)) * one.error
        if apart > max(matters, chance):
            out.append(one)
    return tuple(out)
