"""Whose change is it: everyone's, or only of some tenants or segments?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.axes import AxisIndex, axis_index
from windvane.core.drift.cell import Cell
from windvane.core.drift.deviation import (
    VALUE_MEASURES,
    Deviations,
    Measure,
    Reference,
    effects,
    measure_deviations,
)
from windvane.core.drift.forecast import Forecast, usual_at
from windvane.core.drift.judge import DriftPolicy, Kind
from windvane.core.drift.pending import rows_of
from windvane.core.sketch import Layout

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
LEAST_ROWS = 8
"""Of a tenant or segment, for it to be told apart."""
_FAR = 4.0  # deviations of a healthy window
_APART = 3.3  # of those that are known to vary more than by chance
_HEALED = 0.5  # of a change, at most, that is left of it
_HARDLY = 2.0  # times what matters
_SURE = 2.0  # deviations
_MOST_PARTS = 0.5  # of those that can be told: more of them are everyone


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One tenant's or segment's counts (layout size,) of the rows in question, with what they are
    compared with; ``name`` tells it from others."""

    name: str
    counts: Counts
    reference: Reference
    cell: Cell


def blame(
    layout: Layout,
    parts: Sequence[Part],
    streams: Sequence[tuple[str, Kind]],
    policy: DriftPolicy,
    sounding: frozenset[str],
    whole: Forecast,
    at: float,
) -> tuple[str, ...]:
    """Those of the ``parts`` (tenants, or the segments by one feature) that a change of ``streams``
    (feature, kind) is of, none where it is everyone's.

    One is affected if its alarm is open (``sounding``), or its own rows lie far from its own past;
    what moves everyone now and then, as ``whole`` has learned, moves the rest. ``at``: the
    middle of the rows (s).
    Half of them are everyone, and so is whoever the rest shows the change without.
    """
    told = [p for p in parts if p.name in sounding or rows_of(layout, p.counts) >= LEAST_ROWS]
    if len(told) < 2:
        return tuple(p.name for p in told if p.name in sounding)
    known = [p for p in told if p.name in sounding]
    others = [p for p in told if p.name not in sounding]
    # What the alarms of some explain needs nobody else: in many windows somebody is far by chance.
    few = bool(known) and len(known) <= _MOST_PARTS * len(told)
    if few and others and not _rest_is_off(layout, others, streams, policy, whole, at):
        return tuple(sorted(p.name for p in known))
    affected = [p for p in told if p.name in sounding or _is_off(layout, p, streams, policy, at)]
    if not affected or len(affected) > _MOST_PARTS * len(told):
        return ()
    names = {p.name for p in affected}
    rest = [p for p in told if p.name not in names]
    return () if _rest_is_off(layout, rest, streams, policy, whole, at) else tuple(sorted(names))


def is_mix(
    layout: Layout,
    parts: Sequence[Part],
    streams: Sequence[tuple[str, Kind]],
    policy: DriftPolicy,
    whole: Forecast,
    at: float,
) -> bool:
    """Whether a change is of who sends what: every tenant sends as it did, in other parts of the
    whole than before. Only of tenants with a past of their own can that be told; ``parts`` are to
    be nearly all rows."""
    told = [p for p in parts if p.counts.any()]
    return bool(told) and not _rest_is_off(layout, told, streams, policy, whole, at)


def has_healed(
    layout: Layout,
    parts: Sequence[Part],
    changes: Mapping[tuple[str, Kind], float],
    policy: DriftPolicy,
    whole: Forecast,
    at: float,
) -> bool:
    """Whether ``parts`` together surely show less than half of each of the ``changes``, and hardly
    more than matters: sizes by (feature, kind), as alarms opened at them. The rest is as in
    `blame`."""
    told = [p for p in parts if rows_of(layout, p.counts) >= LEAST_ROWS]
    if not told:
        return False
    found, left, variance = _together(layout, told, policy.enough, whole, at)
    most = np.abs(left) + _SURE * np.sqrt(variance)
    sizes = effects(most, np.zeros_like(variance), found.units)
    known = ~np.isnan(found.value)
    for (feature, kind), size in changes.items():
        i = layout.names.index(feature)
        # Rows that have no value any more have healed of nothing.
        places = [m for m in {*_places(kind), Measure.NULLS} if known[i, m]]
        if not any(known[i, m] for m in _places(kind)):
            return False
        for m in places:
            least = policy.material[Kind.NULLS if m is Measure.NULLS else _as(kind, m)]
            if sizes[i, m] >= min(_HEALED * max(size, least), _HARDLY * least):
                return False
    return True


def _is_off(
    layout: Layout,
    part: Part,
    streams: Sequence[tuple[str, Kind]],
    policy: DriftPolicy,
    at: float,
) -> bool:
    found = measure_deviations(part.counts, part.reference)
    usual, variance = _as_usual(axis_index(layout), [part], found, 1, at)
    left = np.nan_to_num(found.value - usual)
    z = np.abs(left) / np.sqrt(np.maximum(variance, 1e-300))
    sizes = effects(left, variance, found.units)
    return _far_and_large(layout, z, sizes, streams, policy, 0.5)


