"""Numbers as JSON nests them, read against the shape that an output promises."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.signature.kinds import show
from windvane.core.signature.outputs import OutputSpec

MAX_NUMBERS = 1 << 20
"""Of one row's output, where an axis may have any length."""


def nested_numbers(spec: OutputSpec, held: Any) -> NDArray[np.float64]:
    """One row's output from a number, or from lists of them: numbers only, for numpy would read
    texts and booleans as some.

    No list is opened before it is known to have the length of its axis, and none below the last
    axis: what this costs follows from the promise, not from what was sent. Raises ValueError.
    """
    level: Sequence[Any] = (held,)
    shape: list[int] = []
    for axis, wanted in enumerate(spec.shape):
        first: Any = level[0] if level else []
        length = wanted if wanted >= 0 else len(first) if isinstance(first, list) else 0  # pyright: ignore[reportUnknownArgumentType]
        if len(level) * length > MAX_NUMBERS:
            raise ValueError(f"{spec.name} has more than {MAX_NUMBERS:,} numbers")
        for one in level:
            if not isinstance(one, list):
                raise ValueError(f"{_wanted(spec)}, got {show(one)} instead of a list")
            if len(one) != length:  # pyright: ignore[reportUnknownArgumentType]
                sides = f"a list on axis {axis} has {len(one):,} of {length:,}"  # pyright: ignore[reportUnknownArgumentType]
                raise ValueError(f"{_wanted(spec)}: {sides}")
        level = list(itertools.chain.from_iterable(level))
        shape.append(length)
    for one in level:
        if isinstance(one, bool) or not isinstance(one, int | float):
            raise ValueError(f"{_wanted(spec)}, got {show(one)} instead of a number")
    try:
        return np.array(level, np.float64).reshape(shape)
    except OverflowError as error:
        raise ValueError(f"{spec.name}: a number is too large") from error


def _wanted(spec: OutputSpec) -> str:
    if not spec.shape:
        return f"{spec.name} must be one number"
    axes = ", ".join("any" if length < 0 else str(length) for length in spec.shape)
    return f"{spec.name} must be numbers of shape [{axes}]"
