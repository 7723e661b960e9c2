"""Whether what a source serves is as new as it should be."""

from windvane.core.freshness.ages import (
    CLOCK_DIFFERENCE_S,
    LONGEST_AGE_S,
    SHORTEST_AGE_S,
    AgeHistogram,
    age_axis,
    merge_ages,
)
from windvane.core.freshness.judge import FreshnessFacts, FreshnessPolicy, judge_freshness

__all__ = [
    "CLOCK_DIFFERENCE_S",
    "LONGEST_AGE_S",
    "SHORTEST_AGE_S",
    "AgeHistogram",
    "FreshnessFacts",
    "FreshnessPolicy",
    "age_axis",
    "judge_freshness",
    "merge_ages",
]
