"""An objective's error budget, and how fast events burn it.

Source of the rules: Google, The Site Reliability Workbook, chapter 5, "Alerting on SLOs", table
5-8: 2% of a budget of 30 days in 1 hour (14.4 times as fast as it lasts) or 5% in 6 hours (6x)
page, 10% in 3 days (1x) is a ticket; each also holds over a twelfth of its span, so that it
ends soon after what caused it.
"""

from __future__ import annotations

from dataclasses import dataclass

from windvane.core.slo.ring import Tally
from windvane.core.verdict import span_in_words

SCALED_FROM_S = 30 * 86_400.0
LONG_SPAN_S = 3 * 86_400.0


@dataclass(frozen=True, slots=True)
class Objective:
    """``name`` of the objective; ``allowed`` is the share of events that may be bad. ``limit_us``:
    an answer that took longer is bad, or of a ``view`` a row that is older; 0 where what counts is
    that there is an answer, or (``labelled``) that it turned out right: that it cost at most
    ``most_loss``, where that is given."""

    name: str
    allowed: float
    limit_us: int = 0
    view: str = ""
    labelled: bool = False
    most_loss: float | None = None

    @property
    def title(self) -> str:
        """For a sentence."""
        if self.view:
            return f"{self.name} within {span_in_words(self.limit_us / 1e6)}"
        if self.most_loss is not None:
            return f"{self.name} within a loss of {self.most_loss:g}"
        return f"{self.name} within {self.limit_us / 1e3:g} ms" if self.limit_us else self.name


@dataclass(frozen=True, slots=True)
class BurnRule:
    """Burning ``factor`` times as fast as the budget lasts, over ``long_s`` and over ``short_s``
    seconds, is worth a page, or a ticket."""

    name: str
    page: bool
    long_s: float
    short_s: float
    factor: float

    def within_reach(self, allowed: float) -> bool:
        """Whether even a total failure burns so fast: nothing burns faster than 1 / ``allowed``."""
        return self.factor * allowed < 1.0


def burn_rules(over_s: float) -> tuple[BurnRule, ...]:
    """The rules for a budget over ``over_s`` seconds. Their spans are scaled with it, so that each
    factor still stands for the same share of the budget: 2%, 5% and 10%."""
    scale = over_s / SCALED_FROM_S
    return tuple(
        BurnRule(name, page, long_s * scale, short_s * scale, factor)
        for name, page, long_s, short_s, factor in (
            ("fast", True, 3_600.0, 300.0, 14.4),
            ("slow", True, 21_600.0, 1_800.0, 6.0),
            ("ticket", False, LONG_SPAN_S, 21_600.0, 1.0),
        )
    )


def projected(seen_s: float, span_s: float) -> float:
    """What part of a span was seen: what came before counts as clean, with the same traffic. Else
    one failure of an objective's first hundred requests would be a budget of 30 days, gone."""
    return min(1.0, max(0.0, seen_s) / span_s)


def burn_rate(tally: Tally, allowed: float, part: float = 1.0) -> float:
    """How many times as fast as the budget lasts; 0.0 of nothing. ``part``: see `projected`."""
    return part * tally.bad / tally.total / allowed if tally.total else 0.0


def budget_left(tally: Tally, allowed: float, part: float = 1.0) -> float:
    """The share of the budget that is left: 1.0 for all, negative where more was spent."""
    return 1.0 - burn_rate(tally, allowed, part)
