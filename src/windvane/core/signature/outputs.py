"""From what a model's library gives to the outputs that a task promises."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """A named output: ``shape`` is that of one row, () for a number; -1 is any length."""

    name: str
    shape: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=int)) if -1 not in self.shape else -1

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether a row of this shape is one of this output."""
        return len(shape) == len(self.shape) and all(
            wanted in (-1, held) for wanted, held in zip(self.shape, shape, strict=True)
        )

    def takes(self, shape: Sequence[int]) -> bool:
        """Whether a row of this shape can only mean one of this output: the same axes in their
        order but for those of length one, or all numbers in one axis. Equal numbers in other
        axes mean something else."""
        if self.fits(shape):
            return True
        if self.size < 1:
            return False
        return list(shape) == [self.size] or _without_ones(shape) == _without_ones(self.shape)


def _without_ones(shape: Sequence[int]) -> list[int]:
    return [length for length in shape if length != 1]


class Transform(enum.StrEnum):
    """What makes probabilities of a model's raw scores."""

    NONE = ""
    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"


@dataclass(frozen=True, slots=True)
class OutputMapping:
    """Where a task's output comes from.

    ``source`` names the model's own output ("" for the only one). ``columns`` are those of its
    columns that are taken, in the task's order; all of them where it is empty. A transform
    comes before the choice: a softmax needs every class.
    """

    output: str
    source: str = ""
    columns: tuple[int, ...] = ()
    transform: Transform = Transform.NONE


def map_output(found: NDArray[Any], mapping: OutputMapping, spec: OutputSpec) -> Floats:
    """(rows, *spec.shape) float64 of one raw output. Raises ValueError with both shapes."""
    values = np.asarray(found, np.float64)
    if mapping.transform is Transform.SOFTMAX and values.ndim == 2 and values.shape[1] > 1:
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        values = powers / powers.sum(axis=1, keepdims=True)
    elif mapping.transform is not Transform.NONE:
        values = 0.5 * (1.0 + np.tanh(0.5 * values))
    if mapping.columns and values.ndim == 2 and values.shape[1] > 1:
        if max(mapping.columns) >= values.shape[1]:
            raise ValueError(f"the output has {values.shape[1]} columns, {mapping.columns} wanted")
        values = values[:, list(mapping.columns)]
    if not spec.shape:
        if values.ndim == 2 and values.shape[1] == 1:
            return values[:, 0]
        if values.ndim == 1:
            return values
    elif len(spec.shape) == 1 and spec.shape[0] in (1, -1) and values.ndim == 1:
        return values[:, None]
    if values.ndim and spec.fits(values.shape[1:]):
        return values
    if values.ndim and spec.takes(values.shape[1:]):
        return values.reshape(values.shape[0], *spec.shape)
    raise ValueError(f"{spec.name} has shape {values.shape}, (rows, {_shape_text(spec)}) is needed")


class OutputReader:
    """Every output of a task, in its order, from a model's raw outputs by name."""

    def __init__(self, mappings: Sequence[OutputMapping], specs: Sequence[OutputSpec]) -> None:
        named = {mapping.output: mapping for mapping in mappings}
        self._specs = specs
        self._mappings = [named.get(spec.name, OutputMapping(spec.name)) for spec in specs]
        first = self._mappings[0]
        # One number a row as it is, or one column of several: what nearly every model gives.
        self._plain = len(specs) == 1 and not specs[0].shape and first.transform is Transform.NONE
        self._column = first.columns[0] if len(first.columns) == 1 else -1

    @property
    def sources(self) -> list[str]:
        """The names of the raw outputs that are read; "" for the model's only one."""
        return list(dict.fromkeys(mapping.source for mapping in self._mappings))

    def __call__(self, found: Mapping[str, NDArray[Any]]) -> list[Floats]:
        """Raises ValueError for what is not there or has another shape."""
        return [
            map_output(self._raw(found, mapping), mapping, spec)
            for mapping, spec in zip(self._mappings, self._specs, strict=True)
        ]

    def one(self, raw: NDArray[Any]) -> list[Floats]:
        """The same for a model that gave one array."""
        if self._plain and raw.dtype.kind == "f":
            if raw.ndim == 1:
                return [raw.astype(np.float64)]
            if raw.ndim == 2 and (raw.shape[1] == 1 or 0 <= self._column < raw.shape[1]):
                column = self._column if raw.shape[1] > 1 else 0
                return [raw[:, column].astype(np.float64)]
        return self({"": raw})

    def _raw(self, found: Mapping[str, NDArray[Any]], mapping: OutputMapping) -> NDArray[Any]:
        if mapping.source in found:
            return found[mapping.source]
        if not mapping.source and mapping.output in found:
            return found[mapping.output]
        if len(found) == 1 and (not mapping.source or "" in found):
            return next(iter(found.values()))
        wanted = mapping.source or mapping.output
        raise ValueError(f"there is no output {wanted!r} among {', '.join(found)}")


def _shape_text(spec: OutputSpec) -> str:
    return ", ".join("any" if n < 0 else str(n) for n in spec.shape) or "1"
