"""What every guard of a rollout is, and words that they share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from windvane.core.rollout.facts import GateFacts
from windvane.core.rollout.policy import GatePolicy
from windvane.core.verdict import Verdict

MOST_UNITS = 10**8


class Guard(ABC):
    """Judges one thing that may be worse with the challenger: FAIL takes it back, PASS lets it go
    on, HOLD waits for what is missing. ``weight``: its part of the policy's alpha; ``title``: what
    people call it."""

    title: ClassVar[str]
    weight: ClassVar[float]

    @abstractmethod
    def judge(self, facts: GateFacts, policy: GatePolicy, now: float) -> Verdict | None:
        """At ``now`` (s); None where it has nothing to say of this rollout."""

    def evidence(self, facts: GateFacts) -> float | None:
        """Log evidence that it would fail the challenger by; None where there is no one number."""
        del facts
        return None

    def level(self, policy: GatePolicy) -> float:
        """Log evidence from which it fails a challenger."""
        return math.log(1.0 / (self.weight * policy.alpha))


def least(enough: Callable[[int], bool]) -> int:
    """The least number that is ``enough``, which all larger ones are; `MOST_UNITS` where none is
    below that."""
    high = 1
    while high < MOST_UNITS and not enough(high):
        high *= 2
    if high >= MOST_UNITS:
        return MOST_UNITS
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def units_in_words(units: int, facts: GateFacts, now: float) -> str:
    """``432 units more, about 22 min`` at the rate of the present stage."""
    if units >= MOST_UNITS:
        return "more units than will ever come"
    stage, seen = facts.now, facts.now.challenger.units
    lasted = now - stage.stage.started
    words = f"{units:,} units more"
    if not seen or lasted <= 0.0:
        return words
    minutes = units / (seen / lasted) / 60.0
    if minutes < 120.0:
        return f"{words}, about {max(minutes, 1.0):.0f} min"
    hours = minutes / 60.0
    return f"{words}, about {hours:.0f} h" if hours < 48.0 else f"{words}, about {hours / 24:.0f} d"
