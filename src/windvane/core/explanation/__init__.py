"""What each feature of a row contributed to its answer, and what answers are as one moves."""

from windvane.core.explanation.explanation import Explanation, Method, Scale, scale_of
from windvane.core.explanation.partial_dependence import (
    MOST_FEATURES,
    MOST_POINTS,
    MOST_ROWS,
    UNSEEN_NAME,
    Curve,
    PartialDependence,
    Point,
    Value,
    Where,
    answer_at,
    choose_grid,
    has_range,
    mean_answer,
    quartiles_of,
)
from windvane.core.explanation.permutation import (
    average,
    contributions_of,
    features_to_switch,
    passes_within,
    plan_passes,
    rows_between,
)

__all__ = [
    "MOST_FEATURES",
    "MOST_POINTS",
    "MOST_ROWS",
    "UNSEEN_NAME",
    "Curve",
    "Explanation",
    "Method",
    "PartialDependence",
    "Point",
    "Scale",
    "Value",
    "Where",
    "answer_at",
    "average",
    "choose_grid",
    "contributions_of",
    "features_to_switch",
    "has_range",
    "mean_answer",
    "passes_within",
    "plan_passes",
    "quartiles_of",
    "rows_between",
    "scale_of",
]
