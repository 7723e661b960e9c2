"""From what to what a feature changed, in its own words and units."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.measure import ks_distance, null_rate, psi, total_variation
from windvane.core.sketch import Axis, Layout, NumericAxis

Counts = NDArray[np.int64]
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Quartile:
    """``side`` is ``under`` or ``over`` where it lies beyond ``value``, nobody knows how far, and
    "" where that is it."""

    value: float
    side: str = ""

    @property
    def words(self) -> str:
        return f"{self.side} {self.value:.4g}".lstrip()


def describe_change(layout: Layout, name: str, before: Counts, after: Counts) -> Mapping[str, Any]:
    """Small JSON of one feature: null shares, of a number its quartiles and what moved ``beyond``
    all that training had, of names those whose shares moved most, and the distances that people
    know. Quartiles are edges of bins, so they are as exact as those are fine: one that
    ``quartiles_beyond`` calls ``under`` or ``over`` lies beyond training's own least or largest
    value, which stands for it, and nobody knows how far."""
    axis = layout.axes[layout.names.index(name)]
    was, now = layout.part(before, name), layout.part(after, name)
    out: dict[str, Any] = {
        "feature": name,
        "nulls": [round(null_rate(was), 4), round(null_rate(now), 4)],
        "psi": round(psi(now, was), 4),
        "tv": round(total_variation(now, was), 4),
    }
    if isinstance(axis, NumericAxis):
        found = [_quartiles(axis, was), _quartiles(axis, now)]
        out["quartiles"] = [one and [value for value, _ in one] for one in found]
        out["quartiles_beyond"] = [one and [side for _, side in one] for one in found]
        out["beyond"] = _moved(axis, was, now, axis.beyond)
        distance = ks_distance(now, was)
        out["ks"] = None if np.isnan(distance) else round(distance, 4)
    else:
        out["names"] = _moved(axis, was, now, range(1, axis.bins))
    return out


def change_sentence(change: Mapping[str, Any]) -> str:
    """`temp: median 57 to over 104, nulls 2% to 2%`, of what `describe_change` gave."""
    parts: list[str] = []
    nulls_before, nulls_after = change["nulls"]
    if abs(nulls_after - nulls_before) >= 0.01:
        parts.append(f"nulls {nulls_before:.0%} to {nulls_after:.0%}")
    was, now = quartiles_of_change(change)
    if was is not None and now is not None:
        low, median, high = now
        half = low.words if low == high and low.side else f"{low.words} to {high.words}"
        parts.append(f"median {was[1].words} to {median.words} (middle half {half})")
        if was[1] == median:  # else it tells enough
            parts += [
                f"rows {label} from {before:.0%} to {after:.0%}"
                for label, before, after in change.get("beyond", ())
            ]
    for label, before, after in change.get("names", ()):
        parts.append(f"{label} {before:.0%} to {after:.0%}")
    return f"{change['feature']}: {', '.join(parts) or 'its shape'}"


def quartiles_of_change(
    change: Mapping[str, Any],
) -> tuple[tuple[Quartile, ...] | None, tuple[Quartile, ...] | None]:
    """Those before and after, of what `describe_change` gave; None of names or no value."""
    values: Sequence[Any] = change.get("quartiles") or (None, None)
    sides: Sequence[Any] = change.get("quartiles_beyond") or (None, None)
    before, after = (
        None if not of else tuple(map(Quartile, of, beyond or [""] * len(of)))
        for of, beyond in zip(values, sides, strict=True)
    )
    return before, after


def _quartiles(axis: NumericAxis, counts: Counts) -> list[tuple[float, str]] | None:
    values = counts[1:]
    total = values.sum()
    if not total:
        return None
    share = np.cumsum(values) / total
    places = [int(np.searchsorted(share, part)) for part in (0.25, 0.5, 0.75)]
    ends = axis.bin_ends()
    return [
        (ends[place], "" if place + 1 not in axis.beyond else "over" if place else "under")
        for place in (min(place, len(ends) - 1) for place in places)
    ]


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
