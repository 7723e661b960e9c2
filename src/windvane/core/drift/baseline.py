"""What a version's training data looked like, and how its windows used to vary."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.calibrate import recent_scores
from windvane.core.sketch import Layout, NumericAxis

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
_BLOCKS = 112
_CALIBRATED = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """A version's reference.

    ``counts`` (layout size,) of all training rows. ``calibration`` by axis: scores
    (2, windows) of real training windows against their own past (values, nulls). ``tail``:
    counts of the last training data by the start of a block of ``block_s``: the recent past
    of a model's first days.
    """

    layout_id: str
    block_s: float
    counts: Counts
    calibration: Mapping[str, Floats]
    tail: Mapping[float, Counts]

    def to_bytes(self) -> bytes:
        body = {
            "layout_id": self.layout_id,
            "block_s": self.block_s,
            "counts": self.counts.tolist(),
            "calibration": {
                name: [[None if np.isnan(v) else round(float(v), 6) for v in row] for row in rows]
                for name, rows in self.calibration.items()
            },
            "tail": [[start, counts.tolist()] for start, counts in self.tail.items()],
        }
        return zlib.compress(json.dumps(body, separators=(",", ":")).encode(), 6)

    @classmethod
    def from_bytes(cls, packed: bytes) -> Baseline:
        body = json.loads(zlib.decompress(packed))
        return cls(
            body["layout_id"],
            body["block_s"],
            np.array(body["counts"], np.int64),
            {name: np.array(rows, np.float64) for name, rows in body["calibration"].items()},
            {start: np.array(counts, np.int64) for start, counts in body["tail"]},
        )


def block_seconds(window_s: float, recent_s: float) -> float:
    """The recent past is kept in about ``_BLOCKS`` blocks of whole windows, not by window:
    two weeks of minutes would be twenty thousand histograms."""
    return window_s * max(1, round(recent_s / window_s) // _BLOCKS)


def calibration_seconds(window_s: float, recent_s: float) -> float:
    """How much of the end of the training data calibrates: older windows add little."""
    return _CALIBRATED * window_s + recent_s


def build_baseline(
    layout: Layout,
    windows: Mapping[float, Counts],
    window_s: float,
    recent_s: float,
    min_rows: int,
    counts: Counts | None = None,
) -> Baseline:
    """From the training data's windows by start (quiet hours may be absent), of which those
    of the last ``calibration_seconds`` calibrate; ``counts`` of all rows where ``windows`` are
    not all of them.
    """
    rows: Counts = np.sum(list(windows.values()), axis=0) if counts is None else counts
    last = max(windows)
    starts = sorted(s for s in windows if s > last - calibration_seconds(window_s, recent_s))
    span = max(2, round(recent_s / window_s))
    first = round(starts[0] / window_s)
    grid = np.zeros((round(starts[-1] / window_s) - first + 1, layout.size), np.int64)
    for start in starts:
        grid[round(start / window_s) - first] = windows[start]
    calibration = {
        axis.name: recent_scores(
            grid[:, at : at + axis.bins],
            span=span,
            ordered=isinstance(axis, NumericAxis),
            min_rows=min_rows,
        )
        # Of two axes of one feature the first is the one that is judged.
        for axis, at in reversed(list(zip(layout.axes, layout.offsets[:-1], strict=True)))
    }
    block_s = block_seconds(window_s, recent_s)
    tail: dict[float, Counts] = {}
    for start in starts:
        if start > last - recent_s:
            block = start // block_s * block_s
            tail[block] = tail.get(block, 0) + windows[start]
    return Baseline(layout.id, block_s, rows, calibration, tail)
