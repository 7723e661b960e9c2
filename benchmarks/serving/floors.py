"""What Python and uvicorn cost by themselves: ``python -m serving.floors echo|batch PORT FOLDER``.

``echo`` reads the body and gives a fixed answer of our size. ``batch`` adds what no server of
models can do without: the body decoded by type, the gateway's batcher, the version's predictor
(from the artifact in FOLDER), and the answer encoded. No key, no route, no event, no metric.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import msgspec
import uvicorn

from windvane.adapters.onnx.artifact import GRAPH, INPUTS
from windvane.adapters.onnx.runtime import OnnxPredictor
from windvane.core.execution import BreakerPolicy, ServedBy
from windvane.core.signature import FeatureSpec, FeatureType, InputSpec
from windvane.core.task import Contract, make_task
from windvane.inference.batching import NextTickBatcher
from windvane.inference.model_queue import ModelQueue

from .model import MODEL
from .rows import FEATURES

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Answerer = Callable[[bytes], Awaitable[bytes]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_ENCODER = msgspec.json.Encoder()
_DEADLINE_S = 10.0


def answer_body(output: float) -> bytes:
    """As long as the gateway's answer."""
    row = {
        "value": output, "version": "1", "arm": "champion", "flags": [], "why": "",
        "outputs": {"probability": output},
    }  # fmt: skip
    return _ENCODER.encode({"request_id": "0" * 24, "model": MODEL, "predictions": [row]})


class Floor:
    """A raw ASGI application that gives each body to ``answer``."""

    def __init__(self, answer: Answerer) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        parts: list[bytes] = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        body = await self._answer(parts[0] if len(parts) == 1 else b"".join(parts))
        length = (b"content-length", str(len(body)).encode())
        headers = [(b"content-type", b"application/json"), length]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def echo(fixed: bytes = b"") -> Answerer:
    """``fixed``, by default an answer for one row."""
    fixed = fixed or answer_body(0.12345678901234567)

    async def answer(body: bytes) -> bytes:
        del body
        return fixed

    return answer


def batch(folder: Path) -> Answerer:
    inputs = msgspec.json.decode((folder / INPUTS).read_bytes(), type=list[InputSpec])
    contract = Contract(tuple(FeatureSpec(name, "v", FeatureType.NUMBER) for name in FEATURES))
    predictor = OnnxPredictor((folder / GRAPH).read_bytes(), inputs, contract, ServedBy())
    batcher = NextTickBatcher()
    task = make_task(contract.task)
    queue = ModelQueue(MODEL, "1", predictor, task, 0.0, BreakerPolicy())
    features = msgspec.defstruct("Features", [(name, float) for name in FEATURES])
    row = msgspec.defstruct("Instance", [("features", features)])
    decoder = msgspec.json.Decoder(msgspec.defstruct("Body", [("instances", list[row])]))

    async def answer(body: bytes) -> bytes:
        decoded: Any = decoder.decode(body)
        values = msgspec.structs.astuple(decoded.instances[0].features)
        rows = [predictor.encode(values)]
        (outputs,) = await batcher.submit(queue, rows, time.monotonic() + _DEADLINE_S)
        assert isinstance(outputs, tuple)
        return answer_body(outputs[0])

    return answer


def serve(app: Application, port: int) -> None:
    """By uvicorn, with the gateway's own flags."""
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        limit_concurrency=4_096,
        timeout_keep_alive=75,
        server_header=False,
    )


def main() -> None:
    which, port, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    serve(Floor(echo() if which == "echo" else batch(folder)), port)


if __name__ == "__main__":
    main()
