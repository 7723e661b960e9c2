"""How good alerts are: what people found them to be, by the monitor that raised them."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from windvane.core.statistics import share_bounds


class IncidentGrade(enum.StrEnum):
    """What an incident was in the end. TRUE: something was wrong, and it mattered. HARMLESS:
    something changed, and nobody was hurt. FALSE: nothing had changed."""

    TRUE = "true"
    HARMLESS = "harmless"
    FALSE = "false"


@dataclass(frozen=True, slots=True)
class Alert:
    """An incident as those are judged by it that raised it. ``opened_at`` in s; ``grade`` None
    where nobody said; ``acknowledged``: somebody was on it; ``acted``: something was done against
    it by itself."""

    incident: str
    model: str
    monitors: tuple[str, ...]
    opened_at: float
    grade: IncidentGrade | None = None
    acknowledged: bool = False
    acted: bool = False

    @property
    def led_to_something(self) -> bool:
        """Where nobody graded it, what was done about it tells."""
        if self.grade is not None:
            return self.grade is IncidentGrade.TRUE
        return self.acknowledged or self.acted


@dataclass(frozen=True, slots=True)
class RetirementPolicy:
    """A monitor is proposed for retirement whose alerts led to nothing for ``idle_s`` (s), or whose
    precision is less than ``least`` with the confidence 1 - ``alpha``."""

    idle_s: float = 90 * 86_400.0
    least: float = 0.5
    alpha: float = 0.025


@dataclass(frozen=True, slots=True)
class AlertPrecision:
    """The alerts of one monitor: how many, how many of each grade, and the bounds (0 to 1, each
    one-sided at the policy's alpha) of the share of true ones among those graded. ``first`` and
    ``latest`` opened then (s). ``retire`` says why to retire it, "" for no reason."""

    monitor: str
    alerts: int
    true: int
    harmless: int
    false: int
    lower: float
    upper: float
    first: float
    latest: float
    retire: str = ""

    @property
    def graded(self) -> int:
        return self.true + self.harmless + self.false

    @property
    def precision(self) -> float | None:
        """The share of true ones among those graded; None where none is."""
        return self.true / self.graded if self.graded else None


def measure_precision(
    alerts: Iterable[Alert], policy: RetirementPolicy, now: float
) -> tuple[AlertPrecision, ...]:
    """Of each monitor that alerted, by name. An incident that several found counts for each.

    The bounds are exact: Clopper and Pearson, Biometrika 26, 1934.
    """
    by_monitor: dict[str, list[Alert]] = {}
    for alert in alerts:
        for monitor in alert.monitors:
            by_monitor.setdefault(monitor, []).append(alert)
    return tuple(_measure(name, found, policy, now) for name, found in sorted(by_monitor.items()))


def _measure(
    monitor: str, alerts: Sequence[Alert], policy: RetirementPolicy, now: float
) -> AlertPrecision:
    counts = {grade: sum(a.grade is grade for a in alerts) for grade in IncidentGrade}
    graded, true = sum(counts.values()), counts[IncidentGrade.TRUE]
    lower, upper = share_bounds(true, graded, policy.alpha)
    at = [alert.opened_at for alert in alerts]
    return AlertPrecision(
        monitor, len(alerts), true, counts[IncidentGrade.HARMLESS], counts[IncidentGrade.FALSE],
        lower, upper, min(at), max(at), _why_retire(alerts, true, graded, upper, policy, now),
    )  # fmt: skip


def _why_retire(
    alerts: Sequence[Alert],
    true: int,
    graded: int,
    upper: float,
    policy: RetirementPolicy,
    now: float,
) -> str:
    if upper < policy.least:
        return f"{true} of {graded} were true: at most {upper:.0%}, {policy.least:.0%} are wanted"
    began = now - policy.idle_s
    recent = [alert for alert in alerts if alert.opened_at >= began]
    # Of a monitor whose first alert is younger than that nobody can say it yet.
    old_enough = min(alert.opened_at for alert in alerts) <= began
    if recent and old_enough and not any(alert.led_to_something for alert in recent):
        days = f"{policy.idle_s / 86_400.0:.0f} days"
        return f"none of its {len(recent)} alerts of the last {days} led to anything"
    return ""
