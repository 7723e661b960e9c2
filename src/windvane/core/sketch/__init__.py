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
from windvane.core.sketch.segments import (
    MOST_SEGMENTS,
    OTHER,
    name_of_value,
    segment_groups,
    segment_name,
    segment_values,
    segmented_by,
    value_of,
)
from windvane.core.sketch.sketch import TRAFFIC, Sketch, merge

__all__ = [
    "LATENCY_EDGES_US",
    "MOST_SEGMENTS",
    "NO_AXES",
    "OTHER",
    "TRAFFIC",
    "Axis",
    "CategoryAxis",
    "Layout",
    "NumericAxis",
    "Sketch",
    "SketchError",
    "merge",
    "name_of_value",
    "segment_groups",
    "segment_name",
    "segment_values",
    "segmented_by",
    "share_above",
    "value_of",
]
