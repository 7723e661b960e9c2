"""What a model answers on average as one feature moves over its range: partial dependence.

Friedman 2001, "Greedy Function Approximation: A Gradient Boosting Machine" (Annals of Statistics
29(5)), section 8.2, equation 53: the mean answer over rows of training data of which one feature
is set to the same value and all others stay as they are. Where features go together such rows may
never occur, and the mean is an extrapolation.
"""

from __future__ import annotations

import enum
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.signature import FeatureSpec, FeatureType, kind_of

MOST_ROWS = 200
MOST_FEATURES = 32
MOST_POINTS = 16

_INSIDE = 11
_BEYOND = (0.25, 1.0)  # parts of training's range, on either side
_NAMES = MOST_POINTS - 2
_LONGEST_NAME = 200
UNSEEN_NAME = "unseen in training"
_NUMBERS = (FeatureType.NUMBER, FeatureType.INTEGER)
_NAMED = (FeatureType.CATEGORY, FeatureType.BOOLEAN)

Value = float | bool | str | None


class Where(enum.StrEnum):
    """What a value is to the training data: one of it, beyond all of it, missing, or a name that
    it lacks (`UNSEEN_NAME` stands for all that a contract does not know)."""

    TRAINING = "training"
    OUTSIDE = "outside"
    NULL = "null"
    UNSEEN = "unseen"


@dataclass(frozen=True, slots=True)
class Point:
    """``answer``: the mean over the rows, None where the model gave no finite number."""

    value: Value
    where: Where
    answer: float | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """One feature's mean answers: of a number in ascending order, of names the most frequent of
    training first; a missing value and a name of which training has none come last.

    ``quartiles`` are those of training's numbers, () of names. ``importance`` is the mean absolute
    change of an answer when the feature's values are shuffled among the rows, in the answer's
    unit.
    """

    feature: str
    points: tuple[Point, ...]
    quartiles: tuple[float, ...]
    importance: float


@dataclass(frozen=True, slots=True)
class PartialDependence:
    """``curves`` by falling importance, of the ``features`` that were ranked. ``output`` names the
    answer, ``rows`` are those that each mean is over. ``missing`` says why there are no more, ""
    where all are there that are wanted."""

    output: str
    rows: int
    features: int
    curves: tuple[Curve, ...]
    missing: str = ""

    def curve(self, feature: str) -> tuple[int, Curve] | None:
        """A feature's curve with its rank by importance, from 1; None where there is none."""
        found = enumerate(self.curves, start=1)
        return next(((rank, one) for rank, one in found if one.feature == feature), None)


def has_range(spec: FeatureSpec) -> bool:
    """Whether a feature's values can be moved over: numbers, names and truth values."""
    return spec.type in _NUMBERS or spec.type in _NAMED


def choose_grid(spec: FeatureSpec, column: Sequence[Any]) -> tuple[Point, ...]:
    """At most `MOST_POINTS` values to ask about, by the training's ``column`` (None: missing): its
    deciles, and as far beyond both ends as the contract allows; or its most frequent names and
    one that it lacks; and a missing value where that is allowed. () where no row has a value."""
    present = [value for value in column if value is not None]
    if not present or not has_range(spec):
        return ()
    points = _numbers(spec, present) if spec.type in _NUMBERS else _names(spec, present)
    if spec.nullable:
        points.append(Point(None, Where.NULL))
    return tuple(points)


def quartiles_of(spec: FeatureSpec, column: Sequence[Any]) -> tuple[float, ...]:
    """The quartiles of a column's numbers, each one of its values; () of names or nothing."""
    present = [value for value in column if value is not None]
    if spec.type not in _NUMBERS or not present:
        return ()
    return tuple(_quantiles(present, [0.25, 0.5, 0.75]).tolist())


