"""What the objectives of a model's file mean for their judge, and what a page shows of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from windvane.core.slo import Burning, Objective, Ring, SloPolicy, burn_rules, empty_rings
from windvane.usecases.read_model_file import (
    ModelFile,
    parse_duration,
    parse_quantile,
    parse_share,
)

RULES = 3
_LOOKS = 120
_DIGITS = 12  # 1 - 0.999 is not quite 0.001


@dataclass(frozen=True, slots=True)
class SloState:
    """What is carried of one objective: what it counts as bad (``limit_us``, ``most_loss``), since
    when (s), the long and short span of each rule and the budget's, and the rules themselves; of
    one by labels, until when (s) those that came are counted."""

    limit_us: int = 0
    began: float = 0.0
    rings: tuple[Ring, ...] = ()
    rules: tuple[Burning, ...] = (Burning(),) * RULES
    most_loss: float | None = None
    until: float = 0.0

    def is_of(self, objective: Objective) -> bool:
        """Whether what was counted is what the objective counts."""
        return (self.limit_us, self.most_loss) == (objective.limit_us, objective.most_loss)

    @property
    def alarmed(self) -> bool:
        return any(rule.since is not None for rule in self.rules)


def objectives_of(file: ModelFile) -> tuple[Objective, ...]:
    """Those of a checked file, none where it has no ``slo``."""
    slo = file.slo
    if slo is None:
        return ()
    found: list[Objective] = []
    if slo.availability:
        allowed = round(1.0 - parse_share(slo.availability), _DIGITS)
        found.append(Objective("availability", allowed))
    if slo.quality:
        allowed = round(1.0 - parse_share(slo.quality), _DIGITS)
        found.append(Objective("quality", allowed, labelled=True, most_loss=slo.max_loss))
    for name, limit in slo.latency.items():
        allowed = round(1.0 - parse_quantile(name), _DIGITS)
        limit_us = round(parse_duration(limit) * 1e6)
        found.append(Objective(f"latency {name}", allowed, limit_us))
    for view, share in slo.freshness.items():
        allowed = round(1.0 - parse_share(share), _DIGITS)
        limit_us = round(parse_duration(file.watch.fresh[view].within) * 1e6)
        found.append(Objective(f"freshness {view}", allowed, limit_us, view))
    return tuple(found)


def over_seconds(file: ModelFile) -> float:
    """Over how long budgets last (s); 0.0 where the file has no ``slo``."""
    return parse_duration(file.slo.over) if file.slo is not None else 0.0


def slo_policy(objective: Objective, over_s: float, alarm_at: float) -> SloPolicy:
    events = "labels" if objective.labelled else "requests"
    return SloPolicy(objective.allowed, over_s, burn_rules(over_s), alarm_at, events=events)


def rings_of(policy: SloPolicy, window_s: float) -> tuple[Ring, ...]:
    """Empty: each rule's long and short span, then the budget's."""
    spans = [span for rule in policy.rules for span in (rule.long_s, rule.short_s)]
    return empty_rings(spans, window_s, policy.over_s)


def look_seconds(objective: Objective, over_s: float, window_s: float) -> float:
    """How often an objective is looked at (s): in each window; one by labels 120 times in its
    span, for each look is at the log."""
    if not objective.labelled:
        return window_s
    return max(1, math.floor(over_s / _LOOKS / window_s)) * window_s


def read_slo_state(body: Mapping[str, Any]) -> SloState:
    return msgspec.convert(body, SloState)
