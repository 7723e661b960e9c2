"""What the recorder counts of rows beside a version's layout: what the model's file asks for.

A version's layout is as it was registered, and the file may ask for more at any time. So these axes
are no part of a version's layout: they are counted beside it, under a layout of both, and whoever
compares features never sees them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from windvane.core.freshness import age_axis
from windvane.core.signature import FeatureSpec, FeatureType, summary_name
from windvane.core.sketch import Axis
from windvane.usecases.read_model_file import ModelFile, parse_duration

AGE = "age"
_DERIVED = frozenset({AGE})


def age_name(feature: str) -> str:
    """The axis of how long before its request a row was observed, by its ``feature``."""
    return summary_name(feature, AGE)


def is_derived(axis: str) -> bool:
    """Whether an axis of this name is beside a version's layout, and no part of it."""
    return axis.rpartition("#")[2] in _DERIVED


def derived_axes(file: ModelFile) -> tuple[Axis, ...]:
    """Those that a checked file asks for, by the order of its views."""
    limits: dict[str, list[float]] = {}
    for view in file.features:
        if (asked := file.watch.fresh.get(view)) is not None:
            limits.setdefault(asked.time, []).append(parse_duration(asked.within))
    return tuple(age_axis(age_name(feature), held) for feature, held in limits.items())


def derived_columns(
    features: Sequence[FeatureSpec],
    values: Sequence[Sequence[Any]],
    times: Sequence[float],
    wanted: Set[str],
) -> Mapping[str, Any]:
    """Of those ``wanted``, the columns by axis; ``times`` (s) are those of the rows' requests."""
    out: dict[str, Any] = {}
    for i, spec in enumerate(features):
        if spec.type is FeatureType.DATETIME and (name := age_name(spec.name)) in wanted:
            observed = np.array([row[i] for row in values], np.float64)  # None is not a number
            out[name] = np.asarray(times, np.float64) - observed
    return out
