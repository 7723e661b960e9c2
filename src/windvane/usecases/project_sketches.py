"""Sketches of several versions on one layout, so that they can be merged and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from windvane.core.sketch import Layout, Sketch
from windvane.ports.control_store import Tx
from windvane.usecases.derived_axes import derived_kind

K = TypeVar("K")


def project_sketches(
    tx: Tx, onto: Layout, found: Iterable[tuple[K, Sketch]]
) -> list[tuple[K, Sketch]]:
    """Each sketch under ``onto``: axes that its own layout shares keep their counts, and what is
    counted of traffic and latency stays as it is."""
    layouts = {onto.id: onto}
    out: list[tuple[K, Sketch]] = []
    for key, sketch in found:
        projected = sketch
        if sketch.layout_id != onto.id:
            own = layouts.get(sketch.layout_id)
            if own is None:
                own = layouts[sketch.layout_id] = tx.layout(sketch.layout_id)
            counts = own.project(sketch.features, onto)
            projected = replace(sketch, layout_id=onto.id, features=counts)
        out.append((key, projected))
    return out


def as_registered(
    found: Iterable[tuple[K, Sketch]], layout_of: Callable[[str], Layout]
) -> list[tuple[K, Sketch]]:
    """Each sketch under the layout that its version was registered with, without what a model's
    file had counted beside it. ``layout_of`` gives the layout of an id."""
    onto: dict[str, tuple[Layout, Layout]] = {}
    out: list[tuple[K, Sketch]] = []
    for key, sketch in found:
        if sketch.layout_id not in onto:
            held = layout_of(sketch.layout_id)
            own = tuple(axis for axis in held.axes if not derived_kind(axis.name))
            onto[sketch.layout_id] = (held, held if len(own) == len(held.axes) else Layout(own))
        held, own = onto[sketch.layout_id]
        if own is held:
            out.append((key, sketch))
            continue
        counts = held.project(sketch.features, own)
        out.append((key, replace(sketch, layout_id=own.id, features=counts)))
    return out
