"""Judge whether a source's rows are as fresh as its file declares."""

from __future__ import annotations

from dataclasses import dataclass, replace

from windvane.core.freshness.ages import CLOCK_DIFFERENCE_S, AgeHistogram
from windvane.core.verdict import (
    RateFacts,
    RatePolicy,
    RateState,
    Verdict,
    judge_rate,
    span_in_words,
)


@dataclass(frozen=True, slots=True)
class FreshnessPolicy:
    """``within_s``: how old a row may be (s); ``allowed``: the share of rows that may be older;
    ``alarm_at``: the e-detector's threshold; ``code``: the subject's three letters."""

    within_s: float
    allowed: float
    alarm_at: float
    code: str
    revision: int = 1


@dataclass(frozen=True, slots=True)
class FreshnessFacts:
    """One window of one source: rows that are ``stale`` (older than allowed), of the ``future``,
    ``fresh``, and of ``unknown`` age; the median and the oldest age (s), None where no age is
    known; and the detector before it. ``lost``: there were times of observation before."""

    subject: str
    window: float
    stale: int
    future: int
    fresh: int
    unknown: int
    median_s: float | None
    oldest_s: float | None
    before: RateState
    lost: bool = False

    @classmethod
    def of(
        cls,
        subject: str,
        window: float,
        ages: AgeHistogram,
        within_s: float,
        before: RateState,
        *,
        lost: bool = False,
    ) -> FreshnessFacts:
        stale, future = ages.older_than(within_s), ages.future
        return cls(
            subject, window, stale, future, ages.known - stale - future, ages.unknown,
            ages.quantile(0.5), ages.quantile(1.0), before, lost and not ages.known,
        )  # fmt: skip


def judge_freshness(
    facts: FreshnessFacts, policy: FreshnessPolicy, now: float
) -> tuple[Verdict, RateState]:
    """The verdict and the detector after the window: `judge_rate` of the share of rows that are
    not fresh. A row that was observed in the future is none of the fresh: how old it is, nobody
    can tell. Rows without a time of observation say nothing for or against, unless none has
    one any more."""
    bad = facts.unknown if facts.lost else facts.stale + facts.future
    rate = RateFacts(facts.subject, facts.window, bad, facts.fresh, facts.before)
    what = RatePolicy(policy.allowed, policy.alarm_at, policy.code, "not fresh")
    verdict, after = judge_rate(rate, what, now)
    return replace(verdict, sentence=_sentence(facts, policy)), after


def _sentence(facts: FreshnessFacts, policy: FreshnessPolicy) -> str:
    seen = facts.stale + facts.future + facts.fresh
    wanted = f"allowed {span_in_words(policy.within_s)}"
    if not seen:
        of = f"none of {facts.unknown:,} rows says" if facts.unknown else "no rows that say"
        return f"{facts.subject}: {of} when it was observed, {wanted}"
    ages = _ages(facts)
    share = (facts.stale + facts.future) / seen
    future = (
        f" ({facts.future:,} of them more than {span_in_words(CLOCK_DIFFERENCE_S)} in the future)"
        if facts.future
        else ""
    )
    return (
        f"{facts.subject}: {ages}, {wanted}; {share:.1%} of rows not fresh{future}, "
        f"{policy.allowed:.1%} allowed, n={seen:,}"
    )


def _ages(facts: FreshnessFacts) -> str:
    if facts.median_s is None or facts.oldest_s is None:
        return "observed in the future"
    median, oldest = span_in_words(facts.median_s), span_in_words(facts.oldest_s)
    return f"observed {median} ago (median; the oldest {oldest})"
