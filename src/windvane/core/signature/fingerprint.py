"""A fingerprint of some values of a row: equal ones have the same, on every machine."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FINGERPRINTS = 256
Column: TypeAlias = NDArray[np.float64] | Sequence[Any]
_Bits: TypeAlias = NDArray[np.uint64]
_NULL = np.uint64(0x5851F42D4C957F2D)
# Of SplitMix64: Steele, Lea & Flood, Fast splittable pseudorandom number generators, 2014.
_ODD = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)


def fingerprints(columns: Sequence[Column], rows: int) -> NDArray[np.float64]:
    """(rows,) whole numbers below `FINGERPRINTS`, NaN where a row has none of the values.

    A column is an array of numbers (NaN where there is none), or a list of names, texts, bytes or
    lists of numbers (None where there is none).
    """
    mixed = np.zeros(rows, np.uint64)
    absent = np.ones(rows, bool)
    for column in columns:
        bits, null = _of_numbers(column) if isinstance(column, np.ndarray) else _of_others(column)
        # By the place of the column, too: two values that change places are another row.
        mixed ^= bits
        mixed *= _ODD
        mixed ^= mixed >> np.uint64(29)
        absent &= null
    mixed *= _MIX
    found = (mixed >> np.uint64(56)).astype(np.float64)
    if absent.any():
        found[absent] = np.nan
    return found


def _of_numbers(column: NDArray[np.float64]) -> tuple[_Bits, NDArray[np.bool_]]:
    held = column + 0.0  # -0.0 is 0.0
    null = np.isnan(held)
    bits = held.view(np.uint64)
    if null.any():
        bits[null] = _NULL
    return bits, null


def _of_others(column: Sequence[Any]) -> tuple[_Bits, NDArray[np.bool_]]:
    try:
        table = {value: _checksum(value) for value in set(column)}
        bits = np.fromiter(map(table.__getitem__, column), np.uint64, len(column))
        has_null = None in table
    except TypeError:  # lists of numbers
        bits = np.fromiter(map(_checksum, column), np.uint64, len(column))
        has_null = True
    if not has_null:
        return bits, np.zeros(len(column), bool)
    return bits, np.fromiter((value is None for value in column), bool, len(column))


def _checksum(value: Any) -> int:
    if value is None:
        return int(_NULL)
    if isinstance(value, str):
        return zlib.crc32(value.encode("utf-8", "replace"))
    if isinstance(value, bytes):
        return zlib.crc32(value)
    return zlib.crc32(np.asarray(value, "<f8").tobytes())
