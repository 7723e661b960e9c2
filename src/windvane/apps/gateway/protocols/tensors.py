"""Tensors of the Open Inference Protocol: as JSON, or as bytes behind it.

Source: KServe, Open Inference Protocol v2; Triton, binary tensor data extension.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from windvane.core.signature import DATATYPES, pack_byte_strings, show
from windvane.core.signature.kinds import MAX_VECTOR
from windvane.inference.errors import BadBody, BodyTooLarge
from windvane.inference.validation import Column, as_values

BYTES = "BYTES"
MAX_PARAMETERS = 64
_json = msgspec.json.Encoder().encode


def bad_tensor(name: str, message: str) -> BadBody:
    """The error of a tensor that is not what it says."""
    return BadBody(f"tensor {name[:80]!r}: {message}")


def check_parameters(given: Sized | None, whose: str) -> None:
    """Raises BadBody for more than anybody has a use for: each that nobody knows costs what a row
    does."""
    if given is not None and len(given) > MAX_PARAMETERS:
        raise BadBody(f"{whose} has {len(given):,} parameters, {MAX_PARAMETERS} may be")


class TensorIn(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: Any = None
    parameters: dict[str, Any] | None = None


@dataclass(slots=True)
class Tensor:
    """``values`` are (rows,) or (rows, width): an array, or a list (of lists) of Python's own."""

    name: str
    rows: int
    width: int  # -1 for one dimension
    values: Column


def read_tensor(
    given: TensorIn, tail: memoryview, at: int, max_rows: int, *, as_bytes: bool = False
) -> tuple[Tensor, int]:
    """The tensor, and where the next one's bytes begin in ``tail``. ``as_bytes``: BYTES are
    not texts. Raises BadBody, BodyTooLarge."""
    name = given.name
    check_parameters(given.parameters, f"tensor {name[:80]!r}")
    rows, width = _shape(given, max_rows)
    count = rows * max(width, 1) if width else 0
    parameters = given.parameters or {}
    for held in parameters:
        if held.startswith("shared_memory"):
            raise bad_tensor(name, "there is no shared memory here")
    size = parameters.get("binary_data_size")
    values: Column
    if size is not None:
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise bad_tensor(name, f"binary_data_size is {show(size)}")
        if given.data is not None:
            raise bad_tensor(name, "it has both data and binary_data_size")
        if size > len(tail) - at:
            sides = f"binary_data_size is {size:,}, {len(tail) - at:,} bytes are there"
            raise bad_tensor(name, sides)
        values = _binary(given, tail[at : at + size], count, as_bytes=as_bytes)
        at += size
    elif given.data is None:
        raise bad_tensor(name, "it has neither data nor binary_data_size")
    else:
        values = _listed(given, count)
    values = _shaped(values, rows, width)
    nulls = parameters.get("nulls")
    if nulls is not None:
        values = _with_nulls(name, values, nulls)
    return Tensor(name, rows, width, values), at


def _shape(given: TensorIn, max_rows: int) -> tuple[int, int]:
    shape = given.shape
    if not 1 <= len(shape) <= 2:
        raise bad_tensor(given.name, f"{len(shape)} dimensions; [rows] or [rows, length] may be")
    rows, width = shape[0], shape[1] if len(shape) == 2 else -1
    if rows < 0 or (len(shape) == 2 and width < 0):
        raise bad_tensor(given.name, f"shape {shape} is negative")
    if rows > max_rows:
        raise BodyTooLarge(f"tensor {given.name[:80]!r}: {rows:,} rows, {max_rows:,} allowed")
    if width > MAX_VECTOR:
        raise bad_tensor(given.name, f"{width:,} numbers a row, {MAX_VECTOR:,} may be")
    return rows, width


def _binary(given: TensorIn, held: memoryview, count: int, *, as_bytes: bool) -> Column:
    if given.datatype == BYTES:
        return _byte_strings(given.name, held, count, as_bytes=as_bytes)
    dtype = _dtype(given)
    if len(held) != count * dtype.itemsize:
        sides = f"{len(held):,} bytes, {count} of {given.datatype} take {count * dtype.itemsize:,}"
        raise bad_tensor(given.name, sides)
    if given.datatype == "BOOL":
        bits = np.frombuffer(held, np.uint8)
        if bool((bits > 1).any()):
            raise bad_tensor(given.name, "a BOOL is neither 0 nor 1")
        return bits.astype(bool)
    return np.frombuffer(held, dtype)


def _byte_strings(name: str, held: memoryview, count: int, *, as_bytes: bool) -> list[Any]:
    """Each with its length before it, four bytes, little endian."""
    out: list[Any] = []
    at = 0
    for i in range(count):
        if at + 4 > len(held):
            raise bad_tensor(name, f"element {i} of {count} begins behind the end")
        (size,) = struct.unpack_from("<I", held, at)
        at += 4
        if size > len(held) - at:
            raise bad_tensor(name, f"element {i} has {size:,} bytes, {len(held) - at:,} are there")
        value = bytes(held[at : at + size])
        at += size
        try:
            out.append(value if as_bytes else value.decode())
        except UnicodeDecodeError as error:
            raise bad_tensor(name, f"element {i} is not UTF-8") from error
    if at != len(held):
        raise bad_tensor(name, f"{len(held) - at:,} bytes behind its {count} elements")
    return out


