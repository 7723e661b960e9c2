"""What sketches say about traffic: by window, by tenant, by feature."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from windvane.core.sketch import LATENCY_EDGES_US, TRAFFIC, Layout, Sketch
from windvane.ports.control_store import ROLLED_UP_SPANS_S, WindowKey

Counts = NDArray[np.int64]
WindowSketches = Sequence[tuple[WindowKey, Sketch]]


def _traffic() -> Counts:
    return np.zeros(len(TRAFFIC), np.int64)


def _latency() -> Counts:
    return np.zeros(len(LATENCY_EDGES_US) + 1, np.int64)


@dataclass(slots=True, eq=False)
class Tally:
    """Traffic and latency counts of some sketches, merged."""

    traffic: Counts = field(default_factory=_traffic)
    latency: Counts = field(default_factory=_latency)

    def add(self, traffic: Counts, latency: Counts) -> None:
        self.traffic += traffic
        self.latency += latency

    def total(self, name: str) -> int:
        return int(self.traffic[TRAFFIC.index(name)])

    @property
    def requests(self) -> int:
        return self.total("requests")

    @property
    def rows(self) -> int:
        return self.total("rows")

    @property
    def owed(self) -> int:
        """Rows that were answered, and those that should have been."""
        return self.rows + self.unanswered

    @property
    def unanswered(self) -> int:
        """Requests that a version should have answered, and nobody did: no fallback either."""
        return self.total("unanswered")

    @property
    def refused(self) -> int:
        return self.total("refused")

    @property
    def asked(self) -> int:
        """Requests, whatever became of them."""
        return self.requests + self.unanswered + self.refused

    @property
    def error_rate(self) -> float | None:
        """Rows whose own version failed; None without rows."""
        return self.total("execution_errors") / self.rows if self.rows else None

    @property
    def fell_back_rate(self) -> float | None:
        return self.total("fell_back") / self.rows if self.rows else None

    @property
    def unanswered_rate(self) -> float | None:
        """Of the requests that were owed an answer; None without one."""
        owed = self.requests + self.unanswered
        return self.unanswered / owed if owed else None

    @property
    def refused_rate(self) -> float | None:
        return self.refused / self.asked if self.asked else None

    def latency_ms(self, quantile: float) -> float | None:
        """Interpolated inside its bin; the last bin has no upper edge, so its lower one."""
        total = int(self.latency.sum())
        if not total:
            return None
        wanted = quantile * total
        reached = np.cumsum(self.latency)
        at = int(np.searchsorted(reached, wanted, side="left"))
        edges = LATENCY_EDGES_US
        if at >= len(edges):
            return edges[-1] / 1000.0
        low = edges[at - 1] if at else 0
        before = int(reached[at - 1]) if at else 0
        inside = (wanted - before) / max(1, int(self.latency[at]))
        return (low + (edges[at] - low) * inside) / 1000.0


@dataclass(frozen=True, slots=True)
class Grid:
    """The windows of a page: ``starts`` of closed ones, and the ``open`` one after them.

    ``recorded`` is the time up to which some recorder has read; windows after it are not
    known yet, which is not the same as empty.
    """

    window_s: float
    starts: tuple[float, ...]
    open: float
    recorded: float | None

    @property
    def read_from(self) -> float:
        """From when on sketches are to be read: the sum of an hour, or of a day, begins before a
        window of it."""
        first = self.starts[0] if self.starts else self.open
        spans = [s for s in ROLLED_UP_SPANS_S if self.window_s < s <= self.open - first]
        return min([first // s * s for s in spans], default=first)

    def known(self, start: float) -> bool:
        return self.recorded is None or start + self.window_s <= self.recorded


def grid(now: float, window_s: float, windows: int, recorded: float | None) -> Grid:
    """The last ``windows`` windows that had ended by ``now``."""
    open_start = now // window_s * window_s
    starts = tuple(open_start - (windows - i) * window_s for i in range(windows))
    return Grid(window_s, starts, open_start, recorded)


def windows_of(key: WindowKey, sketch: Sketch, window_s: float) -> Iterator[tuple[float, Tally]]:
    """What a sketch says of each window: old windows are kept as sums of hours and days alone,
    which are shared out evenly. Together they are exactly the sum."""
    if key.span_s is None:
        yield key.start, Tally(sketch.traffic, sketch.latency)
        return
    first = math.ceil(key.start / window_s)
    n = max(1, math.ceil((key.start + key.span_s) / window_s) - first)
    for i in range(n):
        traffic, latency = (
            counts * (i + 1) // n - counts * i // n for counts in (sketch.traffic, sketch.latency)
        )
        yield (first + i) * window_s, Tally(traffic, latency)


def summed_until(found: WindowSketches, given: Grid) -> float | None:
    """Until when windows of a grid are kept as sums of hours or days; None where none is."""
    first = given.starts[0] if given.starts else given.open
    ends = (key.start + key.span_s for key, _ in found if key.span_s is not None)
    return max((end for end in ends if end > first), default=None)


@dataclass(frozen=True, slots=True)
class TrafficSeries:
    """One tally a window of a grid, the open window's, and all of them together."""

    grid: Grid
    windows: tuple[Tally, ...]
    open: Tally
    all: Tally

    @classmethod
    def of(cls, given: Grid, tallies: Mapping[float, Tally], open_tally: Tally) -> TrafficSeries:
        windows = tuple(tallies.get(start) or Tally() for start in given.starts)
        everything = Tally()
        for tally in (*windows, open_tally):
            everything.add(tally.traffic, tally.latency)
        return cls(given, windows, open_tally, everything)

    def newest(self, windows: int) -> Tally:
        """The newest of the open window and so many before it that has rows, answered or owed; an
        empty one where none has."""
        recent = (self.open, *reversed(self.windows[-windows:]))
        return next((one for one in recent if one.owed), Tally())

    def values(self, of: Callable[[Tally], float | None]) -> list[float | None]:
        """One value a closed window; None where nothing was recorded yet."""
        pairs = zip(self.grid.starts, self.windows, strict=True)
        return [of(tally) if self.grid.known(start) else None for start, tally in pairs]