def _rest_is_off(
    layout: Layout,
    rest: Sequence[Part],
    streams: Sequence[tuple[str, Kind]],
    policy: DriftPolicy,
    whole: Forecast,
    at: float,
) -> bool:
    """Whether those that are left show as much together as would be material."""
    found, left, variance = _together(layout, rest, policy.enough, whole, at)
    # Far by chance, and by how much they are known to vary.
    z = np.abs(left) / np.sqrt(np.maximum(found.chance, 1e-300))
    as_usual = np.abs(left) / np.sqrt(np.maximum(variance, 1e-300))
    z = np.minimum(z, as_usual * (_FAR / _APART))
    sizes = effects(left, variance, found.units)
    return _far_and_large(layout, z, sizes, streams, policy, 1.0)


def _together(
    layout: Layout, parts: Sequence[Part], enough: int, whole: Forecast, at: float
) -> tuple[Deviations, Floats, Floats]:
    """What was measured of parts as one, what is left of it beyond what they are usually off by,
    and the variance of that in healthy windows."""
    index = axis_index(layout)
    counts = np.sum([p.counts for p in parts], axis=0)
    mixed = _mixed_reference(
        index, [(index.sum(p.counts.astype(np.float64)), p.reference) for p in parts]
    )
    found = measure_deviations(counts, mixed)
    usual, variance = _as_usual(index, parts, found, enough, at, whole)
    return found, np.nan_to_num(found.value - usual), variance


def _as_usual(
    index: AxisIndex,
    parts: Sequence[Part],
    found: Deviations,
    enough: int,
    at: float,
    whole: Forecast | None = None,
) -> tuple[Floats, Floats]:
    """What parts together are usually off their past by at that hour, and the variance of what is
    left of a window's deviation in healthy ones, (axes, MEASURES) each, of those of which
    ``enough`` healthy windows are known: what few show may be the change itself. What varies beyond
    chance is taken to be common to them, as weather is: many rows do not average it out, and what
    ``whole`` varies by most of it does."""
    rows = [index.sum(p.counts.astype(np.float64))[:, None] for p in parts]
    total = np.maximum(np.sum(rows, axis=0), 1e-300)
    usual, beyond = np.zeros_like(found.chance), np.zeros_like(found.chance)
    guessed = np.zeros_like(found.chance)
    of_whole = (
        np.zeros_like(found.chance)
        if whole is None
        else np.where(whole.seen >= enough, _beyond_chance(whole), 0.0)
    )
    for n, part in zip(rows, parts, strict=True):
        held = part.cell.forecast
        known = held.seen >= enough
        mine, unknown = usual_at(held, at)
        usual += n / total * np.where(known, mine, 0.0)
        guessed += n / total * np.where(known, np.sqrt(unknown), 0.0)
        beyond += n / total * np.where(known, _beyond_chance(held), 0.0)
    return usual, found.chance + np.maximum(beyond, of_whole) ** 2 + guessed**2


def _beyond_chance(held: Forecast) -> Floats:
    """By how much healthy windows vary beyond what independent rows would, as a deviation."""
    return np.sqrt(np.maximum(held.lag0 - held.chance, 0.0))


def _far_and_large(
    layout: Layout,
    z: Floats,
    sizes: Floats,
    streams: Sequence[tuple[str, Kind]],
    policy: DriftPolicy,
    part: float,
) -> bool:
    """Whether one of the ``streams`` is far off, by at least so large a ``part`` of what is
    material."""
    return any(
        z[i, m] >= _FAR and sizes[i, m] >= policy.material[_as(kind, m)] * part
        for feature, kind in streams
        for i in (layout.names.index(feature),)
        for m in _places(kind)
    )


def _mixed_reference(index: AxisIndex, parts: list[tuple[Floats, Reference]]) -> Reference:
    """What is expected of a window that these references (with their rows (axes,) in it) make up
    together: a tenant that sends more than it used to is no change of anybody's values."""
    rows = np.sum([n for n, _ in parts], axis=0)
    nulls = np.sum([n * r.nulls for n, r in parts], axis=0) / np.maximum(rows, 1.0)
    null_mean = np.sum([n * r.null_mean for n, r in parts], axis=0) / np.maximum(rows, 1.0)
    weights = [n * (1.0 - r.nulls) for n, r in parts]
    total = np.sum(weights, axis=0)
    shares = np.sum(
        [index.spread(w) * r.shares for w, (_, r) in zip(weights, parts, strict=True)], axis=0
    ) / index.spread(np.maximum(total, 1e-300))
    known = total > 0
    fallback = parts[0][1]
    return Reference(
        index,
        np.where(rows > 0, nulls, fallback.nulls),
        np.where(index.spread(known), shares, fallback.shares),
        np.where(rows > 0, null_mean, fallback.null_mean),
    )


def _places(kind: Kind) -> tuple[Measure, ...]:
    if kind is Kind.NULLS:
        return (Measure.NULLS,)
    return VALUE_MEASURES if kind is Kind.VALUES else tuple(Measure)


def _as(kind: Kind, measure: Measure) -> Kind:
    """The kind whose material size a measure's size is compared with."""
    if kind is Kind.OUTAGE:
        return Kind.NULLS if measure is Measure.NULLS else Kind.VALUES
    return kind
