"""Rows drawn with known probabilities, for people to label, and what their labels say of all."""

from __future__ import annotations

import enum
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import scipy
from numpy.typing import NDArray

from windvane.core.outcomes.judge import OutcomeFacts, OutcomePolicy, judge_outcomes
from windvane.core.statistics import interval_level, level_words, unseen_reach
from windvane.core.task import Outputs, Quality, Task
from windvane.core.verdict import Outcome, Verdict

Floats = NDArray[np.float64]

_LEAST_SIZE = 0.1  # of the largest: what a model is sure of is asked about, too
_DIGITS = 6  # of a probability: a spreadsheet keeps as many
_ROUNDS = 60
_LEAST_EACH = 10
_LEVEL = 0.025  # on each side of an interval of 95%


class Design(enum.StrEnum):
    """UNIFORM: every row alike. UNCERTAINTY: the less sure the answer, the likelier. STRATUM: of
    each value of a column about as many."""

    UNIFORM = "uniform"
    UNCERTAINTY = "uncertainty"
    STRATUM = "stratum"


def uncertainty_size(confidence: float) -> float:
    """How likely a row is to be drawn, beside others, whose answer is so sure (0 to 1): as the
    spread of whether it is right, which makes the error of an accuracy least (Neyman, Journal of
    the Royal Statistical Society 97, 1934), and never less than a tenth of the largest."""
    sure = min(max(confidence, 0.0), 1.0)
    return max(math.sqrt(sure * (1.0 - sure)) / 0.5, _LEAST_SIZE)


def draw_scale(sizes: Floats, rows: int) -> float:
    """The factor by which sizes (n,), all above 0, become probabilities of which none exceeds 1
    and that add up to ``rows``, or to n where there are fewer."""
    if rows >= len(sizes):
        return 1.0 / float(sizes.min()) if len(sizes) else 1.0
    scale = rows / float(sizes.sum())
    for _ in range(_ROUNDS):
        certain = scale * sizes >= 1.0
        left = float(sizes[~certain].sum())
        wanted = (rows - int(certain.sum())) / left
        if wanted <= scale * (1.0 + 1e-12):
            break
        scale = wanted
    return scale


def inclusion_probability(size: float, scale: float) -> float:
    """Of a row of that size: rounded up to six digits, so that a table of texts keeps it."""
    found = min(1.0, scale * size)
    return min(1.0, max(float(f"{found:.{_DIGITS}g}"), 1e-9))


def is_drawn(model: str, span: tuple[float, float], row: tuple[str, int], chance: float) -> bool:
    """Whether a prediction's row is in the sample: by a number from its name, the model and the
    span (s), so that a repeat draws the same, and rows are drawn independently of one another
    (Poisson sampling; Särndal, Swensson & Wretman, Model Assisted Survey Sampling, 1992, 3.5)."""
    name = "\0".join([model, *(f"{end:.3f}" for end in span), row[0], str(row[1])])
    held = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 11
    return held / float(1 << 53) < chance


@dataclass(frozen=True, slots=True)
class SampledMetric:
    """A metric of all rows of the span, as the labelled ones tell it, with an interval of 95%."""

    value: float
    lower: float
    upper: float


def sampled_quality(
    task: Task, outputs: Outputs, labels: Floats, chances: Floats, alpha: float
) -> Quality:
    """The task's metric of the rows that were drawn from, by rows drawn with ``chances`` (rows,)
    each, with one-sided bounds at level ``alpha``.

    Each row stands for 1/chance rows (Hájek's ratio, of Horvitz and Thompson's totals); the
    variance is that of Poisson sampling, linearised (Särndal, Swensson & Wretman, 1992, 5.5 and
    result 3.5.1), by Student's t for as many rows as weigh alike (Kish, 1965). A share has at
    least Clopper and Pearson's bounds for so many rows (Korn & Graubard, Survey Methodology 24,
    1998): that all labelled ones are right does not say that all are. For the same reason the
    bounds of other means have what rows may add that are too rare to be among the labelled ones
    (`unseen_reach`, with its assumption where values have a unit), even among those that are drawn
    with the smallest chance.
    """
    rows = len(labels)
    nothing = Quality(task.metric, 0.0, 0.0, 0.0, rows, task.larger_is_better)
    above = task.ranked(labels)
    if above is not None:
        fewest = int(min(above.sum(), (~above).sum()))
        if fewest < _LEAST_EACH:
            return replace(nothing, missing=f"{_LEAST_EACH - fewest} more of the rarer label")
    if rows < 2:
        return replace(nothing, missing=f"{2 - rows} more labels")
    weights = 1.0 / chances
    if above is None:
        values = task.row_metrics(outputs, labels)[task.metric]
        ends = task.row_ranges(outputs)[task.metric]
        return _of_mean(nothing, values, chances, alpha, ends, has_unit=task.loss_is_relative)
    value, parts = task.weighted(outputs, labels, weights)
    return _of_share(nothing, value, parts, chances, above == (above.mean() < 0.5), alpha)


def sampled_metrics(
    task: Task, outputs: Outputs, labels: Floats, chances: Floats
) -> dict[str, SampledMetric]:
    """The task's metrics that are means over rows, each with an interval of 95% as
    `sampled_quality` has it; nothing for fewer than two rows."""
    if len(labels) < 2:
        return {}
    out: dict[str, SampledMetric] = {}
    ranges = task.row_ranges(outputs)
    for name, values in task.row_metrics(outputs, labels).items():
        found = _of_mean(
            Quality(name, 0.0, 0.0, 0.0, len(labels)), values, chances, _LEVEL, ranges[name],
            has_unit=task.loss_is_relative,
        )  # fmt: skip
        out[name] = SampledMetric(found.value, found.lower, found.upper)
    return out


