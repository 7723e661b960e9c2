"""Statistics that several subjects share: ranks, centred moments, proper scores."""

from windvane.core.statistics.auc import AucEstimate, auc, delong, delong_difference
from windvane.core.statistics.moments import NO_MOMENTS, Moments, mean_bounds, moments_of

__all__ = [
    "NO_MOMENTS",
    "AucEstimate",
    "Moments",
    "auc",
    "delong",
    "delong_difference",
    "mean_bounds",
    "moments_of",
]
