"""How a model stands by its objectives, from what their monitor carries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from windvane.core.slo import (
    BurnReading,
    Objective,
    SloFacts,
    SpanTally,
    Tally,
    budget_left,
    projected,
    read_burn_rates,
    sum_of,
)
from windvane.ports.judging import MonitorState
from windvane.usecases.monitors.slo import Slo
from windvane.usecases.read_model_file import ModelFile, parse_duration
from windvane.usecases.slo_policy import (
    RULES,
    SloState,
    objectives_of,
    over_seconds,
    read_slo_state,
    slo_policy,
)


@dataclass(frozen=True, slots=True)
class BurnShown:
    """A rule's burn rates, and since when it sounds (s); None where it does not."""

    reading: BurnReading
    since: float | None


@dataclass(frozen=True, slots=True)
class ObjectiveReading:
    """One objective as its last judged window, which ended at ``until`` (s), left it; None where
    none was judged yet. ``counted_since`` (s) is where its budget begins. ``left`` is the share
    of the budget that is left, and ``points`` how it came to that: (time, share left) over the
    span, from its whole on."""

    objective: Objective
    over_s: float
    until: float | None = None
    counted_since: float = 0.0
    seen: Tally = Tally()  # noqa: RUF009
    left: float = 1.0
    burns: tuple[BurnShown, ...] = ()
    points: tuple[tuple[float, float], ...] = ()

    @property
    def wanted(self) -> float:
        """The share of events that is to be good."""
        return 1.0 - self.objective.allowed


def read_objectives(
    file: ModelFile, states: Sequence[MonitorState]
) -> tuple[ObjectiveReading, ...]:
    """Of each objective of the file; ``states`` are what its monitors carry of the model."""
    held = {state.subject: state for state in states if state.monitor == Slo.name}
    return tuple(_read(file, one, held.get(one.name)) for one in objectives_of(file))


def _read(file: ModelFile, objective: Objective, row: MonitorState | None) -> ObjectiveReading:
    over_s = over_seconds(file)
    nothing = ObjectiveReading(objective, over_s)
    if row is None:
        return nothing
    state = read_slo_state(row.body)
    # The file was applied since: what was counted is by another limit, or other spans.
    if not state.is_of(objective) or len(state.rings) != 2 * RULES + 1:
        return nothing
    policy = slo_policy(objective, over_s, math.inf)
    end = row.at + parse_duration(file.watch.window)
    sums = [sum_of(ring, row.at) for ring in state.rings]
    spans = tuple(SpanTally(sums[2 * i], sums[2 * i + 1]) for i in range(RULES))
    facts = SloFacts(
        objective.title, row.at, end, state.began, Tally(), sums[-1], spans, state.rules
    )
    part = projected(end - state.began, over_s)
    return ObjectiveReading(
        objective,
        over_s,
        end,
        state.began,
        sums[-1],
        budget_left(sums[-1], objective.allowed, part),
        tuple(
            BurnShown(reading, rule.since)
            for reading, rule in zip(read_burn_rates(facts, policy), state.rules, strict=True)
        ),
        _burn_down(state, row.at, end, 1.0 / objective.allowed * part),
    )


def _burn_down(
    state: SloState, at: float, end: float, times: float
) -> tuple[tuple[float, float], ...]:
    """What each bucket took of the budget, one after the other; ``times`` is the budget's scale:
    the share of all events that failed, times it, is the share of the budget."""
    ring = state.rings[-1]
    total = sum_of(ring, at).total
    last = math.floor(at / ring.width_s)
    first = max(last - ring.most + 1, math.floor(state.began / ring.width_s))
    failed = {number: bad for number, bad, _ in ring.buckets}
    out = [(max(first * ring.width_s, state.began), 1.0)]
    bad = 0
    for number in range(first, last + 1):
        bad += failed.get(number, 0)
        until = min((number + 1) * ring.width_s, end)
        out.append((until, 1.0 - (times * bad / total if total else 0.0)))
    return tuple(out)
