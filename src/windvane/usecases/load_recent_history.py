"""The recent history of a model: the counts and sizes of its judged windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from windvane.core.routing import NO_SAMPLE
from windvane.core.sketch import Layout
from windvane.ports.control_store import Tx
from windvane.usecases.project_sketches import project_sketches

Counts = NDArray[np.int64]
_MOST_SIZES = 1_000
_BLOCKS_AT_ONCE = 12


@dataclass
class RecentHistory:
    """Merged counts and measured sizes of one model's windows.

    ``windows`` are those of the block under way by start, ``blocks`` the whole blocks before
    it; ``sizes`` by stream and window: what each feature's effect was; ``until`` the end of
    the newest. A cache only: losing it costs reading, never a verdict.
    """

    window_s: float
    block_s: float
    windows: dict[float, Counts] = field(default_factory=dict[float, Counts])
    blocks: dict[float, Counts] = field(default_factory=dict[float, Counts])
    sizes: dict[str, dict[float, float]] = field(default_factory=dict[str, dict[float, float]])
    until: float = 0.0

    def spans(self) -> Iterator[tuple[float, float, Counts]]:
        """(start, end, counts) of everything held, blocks first."""
        for start, counts in self.blocks.items():
            yield start, start + self.block_s, counts
        for start, counts in self.windows.items():
            yield start, start + self.window_s, counts

    def between(self, low: float, high: float) -> Counts | None:
        """What lies in [low, high), to the nearest block; None where nothing does."""
        found = [c for start, end, c in self.spans() if end > low and start < high]
        return np.sum(found, axis=0) if found else None

    def add(self, start: float, counts: Counts) -> None:
        """A window; the same one again changes nothing. Blocks that are over are merged."""
        self.windows[start] = counts
        self.until = max(self.until, start + self.window_s)
        for held in sorted(self.windows):
            block = held // self.block_s * self.block_s
            if block + self.block_s <= start:
                merged = self.windows.pop(held)
                self.blocks[block] = self.blocks.get(block, np.zeros_like(merged)) + merged

    def remember(self, stream: str, start: float, size: float) -> None:
        held = self.sizes.setdefault(stream, {})
        held[start] = size
        while len(held) > _MOST_SIZES:
            del held[next(iter(held))]

    def forget_before(self, first: float) -> None:
        for held in (self.windows, self.blocks):
            for start in [s for s in held if s < first]:
                del held[start]


def load_recent_history(
    tx: Tx, model: str, layout: Layout, window_s: float, block_s: float, first: float, until: float
) -> RecentHistory:
    """Read windows that began in [first, until), some blocks at a time."""
    history = RecentHistory(window_s, block_s)
    earliest = tx.first_windows({model: first}).get(model, until)
    block = max(first, earliest) // block_s * block_s
    while block < until:
        by_start: dict[float, Counts] = {}
        end = block + _BLOCKS_AT_ONCE * block_s
        found = tx.sketches(model, max(block, first), min(end, until))
        for key, sketch in project_sketches(tx, layout, found):
            if key.arm in NO_SAMPLE:
                continue
            held = by_start.get(key.start)
            by_start[key.start] = sketch.features if held is None else held + sketch.features
        for start in sorted(by_start):
            history.add(start, by_start[start])
        block = end
    for row in reversed(tx.verdicts(model, "sudden_shift", first, _MOST_SIZES)):
        for reading in row.detail.get("readings", []):
            stream = f"{reading['feature']}/{reading['kind']}"
            history.remember(stream, row.start, float(reading["size"]))
    history.until = until
    return history