def _of_mean(
    nothing: Quality, values: Floats, chances: Floats, alpha: float, ends: tuple[float, float],
    *, has_unit: bool,
) -> Quality:  # fmt: skip
    """The mean of values (rows,), each between ``ends``, over all rows that were drawn from."""
    weights = 1.0 / chances
    mean = float(np.average(values, weights=weights))
    if ends == (0.0, 1.0) and bool(np.isin(values, ends).all()):
        everyone = np.ones(len(values), np.bool_)
        return _of_share(nothing, mean, values - mean, chances, everyone, alpha)
    if bool((chances >= 1.0).all()):
        return replace(nothing, value=mean, lower=mean, upper=mean)
    reach = _reach(values - mean, chances, alpha)
    # Who is drawn with the smallest chance is missed most easily.
    rows = float(weights.sum() / weights.max())
    above = unseen_reach(values, mean, ends[1], rows, alpha, has_unit=has_unit)
    lower = mean - reach
    if ends[0] < 0.0:
        lower -= unseen_reach(-values, -mean, -ends[0], rows, alpha, has_unit=has_unit)
    lower, upper = max(lower, ends[0]), min(mean + reach + above, ends[1])
    unseen = 0.0 if nothing.larger_is_better else min(above, upper - mean)
    return replace(nothing, value=mean, lower=lower, upper=upper, unseen=unseen)


def _of_share(
    nothing: Quality, value: float, parts: Floats, chances: Floats, counted: NDArray[np.bool_],
    alpha: float,
) -> Quality:  # fmt: skip
    """A share from 0 to 1, by its ``parts``; ``counted`` are the rows that it is exact by."""
    found = replace(nothing, value=value, lower=value, upper=value, larger_is_better=True)
    if not bool((chances >= 1.0).all()):
        found = found.widened(_reach(parts, chances, alpha))
        lower, upper = _exact(value, _alike(1.0 / chances[counted]), alpha)
        found = replace(found, lower=min(found.lower, lower), upper=max(found.upper, upper))
    return replace(found, larger_is_better=nothing.larger_is_better)


def _reach(parts: Floats, chances: Floats, alpha: float) -> float:
    weights = 1.0 / chances
    count = len(parts)
    squares = ((1.0 - chances) * (weights * parts) ** 2).sum() * count / (count - 1)
    error = math.sqrt(float(squares)) / float(weights.sum())
    freedom = max(1.0, _alike(weights) - 1.0)
    return -float(scipy.special.stdtrit(freedom, alpha)) * error


def _alike(weights: Floats) -> float:
    """How many rows of equal weight know as much (Kish, Survey Sampling, 1965, 11.7)."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def _exact(share: float, rows: float, alpha: float) -> tuple[float, float]:
    right, wrong = share * rows, (1.0 - share) * rows
    lower = float(scipy.special.betaincinv(right, wrong + 1.0, alpha)) if right > 0.0 else 0.0
    upper = float(scipy.special.betaincinv(right + 1.0, wrong, 1.0 - alpha)) if wrong > 0 else 1.0
    return lower, upper


@dataclass(frozen=True, slots=True)
class SampledFacts:
    """What ``labelled`` of the ``drawn`` rows say of all that ``version`` answered in [start, end)
    (s), which were ``predictions``; ``labelled_by`` says who labelled them. ``simulated``: they
    are no labels of the world. ``digest`` is of the labels."""

    sample: str
    version: str
    start: float
    end: float
    predictions: int
    drawn: int
    labelled: int
    labelled_by: str
    simulated: bool
    digest: str
    quality: Quality
    holdout: float | None = None
    metrics: Mapping[str, SampledMetric] = field(default_factory=dict[str, SampledMetric])


@dataclass(frozen=True, slots=True)
class SampledPolicy:
    """``floor``, ``margin`` and ``alpha`` as `OutcomePolicy` has them, ``floor`` None where the
    model's file has none; at least ``least_labelled`` of what was drawn has to have a label."""

    floor: float | None
    alpha: float = 0.025
    min_rows: int = 50
    margin: float = 0.05
    least_labelled: float = 0.8
    revision: int = 2


def judge_sampled_labels(facts: SampledFacts, policy: SampledPolicy, now: float) -> Verdict:
    """As `judge_outcomes`, and HOLD where labels are simulated, are missing from the sample (what
    nobody labelled may be what is hard), or where there is nothing to compare with."""
    quality = facts.quality
    by = f"from {facts.labelled:,} sampled labels by {facts.labelled_by}"
    level = level_words(interval_level(policy.alpha))
    bounds = f"{quality.lower:.3f} to {quality.upper:.3f}, {level}"
    told = f"{quality.metric} {quality.value:.3f} ({bounds})"
    told = by if quality.missing else f"{told} {by}"
    if facts.simulated:
        return Verdict(Outcome.HOLD, "OUT-432", f"simulated: {told}", "labels of the world")
    wanted = math.ceil(policy.least_labelled * facts.drawn)
    if facts.labelled < wanted:
        sentence = f"{told}, of {facts.drawn:,} that were drawn, {wanted:,} needed"
        return Verdict(Outcome.HOLD, "OUT-433", sentence, f"{wanted - facts.labelled:,} labels")
    if policy.floor is None:
        missing = "a floor: watch.outcomes.floor" if not quality.missing else quality.missing
        return Verdict(Outcome.HOLD, "OUT-431", told, missing)
    judged = judge_outcomes(
        OutcomeFacts(facts.version, quality, facts.holdout),
        OutcomePolicy(policy.floor, policy.alpha, policy.min_rows, policy.margin),
        now,
    )
    return replace(judged, sentence=f"{judged.sentence}, {by}")
