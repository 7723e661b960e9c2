"""One window of the cells of everyone, tenants and segments, from counts to verdicts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from windvane.core.drift import (
    PAST_LOOKS,
    Alarm,
    DriftFacts,
    DriftPolicy,
    HealthyWindows,
    Pending,
    Watching,
    begin_past,
    gather,
    is_due,
    judge_drift,
    rows_of,
    watch,
)
from windvane.core.verdict import Outcome, Verdict
from windvane.usecases.closed_window import ClosedWindow, Counts
from windvane.usecases.monitors.cells import EVERYONE, Cells, HeldCell


@dataclass(frozen=True, slots=True, eq=False)
class SeenCell:
    """A cell before a window with these ``counts`` and ``after`` it, and what was judged of it;
    ``looked`` whether there were rows enough."""

    held: HeldCell
    after: HeldCell
    counts: Counts
    facts: DriftFacts
    verdict: Verdict
    alarms: tuple[Alarm, ...] = ()
    looked: bool = False

    @property
    def opened(self) -> list[Alarm]:
        return [a for a in self.alarms if a.opened]


def look_at_cells(
    window: ClosedWindow, cells: Cells, policy: DriftPolicy, seed: int
) -> dict[str, SeenCell]:
    """Everyone's cell and those of tenants and segments that something came of, by their subject;
    ``seed`` settles ties."""
    how = Watching(
        window.layout, window.views, policy, window.policy.min_rows, window.policy.recent_s
    )
    counts_of = {**cells.part_counts, EVERYONE: cells.counts}
    held_cells = [cells.everyone, *cells.parts.values()]
    pending = {
        held.subject: gather(
            held.pending, how.layout, counts_of[held.subject], window.start, held.streams
        )
        for held in held_cells
        if held.has_past
    }
    due = {
        held.subject
        for held in held_cells
        if held.has_past and is_due(how, pending[held.subject], held.streams)
    }
    cells.learned.read(sorted(due | {EVERYONE}))
    parts_due = due - {EVERYONE}
    healthy = HealthyWindows.of(cells.everyone.cell) if parts_due else None
    out: dict[str, SeenCell] = {}
    for i, held in enumerate(held_cells):
        counts = counts_of[held.subject]
        if held.subject in due:
            of_everyone = None if held is cells.everyone else healthy
            out[held.subject] = _look(how, window, held, counts, seed + i, of_everyone)
        elif held.has_past:
            out[held.subject] = _wait(how, window, held, counts, pending[held.subject])
        else:
            out[held.subject] = _gather_past(window, held, counts)
    return out


def _look(
    how: Watching,
    window: ClosedWindow,
    held: HeldCell,
    counts: Counts,
    seed: int,
    healthy: HealthyWindows | None,
) -> SeenCell:
    """A cell with rows enough: of a part, by how everyone's ``healthy`` windows are."""
    if healthy is not None:
        outages = not held.is_new and held.can_be_off
        how = replace(how, all_streams=False, outages=outages)
    found = watch(
        how, held.cell, counts, window.start, window.end, seed,
        reference=held.reference, healthy=healthy,
    )  # fmt: skip
    after = held.after(found.cell, changed=found.looked)
    return SeenCell(held, after, counts, found.facts, found.verdict, found.alarms, found.looked)


def _wait(
    how: Watching, window: ClosedWindow, held: HeldCell, counts: Counts, pending: Pending
) -> SeenCell:
    rows = rows_of(how.layout, pending.waiting)
    facts = DriftFacts(window.start, rows, how.min_rows, (), held.streams)
    verdict, _, _ = judge_drift(facts, how.policy, window.end)
    return SeenCell(held, replace(held, pending=pending), counts, facts, verdict)


def _gather_past(window: ClosedWindow, held: HeldCell, counts: Counts) -> SeenCell:
    """A cell without a past of its own yet: its windows wait until together they are one."""
    facts = DriftFacts(window.start, 0, window.policy.min_rows, (), held.streams)
    message = "its own past is still being learned"
    verdict = Verdict(Outcome.HOLD, "DRI-203", message, "more rows")
    layout = window.layout
    held = replace(held, pending=gather(held.pending, layout, counts, window.start))
    waiting = held.pending.waiting
    after = held
    if held.past + rows_of(layout, waiting) >= PAST_LOOKS * window.policy.min_rows:
        after = held.after(begin_past(held.cell, layout, waiting), changed=True)
    return SeenCell(held, after, counts, facts, verdict)
