"""Counts of declared segments: rows of a model with one value of a feature, whoever sent them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from windvane.core.sketch import Sketch


@dataclass(frozen=True, slots=True)
class SegmentKey:
    """What a segment's sketch is about: ``segment`` is named as `segment_name` says."""

    model: str
    start: float
    segment: str
    recorder: str


class Segments(Protocol):
    def add_segments(self, sketches: Sequence[tuple[SegmentKey, Sketch]]) -> None:
        """Merge each sketch into what its key holds under the same layout; a key may be there once
        for each layout."""
        ...

    def segments_of(
        self, models: Sequence[str], start: float, end: float
    ) -> list[tuple[SegmentKey, Sketch]]:
        """Of windows that start in [start, end) (s), ordered by model."""
        ...
