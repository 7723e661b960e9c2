"""Windows through the monitors once more, from a fresh state: what is told, and nothing done.

The same monitors, judges and gathering of findings as of the steward. Nothing is written and
nobody is told; what needs more than sketches is left out, and said.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import msgspec

from windvane.core.alerting import (
    CauseChange,
    CauseGroup,
    Finding,
    OpenCause,
    Response,
    Severity,
    Tier,
    choose_responses,
    choose_severity,
    correlate,
    gravest,
)
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.event_log import EventLog
from windvane.usecases.closed_window import ClosedWindow, StateRows
from windvane.usecases.monitors import MONITORS, Judged, Monitor
from windvane.usecases.respond import how_told

_log = logging.getLogger(__name__)
_TOGETHER = 2
"""Onsets in so many windows of each other are one, as for the steward."""


class NeedsLog(Exception):
    """A monitor asked for what no sketch has. Not for people: the replay leaves it out."""


class NoLog:
    """The event log of who has none. Rows to show are none; whoever judges by it is left out."""

    def samples(self, *given: Any, **named: Any) -> list[Any]:
        del given, named
        return []

    def refusals(self, *given: Any, **named: Any) -> list[Any]:
        del given, named
        return []

    def __getattr__(self, name: str) -> Any:
        raise NeedsLog(name)


@dataclass(slots=True)
class ToldAlarm:
    """What would have been one incident. ``opened`` and ``closed``: the ends of the windows that
    told of it (s), None while it is open; ``since``: when it began by the monitors' estimate.
    ``whom``: the tenant that it is of, "" for everyone; ``told``: how people learn of it by the
    model's file (notify, digest, log). ``suspects`` with the sizes of their
    effects, largest first; ``evidence`` as an incident shows it."""

    cause: str
    kind: str
    whom: str
    severity: str
    told: str
    title: str
    since: float
    opened: float
    closed: float | None
    suspects: tuple[tuple[str, float], ...]
    sources: tuple[str, ...]
    evidence: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class Replay:
    """Windows that are judged one after the other: call `judge` for each, in order."""

    monitors: Sequence[Monitor] = MONITORS
    log: EventLog = field(default_factory=lambda: cast("EventLog", NoLog()))
    states: dict[str, dict[str, Mapping[str, Any]]] = field(
        default_factory=dict[str, dict[str, Mapping[str, Any]]]
    )
    learned: dict[tuple[str, str], bytes] = field(default_factory=dict[tuple[str, str], bytes])
    alarms: list[ToldAlarm] = field(default_factory=list[ToldAlarm])
    windows: int = 0
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    outcomes: dict[Outcome, int] = field(default_factory=dict[Outcome, int])
    last: dict[str, Verdict] = field(default_factory=dict[str, Verdict])
    _open: list[tuple[OpenCause, ToldAlarm]] = field(
        default_factory=list[tuple[OpenCause, ToldAlarm]]
    )

    def rows(self, monitor: str) -> StateRows:
        """What the monitor carries, by subject."""
        return self.states.get(monitor, {})

    def layouts(self) -> set[str]:
        """Ids of the layouts that carried counts are of."""
        return {name for m in self.monitors for name in m.layouts(self.rows(m.name))}

    def judge(self, window: ClosedWindow) -> None:
        self.windows += 1
        window = replace(window, learned=self._learned)
        found: list[tuple[Finding, Monitor, Judged]] = []
        for monitor in self.monitors:
            if monitor.name in self.left_out:
                continue
            if monitor.name in window.file.watch.off:
                self._leave_out(monitor.name, "the model's file switched it off")
                continue
            try:
                judged = list(monitor.look(window, self.rows(monitor.name), self.log))
            except NeedsLog:
                self._leave_out(monitor.name, "it judges by the event log, not by sketches")
                continue
            except Exception as error:
                _log.exception("monitor %s failed in the replay of %s", monitor.name, window.model)
                self._leave_out(monitor.name, f"{type(error).__name__}: {error}")
                continue
            for one in judged:
                self._carry(monitor.name, one)
                found += [(finding, monitor, one) for finding in one.findings]
        behind = {f.member: (m, j) for f, m, j in found}
        held = [cause for cause, _ in self._open]
        for change in correlate([f for f, _, _ in found], held, _TOGETHER * window.policy.window_s):
            self._tell(window, change, behind)

    def _learned(self, monitor: str, subjects: Sequence[str]) -> Mapping[str, bytes]:
        return {s: p for s in subjects if (p := self.learned.get((monitor, s))) is not None}

    def _carry(self, name: str, one: Judged) -> None:
        held = self.states.setdefault(name, {})
        for subject, state in one.states.items():
            if state is None:
                held.pop(subject, None)
                self.learned.pop((name, subject), None)
            else:
                held[subject] = msgspec.to_builtins(state)
        self.learned |= {(name, subject): packed for subject, packed in one.learned.items()}
        if one.shown:
            outcome = one.verdict.outcome
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
            if not one.subject:
                self.last[name] = one.verdict

    def _leave_out(self, name: str, why: str) -> None:
        self.left_out[name] = why
        self.states.pop(name, None)

    def _tell(
        self,
        window: ClosedWindow,
        change: CauseChange,
        behind: Mapping[str, tuple[Monitor, Judged]],
    ) -> None:
        i = next((i for i, (c, _) in enumerate(self._open) if c.incident == change.incident), -1)
        if i < 0:
            if not change.began:
                return
            alarm = ToldAlarm(
                change.cause.key, change.cause.kind.name, "", "", "", change.title, change.since,
                window.end, None, (), (),
            )  # fmt: skip
            self.alarms.append(alarm)
        else:
            _, alarm = self._open.pop(i)
        if change.began:
            self._grow(window, alarm, change, behind)
        if change.over:
            alarm.closed = window.end
            return
        name = change.incident or f"{len(self.alarms)}"
        held = OpenCause(
            name, change.cause, change.since, change.members, change.sources, alarm.opened
        )
        self._open.append((held, alarm))

    def _grow(
        self,
        window: ClosedWindow,
        alarm: ToldAlarm,
        change: CauseChange,
        behind: Mapping[str, tuple[Monitor, Judged]],
    ) -> None:
        alarm.cause, alarm.kind = change.cause.key, change.cause.kind.name
        alarm.since = min(alarm.since, change.since)
        alarm.sources = change.sources
        of_tenant = change.cause.kind.responds_to is CauseGroup.TENANT
        alarm.whom = change.cause.subject if of_tenant else ""
        tier = Tier(window.file.tier)
        graded = [choose_severity(f.cause.kind, tier, f.severity) for f in change.began]
        held = [Severity(alarm.severity)] if alarm.severity else []
        alarm.severity = gravest([*held, *graded]).value
        responses = choose_responses(change.cause.kind, window.file.respond)
        word = how_told(window, change, responses)
        if alarm.told != Response.NOTIFY.value:
            alarm.told = word.value
        ranked = dict(alarm.suspects)
        for finding in change.began:
            for name, size in finding.suspects:
                ranked[name] = max(ranked.get(name, 0.0), size)
        alarm.suspects = tuple(sorted(ranked.items(), key=lambda one: -one[1]))
        if not alarm.evidence:
            lead = next((f for f in change.began if f.cause == change.cause), change.began[0])
            monitor, judged = behind[lead.member]
            try:
                alarm.evidence = monitor.evidence(window, judged, lead, self.log)
            except NeedsLog:
                alarm.evidence = {}
