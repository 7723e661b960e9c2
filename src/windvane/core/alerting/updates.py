"""When people who wait for an incident's end are to be told how it stands, and what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from windvane.core.alerting.impact import (
    ALPHA,
    Harm,
    counted_words,
    harm_words,
    quality_words,
    whom_lines,
)
from windvane.core.alerting.severity import Severity
from windvane.core.statistics import difference_bounds, ratio_bounds

_MOST_DONE = 5

Moment = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class UpdatePolicy:
    """How often an open incident of each severity wants an update (s)."""

    high_s: float = 900.0
    medium_s: float = 1_800.0
    low_s: float = 3_600.0

    def every(self, severity: Severity) -> float:
        return {
            Severity.HIGH: self.high_s,
            Severity.MEDIUM: self.medium_s,
            Severity.LOW: self.low_s,
        }[severity]


@dataclass(frozen=True, slots=True)
class UpdateFacts:
    """An incident as an update needs it (times in s): its ``number`` (the first is 1), what was
    ``done`` since the last one, its ``impact`` since the last one (see `impact_evidence`) and the
    one that the last told (``before``; {} for none, which was told ``last_at``). ``outlook`` is
    what monitors know of what comes next, ``on_it`` who acknowledged it ("" for nobody)."""

    model: str
    title: str
    severity: Severity
    since: float
    now: float
    number: int
    on_it: str = ""
    done: tuple[str, ...] = ()
    impact: Mapping[str, Any] | None = None
    before: Mapping[str, Any] | None = None
    last_at: float | None = None
    outlook: tuple[str, ...] = ()


def update_due(severity: Severity, since: float | None, policy: UpdatePolicy) -> float | None:
    """When the next update is due (s), where the last, or the first notification, was at
    ``since``; None where nobody was told yet."""
    return None if since is None else since + policy.every(severity)


def draft_update(facts: UpdateFacts, moment: Moment) -> list[str]:
    """Its lines, from the record alone; ``moment`` writes a time. What is not known is left out."""
    impact = facts.impact or {}
    lines = [
        f"update {facts.number} on {facts.model} ({facts.severity.value}), {moment(facts.now)}",
        f"what: {facts.title}",
        f"since: {moment(facts.since)} ({_span(facts.now - facts.since)} ago)",
        f"on it: {facts.on_it or 'nobody yet'}",
    ]
    lines += [f"hurts: {line}" for line in whom_lines(impact)]
    if impact:
        since = "the last update" if facts.last_at is not None else "it began"
        lines.append(f"counted: {counted_words(impact)} since {since}")
    lines += [f"changed: {line}" for line in _changes(facts, moment)]
    lines += [f"done: {line}" for line in facts.done[-_MOST_DONE:]]
    if quality := quality_words(impact.get("quality") or {}):
        lines.append(f"answers: {quality}")
    return lines + [f"next: {line}" for line in facts.outlook]


def _changes(facts: UpdateFacts, moment: Moment) -> list[str]:
    """Each share of all rows since the last update against what the last update told."""
    impact, before = facts.impact or {}, facts.before or {}
    if facts.last_at is None or not before:
        return []
    known = {harm.value: harm for harm in Harm}
    found: list[str] = []
    for name, (part, of) in impact.get("totals", {}).items():
        was = before.get("totals", {}).get(name)
        if name in known and was is not None and of and was[1] and (part or was[0]):
            what = harm_words(known[name], str(impact.get("feature", "")))
            found.append(f"{what} {compare_shares((part, of), (was[0], was[1]))}")
    return found or [f"no share of rows changed since {moment(facts.last_at)}"]


def compare_shares(now: tuple[int, int], before: tuple[int, int]) -> str:
    """Both shares, how far apart they are in points and by which factor, with 95% intervals as if
    rows were independent. Both have rows."""
    one, other = now[0] / now[1], before[0] / before[1]
    low, high = difference_bounds(now, before, ALPHA)
    said = (
        f"{other:.1%} -> {one:.1%} of rows: {100 * (one - other):+.1f} points "
        f"({100 * low:+.1f} to {100 * high:+.1f})"
    )
    bounds = ratio_bounds(now, before, ALPHA)
    if bounds is None:
        return said
    return f"{said}, {one / other:.2f} times ({bounds[0]:.2f} to {bounds[1]:.2f})"


def _span(seconds: float) -> str:
    for unit, word in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= unit:
            return f"{round(seconds / unit, 1):g} {word}"
    return f"{max(0.0, seconds):.0f} s"
