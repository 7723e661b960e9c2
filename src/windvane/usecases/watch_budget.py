"""What watching costs: CPU time by monitor, an allowance an hour, and who waits when it is used.

Counts of every window are made by the recorder, whatever is spent here. What is saved is looking
at them: first at what is dear and of little harm, of the models that matter least.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from windvane.core.alerting import Tier
from windvane.usecases.monitors import Importance, Monitor
from windvane.usecases.read_model_file import ModelFile

_HOUR_S = 3_600.0
_AHEAD = 0.1  # of an hour's allowance, that may be used before its time
_FIRST_WAITS, _LAST_WAITS = 0.8, 1.6
_RANKS: Mapping[Tier, int] = {Tier.LOW: 0, Tier.STANDARD: 1, Tier.CRITICAL: 2}


@dataclass
class WatchBudget:
    """``allowed_s``: seconds of CPU in an hour, None for as many as it takes. ``elapsed`` and
    ``cpu`` give seconds since any time, and of the CPU time of the thread that judges."""

    allowed_s: float | None = None
    elapsed: Callable[[], float] = time.monotonic
    cpu: Callable[[], float] = time.thread_time
    spent: dict[str, float] = field(default_factory=dict[str, float])
    _used: float = 0.0

    def __post_init__(self) -> None:
        self._began = self.elapsed()

    @contextmanager
    def looking(self, monitor: Monitor) -> Iterator[None]:
        """Count what is used meanwhile."""
        before = self.cpu()
        try:
            yield
        finally:
            used = max(self.cpu() - before, 0.0)
            self._used += used
            self.spent[monitor.name] = self.spent.get(monitor.name, 0.0) + used

    def waits(self, monitor: Monitor, file: ModelFile) -> str:
        """Why a monitor does not look at this window, "" where it does. One that is always needed
        never waits. The others do once more was used than an hour's share of the allowance: by
        four fifths of it for the least important, by 1.6 times for the most important."""
        if self.allowed_s is None or monitor.importance is Importance.ALWAYS:
            return ""
        share = self._share_of_hour()
        used = self._used / (self.allowed_s * min(share + _AHEAD, 1.0))
        last = len(_RANKS) * len(Importance) - len(_RANKS) - 1
        rank = len(_RANKS) * monitor.importance + _RANKS[Tier(file.tier)]
        if used <= _FIRST_WAITS + (_LAST_WAITS - _FIRST_WAITS) * rank / last:
            return ""
        return (
            f"watching used {self._used:,.3g} s of CPU in {share * 60.0:.0f} minutes, "
            f"{self.allowed_s:,.4g} s an hour allowed"
        )

    def take_spent(self) -> Mapping[str, int]:
        """Whole milliseconds by monitor since the last call."""
        out = {name: int(s * 1_000.0) for name, s in self.spent.items() if s >= 0.001}
        for name, ms in out.items():
            self.spent[name] -= ms / 1_000.0
        return out

    def _share_of_hour(self) -> float:
        now = self.elapsed()
        if now - self._began >= _HOUR_S:
            self._began, self._used = now, 0.0
        return (now - self._began) / _HOUR_S
