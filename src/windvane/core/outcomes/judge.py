"""Discrimination and loss from integer counts of scores by outcome."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windvane.core.verdict import Outcome, Verdict

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ScoredCounts:
    """Predictions with known outcome in equal-width score bins over [0, 1].

    ``positives`` and ``negatives``, (bins,) each; they add, so windows merge exactly.
    """

    positives: Counts
    negatives: Counts

    @property
    def scored(self) -> int:
        return int(self.positives.sum() + self.negatives.sum())


@dataclass(frozen=True, slots=True)
class OutcomePolicy:
    """``floor`` is the least AUC; ``alpha`` the level of the lower and upper bounds."""

    floor: float
    alpha: float = 0.01
    min_each: int = 50
    revision: int = 1


def auc(counts: ScoredCounts) -> float:
    """Area under the ROC curve; pairs within one bin count one half."""
    below = np.cumsum(counts.negatives) - counts.negatives
    pairs = float(counts.positives.sum()) * float(counts.negatives.sum())
    wins = (counts.positives * (below + counts.negatives / 2.0)).sum()
    return float(wins / pairs) if pairs else float("nan")


def brier(score: float, outcome: float) -> float:
    """Squared error of a probability; 0 is perfect."""
    return (score - outcome) ** 2


def judge_outcomes(facts: ScoredCounts, policy: OutcomePolicy, now: float) -> Verdict:
    """FAIL only when the AUC is below the floor beyond its sampling error.

    The radius is Hoeffding's for a two-sample U-statistic, ``sqrt(ln(1/alpha) / (2 min(n+, n-)))``
    (Hoeffding, JASA 58, 1963): wide, but asking nothing of the scores.
    """
    del now
    pos, neg = int(facts.positives.sum()), int(facts.negatives.sum())
    if min(pos, neg) < policy.min_each:
        said = f"{pos} positive and {neg} negative outcomes, {policy.min_each} of each needed"
        missing = f"{policy.min_each - min(pos, neg)} of the rarer outcome"
        return Verdict(Outcome.HOLD, "OUT-402", said, missing)
    area = auc(facts)
    radius = math.sqrt(-math.log(policy.alpha) / (2.0 * min(pos, neg)))
    sides = f"AUC {area:.3f} ± {radius:.3f}, floor {policy.floor:.3f}, n={pos + neg:,}"
    if area + radius < policy.floor:
        return Verdict(Outcome.FAIL, "OUT-401", sides)
    return Verdict(Outcome.PASS, "OUT-400", sides)
