"""Evidence for an incident: before and after, whose, and a few requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.sketch import Layout
from windvane.ports.control_store import Deployment, Tx

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
    """The champion's outputs beside the challenger's since ``start``."""
    sketches = tx.sketches(live.model, start - 86400.0, end)
    layout_id = next((s.layout_id for _, s in sketches), None)
    if layout_id is None:
        return []
    layout = tx.layout(layout_id)

    def arm(name: str) -> Counts:
        parts = [s.features for k, s in sketches if k.arm == name and s.layout_id == layout_id]
        return np.sum(parts, axis=0) if parts else np.zeros(layout.size, np.int64)

    return [histogram(layout, layout.names[-1], arm("champion"), arm("challenger"))]


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
