"""How much more a share varies from window to window than independent rows would let it.

Twenty requests of one client that fail together are one accident and not twenty. The ratio of the
variance that a stream really has to the binomial one (the design effect) says how many rows count
as one. It is learned from the stream's own windows, alone and merged 4, 16 and 64 at a time: a
rate that wanders slowly shows in the sums of many windows, not in single ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

_LENGTHS = (1, 4, 16, 64)
# Until about as many bad rows were expected, the assumed effect outweighs what was seen.
_PRIOR_BAD = 4.0
_MOST = 200.0
# Windows that are remembered: beyond them, all that was seen counts half.
_MEMORY = 20_000.0


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Sums over whole blocks of windows, and the counts of the one that is not whole yet."""

    blocks: float = 0.0
    rows: float = 0.0
    bad_squared: float = 0.0
    bad_rows: float = 0.0
    rows_squared: float = 0.0
    open_windows: int = 0
    open_bad: int = 0
    open_rows: int = 0

    def add(self, bad: int, rows: int, length: int) -> _Blocks:
        bad, rows = self.open_bad + bad, self.open_rows + rows
        if self.open_windows + 1 < length:
            return replace(self, open_windows=self.open_windows + 1, open_bad=bad, open_rows=rows)
        return _Blocks(
            self.blocks + 1.0,
            self.rows + rows,
            self.bad_squared + float(bad) * bad,
            self.bad_rows + float(bad) * rows,
            self.rows_squared + float(rows) * rows,
        )

    def halved(self) -> _Blocks:
        return replace(
            self,
            blocks=self.blocks / 2.0,
            rows=self.rows / 2.0,
            bad_squared=self.bad_squared / 2.0,
            bad_rows=self.bad_rows / 2.0,
            rows_squared=self.rows_squared / 2.0,
        )

    def effect(self, mean: float, assumed: float, larger: float) -> float:
        """The variance over the binomial one, each with the assumed effect's weight. What few
        blocks tell is raised by twice its standard error or so; what it exceeds independent rows
        by is ``larger`` than it was."""
        if self.blocks < 1.0:
            return 1.0
        squares = self.bad_squared - 2.0 * mean * self.bad_rows + mean * mean * self.rows_squared
        expected = mean * (1.0 - mean) * self.rows
        seen = max(squares, 0.0) * (1.0 + 2.0 / math.sqrt(self.blocks + 1.0))
        seen = expected + max(seen - expected, 0.0) * larger
        return (assumed * _PRIOR_BAD + seen) / (_PRIOR_BAD + expected)


@dataclass(frozen=True, slots=True)
class Dispersion:
    """What is carried of a stream's counts to know its design effect."""

    bad: float = 0.0
    rows: float = 0.0
    scales: tuple[_Blocks, ...] = (_Blocks(),) * len(_LENGTHS)

    def with_window(self, bad: int, rows: int) -> Dispersion:
        """One more healthy window; one without rows teaches nothing."""
        if rows == 0:
            return self
        scales = tuple(
            held.add(bad, rows, length) for held, length in zip(self.scales, _LENGTHS, strict=True)
        )
        fresh = Dispersion(self.bad + bad, self.rows + rows, scales)
        if scales[0].blocks < _MEMORY:
            return fresh
        return Dispersion(fresh.bad / 2.0, fresh.rows / 2.0, tuple(s.halved() for s in scales))

    def effect(self, rows: int, assumed: float) -> float:
        """How many rows count as one in a window of ``rows``: at least 1. ``assumed`` is the
        effect of a stream of which too little is known. A window that is larger than those that
        were seen is taken to vary as one whose very rate wanders, so its effect grows with it."""
        if self.rows <= 0.0:
            return assumed
        mean = self.bad / self.rows
        larger = max(1.0, rows * self.scales[0].rows / self.scales[0].rows_squared)
        held = max(s.effect(mean, assumed, larger) for s in self.scales)
        return min(max(held, 1.0), _MOST)
