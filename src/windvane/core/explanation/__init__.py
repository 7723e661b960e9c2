"""What each feature of a row contributed to its answer."""

from windvane.core.explanation.explanation import Explanation, Method, Scale, scale_of
from windvane.core.explanation.permutation import (
    Walk,
    average,
    contributions_of,
    passes_within,
    plan_passes,
    walk,
)

__all__ = [
    "Explanation",
    "Method",
    "Scale",
    "Walk",
    "average",
    "contributions_of",
    "passes_within",
    "plan_passes",
    "scale_of",
    "walk",
]
