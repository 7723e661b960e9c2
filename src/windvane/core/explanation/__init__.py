"""What each feature of a row contributed to its answer."""

from windvane.core.explanation.explanation import Explanation, Method, Scale, scale_of
from windvane.core.explanation.permutation import (
    average,
    contributions_of,
    features_to_switch,
    passes_within,
    plan_passes,
    rows_between,
)

__all__ = [
    "Explanation",
    "Method",
    "Scale",
    "average",
    "contributions_of",
    "features_to_switch",
    "passes_within",
    "plan_passes",
    "rows_between",
    "scale_of",
]
