"""Evidence for an incident: before and after, whose, and a few requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.sketch import Layout, Sketch
from windvane.core.task import is_output_axis
from windvane.ports.control_store import Deployment, Tx, WindowKey

Counts = NDArray[np.int64]


def histogram(layout: Layout, name: str, before: Counts, after: Counts) -> dict[str, Any]:
    """One feature's bins before and after, ready to draw."""
    axis = layout.axes[layout.names.index(name)]
    return {
        "feature": name,
        "labels": axis.labels(),
        "before": layout.part(before, name).tolist(),
        "after": layout.part(after, name).tolist(),
    }


def output_histograms(tx: Tx, live: Deployment, start: float, end: float) -> list[dict[str, Any]]:
    """The champion's outputs beside the challenger's since ``start``, on the champion's bins:
    a challenger counts its outputs on those too."""
    held = tx.version_layouts(live.model)
    if live.champion not in held:
        return []
    onto = tx.layout(held[live.champion])
    found = list(tx.sketches(live.model, start - 86400.0, end))
    out: list[dict[str, Any]] = []
    for axis in onto.axes:
        if not is_output_axis(axis.name) or "@" in axis.name:
            continue
        before = _part(tx, found, "champion", axis.name)
        after = _part(tx, found, "challenger", f"{axis.name}@{live.champion}")
        if after is None and len(held) > 1:  # the same axis, if both versions have it
            after = _part(tx, found, "challenger", axis.name)
        if before is None or after is None or len(before) != len(after):
            continue
        labels = axis.labels()
        out.append(
            {
                "feature": axis.name,
                "labels": labels,
                "before": before.tolist(),
                "after": after.tolist(),
            }
        )
    return out


def _part(tx: Tx, found: Iterable[tuple[WindowKey, Sketch]], arm: str, name: str) -> Counts | None:
    total: Counts | None = None
    layouts: dict[str, Layout] = {}
    for key, sketch in found:
        if key.arm != arm:
            continue
        own = layouts.get(sketch.layout_id)
        if own is None:
            own = layouts[sketch.layout_id] = tx.layout(sketch.layout_id)
        if name in own.names:
            part = own.part(sketch.features, name)
            total = part if total is None or len(total) != len(part) else total + part
    return total


def tenant_shares(
    layout: Layout, name: str, sketches: Iterable[tuple[str, Counts]]
) -> list[dict[str, Any]]:
    """Each tenant's rows and null share of a feature, most null rows first."""
    totals: dict[str, Counts] = {}
    for tenant, counts in sketches:
        part = layout.part(counts, name)
        totals[tenant] = totals.get(tenant, np.zeros_like(part)) + part
    rows = [
        {"tenant": tenant, "rows": int(part.sum()), "nulls": int(part[0])}
        for tenant, part in totals.items()
        if part.sum()
    ]
    return sorted(rows, key=lambda r: (-r["nulls"], -r["rows"], r["tenant"]))


def sample_requests(found: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Samples as plain JSON."""
    return [
        {
            k: v if isinstance(v, int | float | str | list | dict | None) else str(v)
            for k, v in row.items()
        }
        for row in found
    ]