def mean_answer(answers: NDArray[np.float64]) -> float | None:
    """None where an answer or the mean is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(answers.mean()) if len(answers) else math.nan
    return mean if math.isfinite(mean) else None


def answer_at(points: Sequence[Point], value: Value) -> Point:
    """The point of a value: of a number between two points the line between them; of one beyond
    all that was asked the furthest point. Its answer is None where the value was not asked
    about."""
    if value is None or isinstance(value, str | bool):
        own = (p for p in points if type(p.value) is type(value) and p.value == value)
        return next(own, Point(value, Where.NULL if value is None else Where.UNSEEN))
    asked = [(p.value, p) for p in points if isinstance(p.value, float)]
    if not asked:
        return Point(value, Where.OUTSIDE)
    at = bisect_left([x for x, _ in asked], value)
    if at == len(asked):
        return asked[-1][1]
    high, above = asked[at]
    if at == 0 or high == value:
        return above
    low, below = asked[at - 1]
    outside = Where.OUTSIDE in (above.where, below.where)
    where = Where.OUTSIDE if outside else Where.TRAINING
    if above.answer is None or below.answer is None:
        return Point(value, where)
    part = (value - low) / (high - low)
    return Point(value, where, below.answer + part * (above.answer - below.answer))


def answer_beyond(points: Sequence[Point], end: float, side: str) -> Point:
    """The point of numbers that lie ``under`` or ``over`` (``side``) the ``end`` of training's,
    nobody knows how far: the nearest that was asked about there. Without a value or an answer
    where none was."""
    outside = (p for p in points if p.where is Where.OUTSIDE)
    asked = [(p.value, p) for p in outside if isinstance(p.value, float)]
    if side == "under":
        there = [p for value, p in reversed(asked) if value < end]
    else:
        there = [p for value, p in asked if value > end]
    return there[0] if there else Point(None, Where.OUTSIDE)


def _numbers(spec: FeatureSpec, present: Sequence[Any]) -> list[Point]:
    inside = np.unique(_quantiles(present, np.linspace(0.0, 1.0, _INSIDE).tolist()))
    least, most = float(inside[0]), float(inside[-1])
    span = (most - least) or max(1.0, abs(most))
    below = _allowed(spec, [least - part * span for part in reversed(_BEYOND)])
    above = _allowed(spec, [most + part * span for part in _BEYOND])
    return [
        *(Point(value, Where.OUTSIDE) for value in below if value < least),
        *(Point(float(value), Where.TRAINING) for value in inside),
        *(Point(value, Where.OUTSIDE) for value in above if value > most),
    ]


def _allowed(spec: FeatureSpec, values: Sequence[float]) -> list[float]:
    """The values that a request may have, each once; one that it may not have stands for the
    nearest that it may."""
    low = -math.inf if spec.low is None else spec.low
    high = math.inf if spec.high is None else spec.high
    if spec.type is FeatureType.INTEGER:
        low = low if math.isinf(low) else float(math.ceil(low))
        high = high if math.isinf(high) else float(math.floor(high))
        values = [float(round(value)) for value in values]
    kept = dict.fromkeys(min(max(value, low), high) for value in values)
    return [value for value in kept if kind_of(spec).check_held(spec, value) is None]


def _names(spec: FeatureSpec, present: Sequence[Any]) -> list[Point]:
    counts = Counter(present)
    known = (False, True) if spec.type is FeatureType.BOOLEAN else spec.known
    names = [*sorted(counts, key=lambda name: (-counts[name], name)), *known]
    kept = [n for n in dict.fromkeys(names) if isinstance(n, bool) or len(n) <= _LONGEST_NAME]
    points = [Point(n, Where.TRAINING if n in counts else Where.UNSEEN) for n in kept[:_NAMES]]
    if spec.type is FeatureType.CATEGORY and not spec.known and UNSEEN_NAME not in counts:
        points.append(Point(UNSEEN_NAME, Where.UNSEEN))
    return points


def _quantiles(present: Sequence[Any], parts: Sequence[float]) -> NDArray[np.float64]:
    # Values of training themselves: what lies between two of them may be no whole number.
    return np.quantile(np.array(present, np.float64), parts, method="inverted_cdf")
