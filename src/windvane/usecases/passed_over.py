"""Which positions of a spool the log is not to have, as spans (first, end) in order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Spans: TypeAlias = tuple[tuple[int, int], ...]


def spans_of(passed: Iterable[int], logged: Sequence[int], end: int) -> Spans:
    """The fewest spans below ``end`` that hold all positions ``passed`` and none of ``logged``,
    which are in order."""
    out: list[tuple[int, int]] = []
    for position in sorted(passed):
        if out and position < out[-1][1]:
            continue
        following = bisect_right(logged, position)
        out.append((position, logged[following] if following < len(logged) else end))
    return tuple(out)


def joined(spans: Spans, more: Spans) -> Spans:
    """Both, in order, where they may touch or overlap."""
    out: list[tuple[int, int]] = []
    for first, end in sorted((*spans, *more)):
        if out and first <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((first, end))
    return tuple(out)


def from_on(spans: Spans, position: int) -> Spans:
    """What of them is not below ``position``."""
    return tuple((max(first, position), end) for first, end in spans if end > position)


def holds(spans: Spans, position: int) -> bool:
    found = bisect_right(spans, (position, 1 << 63)) - 1
    return found >= 0 and position < spans[found][1]


def size_within(spans: Spans, start: int, end: int) -> int:
    """How much of what lies between they cover."""
    return sum(max(0, min(last, end) - max(first, start)) for first, last in spans)
