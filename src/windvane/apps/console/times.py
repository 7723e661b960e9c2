"""Times and figures as words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

_SPANS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def utc(at: float) -> str:
    """``2013-01-14 09:00 UTC``."""
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def seconds(at: float) -> str:
    """``2013-01-14 09:00:05.250 UTC``."""
    found = dt.datetime.fromtimestamp(round(at, 3), dt.UTC)
    return f"{found.isoformat(' ', 'milliseconds').removesuffix('+00:00')} UTC"


def short(at: float) -> str:
    """``14 Jan 09:00``, where the year and the zone are told elsewhere."""
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%d %b %H:%M")


def machine(at: float) -> str:
    """The ``datetime`` attribute of a ``<time>``."""
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(seconds: float) -> str:
    """The largest whole unit: ``3 h``, ``90 s`` as ``1 min``."""
    for unit, word in _SPANS:
        if seconds >= unit:
            return f"{int(seconds // unit)} {word}"
    return f"{seconds * 1000:.0f} ms" if seconds > 0 else "0 s"


def about(seconds: float) -> str:
    """One unit, to a half: ``7.5 d``, ``30 min``."""
    for unit, word in _SPANS:
        if seconds >= unit:
            return f"{round(seconds / unit * 2) / 2:g} {word}"
    return span(seconds)


def ago(at: float, now: float) -> str:
    """``3 min ago``; coarse under a minute, so that a page at rest stays as it is."""
    gap = now - at
    if abs(gap) < 60.0:
        return "just now"
    return f"{span(gap)} ago" if gap > 0 else f"in {span(-gap)}"


def due(at: float, now: float) -> str:
    """When it is to happen: ``in 3 min``, ``within a minute``, ``now`` once it should have."""
    gap = at - now
    if gap <= 0.0:
        return "now"
    return "within a minute" if gap < 60.0 else f"in {span(gap)}"


def axis(ends: Sequence[float]) -> list[str]:
    """Each as ``short``, with seconds where two would read the same."""
    words = [short(at) for at in ends]
    if len(set(words)) == len(words):
        return words
    return [dt.datetime.fromtimestamp(at, dt.UTC).strftime("%d %b %H:%M:%S") for at in ends]


def share(value: float | None, digits: int = 1) -> str:
    """A percentage; a dash for an unknown one, ``<`` for one too small to show."""
    if value is None:
        return "–"
    least = 10.0**-digits / 100.0
    if 0.0 < value < least:
        return f"<{least:.{digits}%}"
    return f"{value:.{digits}%}" if value else "0%"


def millis(value: float | None) -> str:
    """A latency, to about two digits."""
    if value is None:
        return "–"
    if value >= 1000.0:
        return f"{value / 1000.0:.1f} s"
    return f"{value:.0f} ms" if value >= 10.0 else f"{value:.1f} ms"


def count(value: float) -> str:
    """``1,234``; ``12.3k`` and ``1.2M`` from ten thousand on."""
    if value >= 1e6:
        return f"{value / 1e6:.1f}M"
    return f"{value / 1e3:.1f}k" if value >= 1e4 else f"{value:,.0f}"
