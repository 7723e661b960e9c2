"""Requests that are made beforehand, over HTTP or gRPC, and how their answers are read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import msgspec
import numpy as np
from numpy.typing import NDArray

from windvane.apps.gateway.protocols.open_inference_messages import (
    SERVICE,
    ModelInferRequest,
    ModelInferResponse,
)

from .model import MODEL
from .rows import FEATURES
from .shapes import http_head

Floats = NDArray[np.float64]
INFER = f"/{SERVICE}/ModelInfer"
_INPUT, _OUTPUT = "rows", "probability"
_OIP = f"/v2/models/{MODEL}/infer"
_TYPES = {"FP64": np.float64, "FP32": np.float32}
_ANSWER_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Ask:
    """One kind of request: ``bodies`` makes all of them anew, in the same order each time;
    ``read`` gives the numbers of an answer's body.

    ``headers`` are metadata where ``grpc`` says so; ``path`` is the method then. ``expected`` has
    what ``read`` must find in the answers to the first bodies, (bodies, ...); None where the
    answers are refusals.
    """

    name: str
    path: str
    bodies: Callable[[], Iterator[bytes]]
    count: int
    read: Callable[[bytes], Floats]
    expected: Floats | None
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    grpc: bool = False

    def write(self, folder: Path) -> Path:
        """Every request behind its length (4 bytes, little endian), as cycle.lua, openloop.c and
        grpc_load.py read them; made once for all servers that are asked the very same."""
        said = repr((self.name, self.path, sorted(self.headers.items()), self.grpc, self.count))
        path = folder / f"{hashlib.sha256(said.encode()).hexdigest()[:16]}.requests"
        if not path.exists():
            with path.open("wb") as file:
                for request in self._on_the_wire():
                    file.write(len(request).to_bytes(4, "little") + request)
        return path

    def _on_the_wire(self) -> Iterable[bytes]:
        if self.grpc:
            return self.bodies()
        head = http_head(self.path, self.headers)
        return (head + str(len(body)).encode() + b"\r\n\r\n" + body for body in self.bodies())


class Asker:
    """One connection to a server on this machine, to look at answers rather than to time them."""

    def __init__(self, ask: Ask, port: int) -> None:
        self._ask = ask
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=_ANSWER_WITHIN_S)
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}") if ask.grpc else None

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        if self._channel is not None:
            self._channel.close()

    def send(self, body: bytes) -> tuple[bool, bytes]:
        """Whether it was answered, and the answer, or what was said instead."""
        ask = self._ask
        if self._channel is None:
            try:
                answer = self._client.post(ask.path, content=body, headers=dict(ask.headers))
            except httpx.HTTPError as error:
                return False, repr(error).encode()
            return answer.is_success, answer.content
        method = self._channel.unary_unary(ask.path)
        metadata = tuple(ask.headers.items())
        try:
            answered: Any = method(body, metadata=metadata, timeout=_ANSWER_WITHIN_S)
        except grpc.RpcError as error:
            return False, repr(error).encode()
        return True, answered


def native_rows(rows: Floats, count: int, key: str, expected: Floats) -> Ask:
    """``count`` rows a request in Windvane's own JSON."""
    encode = msgspec.json.Encoder().encode

    def body(chunk: Floats) -> bytes:
        instances = [{"features": dict(zip(FEATURES, r, strict=True))} for r in chunk.tolist()]
        return encode({"instances": instances})

    def read(answer: bytes) -> Floats:
        return np.array([one["value"] for one in msgspec.json.decode(answer)["predictions"]])

    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    return Ask(
        "native JSON", f"/v1/models/{MODEL}/predict", _chunks(rows, count, body),
        len(rows) // count, read, expected, headers,
    )  # fmt: skip


def oip_json(rows: Floats, count: int, expected: Floats, key: str = "") -> Ask:
    """The Open Inference Protocol: one tensor of numbers in JSON."""
    encode = msgspec.json.Encoder().encode

    def body(chunk: Floats) -> bytes:
        tensor = {"name": _INPUT, "shape": chunk.shape, "datatype": "FP64",
                  "data": chunk.ravel().tolist()}  # fmt: skip
        return encode({"inputs": [tensor], "outputs": [{"name": _OUTPUT}]})

    def read(answer: bytes) -> Floats:
        (tensor,) = msgspec.json.decode(answer)["outputs"]
        return np.array(tensor["data"], np.float64)

    headers = {"Content-Type": "application/json", **_authorization(key)}
    return Ask(
        "OIP REST JSON", _OIP, _chunks(rows, count, body), len(rows) // count, read, expected,
        headers,
    )  # fmt: skip


def oip_binary(rows: Floats, count: int, expected: Floats, key: str = "") -> Ask:
    """The same with the binary tensor extension, both ways."""
    tensor = {"name": _INPUT, "shape": [count, rows.shape[1]], "datatype": "FP64",
              "parameters": {"binary_data_size": count * rows.shape[1] * 8}}  # fmt: skip
    wanted = {"name": _OUTPUT, "parameters": {"binary_data": True}}
    head = msgspec.json.encode({"inputs": [tensor], "outputs": [wanted]})

    def read(answer: bytes) -> Floats:
        return np.frombuffer(answer[-8 * count :], np.float64)

    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)),
        **_authorization(key),
    }
    return Ask(
        "OIP REST binary", _OIP, _chunks(rows, count, lambda chunk: head + chunk.tobytes()),
        len(rows) // count, read, expected, headers,
    )  # fmt: skip


def oip_grpc(rows: Floats, count: int, expected: Floats, key: str = "") -> Ask:
    """The same over gRPC, with raw contents, as Triton's client sends them."""
    message: Any = ModelInferRequest(model_name=MODEL)
    message.inputs.add(name=_INPUT, datatype="FP64", shape=[count, rows.shape[1]])
    message.outputs.add(name=_OUTPUT)

    def body(chunk: Floats) -> bytes:
        message.raw_input_contents[:] = [chunk.tobytes()]
        return message.SerializeToString()

    def read(answer: bytes) -> Floats:
        found: Any = ModelInferResponse.FromString(answer)
        kind = _TYPES[found.outputs[0].datatype]
        return np.frombuffer(found.raw_output_contents[0], kind).astype(np.float64)

    # Metadata has lower-case names.
    metadata = {name.lower(): value for name, value in _authorization(key).items()}
    return Ask(
        "OIP gRPC", INFER, _chunks(rows, count, body), len(rows) // count, read, expected,
        metadata, grpc=True,
    )  # fmt: skip


def _authorization(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _chunks(
    rows: Floats, count: int, body: Callable[[Floats], bytes]
) -> Callable[[], Iterator[bytes]]:
    """The rows in their order, ``count`` in each body; those left over are in none."""

    def bodies() -> Iterator[bytes]:
        for first in range(0, len(rows) - count + 1, count):
            yield body(rows[first : first + count])

    return bodies