def _listed(given: TensorIn, count: int) -> Column:
    name = given.name
    if not isinstance(given.data, list):
        raise bad_tensor(name, "data must be a list")
    data: list[Any] = given.data
    if data and isinstance(data[0], list):
        if len(data) != given.shape[0]:
            sides = f"data has {len(data):,} rows, the shape {given.shape[0]:,}"
            raise bad_tensor(name, sides)
        if not all(isinstance(part, list) for part in data):
            raise bad_tensor(name, "data is nested in some places only")
        data = list(itertools.chain.from_iterable(data))
    if len(data) != count:
        raise bad_tensor(name, f"data has {len(data):,} elements, the shape {count:,}")
    kind = given.datatype
    dtype = None if kind == BYTES else _dtype(given)
    taken = _ELEMENTS[dtype.kind if dtype is not None else "S"]
    held = set(map(type, data))
    nulls = _NULL in held
    if not held <= taken:
        i = next(i for i, value in enumerate(data) if type(value) not in taken)
        raise bad_tensor(name, f"element {i} of data is no {kind}")
    if dtype is not None and dtype.kind == "f" and not nulls:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
            return _floats(name, data).astype(dtype, copy=False)
    if dtype is not None and dtype.kind in "iu":
        info = np.iinfo(dtype)
        for i, value in enumerate(data):
            if value is not None and not info.min <= value <= info.max:
                raise bad_tensor(name, f"element {i} of data is outside of {kind}")
    return data


_NULL = type(None)
_ELEMENTS: dict[str, frozenset[type]] = {
    "f": frozenset((int, float, _NULL)),
    "i": frozenset((int, _NULL)),
    "u": frozenset((int, _NULL)),
    "b": frozenset((bool, _NULL)),
    "S": frozenset((str, _NULL)),
}


def _floats(name: str, data: list[Any]) -> NDArray[Any]:
    try:
        return np.array(data, np.float64)
    except OverflowError as error:
        raise bad_tensor(name, "a number of data fits no float") from error


def _dtype(given: TensorIn) -> np.dtype[Any]:
    found = DATATYPES.get(given.datatype)
    if found is None:
        raise unknown_datatype(given.name, given.datatype)
    return found


def unknown_datatype(name: str, datatype: str) -> BadBody:
    return bad_tensor(
        name, f"datatype {datatype[:40]!r} is none of {', '.join([*DATATYPES, BYTES])}"
    )


def _shaped(values: Column, rows: int, width: int) -> Column:
    if width < 0:
        return values
    if isinstance(values, np.ndarray):
        return values.reshape(rows, width)
    return [values[i * width : (i + 1) * width] for i in range(rows)]


def _with_nulls(name: str, values: Column, nulls: Any) -> list[Any]:
    """Rows that the parameter `nulls` lists are null."""
    held = list(as_values(values))
    listed = isinstance(nulls, list) and len(nulls) <= len(held)
    for i in nulls if listed else [None]:
        if isinstance(i, bool) or not isinstance(i, int) or not 0 <= i < len(held):
            raise bad_tensor(name, f"nulls must list rows from 0 to {len(held) - 1}")
        held[i] = None
    return held


@dataclass(slots=True)
class TensorOut:
    """An output: ``values`` are an array of numbers, or texts."""

    name: str
    values: NDArray[Any] | list[str]

    @property
    def datatype(self) -> str:
        return "FP64" if isinstance(self.values, np.ndarray) else BYTES

    @property
    def shape(self) -> list[int]:
        held = self.values
        return list(held.shape) if isinstance(held, np.ndarray) else [len(held)]

    def data(self) -> list[Any]:
        held = self.values
        return cast("list[Any]", held.ravel().tolist()) if isinstance(held, np.ndarray) else held

    def binary(self) -> bytes:
        if isinstance(self.values, np.ndarray):
            return self.values.tobytes()
        return pack_byte_strings([text.encode() for text in self.values])


def write_tensor(name: str, values: Sequence[Any]) -> TensorOut:
    """Numbers, or lists of them of equal shapes, as FP64; texts as BYTES; all else as BYTES
    that hold JSON."""
    first = values[0]
    if isinstance(first, float | int):
        return TensorOut(name, np.array(values, np.float64))
    if isinstance(_leaf(first), float | int):
        try:
            return TensorOut(name, np.array(values, np.float64))
        except ValueError:  # of different lengths
            pass
    texts = [value if isinstance(value, str) else _json(value).decode() for value in values]
    return TensorOut(name, texts)


def _leaf(value: Any) -> Any:
    while isinstance(value, list) and value:
        value = cast("Any", value[0])
    return value
