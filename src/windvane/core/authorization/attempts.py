"""How often something may be tried: a few times at once, then at a steady pace."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AttemptLimit:
    """``burst`` attempts at once; afterwards one each ``per_s`` seconds."""

    burst: int
    per_s: float


class AttemptLimiter:
    """Counts attempts by name, for ``most`` names at most: of more, those that tried longest ago
    are forgotten. ``now`` in seconds, of any clock that never goes back."""

    def __init__(self, limit: AttemptLimit, most: int) -> None:
        self._limit = limit
        self._most = most
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, name: str, now: float) -> float:
        """Seconds until the next attempt is allowed; 0.0 if it is now. Counts nothing."""
        over = self._left_over(name, now) - (self._limit.burst - 1)
        return max(0.0, over * self._limit.per_s)

    def count(self, name: str, now: float) -> None:
        """One attempt of ``name``."""
        spent = min(self._left_over(name, now) + 1.0, float(self._limit.burst))
        self._spent[name] = (spent, now)
        self._spent.move_to_end(name)
        if len(self._spent) > self._most:
            self._spent.popitem(last=False)

    def forget(self, name: str) -> None:
        """What ``name`` tried no longer counts."""
        self._spent.pop(name, None)

    def __len__(self) -> int:
        return len(self._spent)

    def _left_over(self, name: str, now: float) -> float:
        spent, at = self._spent.get(name, (0.0, -math.inf))
        return max(0.0, spent - (now - at) / self._limit.per_s) if spent else 0.0
