"""Judge whether something that usually comes has ceased, by its own usual counts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from windvane.core.absence.profile import OpenHour
from windvane.core.verdict import Outcome, Verdict

# Dips that are remembered: beyond them, all that was seen counts half.
_MEMORY = 1_000.0
_FORGETS = 0.998
# Of few dips the deepest is less deep than it will be.
_DEEPER = 1.5
# By how much each alarm that ended by itself raises what is taken for usual, at most how often,
# and after what time half of that is forgotten (s).
_RAISED = 1.5
_MOST_RAISED = 8.0
_HALF_LIFE_S = 28.0 * 86_400.0


@dataclass(frozen=True, slots=True)
class AbsencePolicy:
    """``alarm_at`` is the threshold of the evidence that it ceased, ``close_at`` of that that it
    came back. ``gone`` is the share of the usual that is as good as nothing; an alarm ends by
    evidence for ``back`` of it against ``hardly``.

    ``clustered``: how many come at once until it is learned, which takes more than ``known`` dips.
    ``what`` is the word for what comes.
    """

    alarm_at: float
    close_at: float = 50.0
    gone: float = 0.01
    hardly: float = 0.1
    back: float = 0.5
    clustered: float = 10.0
    known: float = 10.0
    what: str = "requests"
    revision: int = 2


@dataclass(frozen=True, slots=True)
class AbsenceState:
    """A sequential test between windows.

    ``gap`` is the evidence (log) that it ceased, if each comes by itself, ``peak`` its largest
    value since the dip began at ``since``; ``expected`` and ``seen`` are counts since then.
    ``dips``, ``dips_sum`` and ``deepest`` are of the peaks of dips that came to nothing: by them it
    is known how many come at once, ``raised`` at ``raised_at`` by each alarm that ended by itself.
    ``back`` is the evidence that an alarm is over. ``first`` is the window that it was first seen
    in, ``new_until`` up to when that is news, and ``hour`` what came in the hour under way.
    ``day`` is what a day had at least, where a day without it is what alarmed.
    """

    gap: float = 0.0
    peak: float = 0.0
    since: float = 0.0
    expected: float = 0.0
    seen: int = 0
    alarmed: bool = False
    back: float = 0.0
    dips: float = 0.0
    dips_sum: float = 0.0
    deepest: float = 0.0
    raised: float = 1.0
    raised_at: float = 0.0
    first: float = 0.0
    new_until: float = 0.0
    hour: OpenHour = field(default_factory=OpenHour)
    day: float = 0.0

    def clustered(self, policy: AbsencePolicy, at: float) -> float:
        """How many come at once, or how deep a usual dip is in such units, as is known ``at`` a
        time."""
        mean = (policy.clustered * policy.known + self.dips_sum) / (policy.known + self.dips)
        tail = _DEEPER * self.deepest / (1.0 + math.log1p(self.dips))
        return max(1.0, mean, tail) * self._raised(at)

    def _raised(self, at: float) -> float:
        return 1.0 + (self.raised - 1.0) * 0.5 ** ((at - self.raised_at) / _HALF_LIFE_S)

    def recovered(self, at: float) -> AbsenceState:
        """After an alarm that ended by itself: it may have been a dip like those to come."""
        raised = min(_RAISED * self._raised(at), _MOST_RAISED)
        return replace(self.anew(), raised=raised, raised_at=at)

    def anew(self) -> AbsenceState:
        """As before any evidence; what was learned stays."""
        return replace(
            self, gap=0.0, peak=0.0, since=0.0, expected=0.0, seen=0, alarmed=False, back=0.0,
            day=0.0,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class LastDay:
    """The last 24 hours, since ``since`` (s): what every earlier day of their kind had at least
    (0.0: nothing that is known), and what came."""

    since: float = 0.0
    expected: float = 0.0
    seen: int = 0


@dataclass(frozen=True, slots=True)
class AbsenceFacts:
    """One window of one subject: what usually comes in it at least, and what came. ``covered``:
    what it is part of has ceased, so it is no news of its own. ``day`` is of what comes at some
    hours only, ``watched`` whether anything is expected at any time."""

    subject: str
    window: float
    expected: float
    seen: int
    before: AbsenceState
    covered: bool = False
    day: LastDay = field(default_factory=LastDay)
    watched: bool = True


def judge_absence(
    facts: AbsenceFacts, policy: AbsencePolicy, now: float
) -> tuple[Verdict, AbsenceState]:
    """The verdict and the test after the window.

    The likelihood ratio of "``gone`` of the usual" against "the usual" for counts that come as
    Poisson clusters of c is that of single ones to the power 1/c, and its mean is at most 1 for
    smaller clusters. So the sum that begins anew whenever it is below 0 passes c ln A at most once
    in A windows. Peaks of the sum where nothing ceased fall off like exp(-x/c), whatever makes
    traffic uneven: c is learned from them. A whole day is judged by the same ratio, against what
    every earlier day of its kind had.
    """
    del now
    before = facts.before
    if before.alarmed:
        return _while_alarmed(facts, policy)
    silent = _silent_day(facts, policy)
    if silent is not None:
        return silent
    log_e = facts.expected * (1.0 - policy.gone) + facts.seen * math.log(policy.gone)
    gap = before.gap + log_e
    if gap <= 0.0:
        after = _learn(before).anew()
        if facts.expected <= 0.0 and facts.seen == 0 and not facts.watched:
            line = (
                f"{facts.subject}: not watched for silence: "
                f"no hour and no day has {policy.what} each week"
            )
            return Verdict(Outcome.HOLD, "ABS-201", line, "weeks with traffic on every day"), after
        if facts.expected <= 0.0 and facts.seen == 0:
            line = f"{facts.subject}: nothing is usual at this hour, as far as is known"
            return Verdict(Outcome.HOLD, "ABS-201", line, "weeks with traffic at it"), after
        line = f"{facts.subject}: {facts.seen:,} {policy.what}, {facts.expected:,.0f} are usual"
        return Verdict(Outcome.PASS, "ABS-200", line), after
    begins = before.gap <= 0.0
    after = replace(
        before,
        gap=gap,
        peak=max(before.peak, gap),
        since=facts.window if begins else before.since,
        expected=facts.expected if begins else before.expected + facts.expected,
        seen=facts.seen if begins else before.seen + facts.seen,
    )
    sides = _sides(facts.subject, policy, after)
    asked = after.clustered(policy, facts.window) * math.log(policy.alarm_at)
    if gap < asked and facts.seen == 0:
        line = f"{sides}: not known yet whether it is silence"
        more = math.ceil((asked - gap) / (1.0 - policy.gone))
        return Verdict(Outcome.HOLD, "ABS-205", line, f"{more:,} usual {policy.what}"), after
    if gap < asked:
        return Verdict(Outcome.PASS, "ABS-200", sides), after
    if facts.covered:
        return Verdict(Outcome.HOLD, "ABS-202", sides, "the others' traffic"), after
    return Verdict(Outcome.FAIL, "ABS-203", sides), replace(after, alarmed=True)


def _silent_day(facts: AbsenceFacts, policy: AbsencePolicy) -> tuple[Verdict, AbsenceState] | None:
    """What there is to say of a day without what every earlier one had; None for nothing."""
    day = facts.day
    if day.expected <= 0.0 or day.seen > policy.gone * day.expected:
        return None
    gap = day.expected * (1.0 - policy.gone) + day.seen * math.log(policy.gone)
    if gap < facts.before.clustered(policy, facts.window) * math.log(policy.alarm_at):
        return None
    line = (
        f"{facts.subject}: {day.seen:,} {policy.what} in a day where at least "
        f"{day.expected:,.0f} are usual"
    )
    if facts.covered:
        return Verdict(Outcome.HOLD, "ABS-202", line, "the others' traffic"), facts.before
    after = replace(
        facts.before, gap=gap, since=day.since, expected=day.expected, seen=day.seen,
        alarmed=True, back=0.0, day=day.expected,
    )  # fmt: skip
    return Verdict(Outcome.FAIL, "ABS-203", line), after


def _while_alarmed(facts: AbsenceFacts, policy: AbsencePolicy) -> tuple[Verdict, AbsenceState]:
    before = facts.before
    if before.day > 0.0:  # days overlap: the evidence is the last one's, and not a sum
        usual = facts.day.expected or before.day
        back = _evidence_of_return(policy, facts.day.seen, usual)
    else:
        back = before.back + _evidence_of_return(policy, facts.seen, facts.expected)
    after = replace(
        before,
        back=max(0.0, back),
        expected=before.expected + facts.expected,
        seen=before.seen + facts.seen,
    )
    if after.back >= before.clustered(policy, facts.window) * math.log(policy.close_at):
        line = f"{facts.subject}: {facts.seen:,} {policy.what}, {facts.expected:,.0f} are usual"
        if before.day > 0.0:
            line = f"{facts.subject}: {facts.day.seen:,} {policy.what} in a day"
        return Verdict(Outcome.PASS, "ABS-200", line), before.recovered(facts.window)
    return Verdict(Outcome.FAIL, "ABS-203", _sides(facts.subject, policy, after)), after


def _evidence_of_return(policy: AbsencePolicy, seen: int, expected: float) -> float:
    """The log likelihood ratio of ``back`` of the usual against ``hardly`` of it."""
    return seen * math.log(policy.back / policy.hardly) - expected * (policy.back - policy.hardly)


def _learn(held: AbsenceState) -> AbsenceState:
    """A dip ended by itself."""
    if held.peak <= 0.0:
        return held
    keep = 0.5 if held.dips >= _MEMORY else 1.0
    return replace(
        held,
        dips=keep * held.dips + 1.0,
        dips_sum=keep * held.dips_sum + held.peak,
        deepest=max(_FORGETS * held.deepest, held.peak),
    )


def _sides(subject: str, policy: AbsencePolicy, state: AbsenceState) -> str:
    return f"{subject}: {state.seen:,} {policy.what} where {state.expected:,.0f} are usual"
