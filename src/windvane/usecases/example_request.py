"""A request that a model answers: what a client can copy, and change piece by piece.

Its values are common ones of the champion's training data, never those of a feature that is
tagged ``pii``.
"""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

import numpy as np

from windvane.core.drift import Baseline
from windvane.core.signature import FeatureSpec, FeatureType, kind_of
from windvane.core.sketch import CategoryAxis, Layout, NumericAxis
from windvane.core.task import make_task
from windvane.usecases.read_model_file import ModelFile

_UNIT = "unit-1"
_DIGITS = 6


def example_features(
    file: ModelFile, layout: Layout | None, baseline: Baseline | None
) -> dict[str, Any]:
    """A row as JSON has it, with every feature of the contract."""
    return {spec.name: _example(file, spec, layout, baseline) for spec in file.schema}


def example_request(
    file: ModelFile, layout: Layout | None, baseline: Baseline | None
) -> dict[str, Any]:
    """The body of ``POST /v1/models/{model}/predict``."""
    instance: dict[str, Any] = {"features": example_features(file, layout, baseline)}
    if file.unit:
        instance["unit"] = _UNIT
    return {"instances": [instance]}


def example_events(
    file: ModelFile, layout: Layout | None, baseline: Baseline | None
) -> dict[str, Any]:
    """The body of ``POST /v1/models/{model}/events``, for a model that is served elsewhere."""
    outputs = {
        spec.name: np.zeros(spec.shape).tolist() for spec in make_task(file.contract.task).outputs
    }
    event: dict[str, Any] = {"id": "prediction-1"}
    if file.unit:
        event["unit"] = _UNIT
    features = example_features(file, layout, baseline)
    return {"events": [{**event, "features": features, "outputs": outputs}]}


def _example(
    file: ModelFile, spec: FeatureSpec, layout: Layout | None, baseline: Baseline | None
) -> Any:
    kind = kind_of(spec)
    if spec.name not in file.pii and layout is not None and baseline is not None:
        found = _common(spec, layout, baseline)
        if found is not None and kind.check(spec, found) is None:
            return found
    plain = kind.plain(spec)
    if isinstance(plain, bytes):
        return base64.b64encode(plain).decode()
    return _rfc3339(plain) if spec.type is FeatureType.DATETIME else plain


def _common(spec: FeatureSpec, layout: Layout, baseline: Baseline) -> Any:
    """The middle one of a number's training values, the most frequent of a category's; None where
    the training data do not say."""
    if spec.name not in layout.names or len(baseline.counts) != layout.size:
        return None
    axis = layout.axes[layout.names.index(spec.name)]
    counts = layout.part(baseline.counts, spec.name)[1:]  # without the missing ones
    if not counts.sum():
        return None
    if isinstance(axis, CategoryAxis):
        known = counts[: len(axis.categories)]
        return axis.categories[int(np.argmax(known))] if known.size and known.sum() else None
    return _middle(spec, axis, counts)


def _middle(spec: FeatureSpec, axis: NumericAxis, counts: np.ndarray[Any, Any]) -> Any:
    """The end of a bin, for these are values of the training data."""
    at = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2.0))
    ends = axis.bin_ends()
    value = ends[min(at, len(ends) - 1)]
    match spec.type:
        case FeatureType.NUMBER:
            return float(f"{value:.{_DIGITS}g}")
        case FeatureType.INTEGER:
            return round(value)
        case FeatureType.BOOLEAN:
            return value >= 0.5
        case FeatureType.DATETIME:
            return _rfc3339(value)
        case _:
            return None


def _rfc3339(seconds: float) -> str:
    return dt.datetime.fromtimestamp(round(seconds), dt.UTC).isoformat()
