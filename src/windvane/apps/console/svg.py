"""Small pictures as inline SVG: no script, no style attributes, so a strict CSP holds.

Shapes only carry classes; the style sheet colours them for light and dark.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

from windvane.apps.console.colours import colour_of

_W, _H = 120.0, 28.0


def sparkline(values: Sequence[float | None], label: str) -> Markup:
    """A line that fills its box; gaps where a value is None."""
    known = [v for v in values if v is not None]
    top = max(known, default=0.0) or 1.0
    step = _W / max(1, len(values) - 1)
    runs: list[list[str]] = [[]]
    for i, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{i * step:.1f},{_H - 2 - (_H - 5) * value / top:.1f}")
    shapes: list[str] = []
    for run in filter(None, runs):
        first, last = run[0].split(",")[0], run[-1].split(",")[0]
        shapes.append(
            f'<path class="spark-area" d="M{first},{_H} L{" L".join(run)} L{last},{_H}z"/>'
        )
        shapes.append(f'<polyline class="spark-line" points="{" ".join(run)}"/>')
    return Markup(
        f'<svg class="spark" viewBox="0 0 {_W:.0f} {_H:.0f}" preserveAspectRatio="none" '
        f'role="img" aria-label="{escape(label)}">{"".join(shapes)}</svg>'
    )


@dataclass(frozen=True, slots=True)
class Histogram:
    """One feature before and after: its picture, ends of its axes, and its table."""

    feature: str
    picture: Markup
    top: float
    low: str
    high: str
    nulls_before: float | None
    nulls_after: float | None
    rows: tuple[tuple[str, int, int], ...]


def histogram(
    feature: str,
    labels: Sequence[str],
    before: Sequence[int],
    after: Sequence[int],
    words: tuple[str, str],
) -> Histogram:
    """Shares by bin: ``before`` as wide pale bars, ``after`` as narrow dark ones on top.

    The null bin comes first and stands apart. Both sides are scaled to the same highest
    share, so that heights compare.
    """
    shares = _shares(before), _shares(after)
    top = max((*shares[0], *shares[1]), default=0.0) or 1.0
    width, height, gap = 300.0, 84.0, 10.0
    slot = (width - gap) / max(1, len(labels))
    bars: list[str] = []
    for i, label in enumerate(labels):
        x = i * slot + (gap if i else 0.0)
        p = shares[0][i] if i < len(before) else 0.0
        q = shares[1][i] if i < len(after) else 0.0
        message = f"{label}: {words[0]} {p:.1%}, {words[1]} {q:.1%}"
        null = " null" if i == 0 else ""
        bars.append(
            f'<g class="bin{null}"><title>{escape(message)}</title>'
            f'<rect class="hit" x="{x:.1f}" y="0" width="{slot:.1f}" height="{height:.0f}"/>'
            + _bar("before", x + slot * 0.06, slot * 0.88, p / top, height)
            + _bar("after", x + slot * 0.3, slot * 0.4, q / top, height)
            + "</g>"
        )
    message = _summary(feature, labels, shares, words)
    line = f'<line class="axis" x1="0" y1="{height:.0f}" x2="{width:.0f}" y2="{height:.0f}"/>'
    picture = Markup(
        f'<svg class="hist" viewBox="0 0 {width:.0f} {height + 1:.0f}" '
        f'preserveAspectRatio="none" role="img" aria-label="{escape(message)}">'
        f"{''.join(bars)}{line}</svg>"
    )
    inner = list(labels[1:])
    table = tuple(
        (str(label), int(b), int(a)) for label, b, a in zip(labels, before, after, strict=False)
    )
    return Histogram(
        feature,
        picture,
        top,
        _short(inner[0]) if inner else "",
        _short(inner[-1]) if inner else "",
        shares[0][0] if sum(before) else None,
        shares[1][0] if sum(after) else None,
        table,
    )


def _short(label: str) -> str:
    """An axis end with three digits: its whole edge is in the table."""

    def short(found: re.Match[str]) -> str:
        value = float(found[0])
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"

    return re.sub(r"-?\d+\.\d+", short, label)


def _bar(name: str, x: float, width: float, part: float, height: float) -> str:
    tall = part * (height - 4.0)
    if tall <= 0.0:
        return ""
    tall = max(1.5, tall)
    return (
        f'<rect class="{name}" x="{x:.1f}" y="{height - tall:.1f}" '
        f'width="{width:.1f}" height="{tall:.1f}"/>'
    )


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [n / total if total else 0.0 for n in counts]


def _summary(
    feature: str,
    labels: Sequence[str],
    shares: tuple[list[float], list[float]],
    words: tuple[str, str],
) -> str:
    """The three bins that moved most, in words."""
    moved = sorted(
        ((abs(q - p), label, p, q) for label, p, q in zip(labels, *shares, strict=False)),
        reverse=True,
    )
    parts = [f"{label} {p:.0%} to {q:.0%}" for gap, label, p, q in moved[:3] if gap >= 0.005]
    what = "; ".join(parts) or "no bin moved by half a percent"
    return f"{feature}, {words[0]} to {words[1]}: {what}"


@dataclass(frozen=True, slots=True)
class Band:
    """Who answered from ``start`` to ``end``: (version, share, stands in) from below."""

    start: float
    end: float
    parts: tuple[tuple[str, float, bool], ...]


def bands(given: Sequence[Band]) -> Markup:
    """Versions' shares over time as stacked steps."""
    if not given:
        return Markup("")
    first, last = given[0].start, given[-1].end
    scale = 1000.0 / max(1e-9, last - first)
    shapes: list[str] = []
    for band in given:
        x, y = (band.start - first) * scale, 100.0
        width = max(1.0, (band.end - band.start) * scale)
        for version, part, stands_in in band.parts:
            tall = part * 100.0
            y -= tall
            message = f"version {version}: {part:.0%}{', standing in' if stands_in else ''}"
            extra = " stands-in" if stands_in else ""
            shapes.append(
                f'<rect class="v{colour_of(version)}{extra}" x="{x:.2f}" y="{y:.2f}" '
                f'width="{width:.2f}" height="{tall:.2f}"><title>{escape(message)}</title></rect>'
            )
    now = ", ".join(f"version {v} {s:.0%}" for v, s, _ in given[-1].parts)
    return Markup(
        '<svg class="bands" viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" '
        f'aria-label="Traffic by version over time; now {escape(now)}">{"".join(shapes)}</svg>'
    )


