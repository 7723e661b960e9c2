"""Fixed latency edges, shared by the gateway's metrics and every sketch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LATENCY_EDGES_US: tuple[int, ...] = (
    100, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 7_500, 10_000, 15_000,
    20_000, 30_000, 50_000, 75_000, 100_000, 200_000, 500_000, 1_000_000, 5_000_000,
)  # fmt: skip


def share_above(counts: NDArray[np.int64], limit_us: float) -> tuple[int, int]:
    """(answers slower than ``limit_us``, all answers); a bin counts by its upper edge.

    A bin that the limit falls into counts as slow only if the limit is below its lower
    edge, so the first figure is a lower bound.
    """
    first = int(np.searchsorted(np.asarray(LATENCY_EDGES_US), limit_us, side="left")) + 1
    return int(counts[first:].sum()), int(counts.sum())