class WindowTallies:
    """Closed windows of a grid that hold anything, and the open one."""

    def __init__(self, given: Grid) -> None:
        self._given, self._starts = given, frozenset(given.starts)
        self.closed: dict[float, Tally] = {}
        self.open = Tally()

    def add(self, key: WindowKey, sketch: Sketch) -> None:
        for start, part in windows_of(key, sketch, self._given.window_s):
            if start >= self._given.open:
                self.open.add(part.traffic, part.latency)
            elif start in self._starts:
                self.closed.setdefault(start, Tally()).add(part.traffic, part.latency)


def series(found: WindowSketches, given: Grid) -> TrafficSeries:
    tallies = WindowTallies(given)
    for key, sketch in found:
        tallies.add(key, sketch)
    return TrafficSeries.of(given, tallies.closed, tallies.open)


@dataclass(frozen=True, slots=True)
class TenantTraffic:
    """One tenant's tally over a grid, its requests by window, and its last window."""

    tenant: str
    tally: Tally
    requests: tuple[int, ...]
    last: float


def by_tenant(found: WindowSketches, given: Grid) -> list[TenantTraffic]:
    """Busiest first."""
    places = {start: i for i, start in enumerate(given.starts)}
    tallies: dict[str, Tally] = {}
    counts: dict[str, list[int]] = {}
    last: dict[str, float] = {}
    for key, sketch in found:
        for start, part in windows_of(key, sketch, given.window_s):
            if start not in places and start < given.open:
                continue
            tallies.setdefault(key.tenant, Tally()).add(part.traffic, part.latency)
            line = counts.setdefault(key.tenant, [0] * len(given.starts))
            if start in places:
                line[places[start]] += part.requests
            last[key.tenant] = max(last.get(key.tenant, 0.0), start)
    rows = [TenantTraffic(t, tallies[t], tuple(counts[t]), last[t]) for t in tallies]
    return sorted(rows, key=lambda r: (-r.tally.asked, r.tenant))


def feature_counts(found: Iterable[tuple[WindowKey, Sketch]], layout: Layout) -> Counts:
    """All features' bins, summed over the sketches of that layout."""
    parts = [sketch.features for _, sketch in found if sketch.layout_id == layout.id]
    return np.sum(parts, axis=0) if parts else np.zeros(layout.size, np.int64)
