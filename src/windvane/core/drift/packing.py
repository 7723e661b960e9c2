"""Cells as bytes and back, to the bit that counts: most floats of 32 bits, those of which there are
most of 16, counts as they are."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.cell import Cell
from windvane.core.drift.doubtful import Doubtful
from windvane.core.drift.excursions import Excursions
from windvane.core.drift.forecast import SLOTS, Forecast
from windvane.core.drift.judge import StreamState
from windvane.core.drift.outage import Runs
from windvane.core.drift.pending import Pending

Array = NDArray[Any]
_LEARNED = ("previous", "current", "held", "left", "looks", "known", "former")
_EXACT = ("runs.since", "began", "waits", "forecast.last", "doubtful.at")  # times (s)
_COARSE = ("forecast.slots",)
_FORMER = {"forecast.hours": "forecast.slots", "forecast.hours_seen": "forecast.slots_seen"}
"""What held hours only, and no days of the week."""
_LEAST = 1e-30  # a float of 32 bits has a slow form for what is smaller


def pack_pending(pending: Pending) -> str:
    """Text of what a cell has pending."""
    waits = np.nan if pending.waits is None else pending.waits
    arrays = _arrays_of("runs", pending.runs)
    arrays |= {"waiting": pending.waiting, "rare": pending.rare, "waits": np.array(waits)}
    return pack_text(arrays)


def unpack_pending(packed: str) -> Pending:
    held = unpack_text(packed)
    waits = float(held["waits"])
    runs = Runs.empty(len(held["runs.value"]))
    return Pending(
        held["waiting"],
        replace(runs, **_known_of("runs", runs, held)),
        held["rare"],
        None if np.isnan(waits) else waits,
    )


def pack_learned(cell: Cell) -> bytes:
    """What a cell learned from its looks: all but its detectors and what is pending."""
    arrays = {f"forecast.{f.name}": getattr(cell.forecast, f.name) for f in fields(Forecast)}
    arrays |= _arrays_of("excursions", cell.excursions) | _arrays_of("doubtful", cell.doubtful)
    arrays |= {name: getattr(cell, name) for name in _LEARNED}
    return pack_arrays({**arrays, "began": np.array(cell.began)})


def unpack_learned(packed: bytes, pending: Pending, streams: Mapping[str, StreamState]) -> Cell:
    held = unpack_arrays(packed)
    for former, name in _FORMER.items():
        if former in held:
            hours = held[former]
            held[name] = np.concatenate([hours, np.zeros((SLOTS - len(hours), *hours.shape[1:]))])
    for name in ("known", "former"):  # which cells of before have not
        held.setdefault(name, np.zeros(held["current"].shape, bool if name == "known" else int))
    excursions, doubtful = Excursions.empty(held["left"].shape), Doubtful.empty()
    return Cell(
        Forecast(**{f.name: held[f"forecast.{f.name}"] for f in fields(Forecast)}),
        pending,
        **{name: held[name] for name in _LEARNED},
        began=float(held["began"]),
        excursions=replace(excursions, **_known_of("excursions", excursions, held)),
        doubtful=replace(doubtful, **_known_of("doubtful", doubtful, held)),
        streams=streams,
    )


def _arrays_of(name: str, one: Runs | Excursions | Doubtful) -> dict[str, Array]:
    return {f"{name}.{f.name}": getattr(one, f.name) for f in fields(one)}


def _known_of(
    name: str, empty: Runs | Excursions | Doubtful, held: Mapping[str, Array]
) -> dict[str, Array]:
    """What was kept of it: cells of before have nothing."""
    names = {f.name: f"{name}.{f.name}" for f in fields(empty)}
    return {field: held[key] for field, key in names.items() if key in held}


def pack_text(arrays: Mapping[str, Array]) -> str:
    """As `pack_arrays`, for JSON."""
    return base64.b64encode(pack_arrays(arrays)).decode()


def unpack_text(packed: str) -> dict[str, Array]:
    return unpack_arrays(base64.b64decode(packed))


def pack_arrays(arrays: Mapping[str, Array]) -> bytes:
    """Names, shapes and values. Bytes of the same place in all values of an array lie together:
    they are alike, and small when compressed."""
    heads: list[tuple[str, str, list[int]]] = []
    body: list[bytes] = []
    for name, array in arrays.items():
        kind = _kind(name, array)
        heads.append((name, kind, list(array.shape)))
        if kind == "bits":
            body.append(np.packbits(array.ravel()).tobytes())
            continue
        values = array
        if array.dtype.kind == "f":
            values = np.where(np.abs(array) < _LEAST, 0.0, array)
        if kind == "<f2":
            # In units of the largest of its column: a half float has few sizes.
            most = np.maximum(np.abs(values).max(axis=0, initial=0.0), _LEAST).astype("<f4")
            body.append(most.tobytes())
            values = values / most
        flat = np.frombuffer(values.astype(kind).tobytes(), np.uint8)
        body.append(flat.reshape(-1, np.dtype(kind).itemsize).T.tobytes())
    head = json.dumps(heads, separators=(",", ":")).encode()
    return zlib.compress(len(head).to_bytes(4, "little") + head + b"".join(body), 1)


def _kind(name: str, array: Array) -> str:
    if array.dtype.kind == "b":
        return "bits"
    if array.dtype.kind == "i":
        most = int(np.abs(array).max(initial=0))
        return "<i2" if most < 2**15 else "<i4" if most < 2**31 else "<i8"
    if name in _EXACT:
        return "<f8"
    return "<f2" if name in _COARSE else "<f4"


def unpack_arrays(packed: bytes) -> dict[str, Array]:
    raw = zlib.decompress(packed)
    size = int.from_bytes(raw[:4], "little")
    at = 4 + size
    out: dict[str, Array] = {}
    for name, kind, shape in json.loads(raw[4:at]):
        count = int(np.prod(shape, dtype=np.int64))
        if kind == "bits":
            bits = np.frombuffer(raw, np.uint8, -(-count // 8), at)
            at += bits.nbytes
            out[name] = np.unpackbits(bits, count=count).astype(bool).reshape(shape)
            continue
        most: Array | None = None
        if kind == "<f2":
            most = np.frombuffer(raw, "<f4", count // max(shape[0], 1), at)
            at += most.nbytes
        width = np.dtype(kind).itemsize
        planes = np.frombuffer(raw, np.uint8, count * width, at)
        at += planes.nbytes
        array = np.frombuffer(planes.reshape(width, count).T.tobytes(), kind).reshape(shape)
        values = array.astype(np.int64 if kind[1] == "i" else np.float64)
        out[name] = values if most is None else values * most.reshape(shape[1:])
    return out
