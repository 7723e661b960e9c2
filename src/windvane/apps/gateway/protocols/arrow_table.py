"""Arrow IPC streams: one column a feature, in and out. Arrow is loaded by the first that comes."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from windvane.apps.gateway.protocols.arrow_stream import broken, check_stream
from windvane.apps.gateway.protocols.tables import (
    check_width,
    inputs_of_columns,
    once,
    output_columns,
)
from windvane.apps.gateway.statuses import UnsupportedMediaType
from windvane.core.signature.kinds import MAX_VECTOR
from windvane.core.task import Contract
from windvane.inference.errors import BodyTooLarge
from windvane.inference.request import InferenceResponse, Inputs
from windvane.inference.validation import Column, as_values, check_count

_MAX_DECODED = 64 << 20
_DTYPES = {"halffloat": "f2", "float": "f4", "double": "f8"}
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


@cache
def arrow() -> Any:
    """Raises UnsupportedMediaType where pyarrow is not installed."""
    try:
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise UnsupportedMediaType(
            "Arrow needs pyarrow, which this gateway does not have",
            hint="install pyarrow beside it, or send JSON",
        ) from error


def decode_arrow(body: bytes, contract: Contract, max_rows: int) -> Inputs:
    """Integers, floats, booleans, strings, binaries, dictionaries of these, timestamps with a
    zone, and lists of numbers for vectors. NaN of a number is null.

    Raises BadBody, BodyTooLarge, SchemaViolation.
    """
    pa = arrow()
    size = check_stream(body, max_rows)
    check_count(size.rows, max_rows)
    try:
        columns, rows = _columns(pa, body, contract)
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise broken(f"the body is not an Arrow IPC stream: {str(error)[:200]}") from error
    check_count(rows, max_rows)
    return inputs_of_columns(contract, columns, rows)


def _columns(pa: Any, body: bytes, contract: Contract) -> tuple[dict[str, Column], int]:
    with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
        schema = reader.schema
        _check_schema(pa, schema, contract)
        batches = [_checked(batch, len(body)) for batch in reader]
    room = _Room()
    columns: dict[str, Column] = {}
    for i, name in enumerate(schema.names if batches else ()):
        parts = [_values(pa, batch.column(i), room) for batch in batches]
        columns[name] = parts[0] if len(parts) == 1 else _joined(parts)
    return columns, sum(batch.num_rows for batch in batches)


def _check_schema(pa: Any, schema: Any, contract: Contract) -> None:
    check_width(contract, len(schema))
    once(schema.names, "column")
    for field in schema:
        if not _is_taken(pa.types, field.type):
            raise broken(f"column {field.name[:80]!r} has the type {str(field.type)[:80]}")


def _is_taken(types: Any, kind: Any) -> bool:
    if types.is_dictionary(kind):
        return _is_flat(types, kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind):
        return _is_number(types, kind.value_type)
    if types.is_fixed_size_list(kind):
        return kind.list_size <= MAX_VECTOR and _is_number(types, kind.value_type)
    return _is_flat(types, kind) or types.is_timestamp(kind) or types.is_null(kind)


def _is_number(types: Any, kind: Any) -> bool:
    return types.is_integer(kind) or types.is_floating(kind)


def _is_flat(types: Any, kind: Any) -> bool:
    return (
        _is_number(types, kind)
        or types.is_boolean(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    )


def _checked(batch: Any, body: int) -> Any:
    """Offsets, indices and texts are as they must be before anybody follows them."""
    batch.validate(full=True)
    # Columns may lie on the same bytes: then they are more than the body once they are read.
    if batch.nbytes > 2 * body:
        raise BodyTooLarge(f"{batch.nbytes:,} bytes of columns in a body of {body:,}")
    return batch


class _Room:
    """What texts that are there once in a dictionary may take once each row has its own."""

    def __init__(self) -> None:
        self.left = _MAX_DECODED

    def take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise BodyTooLarge(f"over {_MAX_DECODED:,} bytes once its dictionaries are resolved")


def _values(pa: Any, column: Any, room: _Room) -> Column:
    types, kind = pa.types, column.type
    if types.is_dictionary(kind):
        known: list[Any] = column.dictionary.to_pylist()
        sizes = [len(v) if isinstance(v, str | bytes) else 8 for v in known]
        places: list[Any] = column.indices.to_pylist()
        room.take(sum(sizes[i] for i in places if i is not None))
        return [None if i is None else _plain(known[i]) for i in places]
    if types.is_timestamp(kind):
        return _times(pa, column)
    if _is_number(types, kind):
        return _numbers(column)
    if types.is_fixed_size_list(kind):
        size = kind.list_size
        if not column.null_count and len(column) and size:
            flat = _numbers(column.flatten())
            if isinstance(flat, np.ndarray):
                return flat.reshape(len(column), size)
        room.take(8 * len(column) * size)
    return column.to_pylist()


def _numbers(column: Any) -> Column:
    """Read where they lie: `to_numpy` would load pandas."""
    if column.null_count:
        return [_plain(value) for value in column.to_pylist()]
    dtype = np.dtype(_DTYPES.get(str(column.type), str(column.type)))
    _, values = column.buffers()
    if values is None:
        return np.empty(0, dtype)
    return np.frombuffer(values, dtype, len(column), column.offset * dtype.itemsize)


def _plain(value: Any) -> Any:
    """NaN in a dictionary is null too."""
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124


def _times(pa: Any, column: Any) -> Column:
    """Seconds since the epoch; as texts where there is no zone, for these are refused."""
    if column.type.tz is None:
        return [None if v is None else str(v) for v in column.cast(pa.string()).to_pylist()]
    per = _PER_SECOND[column.type.unit]
    # Whole seconds and the rest by themselves: nanoseconds of today fit no float.
    counts = column.view(pa.int64()).to_pylist()
    return [None if n is None else n // per + n % per / per for n in counts]


def _joined(parts: Sequence[Column]) -> Column:
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    joined: list[Any] = []
    for part in parts:
        joined += as_values(part)
    return joined


def encode_arrow(response: InferenceResponse) -> bytes:
    """A record batch: `value`, `version`, `arm`, `flags` and every output. The schema's
    metadata has `request_id` and `model`."""
    pa = arrow()
    task = response.served.task
    routes, outputs = response.routes, response.outputs
    columns: dict[str, Any] = {
        "value": _array(pa, [task.value(row) for row in outputs]),
        "version": _array(pa, [r.answered for r in routes]),
        "arm": _array(pa, [r.arm for r in routes]),
        "flags": _array(pa, [" ".join(r.flags) for r in routes]),
    }
    for place, name in output_columns(task).items():
        columns[name] = _array(pa, [row[place] for row in outputs])
    about = {"request_id": response.id, "model": response.model}
    schema = pa.schema([(n, c.type) for n, c in columns.items()], metadata=about)
    batch = pa.RecordBatch.from_arrays(list(columns.values()), schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _array(pa: Any, values: Sequence[Any]) -> Any:
    """Of numbers, texts, or lists of either; of its buffers, for `pyarrow.array` would load
    pandas."""
    first = next((value for value in values if value is not None), None)
    if first is None:
        return pa.Array.from_buffers(pa.null(), len(values), [None])
    if isinstance(first, list):
        return _lists(pa, values)
    if isinstance(first, str):
        texts = [value.encode() for value in values]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
        return pa.Array.from_buffers(pa.string(), len(values), buffers)
    held = np.array(values, np.float64)
    return pa.Array.from_buffers(pa.float64(), len(values), [None, pa.py_buffer(held)])


def _lists(pa: Any, values: Sequence[list[Any]]) -> Any:
    flat = list(itertools.chain.from_iterable(values))
    # Where all are empty nobody can tell numbers from texts; labels are what may be none.
    child = _array(pa, flat) if flat else _array(pa, [""]).slice(0, 0)
    ends = np.cumsum([0, *map(len, values)], dtype=np.int32)
    kind = pa.list_(child.type)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(ends)], children=[child])
