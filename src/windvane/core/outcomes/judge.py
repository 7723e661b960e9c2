"""How good were the answers of one version, by their task's own metric?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import scipy

from windvane.core.statistics import interval_level, level_words
from windvane.core.task import Quality, metric_name
from windvane.core.verdict import Outcome, Verdict

_POWER = 0.8
_MOST_MORE = 1_000_000


@dataclass(frozen=True, slots=True)
class OutcomeFacts:
    """What one ``version`` answered over a span. The bounds of ``quality`` hold where rows of one
    unit, and rows near in time, go wrong together; ``holdout`` is the version's own value of the
    metric on rows that it did not learn from, None where nobody knows it. ``newest`` is of its last
    block alone, from ``newest_since`` (s) on, with bounds for blocks that differ as the earlier
    ones of the span do; None where that is not known."""

    version: str
    quality: Quality
    holdout: float | None = None
    newest: Quality | None = None
    newest_since: float = 0.0


@dataclass(frozen=True, slots=True)
class OutcomePolicy:
    """``floor`` is the least good value of the metric, ``margin`` by how much it may be worse than
    on the version's holdout: absolute where larger is better, else a share of it. ``alpha`` is the
    level of the bounds, for each of the two."""

    floor: float
    alpha: float = 0.01
    min_rows: int = 50
    margin: float = 0.05
    revision: int = 4


def judge_outcomes(facts: OutcomeFacts, policy: OutcomePolicy, now: float) -> Verdict:
    """FAIL only when the metric of the span, or of its newest block, is on the wrong side of the
    floor, or further from the holdout than the margin, beyond its sampling error; PASS only when
    that of the span is beyond that on the right side of both. In between nobody can tell, and the
    verdict says how many outcomes would. A mean loss passes only where its bound does with what
    large losses may add that are too rare to be among the rows (``Quality.unseen``)."""
    del now
    quality = facts.quality
    if quality.missing:
        return Verdict(Outcome.HOLD, "OUT-402", f"n={quality.rows:,}", quality.missing)
    if quality.rows < policy.min_rows:
        short = f"{policy.min_rows - quality.rows:,} outcomes"
        message = f"{quality.rows:,} outcomes, {policy.min_rows:,} needed"
        return Verdict(Outcome.HOLD, "OUT-402", message, short)
    if not all(map(math.isfinite, (quality.value, quality.lower, quality.upper))):
        sentence = f"{metric_name(quality.metric)} is no number, n={quality.rows:,}"
        return Verdict(Outcome.HOLD, "OUT-402", sentence, "a value that is a number")
    sentence = _both_sides(facts, policy, quality)
    least = least_of_holdout(facts, policy)
    for one in (quality, facts.newest):
        if one is None:
            continue
        sides = _both_sides(facts, policy, one)
        line = sides if one is quality else f"the newest block alone has {sides}"
        if one.worse_than(policy.floor):
            return Verdict(Outcome.FAIL, "OUT-401", line)
        if least is not None and one.worse_than(least):
            return Verdict(Outcome.FAIL, "OUT-404", line)
    bars = [policy.floor] if least is None else [policy.floor, least]
    open_bars = [bar for bar in bars if not quality.at_least(bar)]
    if not open_bars:
        return Verdict(Outcome.PASS, "OUT-400", sentence)
    more = min(outcomes_to_tell(quality, bar, policy.alpha) for bar in open_bars)
    short = f"over {more:,}" if more >= _MOST_MORE else f"about {more:,}"
    missing = f"{short} more outcomes as these"
    if all(map(quality.by_seen().at_least, bars)):
        missing += ": so few may lack the rare ones with large losses"
    return Verdict(Outcome.HOLD, "OUT-403", f"cannot tell: {sentence}", missing)


def least_of_holdout(facts: OutcomeFacts, policy: OutcomePolicy) -> float | None:
    """The worst value that is as good as on the holdout; None where that is not known."""
    if facts.holdout is None or not math.isfinite(facts.holdout):
        return None
    if facts.quality.larger_is_better:
        return facts.holdout - policy.margin
    return facts.holdout * (1.0 + policy.margin)


def outcomes_to_tell(quality: Quality, bar: float, alpha: float) -> int:
    """How many more outcomes would show, in four of five cases, on which side of ``bar`` the
    metric is if it is where it seems to be: the error falls with the root of their number, what
    is too rare to be among them with their number. A million at most."""
    apart = quality.value - bar
    above = apart > 0.0 or (apart == 0.0 and quality.larger_is_better)
    unseen = 0.0 if above else quality.unseen
    reach = quality.value - quality.lower if above else quality.upper - unseen - quality.value
    if apart == 0.0:
        return _MOST_MORE
    level = -float(scipy.special.ndtri(min(alpha, 0.4)))
    error = (level + float(scipy.special.ndtri(_POWER))) / level * reach
    # With k times the rows: error / k^.5 + unseen / k = apart.
    wanted = (error + math.hypot(error, 2.0 * math.sqrt(unseen * abs(apart)))) / (2.0 * abs(apart))
    more = quality.rows * (min(wanted, 1e6) ** 2 - 1.0)
    return int(min(max(math.ceil(more), 1), _MOST_MORE))


def _both_sides(facts: OutcomeFacts, policy: OutcomePolicy, quality: Quality) -> str:
    level = level_words(interval_level(policy.alpha))
    bounds = f"({quality.lower:.3f} to {quality.upper:.3f}, {level})"
    word = "floor" if quality.larger_is_better else "ceiling"
    sides = f"{metric_name(quality.metric)} {quality.value:.3f} {bounds}"
    sides += f", {word} {policy.floor:.3f}"
    if facts.holdout is not None and least_of_holdout(facts, policy) is not None:
        allowed = f"{policy.margin:.3f}" if quality.larger_is_better else f"{policy.margin:.0%}"
        sign = "-" if quality.larger_is_better else "+"
        sides += f", holdout {facts.holdout:.3f} {sign} {allowed}"
    return f"{sides}, n={quality.rows:,}"
