"""Refusals cost time too. A client that is refused again and again waits for its next one.

Each tenant gets so many refusals a second at once; beyond that they are held for a moment,
which slows a client that waits for its answers. Those that are held leave in groups: to wake up
for each costs more than to send it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from windvane.inference.low_priority_queue import LowPriorityQueue

_GROUP_S = 0.01


class RejectionThrottle:
    """``at_once`` refusals in each second go out at once, later ones after ``hold_s`` (half to
    one and a half times). At most ``most`` are held at one time; what is beyond is not."""

    def __init__(
        self,
        low_priority: LowPriorityQueue,
        at_once: int = 100,
        hold_s: float = 0.25,
        most: int = 1_000,
    ) -> None:
        self._low_priority = low_priority
        self._at_once = at_once
        self._hold_s = hold_s
        self._most = most
        self._second = 0
        self._refused: dict[str, int] = {}
        self._groups: dict[int, list[Callable[[], None]]] = {}
        self.holding = 0

    def hold_s(self, tenant: str, now: float) -> float:
        """How long the refusal has to wait, 0.0 if it may leave at once. ``now`` in seconds on
        any clock."""
        if int(now) != self._second:
            self._second = int(now)
            self._refused.clear()
        count = self._refused.get(tenant, 0) + 1
        self._refused[tenant] = count
        if count <= self._at_once or self.holding >= self._most:
            return 0.0
        return self._hold_s * random.uniform(0.5, 1.5)

    def later(self, held_s: float, let_go: Callable[[], None]) -> None:
        """Call ``let_go``, which does not raise, after so long."""
        self.holding += 1
        loop = asyncio.get_running_loop()
        number = int((loop.time() + held_s) / _GROUP_S) + 1
        group = self._groups.get(number)
        if group is None:
            self._groups[number] = [let_go]
            loop.call_at(number * _GROUP_S, self._let_go, number)
        else:
            group.append(let_go)

    def _let_go(self, number: int) -> None:
        group = self._groups.pop(number)
        self.holding -= len(group)
        self._low_priority.put(group)
