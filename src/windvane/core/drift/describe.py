"""From what to what a feature changed, in its own words and units."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.measure import ks_distance, null_rate, psi, total_variation
from windvane.core.sketch import Axis, Layout, NumericAxis

Counts = NDArray[np.int64]
_NAMED = 3


def describe_change(layout: Layout, name: str, before: Counts, after: Counts) -> Mapping[str, Any]:
    """Small JSON of one feature: null shares, of a number its quartiles and what moved ``beyond``
    all that training had, of names those whose shares moved most, and the distances that people
    know. Quartiles are edges of bins, so they are as exact as those are fine."""
    axis = layout.axes[layout.names.index(name)]
    was, now = layout.part(before, name), layout.part(after, name)
    out: dict[str, Any] = {
        "feature": name,
        "nulls": [round(null_rate(was), 4), round(null_rate(now), 4)],
        "psi": round(psi(now, was), 4),
        "tv": round(total_variation(now, was), 4),
    }
    if isinstance(axis, NumericAxis):
        out["quartiles"] = [_quartiles(axis, was), _quartiles(axis, now)]
        out["beyond"] = _moved(axis, was, now, axis.beyond)
        distance = ks_distance(now, was)
        out["ks"] = None if np.isnan(distance) else round(distance, 4)
    else:
        out["names"] = _moved(axis, was, now, range(1, axis.bins))
    return out


def change_sentence(change: Mapping[str, Any]) -> str:
    """`temp: median 57 to 14, nulls 2% to 2%`, of what `describe_change` gave."""
    parts: list[str] = []
    nulls_before, nulls_after = change["nulls"]
    if abs(nulls_after - nulls_before) >= 0.01:
        parts.append(f"nulls {nulls_before:.0%} to {nulls_after:.0%}")
    was, now = change.get("quartiles", (None, None))
    if was is not None and now is not None:
        parts.append(
            f"median {was[1]:.4g} to {now[1]:.4g} (middle half {now[0]:.4g} to {now[2]:.4g})"
        )
        if was[1] == now[1]:  # else it tells enough
            parts += [
                f"rows {label} from {before:.0%} to {after:.0%}"
                for label, before, after in change.get("beyond", ())
            ]
    for label, before, after in change.get("names", ()):
        parts.append(f"{label} {before:.0%} to {after:.0%}")
    return f"{change['feature']}: {', '.join(parts) or 'its shape'}"


def _quartiles(axis: NumericAxis, counts: Counts) -> list[float] | None:
    values = counts[1:]
    total = values.sum()
    if not total:
        return None
    share = np.cumsum(values) / total
    places = [int(np.searchsorted(share, part)) for part in (0.25, 0.5, 0.75)]
    ends = axis.bin_ends()
    return [ends[min(place, len(ends) - 1)] for place in places]


def _moved(
    axis: Axis, was: Counts, now: Counts, places: Container[int]
) -> list[tuple[str, float, float]]:
    before = was / max(1, was.sum())
    after = now / max(1, now.sum())
    labels = axis.labels()
    order: list[int] = np.argsort(-np.abs(after - before), kind="stable").tolist()
    return [
        (labels[i], round(float(before[i]), 4), round(float(after[i]), 4))
        for i in order
        if i in places and abs(after[i] - before[i]) >= 0.01
    ][:_NAMED]
