"""Statistics that several subjects share: ranks, centred moments, proper scores."""

from windvane.core.statistics.arms import (
    asymptotic_radius,
    bounded_mean_radius,
    log_noninferiority_evidence,
    log_staged_evidence,
)
from windvane.core.statistics.auc import (
    AucDifference,
    AucEstimate,
    auc,
    auc_parts,
    delong,
    delong_difference,
    midranks,
    weighted_auc,
)
from windvane.core.statistics.blocks import (
    LEAST_BLOCKS,
    LEAST_EARLIER,
    block_count,
    reach_of_block,
    reach_over_time,
    reach_over_units,
)
from windvane.core.statistics.levels import interval_level, level_words
from windvane.core.statistics.moments import (
    NO_MOMENTS,
    Moments,
    mean_bounds,
    moments_of,
    share_bounds,
    unseen_reach,
    unseen_share,
)
from windvane.core.statistics.shares import difference_bounds, ratio_bounds

__all__ = [
    "LEAST_BLOCKS",
    "LEAST_EARLIER",
    "NO_MOMENTS",
    "AucDifference",
    "AucEstimate",
    "Moments",
    "asymptotic_radius",
    "auc",
    "auc_parts",
    "block_count",
    "bounded_mean_radius",
    "delong",
    "delong_difference",
    "difference_bounds",
    "interval_level",
    "level_words",
    "log_noninferiority_evidence",
    "log_staged_evidence",
    "mean_bounds",
    "midranks",
    "moments_of",
    "ratio_bounds",
    "reach_of_block",
    "reach_over_time",
    "reach_over_units",
    "share_bounds",
    "unseen_reach",
    "unseen_share",
    "weighted_auc",
]
