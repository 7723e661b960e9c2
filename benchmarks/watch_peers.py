"""What everybody has: PSI > 0.2 and a KS test with p < .05, feature by feature and window by
window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import kolmogorov

Floats = NDArray[np.float64]
PSI_AT = 0.2
KS_AT = 0.05
_FLOOR = 1e-4
"""The usual share of an empty bin."""


def psi(current: Floats, reference: Floats) -> Floats:
    """Of counts in bins (..., bins), with empty bins at the usual floor."""
    p = np.maximum(current / np.maximum(current.sum(axis=-1, keepdims=True), 1.0), _FLOOR)
    q = np.maximum(reference / np.maximum(reference.sum(axis=-1, keepdims=True), 1.0), _FLOOR)
    return ((p - q) * np.log(p / q)).sum(axis=-1)


def ks_p(current: Floats, ordered: Floats) -> float:
    """The p-value that a sample and another, ``ordered``, are of one distribution (asymptotic);
    nulls are left out, 0 where nothing else is left."""
    ours = np.sort(current[~np.isnan(current)])
    n, m = len(ours), len(ordered)
    if not n or not m:
        return 0.0
    everything = np.concatenate([ours, ordered])
    one = np.searchsorted(ours, everything, side="right") / n
    other = np.searchsorted(ordered, everything, side="right") / m
    most = float(np.abs(one - other).max())
    return float(kolmogorov(most * np.sqrt(n * m / (n + m))))


def exact_psi(current: Floats, edges: Floats, expected: Floats) -> float:
    """From raw values of one feature, with a bin for nulls; ``expected`` counts likewise."""
    known = current[~np.isnan(current)]
    bins = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    return float(psi(np.append(bins, len(current) - len(known)).astype(float), expected))


@dataclass(frozen=True, slots=True, eq=False)
class TableReference:
    """A table as both have it: of numbers the ``edges`` of deciles and the sorted values, of names
    those that occur; ``counts`` of each bin, nulls (and for names all others) last."""

    edges: Mapping[str, Floats]
    ordered: Mapping[str, Floats]
    names: Mapping[str, Mapping[str, int]]
    counts: Mapping[str, Floats]

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[Any]]) -> TableReference:
        numbers = {n: np.sort(v[~np.isnan(v)]) for n, v in columns.items() if v.dtype != object}
        edges = {n: np.unique(np.quantile(v, np.arange(1, 10) / 10)) for n, v in numbers.items()}
        names = {
            n: {k: i for i, k in enumerate(sorted({k for k in v if k is not None}))}
            for n, v in columns.items()
            if v.dtype == object
        }
        bare = cls(edges, numbers, names, {})
        return cls(edges, numbers, names, {n: bare.bins(n, v) for n, v in columns.items()})

    def bins(self, name: str, values: NDArray[Any]) -> Floats:
        if name in self.names:
            known = self.names[name]
            places = [known.get(value, len(known)) for value in values]
            return np.bincount(places, minlength=len(known) + 1).astype(float)
        edges = self.edges[name]
        empty = np.isnan(values)
        bins = np.searchsorted(edges, values[~empty], side="left")
        counts = np.bincount(bins, minlength=len(edges) + 1)
        return np.append(counts, empty.sum()).astype(float)

    def psi(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        return {n: float(psi(self.bins(n, v), self.counts[n])) for n, v in columns.items()}

    def ks_p(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        """Of numbers."""
        return {n: ks_p(v, self.ordered[n]) for n, v in columns.items() if n in self.ordered}
