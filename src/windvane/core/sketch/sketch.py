"""The summary of a window: feature counts, traffic counts and latencies, all integers."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windvane.core.sketch.latency import LATENCY_EDGES_US
from windvane.core.sketch.layout import SketchError

Counts = NDArray[np.int64]

TRAFFIC = (
    "rows", "requests", "execution_errors", "fell_back", "refused", "outcomes", "unanswered",
    "compared", "stand_in_silent", "stand_in_other_class", "stand_in_thousandths",
)  # fmt: skip
"""``compared`` rows were put to the stand-in as well, which had no answer for ``stand_in_silent``
and another class for ``stand_in_other_class``; ``stand_in_thousandths`` is the sum of how far
apart the others' answers were (`Task.disagreement`), in thousandths, each rounded."""


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """Counts of one window, version, arm and tenant under one layout.

    ``features`` (layout size,), ``traffic`` (one count a name in ``TRAFFIC``), ``latency``
    (one count a latency bin). Merging is addition: exact, associative and commutative.
    """

    layout_id: str
    features: Counts
    traffic: Counts
    latency: Counts

    @classmethod
    def empty(cls, layout_id: str, size: int) -> Sketch:
        return cls(
            layout_id,
            np.zeros(size, np.int64),
            np.zeros(len(TRAFFIC), np.int64),
            np.zeros(len(LATENCY_EDGES_US) + 1, np.int64),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sketch) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def __add__(self, other: Sketch) -> Sketch:
        if self.layout_id != other.layout_id:
            raise SketchError(
                f"layout {self.layout_id} cannot be merged with layout {other.layout_id}"
            )
        return Sketch(
            self.layout_id,
            self.features + other.features,
            self.traffic + other.traffic,
            self.latency + other.latency,
        )

    def total(self, name: str) -> int:
        """One of the traffic counts by its name."""
        return int(self.traffic[TRAFFIC.index(name)])

    def to_bytes(self) -> bytes:
        """How many counts of traffic there are comes first: names are only ever appended."""
        flat = np.concatenate(
            [[len(self.traffic)], self.traffic, self.latency, self.features]
        ).astype("<i8")
        return self.layout_id.encode() + zlib.compress(flat.tobytes(), 1)

    @classmethod
    def from_bytes(cls, body: bytes) -> Sketch:
        flat = np.frombuffer(zlib.decompress(body[16:]), dtype="<i8").astype(np.int64)
        known = int(flat[0])
        traffic = np.zeros(len(TRAFFIC), np.int64)
        traffic[:known] = flat[1 : known + 1]
        rest = flat[known + 1 :]
        bins = len(LATENCY_EDGES_US) + 1
        return cls(body[:16].decode(), rest[bins:], traffic, rest[:bins])


def merge(sketches: Iterable[Sketch]) -> Sketch | None:
    """The sum of all, or None of none."""
    total: Sketch | None = None
    for sketch in sketches:
        total = sketch if total is None else total + sketch
    return total
