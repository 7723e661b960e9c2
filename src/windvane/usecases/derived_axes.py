"""What the recorder counts of rows beside a version's layout: what the model's file asks for.

A version's layout is as it was registered, and the file may ask for more at any time. So these axes
are no part of a version's layout: they are counted beside it, under a layout of both, and whoever
compares features never sees them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.freshness import age_axis, fingerprint_axis
from windvane.core.signature import FeatureSpec, FeatureType, fingerprints, summary_name
from windvane.core.sketch import Axis
from windvane.usecases.read_model_file import ModelFile, parse_duration

AGE, FINGERPRINT = "age", "fingerprint"
_DERIVED = frozenset({AGE, FINGERPRINT})


def age_name(feature: str) -> str:
    """The axis of how long before its request a row was observed, by its ``feature``."""
    return summary_name(feature, AGE)


def fingerprint_name(view: str) -> str:
    """The axis of the fingerprints of what a ``view`` serves."""
    return summary_name(view, FINGERPRINT)


def derived_kind(axis: str) -> str:
    """What an axis of this name counts beside a version's layout; "" where it is part of it."""
    kind = axis.rpartition("#")[2]
    return kind if kind in _DERIVED else ""


def derived_axes(file: ModelFile) -> tuple[Axis, ...]:
    """Those that a checked file asks for, by the order of its views."""
    limits: dict[str, list[float]] = {}
    for view in file.features:
        if (asked := file.watch.fresh.get(view)) is not None:
            limits.setdefault(asked.time, []).append(parse_duration(asked.within))
    ages = [age_axis(age_name(feature), held) for feature, held in limits.items()]
    repeats = [fingerprint_axis(fingerprint_name(view)) for view in file.watch.repeats]
    return (*ages, *repeats)


def derived_columns(
    features: Sequence[FeatureSpec],
    columns: Sequence[NDArray[np.float64] | Sequence[Any]],
    times: Sequence[float],
    wanted: Set[str],
) -> Mapping[str, Any]:
    """Of those ``wanted``, the columns by axis, made of the features' ``columns`` (arrays of
    numbers, else values); ``times`` (s) are those of the rows' requests."""
    out: dict[str, Any] = {}
    views: dict[str, list[NDArray[np.float64] | Sequence[Any]]] = {}
    for spec, column in zip(features, columns, strict=True):
        views.setdefault(spec.view, []).append(column)
        if spec.type is FeatureType.DATETIME and (name := age_name(spec.name)) in wanted:
            out[name] = np.asarray(times, np.float64) - np.asarray(column, np.float64)
    for view, held in views.items():
        if (name := fingerprint_name(view)) in wanted:
            out[name] = fingerprints(held, len(held[0]))
    return out
