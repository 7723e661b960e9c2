"""Integer summaries that merge exactly, however the stream was cut."""

from windvane.core.sketch.latency import LATENCY_EDGES_US, share_above
from windvane.core.sketch.layout import (
    NO_AXES,
    Axis,
    CategoryAxis,
    Layout,
    NumericAxis,
    SketchError,
)
from windvane.core.sketch.sketch import TRAFFIC, Sketch, merge

__all__ = [
    "LATENCY_EDGES_US",
    "NO_AXES",
    "TRAFFIC",
    "Axis",
    "CategoryAxis",
    "Layout",
    "NumericAxis",
    "Sketch",
    "SketchError",
    "merge",
    "share_above",
]
