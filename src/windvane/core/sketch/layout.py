"""How values fall into bins. A layout is fixed when a model's first version is trained."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.errors import WindvaneError

Counts = NDArray[np.int64]
_REST = 16


class SketchError(WindvaneError):
    """Sketches of different layouts cannot be merged or compared."""

    code = "SKE-101"
    hint = "a version with other features or edges starts a layout of its own"


@dataclass(frozen=True, slots=True)
class NumericAxis:
    """Bins of a number: null, below, (e0, e1], ..., above.

    A value on an edge belongs to the bin below it (``searchsorted(side="left")``), so a
    discrete feature whose own values are the edges keeps one bin a value. `fit` puts an edge just
    below the minimum too: the first bin then holds what training never had, as the last does.
    """

    name: str
    edges: tuple[float, ...]

    @property
    def bins(self) -> int:
        return len(self.edges) + 2

    @property
    def minimum_apart(self) -> bool:
        """Whether the minimum has a bin of its own, apart from what lies below it; not so in
        layouts that were made before it had."""
        return len(self.edges) > 1 and self.edges[0] == _just_below(self.edges[1])

    @property
    def beyond(self) -> frozenset[int]:
        """The bins that hold nothing but what training never had."""
        return frozenset({1, self.bins - 1} if self.minimum_apart else {self.bins - 1})

    def labels(self, digits: int = 6) -> list[str]:
        """A name for each bin, with numbers of so many significant ``digits``."""
        values = self.edges[1:] if self.minimum_apart else self.edges
        shown = [f"{value:.{digits}g}" for value in values]
        lowest = [f"under {shown[0]}", shown[0]] if self.minimum_apart else [f"up to {shown[0]}"]
        inner = [high if low == high else f"{low} to {high}" for low, high in pairwise(shown)]
        return ["null", *lowest, *inner, f"over {shown[-1]}"]

    def bin_ends(self) -> tuple[float, ...]:
        """(bins - 1,): the training value that each bin but the null one reaches up to; of the
        open ones, the nearest."""
        first = self.edges[1] if self.minimum_apart else self.edges[0]
        return (first, *self.edges[1:], self.edges[-1])

    def bin_middles(self) -> NDArray[np.float64]:
        """(bins - 1,): the middle of each bin but the null one; of the open ones, the nearest
        training value."""
        ends = np.array(self.bin_ends(), np.float64)
        return np.append(ends[:1], (ends[:-1] + ends[1:]) / 2.0)

    def spread(self) -> float:
        """How widely the training values lie: about the middle half of them, all of them where
        that half is one value, and 1 where there is but one."""
        values = self.edges[1:] if self.minimum_apart else self.edges
        quarter = (len(values) - 1) // 4
        middle = values[-1 - quarter] - values[quarter]
        return middle or (values[-1] - values[0]) or 1.0

    def codes(self, values: Sequence[float | None] | NDArray[np.float64]) -> NDArray[np.int64]:
        x = np.asarray(values, dtype=np.float64)
        found = np.searchsorted(np.asarray(self.edges), x, side="left") + 1
        return np.where(np.isnan(x), 0, found).astype(np.int64)

    @classmethod
    def fit(cls, name: str, values: NDArray[np.float64], *, bins: int = 20) -> NumericAxis:
        """Edges just below the minimum and at the unique quantiles of ``values``; the values
        themselves where few.

        Interpolated quantiles of a discrete feature would split one value over two bins,
        so at most ``2 * bins`` distinct values become their own edges.
        """
        present = values[~np.isnan(values)]
        if present.size == 0:
            return cls(name, (0.0,))
        distinct = np.unique(present)
        if distinct.size <= 2 * bins:
            edges = distinct
        else:
            inner = np.linspace(0.0, 1.0, bins + 1)
            edges = np.unique(np.quantile(present, inner, method="inverted_cdf"))
        below = _just_below(float(edges[0]))
        lowest = (below,) if math.isfinite(below) else ()
        return cls(name, (*lowest, *(float(v) for v in edges)))


def _just_below(value: float) -> float:
    """The next number down, of those that no processor takes for zero (subnormal ones may be)."""
    below = math.nextafter(value, -math.inf)
    return below if abs(below) >= sys.float_info.min else -sys.float_info.min


@dataclass(frozen=True, slots=True)
class CategoryAxis:
    """Bins of a name: null, one for each of the most frequent categories, and the rest.

    The rest is one bin ("unseen") as long as every known name has a bin of its own, else
    ``rest`` bins by hash, so that a shift among many rare names is seen without a bin for each.
    """

    name: str
    categories: tuple[str, ...]
    rest: int = 1

    @property
    def bins(self) -> int:
        return len(self.categories) + 1 + self.rest

    def labels(self) -> list[str]:
        if self.rest == 1:
            return ["null", *self.categories, "unseen"]
        return ["null", *self.categories, *(f"rest {i + 1}" for i in range(self.rest))]

    def codes(self, values: Sequence[str | None] | NDArray[Any]) -> NDArray[np.int64]:
        table: dict[str | None, int] = {name: i for i, name in enumerate(self.categories, start=1)}
        table[None] = 0
        first = len(self.categories) + 1
        if self.rest == 1:
            return np.fromiter((table.get(v, first) for v in values), np.int64, len(values))
        for value in set(values) - table.keys():
            digest = hashlib.blake2b(str(value).encode(), digest_size=8).digest()
            table[value] = first + int.from_bytes(digest, "big") % self.rest
        return np.fromiter((table[v] for v in values), np.int64, len(values))

    @classmethod
    def fit(
        cls, name: str, values: Sequence[str | None], known: Sequence[str] = (), *, most: int = 200
    ) -> CategoryAxis:
        """The ``most`` frequent names of ``values`` (and ``known`` ones as far as there is room),
        in alphabetical order."""
        counts = Counter(value for value in values if value is not None)
        for one in known:
            counts.setdefault(one, 0)
        return cls.of_counts(name, counts, most=most)

    @classmethod
    def of_counts(cls, name: str, counts: Mapping[str, int], *, most: int = 200) -> CategoryAxis:
        """As `fit`, of names that were counted already."""
        kept = sorted(counts, key=lambda v: (-counts[v], v))[:most]
        return cls(name, tuple(sorted(kept)), 1 if len(counts) <= most else _REST)


Axis = NumericAxis | CategoryAxis


@dataclass(frozen=True)
class Layout:
    """The axes of a sketch, in order: of a model's features, then of a version's outputs."""

    axes: tuple[Axis, ...]

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        out = [0]
        for axis in self.axes:
            out.append(out[-1] + axis.bins)
        return tuple(out)

    @property
    def size(self) -> int:
        return self.offsets[-1]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(axis.name for axis in self.axes)

    @cached_property
    def numeric(self) -> bool:
        """Whether no axis is one of names."""
        return all(isinstance(axis, NumericAxis) for axis in self.axes)

    @cached_property
    def id(self) -> str:
        """Content hash: equal layouts have equal ids on every machine."""
        body = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(body.encode()).hexdigest()[:16]

    def codes(self, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> NDArray[np.int64]:
        """Each row's bin on each axis as a place in the flat counts, (rows, axes)."""
        return np.stack(
            [
                axis.codes(columns[axis.name]) + start
                for axis, start in zip(self.axes, self.offsets[:-1], strict=True)
            ],
            axis=1,
        )

    def count(
        self,
        columns: Mapping[str, Sequence[Any] | NDArray[Any]],
        groups: NDArray[np.int64] | None = None,
        size: int = 1,
    ) -> Counts:
        """Flat counts (size, layout size) of equally long columns, by each row's group."""
        return self.tally(self.codes(columns), groups, size)

    def tally(
        self, codes: NDArray[np.int64], groups: NDArray[np.int64] | None = None, size: int = 1
    ) -> Counts:
        """Flat counts (size, layout size) of rows whose `codes` (rows, axes) are known, by each
        row's group."""
        if groups is not None:
            codes = codes + (groups * self.size)[:, None]
        flat = np.bincount(codes.ravel(), minlength=size * self.size)
        return flat.astype(np.int64).reshape(size, self.size)

    def part(self, counts: Counts, name: str) -> Counts:
        """The bins of one axis, null first."""
        i = self.names.index(name)
        return counts[self.offsets[i] : self.offsets[i + 1]]

    def project(self, counts: Counts, onto: Layout) -> Counts:
        """These counts under another layout: axes that are the same in both keep theirs, others
        are empty. So the past of a feature outlives every version and every other feature."""
        if onto is self or onto.id == self.id:
            return counts
        out = np.zeros(onto.size, np.int64)
        places = dict(zip(self.axes, self.offsets[:-1], strict=True))
        for axis, at in zip(onto.axes, onto.offsets[:-1], strict=True):
            held = places.get(axis)
            if held is not None:
                out[at : at + axis.bins] = counts[held : held + axis.bins]
        return out

    def to_dict(self) -> dict[str, Any]:
        return {
            "axes": [
                {"name": a.name, "edges": [float(e) + 0.0 for e in a.edges]}
                if isinstance(a, NumericAxis)
                # One bin for the rest goes unsaid: so layouts of old keep their ids.
                else {"name": a.name, "categories": list(a.categories)}
                | ({"rest": a.rest} if a.rest != 1 else {})
                for a in self.axes
            ]
        }

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Layout:
        return cls(
            tuple(
                NumericAxis(a["name"], tuple(float(e) for e in a["edges"]))
                if "edges" in a
                else CategoryAxis(a["name"], tuple(a["categories"]), int(a.get("rest", 1)))
                for a in body["axes"]
            )
        )


NO_AXES = Layout(())
"""Of what is traffic and no more: refused requests, outcomes."""
