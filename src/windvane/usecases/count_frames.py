"""Two tables as counts of one layout, a column at a time: what is held grows with the columns and
the windows, not with the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.two_samples import chunk_count
from windvane.core.errors import did_you_mean
from windvane.core.signature import FeatureType
from windvane.core.sketch import Axis, CategoryAxis, Layout, NumericAxis
from windvane.ports.frames import Frame, FrameColumn

Counts = NDArray[np.int64]
Places = NDArray[np.int64]
Floats = NDArray[np.float64]
_FITTED = 200_000  # rows, evenly spread, that edges are made from
_SAMPLED = 20_000
_NAMED = 3
_WORDS = {
    FeatureType.NUMBER: "numbers", FeatureType.BOOLEAN: "true and false",
    FeatureType.CATEGORY: "texts", FeatureType.DATETIME: "times",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ColumnProblem:
    """What is wrong with a whole column of the current table: ``sentence`` names both sides."""

    feature: str
    sentence: str
    hint: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Grouped:
    """Which rows are counted together: ``places`` (rows,) below ``size``, -1 for a row that is in
    no group."""

    places: Places
    size: int

    def counts(self, codes: Places, bins: int) -> NDArray[np.int32]:
        """(size, bins)."""
        kept = self.places >= 0
        whole = bool(kept.all())
        flat = self.places * bins + codes if whole else (self.places * bins + codes)[kept]
        return np.bincount(flat, minlength=self.size * bins).astype(np.int32).reshape(-1, bins)


@dataclass(slots=True, eq=False)
class FrameCounts:
    """``chunks`` (chunks, layout size) of the reference in its order, ``current`` (layout size,).
    ``before`` and ``after``: by axis the counts of each group (groups, bins). ``samples``: of
    numbers, sorted values of both, evenly spread over the rows. ``new_names``: the most frequent
    that the reference has not, with their rows. ``empty``: features without a value in either."""

    layout: Layout
    chunks: Counts
    current: Counts
    types: Mapping[str, FeatureType]
    before: list[NDArray[np.int32]] = field(default_factory=list[NDArray[np.int32]])
    after: list[NDArray[np.int32]] = field(default_factory=list[NDArray[np.int32]])
    samples: dict[str, tuple[Floats, Floats]] = field(
        default_factory=dict[str, tuple[Floats, Floats]]
    )
    new_names: dict[str, list[tuple[str, int]]] = field(
        default_factory=dict[str, list[tuple[str, int]]]
    )
    problems: list[ColumnProblem] = field(default_factory=list[ColumnProblem])
    notes: list[str] = field(default_factory=list[str])

    def window(self, group: int, *, current: bool) -> Counts:
        """The counts (layout size,) of one group of either table."""
        blocks = self.after if current else self.before
        return np.concatenate([block[group] for block in blocks]).astype(np.int64)


def count_frames(
    reference: Frame,
    current: Frame,
    features: Sequence[str],
    order: Places | None,
    groups: tuple[Grouped, Grouped] | None,
    on_step: Callable[[int, int], None],
) -> FrameCounts:
    """``order`` (rows,): the place in time of each row of the reference, None for that of the
    file; ``groups``: what else is counted together, of either table. Raises BadFrame."""
    count = chunk_count(reference.rows) or 1
    ranks = np.arange(reference.rows) if order is None else order
    chunk = Grouped(ranks * count // max(reference.rows, 1), count)
    whole = Grouped(np.zeros(current.rows, np.int64), 1)
    out = FrameCounts(Layout(()), np.zeros((count, 0), np.int64), np.zeros(0, np.int64), {})
    axes: list[Axis] = []
    chunks: list[NDArray[np.int32]] = []
    now: list[NDArray[np.int32]] = []
    types: dict[str, FeatureType] = {}
    for i, name in enumerate(features):
        on_step(i, len(features))
        if name not in current.names:
            hint = did_you_mean(name, [n for n in current.names if n not in reference.names])
            close = hint if hint.startswith("did you mean") else ""
            out.problems.append(
                ColumnProblem(name, f"{current.place} has no column {name!r}", close)
            )
            continue
        past, held = reference.column(name), current.column(name)
        sides = _alike(name, past, held, out)
        if sides is None:
            continue
        past, held = sides
        axis, codes, codes_now = _coded(name, past, held, out)
        axes.append(axis)
        types[name] = past.type or FeatureType.NUMBER
        chunks.append(chunk.counts(codes, axis.bins))
        now.append(whole.counts(codes_now, axis.bins))
        if groups is not None:
            out.before.append(groups[0].counts(codes, axis.bins))
            out.after.append(groups[1].counts(codes_now, axis.bins))
    on_step(len(features), len(features))
    out.layout, out.types = Layout(tuple(axes)), types
    if axes:
        out.chunks = np.concatenate(chunks, axis=1).astype(np.int64)
        out.current = np.concatenate(now, axis=1)[0].astype(np.int64)
    return out


def _alike(
    name: str, past: FrameColumn, held: FrameColumn, out: FrameCounts
) -> tuple[FrameColumn, FrameColumn] | None:
    """Both as columns of one type; None, with the reason, where they cannot be."""
    if past.held or held.held:
        if past.held == held.held:
            out.notes.append(f"{name} holds {past.held}, which is not looked at")
        else:
            there, here = past.held or _word(past), held.held or _word(held)
            out.problems.append(ColumnProblem(name, f"{name} holds {here}, the reference {there}"))
        return None
    if past.type is None and held.type is None:
        out.notes.append(f"{name} has no value in either table")
        return None
    if past.type is None:
        out.problems.append(
            ColumnProblem(name, f"{name} holds {_word(held)}, the reference has no value of it")
        )
        return None
    if held.type is None:
        rows = len(held.numbers) if held.numbers is not None else 0
        if past.type is FeatureType.CATEGORY:
            return past, FrameColumn(past.type, codes=np.full(rows, -1, np.int32))
        return past, FrameColumn(past.type, numbers=np.full(rows, np.nan))
    numeric = {FeatureType.NUMBER, FeatureType.BOOLEAN}
    if past.type is held.type or {past.type, held.type} <= numeric:
        return past, held
    examples = ", ".join(repr(one[:40]) for one in _examples(held))
    such = f" such as {examples}" if examples else ""
    out.problems.append(
        ColumnProblem(name, f"{name} holds {_word(held)}{such}, the reference {_word(past)}")
    )
    return None


def _word(column: FrameColumn) -> str:
    return _WORDS[column.type] if column.type is not None else "no value"


def _examples(column: FrameColumn) -> list[str]:
    """Texts, those first that are no numbers."""
    found: list[str] = []
    for label in column.labels[:10_000]:
        try:
            float(label)
        except ValueError:
            found.append(label)
            if len(found) == _NAMED:
                return found
    return found


def _coded(
    name: str, past: FrameColumn, held: FrameColumn, out: FrameCounts
) -> tuple[Axis, Places, Places]:
    """The axis that the reference makes, and each row's bin on it."""
    if past.codes is not None and held.codes is not None:
        rows = np.bincount(past.codes[past.codes >= 0], minlength=len(past.labels))
        seen = {label: int(n) for label, n in zip(past.labels, rows.tolist(), strict=True) if n}
        axis = CategoryAxis.of_counts(name, seen)
        fresh = np.bincount(held.codes[held.codes >= 0], minlength=len(held.labels))
        new = [(label, int(fresh[i])) for i, label in enumerate(held.labels)
               if fresh[i] and label not in seen]  # fmt: skip
        out.new_names[name] = sorted(new, key=lambda one: (-one[1], one[0]))[:_NAMED]
        return axis, _of_names(axis, past), _of_names(axis, held)
    assert past.numbers is not None
    assert held.numbers is not None
    if past.type is FeatureType.BOOLEAN:
        fitted = NumericAxis(name, (0.0, 1.0))
    else:
        fitted = NumericAxis.fit(name, _spread(past.numbers, _FITTED))
    samples = [_spread(side, _SAMPLED) for side in (past.numbers, held.numbers)]
    before, after = (np.sort(one[~np.isnan(one)]) for one in samples)
    out.samples[name] = before, after
    return fitted, fitted.codes(past.numbers), fitted.codes(held.numbers)


def _of_names(axis: CategoryAxis, column: FrameColumn) -> Places:
    assert column.codes is not None
    bins = np.append(axis.codes(list(column.labels)), 0)  # the last place is that of no name
    return bins[column.codes]


def _spread(values: Floats, most: int) -> Floats:
    """At most so many, evenly spread over the rows."""
    if len(values) <= most:
        return values
    return values[np.arange(most) * len(values) // most]
