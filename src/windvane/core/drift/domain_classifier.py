"""Can a block's rows be told apart from earlier ones by how their features go together?

The two-sample test by a classifier: what tells new rows apart from earlier ones, on rows that it
has not learned from, is a change. Each feature is its standardised ranks within its own block, so
that what became of it by itself says nothing; the classifier sees products of two and three
features only, and so also a change that is spread over many pairs, or that no pair has.

It is nearest shrunken centroids: a product counts by how far its mean is off, beyond what chance
does to so many. A few products that changed much and many that changed a little are both found,
with no matrix to solve and no parameter to tune.

Sources: Kim, Ramdas, Singh & Wasserman, Annals of Statistics 49, 2021 (arXiv 1602.02210) and
Hediger, Michel & Näf, Computational Statistics & Data Analysis 170, 2022 (arXiv 1903.06287), the
test; Tibshirani, Hastie, Narasimhan & Chu, PNAS 99, 2002, the classifier.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.packing import pack_arrays, unpack_arrays
from windvane.core.statistics import auc, midranks

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Bytes = NDArray[np.int8]
MOST_TOLD = 32
"""Features, whose 6,448 products take a tenth of a second of 3,400 rows."""
FOLDS = 5
PAST_BLOCKS = 14
ROWS_A_BLOCK = 100
"""Of each of the ``PAST_BLOCKS`` latest healthy blocks; all together at most 60 kB of a model."""
LEAST_PAST = 400
"""Rows: a few blocks, for of one alone each new block would differ by what that one had."""
_CLIP = 3.0  # standard deviations: a flag that is nearly always off counts no more than that
_SCALE = 42.0  # of a byte
_NO_RANK = -128
_MOST_NULLS = 0.1  # more of them, or less: products shrink with their rows
_SHRINK = 2.5
_LEAST_IN_FOLD = 20
_NAMED = 5
_LEAST_NAMED = 0.1
_LOW_QUARTER = 0.3186  # of the absolute value of a standard normal


def rank_scores(values: Sequence[Any], *, names: bool) -> Bytes:
    """Each row's rank among the block's, standardised, clipped and in bytes (rows,), and a mark
    where there is none: of None, and where all are alike. Names are in their own order, which no
    new layout changes."""
    there = np.array([value is not None for value in values], bool)
    out = np.full(len(values), _NO_RANK, np.int8)
    known = [value for value in values if value is not None]
    if not known:
        return out
    if names:  # an array of texts is as wide as its longest in every row
        texts = [str(value) for value in known]
        places = np.array(_places_of(texts), np.int64)
    else:
        _, places = np.unique(np.array(known, float), return_inverse=True)
    ranks = midranks(places.astype(np.float64))
    ranks = ranks - ranks.mean()
    spread = float(ranks.std())
    if spread > 0.0:
        z = np.clip(ranks / spread, -_CLIP, _CLIP)
        out[there] = np.rint(np.clip((z - z.mean()) * _SCALE, -127, 127)).astype(np.int8)
    return out


def _places_of(texts: Sequence[str]) -> list[int]:
    """Each one's place among all that there are, in their order."""
    place = {text: i for i, text in enumerate(sorted(set(texts)))}
    return [place[text] for text in texts]


@dataclass(frozen=True, slots=True, eq=False)
class ScoredRows:
    """``scores`` (rows, features) of `rank_scores`, each row's ``folds`` (rows,), the part of its
    block's time that it is of, and its ``blocks`` (rows,), 0 for the latest."""

    scores: Bytes
    folds: Bytes
    blocks: Bytes

    @classmethod
    def none(cls, features: int) -> ScoredRows:
        empty = np.zeros(0, np.int8)
        return cls(np.zeros((0, features), np.int8), empty, empty)

    @property
    def rows(self) -> int:
        return len(self.scores)

    def with_block(self, block: ScoredRows) -> ScoredRows:
        """With rows of one more block, evenly over its time, and without what is too old."""
        count = min(ROWS_A_BLOCK, block.rows)
        taken = np.arange(count) * block.rows // max(count, 1)
        kept = self.blocks < PAST_BLOCKS - 1
        return ScoredRows(
            np.concatenate([self.scores[kept], block.scores[taken]]),
            np.concatenate([self.folds[kept], block.folds[taken]]),
            np.concatenate([self.blocks[kept] + np.int8(1), np.zeros(count, np.int8)]),
        )

    def pack(self) -> bytes:
        arrays = {f.name: getattr(self, f.name) for f in fields(ScoredRows)}
        return pack_arrays(arrays)

    @classmethod
    def unpack(cls, packed: bytes | None, features: int) -> ScoredRows:
        """What was packed; none where nothing was, or rows of another number of features."""
        if packed is None:
            return cls.none(features)
        found = unpack_arrays(packed)
        held = cls(**{f.name: found[f.name].astype(np.int8) for f in fields(cls)})
        return held if held.scores.shape[1] == features else cls.none(features)


@dataclass(frozen=True, slots=True)
class DomainReading:
    """The area under the ROC curve (0.5 for rows that are alike) by which rows of a block were told
    apart from ``past_rows`` earlier ones, its standard ``error`` were rows independent and alike;
    ``features`` that did it most, each with its share."""

    value: float
    error: float
    past_rows: int
    features: tuple[tuple[str, float], ...] = field(default=())