def rising_curve(
    points: Sequence[tuple[float, float]], at: float | None, label: str
) -> tuple[Markup, tuple[float, ...]]:
    """Shares, 0 to 1, by what they are reached at (above 0), on a logarithmic axis, with a line
    ``at`` where one is wanted; and what four places along the axis, its ends among them, stand
    for."""
    width, height = 1000.0, 100.0
    xs = [math.log(x) for x, _ in points]
    low, high = min(xs), max(*xs, min(xs) + 1e-9)

    def place(x: float) -> float:
        return (x - low) / (high - low) * width

    steps = [f"0,{height * (1 - points[0][1]):.1f}"]
    for (_, before), (at_x, share) in pairwise(points):
        x = place(math.log(at_x))
        steps += [f"{x:.1f},{height * (1 - before):.1f}", f"{x:.1f},{height * (1 - share):.1f}"]
    line = ""
    if at is not None and low <= math.log(at) <= high:
        x = place(math.log(at))
        line = f'<line class="wanted" x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{height:.0f}"/>'
    picture = Markup(
        f'<svg class="curve" viewBox="0 0 {width:.0f} {height:.0f}" preserveAspectRatio="none" '
        f'role="img" aria-label="{escape(label)}"><polyline points="{" ".join(steps)}"/>'
        f"{line}</svg>"
    )
    return picture, tuple(math.exp(low + (high - low) * i / 3) for i in range(4))


@dataclass(frozen=True, slots=True)
class CurveMark:
    """A place that a curve is looked at: ``name`` is its class; ``x`` None is of a value that has
    no place on the axis, ``y`` None one without an answer."""

    name: str
    x: float | None
    y: float | None


def answer_curve(
    points: Sequence[tuple[float, float | None]],
    marks: Sequence[CurveMark],
    trained: tuple[float, float] | None,
    middle: tuple[float, float] | None,
    label: str,
) -> Markup:
    """A line through ``points`` in ascending order, broken where one has no answer, with marks:
    of one that has no place on the axis a level across. Values beyond those of training
    (``trained``, both ends) are shaded, and so is where half of the usual ones lie (``middle``)."""
    width, height, edge = 1000.0, 100.0, 6.0
    low, high = points[0][0], points[-1][0]
    wide = (high - low) or 1.0
    known = [y for _, y in points if y is not None] + [m.y for m in marks if m.y is not None]
    bottom, top = min(known, default=0.0), max(known, default=0.0)
    span = (top - bottom) or 1.0

    def across(x: float) -> float:
        return (min(max(x, low), high) - low) / wide * width

    def up(y: float) -> float:
        lowest = height / 2 if top == bottom else edge
        return height - lowest - (y - bottom) / span * (height - 2 * edge)

    def band(name: str, start: float, end: float) -> str:
        x, size = across(start), across(end) - across(start)
        box = f'x="{x:.1f}" y="0" width="{size:.1f}" height="{height:.0f}"'
        return f'<rect class="{name}" {box}/>' if size > 0 else ""

    shapes: list[str] = []
    if trained is not None:
        shapes += [band("beyond", low, trained[0]), band("beyond", trained[1], high)]
    if middle is not None:
        shapes.append(band("middle", max(low, middle[0]), min(high, middle[1])))
    runs: list[list[str]] = [[]]
    for x, y in points:
        if y is None:
            runs.append([])
        else:
            runs[-1].append(f"{across(x):.1f},{up(y):.1f}")
    shapes += [f'<polyline points="{" ".join(run)}"/>' for run in runs if run]
    for mark in marks:
        if mark.x is not None:
            x = f"{across(mark.x):.1f}"
            shapes.append(f'<line class="{mark.name}" x1="{x}" y1="0" x2="{x}" y2="{height:.0f}"/>')
        elif mark.y is not None:
            y = f"{up(mark.y):.1f}"
            shapes.append(f'<line class="{mark.name}" x1="0" y1="{y}" x2="{width:.0f}" y2="{y}"/>')
        if mark.x is not None and mark.y is not None:
            x, y = f"{across(mark.x):.1f}", f"{up(mark.y):.1f}"
            # A line of no length with round ends: a circle would be stretched with the picture.
            shapes.append(f'<line class="dot {mark.name}" x1="{x}" y1="{y}" x2="{x}" y2="{y}"/>')
    return Markup(
        f'<svg class="curve answers" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'preserveAspectRatio="none" role="img" aria-label="{escape(label)}">'
        f"{''.join(shapes)}</svg>"
    )
