"""Sampled Shapley values, for a model of which nothing is known but its answers.

A pass takes a background row and an order of the features. It switches one feature after another
from the background's value to the row's, in that order and in the reverse one, and each feature
gets what the answer changed by as it was switched, averaged over both. The sum over all features
is the row's answer less the background's, whatever the order, so every pass adds up exactly. The
pair of an order and its reverse cancels what two features do together to first order (Mitchell et
al., 2022, "Sampling Permutations for Shapley Value Estimation", section 3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_FOR_ERROR = 8


def passes_within(evaluations: int, features: int, background: int) -> int:
    """How many passes keep within so many evaluations: at least one, and an equal number for
    each background row where it is enough for that."""
    most = max(1, evaluations // max(1, 2 * features))
    return most - most % background if most > background else most


def plan_passes(features: int, background: int, passes: int) -> list[tuple[int, tuple[int, ...]]]:
    """For each pass the place of its background row and the order of features. Rows come in an
    order of their own, each once before any comes again, so that a few passes take some of all
    of them; the same numbers give the same plan, so that a row is explained alike each time."""
    places = _order(-1, background)
    return [(places[i % background], _order(i, features)) for i in range(passes)]


def features_to_switch(
    row: Sequence[Any], background: Sequence[Any], order: Sequence[int], switchable: Sequence[int]
) -> list[int]:
    """In their order. ``order`` is of the places in ``switchable``; what is equal in both rows is
    not switched, for it changes nothing."""
    return [switchable[i] for i in order if row[switchable[i]] != background[switchable[i]]]


def rows_between(
    row: Sequence[Any], background: Sequence[Any], switched: Sequence[int]
) -> Iterator[tuple[Any, ...]]:
    """The rows of one pass that a model is to be asked about: the background row, then one more
    feature switched in each up to the explained row, then the same in reverse order, without
    the two ends."""
    yield tuple(background)
    for order in (switched, switched[:0:-1]):
        held = list(background)
        for feature in order:
            held[feature] = row[feature]
            yield tuple(held)


def contributions_of(
    answers: Sequence[float], switched: Sequence[int], width: int
) -> NDArray[np.float64]:
    """(width,): what each feature contributed in one pass, of the answers to `rows_between`."""
    found = np.zeros(width)
    if not switched:
        return found
    count = len(switched)
    forward = answers[: count + 1]
    backward = [answers[0], *answers[count + 1 :], answers[count]]
    found[list(switched)] += 0.5 * np.diff(forward)
    found[list(switched)[::-1]] += 0.5 * np.diff(backward)
    return found


def average(
    passes: Sequence[NDArray[np.float64]], background: Sequence[int]
) -> tuple[NDArray[np.float64], float | None]:
    """The mean contributions (width,) of passes, whose ``background`` rows are named, and the
    largest standard error of them; None for fewer than `LEAST_FOR_ERROR` background rows.

    The error is that of the mean over all data that the background rows are a sample of: passes
    with one background row are no independent looks, so it is made of the rows' own means
    (cluster variance; Cameron & Miller 2015, section II)."""
    held = np.stack(passes)
    _, places = np.unique(np.asarray(background), return_inverse=True)
    count = int(places.max()) + 1
    if count < LEAST_FOR_ERROR:
        return held.mean(axis=0), None
    apart = held - held.mean(axis=0)
    sums = np.zeros((count, held.shape[1]))
    np.add.at(sums, places, apart)
    errors = np.sqrt((sums**2).sum(axis=0) * count / (count - 1)) / len(held)
    return held.mean(axis=0), float(errors.max(initial=0.0))


def _order(number: int, features: int) -> tuple[int, ...]:
    def place(feature: int) -> bytes:
        return hashlib.blake2b(f"{number}/{feature}".encode(), digest_size=8).digest()

    return tuple(sorted(range(features), key=place))
