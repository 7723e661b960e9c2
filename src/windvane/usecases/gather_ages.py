"""How old the rows of a window were, by axis and tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from windvane.core.freshness import AgeHistogram, merge_ages
from windvane.core.sketch import Layout, NumericAxis, Sketch
from windvane.ports.control_store import WindowKey
from windvane.usecases.derived_axes import age_name

# By the axis of a datetime feature's age, then by tenant.
Ages: TypeAlias = Mapping[str, Mapping[str, AgeHistogram]]


def gather_ages(
    found: Iterable[tuple[WindowKey, Sketch]], layout_of: Callable[[str], Layout]
) -> Ages:
    """Of sketches as they were counted, of every version and arm: a row tells of its source
    whoever answered it. ``layout_of`` gives the layout of an id."""
    parts: dict[str, dict[str, list[AgeHistogram]]] = {}
    counted: dict[str, tuple[Layout, list[NumericAxis]]] = {}
    for key, sketch in found:
        if not key.version:
            continue
        if sketch.layout_id not in counted:
            layout = layout_of(sketch.layout_id)
            counted[sketch.layout_id] = (layout, _age_axes(layout))
        layout, axes = counted[sketch.layout_id]
        for axis in axes:
            one = AgeHistogram(axis.edges, layout.part(sketch.features, axis.name))
            parts.setdefault(axis.name, {}).setdefault(key.tenant, []).append(one)
    return {
        name: {tenant: merge_ages(held) for tenant, held in by.items()}
        for name, by in parts.items()
    }


def _age_axes(layout: Layout) -> list[NumericAxis]:
    suffix = age_name("")
    return [a for a in layout.axes if a.name.endswith(suffix) and isinstance(a, NumericAxis)]
