"""Traffic that has ceased, of the model or of one tenant; and tenants that are new."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from windvane.core.absence import (
    AbsenceFacts,
    AbsencePolicy,
    AbsenceState,
    HourProfile,
    LastDay,
    judge_absence,
)
from windvane.core.alerting import (
    Cause,
    CauseGroup,
    CauseKind,
    Finding,
    Join,
    Severity,
)
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.event_log import EventLog
from windvane.usecases.closed_window import ClosedWindow, StateRows, tenant_of, tenant_subject
from windvane.usecases.monitors.base import (
    NO_SUBJECT,
    AlarmState,
    Importance,
    Judge,
    Judged,
    Monitor,
    moment,
    read_row,
)
from windvane.usecases.read_model_file import ModelFile

NO_TRAFFIC = CauseKind("traffic", CauseGroup.ABSENCE, "traffic-gone.md")
TENANT_SILENT = CauseKind(
    "tenant_silent", CauseGroup.TENANT, "traffic-gone.md", joins={"traffic": Join.WHILE_OPEN}
)
NEW_TENANT = CauseKind("new_tenant", CauseGroup.DRIFT, "new-tenant.md")
_DAY_S = 86_400.0
# Before, everybody is new; after, it is no news.
_NEW_FOR_S = _DAY_S
# What the others still have of their usual, where only one tenant is silent.
_OTHERS_HAVE = 0.5
# An hour's silence and a day's are judged, and either may be false: each has half of the budget.
_TESTS = 2
# A profile changes once an hour, and is large: it has a row of its own.
_HOURS = "hours/"


@dataclass(frozen=True, slots=True)
class HoursState:
    """The row of a profile; it alarms never."""

    profile: HourProfile

    @property
    def alarmed(self) -> bool:
        return False


@dataclass(slots=True)
class _Subject:
    """One of those that are watched, in this window. ``came`` is learned, ``seen`` is judged: of
    the model without the tenants that are judged apart."""

    key: str
    tenant: str
    before: AbsenceState
    profile: HourProfile
    came: int
    seen: int
    expected: float
    known: bool
    day: LastDay

    @property
    def name(self) -> str:
        return f"tenant {self.tenant}" if self.tenant else "traffic"


class Traffic(Monitor):
    """How many requests come, answered or not, against the same hours of the last weeks: of the
    model, and of each tenant. A silence of everybody is the model's, one tenant's is that
    tenant's. Who has no good key any more is not expected, and nothing is of a model that was
    turned off.
    """

    name = "traffic"
    title = "Traffic"
    importance = Importance.ALWAYS
    cause = NO_TRAFFIC
    more_causes = (TENANT_SILENT, NEW_TENANT)
    judge = Judge(
        "absence", AbsenceFacts, AbsencePolicy, lambda f, p, now: judge_absence(f, p, now)[0]
    )

    def streams(self, file: ModelFile, tenants: int) -> int:
        del file
        return 1 + tenants

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        del log
        policy = AbsencePolicy(max(_TESTS * window.policy.alarm_at, math.e))
        model, tenants = _subjects(window, rows)
        if window.live.off or not window.complete:
            return self._not_watched(window, policy, model, tenants)
        ended = [t for t in tenants if t.tenant in window.keyless]
        watched = [t for t in tenants if t.tenant not in window.keyless]
        apart = [t for t in tenants if t.before.alarmed or t in ended]
        trial = _trial(window, policy, model, apart)
        judged: list[Judged] = []
        for one in watched:
            covered = trial.alarmed or _shared(trial, _after(window, policy, one), policy, window)
            judged.append(self._judge(window, policy, one, covered))
            if one not in apart and _alarmed_after(judged[-1]):
                apart.append(one)
        if trial.alarmed and not model.before.alarmed:
            lone = max(watched, key=lambda t: t.expected, default=None)
            if lone is not None and lone not in apart:
                dip = _after(window, policy, lone)
                apart += [] if _shared(trial, dip, policy, window) else [lone]
        rest = _without(model, apart)
        judged += [self._end(window, policy, one, "has no good key any more") for one in ended]
        return [self._judge(window, policy, rest, covered=False), *judged]

    def _judge(
        self, window: ClosedWindow, policy: AbsencePolicy, one: _Subject, covered: bool
    ) -> Judged:
        covered = covered and not one.before.alarmed
        facts = _facts(window, one, covered)
        verdict, after = judge_absence(facts, policy, window.end)
        findings: list[Finding] = []
        cause = Cause(TENANT_SILENT, one.tenant) if one.tenant else Cause(NO_TRAFFIC, window.model)
        if after.alarmed and not one.before.alarmed:
            title = f"{verdict.sentence}, since {moment(after.since)}"
            gravest = None if one.tenant else Severity.HIGH
            findings.append(Finding(self.name, cause, True, after.since, title, severity=gravest))
        elif one.before.alarmed and not after.alarmed:
            line = f"requests come again: {verdict.sentence}"
            findings.append(Finding(self.name, cause, False, one.before.since, line))
        if one.tenant:
            fresh, news = self._news(window, one, after)
            findings += news
            after = fresh
        states = _states(window, one, after)
        if states[one.key] is None:
            findings = [*(f for f in findings if not f.began), *self._forgotten(one)]
        shown = bool(findings) or verdict.outcome is Outcome.FAIL or not one.tenant
        return Judged(
            one.tenant, facts, policy, verdict, tuple(findings), states,
            {"expected": round(one.expected, 1), "seen": one.seen}, shown,
        )  # fmt: skip

    def _news(
        self, window: ClosedWindow, one: _Subject, after: AbsenceState
    ) -> tuple[AbsenceState, list[Finding]]:
        """That a tenant is new, and a day later that it is no news any more."""
        cause = Cause(NEW_TENANT, one.tenant)
        if not one.known:
            young = window.start - window.watched_since < _NEW_FOR_S
            after = replace(after, first=window.start)
            if young:
                return after, []
            title = f"tenant {one.tenant} is new since {moment(window.start)}"
            found = Finding(self.name, cause, True, window.start, title)
            return replace(after, new_until=window.start + _NEW_FOR_S), [found]
        if not after.new_until or window.end < after.new_until:
            return after, []
        line = f"tenant {one.tenant} is no longer new"
        found = Finding(self.name, cause, False, after.first, line)
        return replace(after, new_until=0.0), [found]

    def _forgotten(self, one: _Subject) -> list[Finding]:
        """The ends of what was found of a tenant of whom nothing is expected any more."""
        line = f"tenant {one.tenant} is expected no more: nothing came for weeks"
        causes: list[tuple[Cause, float]] = []
        if one.before.alarmed:
            causes.append((Cause(TENANT_SILENT, one.tenant), one.before.since))
        if one.before.new_until:
            causes.append((Cause(NEW_TENANT, one.tenant), one.before.first))
        return [Finding(self.name, cause, False, since, line) for cause, since in causes]

    def _not_watched(
        self, window: ClosedWindow, policy: AbsencePolicy, model: _Subject, tenants: list[_Subject]
    ) -> list[Judged]:
        """Nothing is judged or learned. A silence that was found is over where it is meant."""
        if window.live.off:
            found = [t for t in (model, *tenants) if t.before.gap > 0.0]
            return [self._end(window, policy, t, "is expected no more: it was turned off")
                    for t in found]  # fmt: skip
        facts = AbsenceFacts(model.name, window.start, 0.0, model.seen, model.before)
        line = "a spool was not read: silence cannot be told from what is in it"
        verdict = Verdict(Outcome.HOLD, "ABS-204", line, "the spool")
        return [Judged(NO_SUBJECT, facts, policy, verdict)]

    def _end(self, window: ClosedWindow, policy: AbsencePolicy, one: _Subject, why: str) -> Judged:
        """Of one that is not expected any more; its profile is what the model is to do without."""
        facts = AbsenceFacts(one.name, window.start, 0.0, one.seen, one.before.anew())
        verdict, after = judge_absence(facts, policy, window.end)
        cause = Cause(TENANT_SILENT, one.tenant) if one.tenant else Cause(NO_TRAFFIC, window.model)
        found = Finding(self.name, cause, False, one.before.since, f"{one.name} {why}")
        findings = (found,) if one.before.alarmed else ()
        if window.live.off:  # what did not come then was not meant to come
            states: Mapping[str, AlarmState | None] = {one.key: after}
        else:
            states = _states(window, one, after)
        return Judged(one.tenant, facts, policy, verdict, findings, states, shown=bool(findings))

    def begin_anew(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        key = NO_SUBJECT if cause.kind.name == NO_TRAFFIC.name else tenant_subject(cause.subject)
        held = read_row(rows, AbsenceState, key)
        if cause.kind.name == NEW_TENANT.name:
            return {key: replace(held, new_until=0.0)}
        return {key: held.anew()}

    def about(self, subject: str) -> str:
        return f"traffic of tenant {subject}" if subject else self.title


def _subjects(window: ClosedWindow, rows: StateRows) -> tuple[_Subject, list[_Subject]]:
    """The model, and every tenant that is known or came."""
    counts: dict[str, int] = {}
    for key, sketch in window.sketches:
        came = sum(sketch.total(name) for name in ("requests", "refused", "unanswered"))
        if came:
            counts[key.tenant] = counts.get(key.tenant, 0) + came
    known = {t for key in rows if (t := tenant_of(key)) is not None}

    def subject(tenant: str, seen: int) -> _Subject:
        key = tenant_subject(tenant) if tenant else NO_SUBJECT
        row = rows.get(_HOURS + key)
        profile = read_row(rows, HoursState, _HOURS + key).profile if row else HourProfile()
        before = read_row(rows, AbsenceState, key)
        return _Subject(
            key, tenant, before, profile, seen, seen, profile.expected(window.start, window.end),
            key in rows, _last_day(window, before, profile, seen),
        )  # fmt: skip

    tenants = [subject(t, counts.get(t, 0)) for t in sorted(known | counts.keys())]
    return subject("", sum(counts.values())), tenants


def _without(model: _Subject, apart: Sequence[_Subject]) -> _Subject:
    """The model without those."""
    day = replace(
        model.day,
        expected=max(0.0, model.day.expected - sum(t.day.expected for t in apart)),
        seen=max(0, model.day.seen - sum(t.day.seen for t in apart)),
    )
    return replace(
        model,
        expected=max(0.0, model.expected - sum(t.expected for t in apart)),
        seen=model.seen - sum(t.seen for t in apart),
        day=day,
    )


def _trial(
    window: ClosedWindow, policy: AbsencePolicy, model: _Subject, apart: Sequence[_Subject]
) -> AbsenceState:
    return _after(window, policy, _without(model, apart))


def _after(window: ClosedWindow, policy: AbsencePolicy, one: _Subject) -> AbsenceState:
    return judge_absence(_facts(window, one), policy, window.end)[1]


def _facts(window: ClosedWindow, one: _Subject, covered: bool = False) -> AbsenceFacts:
    silent = one.expected <= 0.0 and one.seen == 0 and not one.tenant
    return AbsenceFacts(
        one.name, window.start, one.expected, one.seen, one.before, covered, one.day,
        not silent or one.profile.watched,
    )  # fmt: skip


def _last_day(
    window: ClosedWindow, before: AbsenceState, profile: HourProfile, came: int
) -> LastDay:
    """The 24 hours up to the end of the window, and what came since they were over."""
    hour, profile = before.hour.after(profile, window.start, window.end, came)
    ends = profile.day_ends
    if ends is None:
        return LastDay()
    seen = round(profile.last_day + hour.count)
    enough = 0.0 if before.alarmed else seen / AbsencePolicy(math.e).gone
    return LastDay(ends - _DAY_S, profile.expected_in_last_day(enough), seen)


def _shared(
    model: AbsenceState, tenant: AbsenceState, policy: AbsencePolicy, window: ClosedWindow
) -> bool:
    """Whether a tenant's silence is part of the model's: that is half-way to an alarm, and the
    others are silent, too."""
    half = model.clustered(policy, window.start) * math.log(policy.alarm_at) / 2.0
    if model.gap < half:
        return False
    usual, came = model.expected - tenant.expected, model.seen - tenant.seen
    return usual <= 0.0 or came < _OTHERS_HAVE * usual


def _alarmed_after(judged: Judged) -> bool:
    after = judged.states.get(tenant_subject(judged.subject))
    return after is not None and after.alarmed


def _states(
    window: ClosedWindow, one: _Subject, after: AbsenceState
) -> Mapping[str, AlarmState | None]:
    """What is carried on: the hour under way, and the profile where that was its last window. A
    tenant of whom nothing is usual at any hour any more is forgotten."""
    hour, profile = after.hour.after(one.profile, window.start, window.end, one.came)
    if profile is one.profile:
        return {one.key: replace(after, hour=hour)}
    if one.tenant and profile.empty:
        return {one.key: None, _HOURS + one.key: None}
    return {one.key: replace(after, hour=hour), _HOURS + one.key: HoursState(profile)}
