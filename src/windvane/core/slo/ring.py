"""Bad events and all events over a span that moves: a bounded ring of coarse buckets.

Counts are integers and merging is addition, so any cut of the windows, in any order, gives the same
ring. A bucket is a whole number of windows and lies where its number says, counted from the epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import scipy

_PARTS = 12
LEAST_DAYS = 10
_DAY_S = 86_400.0
UNKNOWN_AS_ONE = 10.0


@dataclass(frozen=True, slots=True)
class Tally:
    """``bad`` of ``total`` events."""

    bad: int = 0
    total: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.bad + other.bad, self.total + other.total)


@dataclass(frozen=True, slots=True)
class Ring:
    """The newest ``most`` buckets of ``width_s`` seconds that have events: (number, bad, total),
    oldest first. Bucket n begins at ``n * width_s``."""

    width_s: float
    most: int
    buckets: tuple[tuple[int, int, int], ...] = ()


def ring_of(span_s: float, window_s: float, parts: int = _PARTS) -> Ring:
    """An empty ring that reaches over ``span_s`` wherever in a bucket one stands, and at most
    a ``parts``-th of it further. A span that is shorter than a window is one window."""
    windows = max(1, math.floor(span_s / parts / window_s))
    width_s = windows * window_s
    whole = max(1, math.ceil(span_s / width_s - 1e-9))
    return Ring(width_s, whole if windows == 1 else whole + 1)


def empty_rings(spans: Sequence[float], window_s: float, over_s: float) -> tuple[Ring, ...]:
    """One ring for each of ``spans`` (s); the last, of ``over_s``, is fine enough to be drawn."""
    return (*(ring_of(span, window_s) for span in spans), ring_of(over_s, window_s, 5 * _PARTS))


def add_window(ring: Ring, start: float, tally: Tally) -> Ring:
    """The ring with the events of a window that began at ``start`` (s)."""
    number = math.floor(start / ring.width_s)
    held = ring.buckets
    if held and held[-1][0] > number:  # late: wherever it belongs, or nowhere
        return _merged(ring, [*held, (number, tally.bad, tally.total)])
    if held and held[-1][0] == number:
        _, bad, total = held[-1]
        return replace(ring, buckets=(*held[:-1], (number, bad + tally.bad, total + tally.total)))
    first = number - ring.most
    kept = held if not held or held[0][0] > first else tuple(b for b in held if b[0] > first)
    return replace(ring, buckets=(*kept, (number, tally.bad, tally.total)))


def sum_of(ring: Ring, start: float) -> Tally:
    """Everything in the ring's span that ends with the window that began at ``start`` (s)."""
    first = math.floor(start / ring.width_s) - ring.most
    mine = [b for b in ring.buckets if b[0] > first]
    return Tally(sum(b[1] for b in mine), sum(b[2] for b in mine))


def rows_as_one(ring: Ring, before: float) -> float:
    """As how many rows one counts, for rows that are bad together: how much more days that ended
    ``before`` (s) differ than independent rows would, Pearson's chi-squared by its degrees of
    freedom (McCullagh & Nelder, Generalized Linear Models, 4.5.1); of a ring shorter than ten
    days, its tenths. The upper bound of a 95% interval of it, for few days that happen to be alike
    do not say that days are; ``UNKNOWN_AS_ONE`` where fewer than ``LEAST_DAYS`` are known."""
    day_s = max(ring.width_s, min(_DAY_S, ring.width_s * ring.most / 10.0))
    days: dict[int, Tally] = {}
    for number, bad, total in ring.buckets:
        if total and (number + 1) * ring.width_s <= before:
            day = math.floor(number * ring.width_s / day_s)
            days[day] = days.get(day, Tally()) + Tally(bad, total)
    if len(days) < LEAST_DAYS:
        return UNKNOWN_AS_ONE
    share = sum(one.bad for one in days.values()) / sum(one.total for one in days.values())
    squares = [(one.bad - share * one.total) ** 2 / one.total for one in days.values()]
    found = sum(squares) / (share * (1.0 - share)) if 0.0 < share < 1.0 else 0.0
    return max(1.0, found / float(scipy.special.chdtri(len(days) - 1, 0.95)))


def under_other_widths(held: Sequence[Ring], wanted: Sequence[Ring]) -> tuple[Ring, ...]:
    """What ``held`` have, in empty rings of other widths: each takes from the finest that reaches
    as far, else from the one that reaches furthest. A bucket counts where it began."""
    out: list[Ring] = []
    for ring in wanted:
        same = next((r for r in held if (r.width_s, r.most) == (ring.width_s, ring.most)), None)
        if same is not None:
            out.append(same)
            continue
        reach = ring.width_s * ring.most
        far = max((r.width_s * r.most for r in held), default=0.0)
        enough = [r for r in held if r.width_s * r.most >= min(reach, far)]
        moved = [
            (math.floor(n * source.width_s / ring.width_s), bad, total)
            for source in sorted(enough, key=lambda r: r.width_s)[:1]
            for n, bad, total in source.buckets
        ]
        out.append(_merged(ring, moved))
    return tuple(out)


def _merged(ring: Ring, buckets: Iterable[tuple[int, int, int]]) -> Ring:
    sums: dict[int, list[int]] = {}
    for number, bad, total in buckets:
        held = sums.setdefault(number, [0, 0])
        held[0] += bad
        held[1] += total
    first = max(sums, default=0) - ring.most
    kept = tuple((n, bad, total) for n, (bad, total) in sorted(sums.items()) if n > first)
    return replace(ring, buckets=kept)
