"""A feature over time: how large its changes are, and what of a long series a chart needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.chance import psi_chance, psi_terms
from windvane.core.drift.measure import null_rate
from windvane.core.drift.two_samples import distances_beyond_chance

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EffectSizes:
    """How far a window's ``rows`` of a feature lie from a reference, what chance gives to as many
    independent rows already taken off and never below 0: the population stability index ``psi``,
    Jensen-Shannon ``js`` (bits, 0 to 1), Kullback-Leibler ``kl`` (bits) and Kolmogorov-Smirnov
    ``ks`` (0 to 1; None for names), all of what is not null; ``nulls``: the rise of their share."""

    rows: int
    psi: float
    js: float
    kl: float
    ks: float | None
    nulls: float


def effect_sizes(window: Counts, reference: Counts, *, ordered: bool) -> EffectSizes | None:
    """Of one feature's bins, the null bin first; ``ordered``: they are those of a number. None
    where either side has no row."""
    rows, past = int(window.sum()), int(reference.sum())
    if not rows or not past:
        return None
    nulls = null_rate(window) - null_rate(reference)
    known, past_known = float(window[1:].sum()), float(reference[1:].sum())
    if not known or not past_known:
        return EffectSizes(rows, 0.0, 0.0, 0.0, 0.0 if ordered else None, nulls)
    scale = 1.0 / known + 1.0 / past_known
    js, kl, ks, _ = distances_beyond_chance(window, reference, scale, ordered=ordered)
    held = reference[1:] + 0.5
    expected = held / held.sum() * known
    terms = psi_terms(window[1:].astype(np.float64), expected).sum()
    by_chance = (1.0 + known / past_known) * psi_chance(expected)[0].sum()
    return EffectSizes(rows, max(float(terms - by_chance) / known, 0.0), js, kl, ks, nulls)


def decimate(heights: Sequence[float], keep: Sequence[bool], most: int) -> list[int]:
    """Places of at most about ``most`` points: all to ``keep``, and the highest of each of the even
    parts that the others are cut into, so that no peak is lost. More than ``most`` where more are
    to be kept."""
    if len(heights) <= most:
        return list(range(len(heights)))
    parts = max(1, most - sum(keep))
    edges = np.linspace(0, len(heights), parts + 1).astype(int).tolist()
    chosen = {i for i, kept in enumerate(keep) if kept}
    for low, high in pairwise(edges):
        if high > low:
            chosen.add(max(range(low, high), key=lambda i: heights[i]))
    return sorted(chosen)