def tell_apart(now: ScoredRows, past: ScoredRows, names: Sequence[str]) -> DomainReading | None:
    """How well rows are told apart, in each part of a block's time by what is learned from all
    other parts of both: neighbours in time never lie on both sides, and no time of the day is on
    one side only. A feature that hardly has values, or has them more or less often than it had, is
    left out: that says nothing of what it goes together with. None where rows of the past are too
    few or in less than two parts, or where fewer than two features are left.

    The error is that of Mann & Whitney, Annals of Mathematical Statistics 18, 1947, with equal rows
    of the block counted once.
    """
    used = _comparable(now.scores, past.scores)
    if past.rows < LEAST_PAST or len(used) < 2:
        return None
    names = [names[i] for i in used]
    scores = np.concatenate([now.scores, past.scores])[:, used]
    z = np.where(scores == _NO_RANK, 0, scores).astype(np.float32) / np.float32(_SCALE)
    new = np.arange(len(z)) < now.rows
    folds = np.concatenate([now.folds, past.folds]).astype(np.int64)
    member = np.zeros((2 * FOLDS, len(z)), np.float32)
    member[folds + FOLDS * ~new, np.arange(len(z))] = 1.0
    count = member.sum(axis=1).reshape(2, FOLDS).astype(np.float64)
    fit = [k for k in range(FOLDS) if count[:, k].min() >= _LEAST_IN_FOLD]
    if len(fit) < 2:
        return None
    products: list[tuple[int, ...]] = []
    sums: list[Floats] = []
    squares: list[Floats] = []
    for of, columns in _products(z):
        products += of
        sums.append((member @ columns).astype(np.float64))
        squares.append((columns * columns).sum(axis=0, dtype=np.float64))
    total = np.concatenate(sums, axis=1).reshape(2, FOLDS, -1)
    mean = total.sum(axis=(0, 1)) / len(z)
    spread = np.sqrt(np.maximum(np.concatenate(squares) / len(z) - mean**2, 0.0))
    areas, carried = np.zeros(len(fit)), np.zeros((len(fit), len(products)))
    for i, k in enumerate(fit):
        other = np.arange(FOLDS) != k
        rows = count[:, other].sum(axis=1)
        apart = total[0, other].sum(axis=0) / rows[0] - total[1, other].sum(axis=0) / rows[1]
        t = np.divide(apart, spread, out=np.zeros_like(apart), where=spread > 1e-6)
        t = t / math.sqrt((1.0 / rows).sum())
        weights = _shrunk(t)
        here = folds == k
        carried[i] = np.abs(weights * t)
        told = np.zeros(int(here.sum()))
        for column in np.flatnonzero(weights):
            told += weights[column] / spread[column] * _product(z[here], products[column])
        areas[i] = auc(told, new[here])
    distinct = len(np.unique(scores[new], axis=0))
    error = math.sqrt((distinct + past.rows + 1.0) / (12.0 * distinct * past.rows))
    value = float(areas.mean())
    features = _carriers(carried, products, names)
    return DomainReading(round(value, 6), round(error, 6), past.rows, features)


def _comparable(now: Bytes, past: Bytes) -> list[int]:
    if not len(now) or not len(past):
        return []
    null, former = (np.mean(of == _NO_RANK, axis=0) for of in (now, past))
    alike = np.abs(null - former) <= _MOST_NULLS
    return np.flatnonzero(alike & (null < 1.0 - _MOST_NULLS)).tolist()


def _products(z: Singles) -> Iterator[tuple[list[tuple[int, ...]], Singles]]:
    """Products of two features, of a square and another, and of three, some at a time with the
    features of each: (rows, some). One feature's own powers say nothing, as its margin is equal."""
    features = z.shape[1]
    for i in range(features):
        pairs = z[:, i : i + 1] * z[:, i + 1 :]
        yield [(i, j) for j in range(i + 1, features)], pairs
        square = z[:, i : i + 1] ** 2 - 1.0
        yield [(i, i, j) for j in range(features) if j != i], square * np.delete(z, i, axis=1)
        for j in range(i + 1, features - 1):
            three = pairs[:, j - i - 1 : j - i] * z[:, j + 1 :]
            yield [(i, j, k) for k in range(j + 1, features)], three


def _product(z: Singles, of: tuple[int, ...]) -> Singles:
    if len(of) == 3 and of[0] == of[1]:
        return (z[:, of[0]] ** 2 - 1.0) * z[:, of[2]]
    return z[:, list(of)].prod(axis=1)


def _shrunk(t: Floats) -> Floats:
    """Weights of products (products,) whose means are ``t`` standard errors apart: what is left
    beyond chance, the strongest at least. Where rows depend on each other all are further apart,
    and the least quarter, in which nothing changed, says how much."""
    size = np.abs(t)
    wide = max(1.0, float(np.quantile(size, 0.25)) / _LOW_QUARTER)
    cut = min(_SHRINK * wide, 0.9 * float(size.max()))
    return np.sign(t) * np.maximum(size - cut, 0.0)


def _carriers(
    carried: Floats, products: Sequence[tuple[int, ...]], names: Sequence[str]
) -> tuple[tuple[str, float], ...]:
    """Features by their share of what products carry (folds, products), those that carry it in each
    fold where there are any: what only one fold has is chance."""
    each = carried.min(axis=0)
    each = each if each.any() else carried.mean(axis=0)
    shares = np.zeros(len(names))
    for column in map(int, np.flatnonzero(each)):
        of = set(products[column])
        for feature in of:
            shares[feature] += each[column] / len(of)
    shares = shares / max(float(shares.sum()), 1e-300)
    order = sorted(range(len(names)), key=lambda i: (-shares[i], names[i]))
    most = float(shares.max())
    return tuple(
        (names[i], round(float(shares[i]), 3))
        for i in order[:_NAMED]
        if shares[i] >= max(_LEAST_NAMED * most, 1e-9)
    )
