"""Rows of a cell that wait until they are enough to be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.axes import axis_index
from windvane.core.drift.judge import Kind, StreamState
from windvane.core.drift.outage import Runs, extend_runs
from windvane.core.sketch import Layout

Counts = NDArray[np.int64]
_NO_STREAMS: Mapping[str, StreamState] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """What changes with every window, also with one of few rows.

    ``waiting`` (layout size,): rows since the last look, which ``waits`` since (s). ``runs``: of
    total faults. ``rare`` (layout size,): bins of values that hardly ever came before.
    """

    waiting: Counts
    runs: Runs
    rare: NDArray[np.bool_]
    waits: float | None = None

    @classmethod
    def empty(cls, layout: Layout) -> Pending:
        none = np.zeros(layout.size, np.int64)
        return cls(none, Runs.empty(len(layout.axes)), none.astype(bool))


def gather(
    pending: Pending,
    layout: Layout,
    counts: Counts,
    start: float,
    streams: Mapping[str, StreamState] = _NO_STREAMS,
) -> Pending:
    """With one more window's counts, which began at ``start`` (s); runs of total faults are
    followed window by window, of what is alarmed among ``streams`` too."""
    if not counts.any():
        return pending
    index = axis_index(layout)
    outages = {s for s, held in streams.items() if held.alarmed}
    alarmed = np.array([f"{n}/{Kind.OUTAGE.value}" in outages for n in layout.names], bool)
    return replace(
        pending,
        waiting=pending.waiting + counts,
        waits=start if pending.waits is None else pending.waits,
        runs=extend_runs(pending.runs, counts, index, pending.rare, start, alarmed),
    )


def rows_of(layout: Layout, counts: Counts) -> int:
    """Rows in counts, by their fullest axis: some axes may be younger than others."""
    return int(axis_index(layout).sum(counts.astype(np.float64)).max(initial=0.0))
