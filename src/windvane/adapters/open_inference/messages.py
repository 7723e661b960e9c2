"""Requests and answers of the Open Inference Protocol v2, as a client writes and reads them.

Source: KServe, Open Inference Protocol v2; Triton, binary tensor data extension.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import msgspec
import numpy as np
from numpy.typing import NDArray

from windvane.adapters.open_inference.remote import DTYPES
from windvane.core.signature import DATATYPES, pack_byte_strings
from windvane.ports.runtime import RowsRefused, RuntimeFailed

_LENGTH = "inference-header-content-length"
_DATATYPES = {name: datatype for datatype, name in DTYPES.items()}
_encode = msgspec.json.Encoder().encode


class _Output(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    data: Any = None
    parameters: dict[str, Any] | None = None


class _Answer(msgspec.Struct):
    outputs: list[_Output]
    model_name: str | None = None
    model_version: str | None = None


_decoder = msgspec.json.Decoder(_Answer)


def write_request(
    tensors: Mapping[str, NDArray[Any]], wanted: Sequence[str], *, binary: bool
) -> tuple[bytes, dict[str, str]]:
    """Body and headers. ``wanted`` names the outputs, all where it is empty."""
    inputs: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for name, values in tensors.items():
        datatype = "BYTES" if values.dtype.kind == "O" else _DATATYPES[values.dtype.name]
        entry: dict[str, Any] = {"name": name, "shape": list(values.shape), "datatype": datatype}
        if binary:
            part = _packed(values)
            entry["parameters"] = {"binary_data_size": len(part)}
            tail.append(part)
        else:
            entry["data"] = _listed(name, values)
        inputs.append(entry)
    request: dict[str, Any] = {"inputs": inputs}
    if wanted:
        request["outputs"] = [
            {"name": name, "parameters": {"binary_data": binary}} for name in wanted
        ]
    elif binary:
        request["parameters"] = {"binary_data_output": True}
    head = _encode(request)
    if not binary:
        return head, {"content-type": "application/json"}
    headers = {"content-type": "application/octet-stream", _LENGTH: str(len(head))}
    return b"".join([head, *tail]), headers


def read_answer(
    headers: httpx.Headers, body: bytes, rows: int, model: str = "", version: str = ""
) -> dict[str, NDArray[np.float64]]:
    """Its outputs of numbers by name, each (rows, ...). Raises RuntimeFailed, also where it says
    that another ``model`` or ``version`` than these answered ("": any)."""
    length = headers.get(_LENGTH, str(len(body)))
    size = int(length) if length.isascii() and length.isdigit() and len(length) < 12 else -1
    if not 0 <= size <= len(body):
        raise RuntimeFailed(f"the answer has {len(body):,} bytes, its head says {length[:20]}")
    try:
        answer = _decoder.decode(body[:size])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise RuntimeFailed(f"the answer cannot be read: {error}") from error
    for what, entry, meant in (
        ("model", answer.model_name, model), ("version", answer.model_version, version),
    ):  # fmt: skip
        if entry and meant and entry != meant:
            raise RuntimeFailed(f"its server answers by the {what} {entry[:100]!r}, not {meant!r}")
    found: dict[str, NDArray[np.float64]] = {}
    at = size
    for one in answer.outputs:
        held = (one.parameters or {}).get("binary_data_size")
        part = b""
        if held is not None:
            if not isinstance(held, int) or not 0 <= held <= len(body) - at:
                raise RuntimeFailed(f"output {one.name!r} has {held} bytes, {len(body) - at} came")
            part, at = body[at : at + held], at + held
        if one.datatype == "BYTES":
            continue  # labels in words, which are no outputs of a task
        found[one.name] = _read(one, part, rows, binary=held is not None)
    return found


def _read(one: _Output, part: bytes, rows: int, *, binary: bool) -> NDArray[np.float64]:
    dtype = DATATYPES.get(one.datatype)
    if dtype is None:
        raise RuntimeFailed(f"output {one.name!r} is of the unknown type {one.datatype!r}")
    try:
        values = np.frombuffer(part, dtype) if binary else np.array(one.data, np.float64).ravel()
        shaped = values.astype(np.float64).reshape(one.shape)
    except (ValueError, TypeError, OverflowError) as error:
        raise RuntimeFailed(f"output {one.name!r} is not what it says: {error}") from error
    if shaped.shape[:1] != (rows,):
        raise RuntimeFailed(f"output {one.name!r} has the shape {one.shape} for {rows:,} rows")
    return shaped


def _packed(values: NDArray[Any]) -> bytes:
    if values.dtype.kind != "O":
        return values.tobytes()
    return pack_byte_strings(
        v if isinstance(v, bytes) else v.encode() for v in values.ravel().tolist()
    )


def _listed(name: str, values: NDArray[Any]) -> list[Any]:
    """Flat, as the protocol allows for every shape."""
    flat = values.ravel()
    if values.dtype.kind == "O":
        texts = flat.tolist()
        if any(isinstance(text, bytes) for text in texts):
            raise RuntimeFailed(f"input {name!r}: this server takes no binary data")
        return texts
    if values.dtype.kind == "f" and not np.isfinite(flat).all():
        raise RowsRefused(f"input {name!r}: a value is missing, which JSON cannot say")
    return flat.tolist()
