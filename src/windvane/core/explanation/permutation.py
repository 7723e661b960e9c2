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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Walk:
    """The rows of one pass that a model is to be asked about: the background row, then one more
    feature switched in each up to the explained row, then the same in reverse order, without
    the two ends. ``switched``: the features in the order of the first half."""

    rows: Sequence[tuple[Any, ...]]
    switched: Sequence[int]


def passes_within(evaluations: int, features: int, background: int) -> int:
    """How many passes keep within so many evaluations: at least one, and an equal number for
    each background row where it is enough for that."""
    most = max(1, evaluations // max(1, 2 * features))
    return most - most % background if most > background else most


def plan_passes(features: int, background: int, passes: int) -> list[tuple[int, tuple[int, ...]]]:
    """For each pass the place of its background row and the order of features. The same numbers
    give the same plan, so that a row is explained alike each time."""
    return [(i % background, _order(i, features)) for i in range(passes)]


def walk(
    row: Sequence[Any], background: Sequence[Any], order: Sequence[int], switchable: Sequence[int]
) -> Walk:
    """The rows to ask about. ``order`` is of the places in ``switchable``; what is equal in both
    rows is not switched, for it changes nothing."""
    switched = [switchable[i] for i in order if row[switchable[i]] != background[switchable[i]]]
    forward = _switch(row, background, switched)
    backward = _switch(row, background, switched[::-1])
    return Walk([*forward, *backward[1:-1]], switched)


def contributions_of(
    answers: Sequence[float], switched: Sequence[int], width: int
) -> NDArray[np.float64]:
    """(width,): what each feature contributed in one pass, of the answers to its `walk`."""
    found = np.zeros(width)
    if not switched:
        return found
    count = len(switched)
    forward = answers[: count + 1]
    backward = [answers[0], *answers[count + 1 :], answers[count]]
    found[list(switched)] += 0.5 * np.diff(forward)
    found[list(switched)[::-1]] += 0.5 * np.diff(backward)
    return found


def average(passes: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], float | None]:
    """The mean contributions (width,) and the largest standard error of them; None for one."""
    held = np.stack(passes)
    if len(held) < 2:
        return held[0], None
    errors = held.std(axis=0, ddof=1) / np.sqrt(len(held))
    return held.mean(axis=0), float(errors.max(initial=0.0))


def _order(number: int, features: int) -> tuple[int, ...]:
    def place(feature: int) -> bytes:
        return hashlib.blake2b(f"{number}/{feature}".encode(), digest_size=8).digest()

    return tuple(sorted(range(features), key=place))


def _switch(
    row: Sequence[Any], background: Sequence[Any], order: Sequence[int]
) -> list[tuple[Any, ...]]:
    held = list(background)
    rows = [tuple(held)]
    for feature in order:
        held[feature] = row[feature]
        rows.append(tuple(held))
    return rows
