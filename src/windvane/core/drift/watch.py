"""One window of one cell, from counts to alarms: measured, judged, learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.axes import axis_index
from windvane.core.drift.cell import (
    Cell,
    HealthyWindows,
    look,
    outage_readings,
    readings,
    settle,
    suddenly_total,
)
from windvane.core.drift.deviation import Reference
from windvane.core.drift.judge import (
    Alarm,
    DriftFacts,
    DriftPolicy,
    Kind,
    Reading,
    StreamState,
    judge_drift,
)
from windvane.core.drift.outage import may_be_total
from windvane.core.drift.pending import Pending, gather, rows_of
from windvane.core.sketch import Layout
from windvane.core.verdict import Verdict

Counts = NDArray[np.int64]
_LEAST_ROWS = 8
PAST_LOOKS = 20
"""A past is as many looks' rows at least before a cell is compared with it."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Watching:
    """How a cell is watched: its ``layout``, the source of each feature, and when there is enough
    to look at. ``all_streams``: readings of every stream, not only of those that say something;
    ``outages``: enough is known for total faults to be told from how it always was."""

    layout: Layout
    views: Mapping[str, str]
    policy: DriftPolicy
    min_rows: int
    recent_s: float
    all_streams: bool = True
    outages: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """``cell`` afterwards, and what was judged: ``looked`` whether there were rows enough."""

    cell: Cell
    facts: DriftFacts
    verdict: Verdict
    alarms: tuple[Alarm, ...]
    looked: bool


def _enough(how: Watching, streams: Mapping[str, StreamState]) -> int:
    """Rows to look at: few where an alarm is open, so that it ends soon after what it is of."""
    sounds = any(held.alarmed for held in streams.values())
    return min(how.min_rows, max(_LEAST_ROWS, how.min_rows // 5)) if sounds else how.min_rows


def is_due(how: Watching, pending: Pending, streams: Mapping[str, StreamState]) -> bool:
    """Whether what is ``pending`` after a window needs what its cell learned: there are rows enough
    to look at, or all of some rows are alike, or were."""
    if rows_of(how.layout, pending.waiting) >= _enough(how, streams):
        return True
    if any(h.alarmed and s.endswith(f"/{Kind.OUTAGE.value}") for s, h in streams.items()):
        return True
    return may_be_total(pending.runs)


def watch(
    how: Watching,
    cell: Cell,
    counts: Counts,
    start: float,
    end: float,
    seed: int,
    *,
    reference: Reference | None = None,
    healthy: HealthyWindows | None = None,
    total_faults: Sequence[Reading] | None = None,
) -> Watched:
    """The window [start, end) (s) of a cell. ``seed`` settles ties. ``reference``,
    ``healthy`` and ``total_faults`` take the place of the cell's own."""
    layout = how.layout
    against = Reference.of(axis_index(layout), cell.past) if reference is None else reference
    gathered = replace(cell, pending=gather(cell.pending, layout, counts, start, cell.streams))
    rows = rows_of(layout, gathered.pending.waiting)
    if total_faults is not None:
        outages = list(total_faults)
    else:
        outages = outage_readings(gathered, layout, how.views, against)
    # Where too little is known to tell of them, they are not to become usual either.
    total = suddenly_total(gathered, layout, outages, how.policy.doubtful_at)
    outages = outages if how.outages or cell.alarmed else []
    seen = None
    found = outages
    if rows >= _enough(how, cell.streams) and cell.past.any():
        seen = look(gathered, against, end, seed, healthy)
        found = [
            *readings(gathered, seen, layout, how.views, all_streams=how.all_streams),
            *outages,
        ]
    facts = DriftFacts(start, rows, how.min_rows, tuple(found), cell.streams)
    verdict, streams, alarms = judge_drift(facts, how.policy, end)
    after = settle(
        gathered,
        layout,
        streams,
        how.policy.doubtful_at,
        how.recent_s,
        PAST_LOOKS * how.min_rows,
        end,
        seen,
        thin=rows < how.min_rows,
        total=total,
    )
    return Watched(after, facts, verdict, alarms, seen is not None)
