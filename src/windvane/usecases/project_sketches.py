"""Sketches of several versions on one layout, so that they can be merged and compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from windvane.core.sketch import Layout, Sketch
from windvane.ports.control_store import Tx

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
