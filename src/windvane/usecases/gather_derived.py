"""What was counted of a window beside its versions' layouts: ages, and fingerprints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from windvane.core.freshness import AgeHistogram, merge_ages
from windvane.core.sketch import Layout, NumericAxis, Sketch
from windvane.ports.control_store import WindowKey
from windvane.usecases.derived_axes import FINGERPRINT, derived_kind

Counts: TypeAlias = NDArray[np.int64]
# By the axis of a datetime feature's age, then by tenant.
Ages: TypeAlias = Mapping[str, Mapping[str, AgeHistogram]]


@dataclass(frozen=True, slots=True, eq=False)
class Derived:
    """``ages`` by axis and tenant, and the counts of ``fingerprints`` by axis, null first, of all
    tenants: a source is everyone's."""

    ages: Ages = field(default_factory=dict[str, Mapping[str, AgeHistogram]])
    fingerprints: Mapping[str, Counts] = field(default_factory=dict[str, Counts])


def gather_derived(
    found: Iterable[tuple[WindowKey, Sketch]], layout_of: Callable[[str], Layout]
) -> Derived:
    """Of sketches as they were counted, of every version and arm: a row tells of its source
    whoever answered it. ``layout_of`` gives the layout of an id."""
    parts: dict[str, dict[str, list[AgeHistogram]]] = {}
    prints: dict[str, Counts] = {}
    counted: dict[str, tuple[Layout, list[NumericAxis]]] = {}
    for key, sketch in found:
        if not key.version:
            continue
        if sketch.layout_id not in counted:
            layout = layout_of(sketch.layout_id)
            axes = [a for a in layout.axes if derived_kind(a.name) and isinstance(a, NumericAxis)]
            counted[sketch.layout_id] = (layout, axes)
        layout, axes = counted[sketch.layout_id]
        for axis in axes:
            part = layout.part(sketch.features, axis.name)
            if derived_kind(axis.name) == FINGERPRINT:
                held = prints.get(axis.name)
                prints[axis.name] = part if held is None else held + part
            else:
                one = AgeHistogram(axis.edges, part)
                parts.setdefault(axis.name, {}).setdefault(key.tenant, []).append(one)
    ages = {
        name: {tenant: merge_ages(held) for tenant, held in by.items()}
        for name, by in parts.items()
    }
    return Derived(ages, prints)
