"""Cells as bytes and back, to the bit that counts: floats of 32 bits, counts as they are."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.cell import Cell
from windvane.core.drift.forecast import Forecast
from windvane.core.drift.judge import StreamState
from windvane.core.drift.outage import Runs

Array = NDArray[Any]
_COUNTS = ("previous", "current", "held", "waiting")


def pack_cell(cell: Cell) -> str:
    """Text of a cell without its detectors."""
    arrays = {f"forecast.{f.name}": getattr(cell.forecast, f.name) for f in fields(Forecast)}
    arrays |= {f"runs.{f.name}": getattr(cell.runs, f.name) for f in fields(Runs)}
    arrays |= {name: getattr(cell, name) for name in (*_COUNTS, "left", "looks")}
    return pack_arrays(arrays)


def unpack_cell(
    packed: str, began: float, waits: float | None, streams: Mapping[str, StreamState]
) -> Cell:
    held = unpack_arrays(packed)
    return Cell(
        Forecast(**{f.name: held[f"forecast.{f.name}"] for f in fields(Forecast)}),
        Runs(**{f.name: held[f"runs.{f.name}"] for f in fields(Runs)}),
        **{name: held[name] for name in (*_COUNTS, "left", "looks")},
        began=began,
        waits=waits,
        streams=streams,
    )


def pack_arrays(arrays: Mapping[str, Array]) -> str:
    """Names, shapes and values. Times of runs need all of their digits, counts are whole."""
    heads: list[tuple[str, str, list[int]]] = []
    body: list[bytes] = []
    for name, array in arrays.items():
        if array.dtype.kind == "i":
            kind = "<i4" if np.abs(array).max(initial=0) < 2**31 else "<i8"
        else:
            kind = "<f8" if name.endswith("since") else "<f4"
        heads.append((name, kind, list(array.shape)))
        body.append(array.astype(kind).tobytes())
    head = json.dumps(heads, separators=(",", ":")).encode()
    raw = len(head).to_bytes(4, "little") + head + b"".join(body)
    return base64.b64encode(zlib.compress(raw, 1)).decode()


def unpack_arrays(packed: str) -> dict[str, Array]:
    raw = zlib.decompress(base64.b64decode(packed))
    size = int.from_bytes(raw[:4], "little")
    at = 4 + size
    out: dict[str, Array] = {}
    for name, kind, shape in json.loads(raw[4:at]):
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(raw, kind, count, at).reshape(shape)
        at += array.nbytes
        out[name] = array.astype(np.int64 if kind[1] == "i" else np.float64)
    return out
