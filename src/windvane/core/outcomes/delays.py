"""How long labels take, learned from those that came, with those that may still come left open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DELAY_EDGES: tuple[float, ...] = tuple(float(f"{10.0 ** (k / 4.0):.6g}") for k in range(31))
"""Upper ends (s) of the bins of delays: four a decade, from a second to a year; the last bin has
all that is longer."""

_MATURE = 0.95
_LEAST_LABELS = 50


@dataclass(frozen=True, slots=True)
class LabelCohort:
    """Predictions that were made together: ``rows`` of them, the youngest ``age_s`` old;
    ``labelled`` by bin of delay, one longer than ``DELAY_EDGES``."""

    age_s: float
    rows: int
    labelled: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DelayCurve:
    """``shares``: of the predictions that are old enough to tell, how many had their label by each
    edge; as long as it can be told. ``rows`` and ``labels`` are those of the first edge, and of
    all."""

    shares: tuple[float, ...]
    rows: int
    labels: int

    @property
    def coverage(self) -> float:
        """The share of the oldest predictions that has a label."""
        return self.shares[-1] if self.shares else 0.0

    @property
    def mature_after_s(self) -> float | None:
        """By when so many labels have come that the others hardly change what they say; None
        where too few came to know. Fast labels are no sample of all."""
        if self.labels < _LEAST_LABELS or not self.shares or self.coverage <= 0.0:
            return None
        for edge, share in zip(DELAY_EDGES, self.shares, strict=False):
            if share >= _MATURE * self.coverage:
                return edge
        return None

    def share_by(self, age_s: float) -> float:
        """The share that usually has its label at that age (s); 0 below the first edge."""
        reached = [s for e, s in zip(DELAY_EDGES, self.shares, strict=False) if e <= age_s]
        return reached[-1] if reached else 0.0


def delay_curve(cohorts: Sequence[LabelCohort]) -> DelayCurve:
    """At each edge by the cohorts that are older than it, so that what is not old enough counts
    neither for nor against (a product-limit estimate would need each row's own age)."""
    if not cohorts:
        return DelayCurve((), 0, 0)
    ages = np.array([one.age_s for one in cohorts])
    rows = np.array([one.rows for one in cohorts])
    held: NDArray[np.int64] = np.array([one.labelled for one in cohorts], np.int64)
    came = np.cumsum(held, axis=1)
    shares: list[float] = []
    for i, edge in enumerate(DELAY_EDGES):
        old = ages >= edge
        if not rows[old].sum():
            break
        share = float(came[old, i].sum() / rows[old].sum())
        shares.append(max(share, shares[-1] if shares else 0.0))
    return DelayCurve(tuple(shares), int(rows.sum()), int(came[:, -1].sum()))
