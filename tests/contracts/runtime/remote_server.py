"""A server of the Open Inference Protocol that fails as it is told to."""

from __future__ import annotations

import json
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

LENGTH = "Inference-Header-Content-Length"
MATRIX = [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
SCORE = [{"name": "score", "datatype": "FP32", "shape": [-1, 1]}]


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # with five, connections that come at one time are reset


@dataclass
class RemoteServer:
    """Answers the sum of a row. ``next`` are what the next inferences get: a status, "close" (no
    answer), "hang" (none for a while), a body; ``bad`` makes rows with that sum a 400."""

    inputs: list[dict[str, Any]] = field(default_factory=lambda: list(MATRIX))
    outputs: list[dict[str, Any]] = field(default_factory=lambda: list(SCORE))
    binary: bool = True
    ready: bool = True
    needs: str = ""
    said: dict[str, str] = field(default_factory=dict)
    versions: list[str] | None = None
    tls: tuple[Path, Path] | None = None
    bad: float | None = None
    retry_after: str = ""
    encoding: str = ""
    next: list[Any] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    most_at_once: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    port: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def address(self) -> str:
        return f"{self.plain_address}/versions/3"

    @property
    def plain_address(self) -> str:
        base = f"https://localhost:{self.port}" if self.tls else f"http://127.0.0.1:{self.port}"
        return f"{base}/v2/models/sum"

    def enter(self) -> None:
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)

    def leave(self) -> None:
        with self._lock:
            self._now -= 1


@contextmanager
def remote_server(**how: Any) -> Iterator[RemoteServer]:
    state = RemoteServer(**how)
    state.gate.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None: ...

        def tell(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            if state.needs and self.headers.get("authorization") != state.needs:
                self.tell(401, b'{"error": "who are you?"}')
            elif self.path == "/v2":
                extensions = ["binary_tensor_data"] if state.binary else []
                self.tell(200, json.dumps({"name": "s", "extensions": extensions}).encode())
            elif self.path in ("/v2/models/sum/ready", "/v2/models/sum/versions/3/ready"):
                self.tell(200 if state.ready else 503, b"{}")
            elif self.path in ("/v2/models/sum", "/v2/models/sum/versions/3"):
                about = {"name": "sum", "inputs": state.inputs, "outputs": state.outputs}
                if state.versions is not None:
                    about["versions"] = state.versions
                self.tell(200, json.dumps(about).encode())
            else:
                self.tell(404, b'{"error": "no such model"}')

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            state.enter()
            try:
                self.infer(body)
            finally:
                state.leave()

        def infer(self, body: bytes) -> None:
            length = int(self.headers.get(LENGTH, len(body)))
            request, tail = json.loads(body[:length]), body[length:]
            state.seen.append(request)
            state.headers.append({name.lower(): value for name, value in self.headers.items()})
            if state.needs and self.headers.get("authorization") != state.needs:
                self.tell(401, b'{"error": "who are you?"}')
                return
            rows = request["inputs"][0]["shape"][0]
            state.batches.append(rows)
            what = state.next.pop(0) if state.next else None
            if what == "close":
                self.close_connection = True
                return
            if what == "hang":
                time.sleep(1.0)
            assert state.gate.wait(20)
            if isinstance(what, int):
                later = {"Retry-After": state.retry_after} if state.retry_after else {}
                self.tell(what, b'{"error": "not now"}', later)
                return
            if isinstance(what, bytes):
                packed = {"Content-Encoding": state.encoding} if state.encoding else {}
                self.tell(200, what, packed)
                return
            sums = self.sums(request, tail, rows)
            if state.bad is not None and state.bad in sums.tolist():
                self.tell(400, b'{"error": "a row is bad"}')
                return
            self.tell(*self.answer(sums))

        def sums(self, request: dict[str, Any], tail: bytes, rows: int) -> Any:
            total = np.zeros(rows)
            dtypes = {"FP32": "<f4", "FP64": "<f8", "INT64": "<i8"}
            for tensor in request["inputs"]:
                size = tensor.get("parameters", {}).get("binary_data_size")
                if tensor["datatype"] == "BYTES":
                    words = tensor.get("data")
                    if words is None:
                        part, tail = tail[:size], tail[size:]
                        words = []
                        while part:
                            (held,) = struct.unpack("<I", part[:4])
                            words.append(part[4 : 4 + held])
                            part = part[4 + held :]
                    total += [len(word) for word in words]
                    continue
                if size is None:
                    values = np.array(tensor["data"], np.float64)
                else:
                    values = np.frombuffer(tail[:size], dtypes[tensor["datatype"]])
                    tail = tail[size:]
                total += np.nan_to_num(values.reshape(rows, -1)).sum(axis=1)
            return total

        def answer(self, sums: Any) -> tuple[int, bytes, dict[str, str]]:
            message = {"name": "score", "datatype": "FP32", "shape": [len(sums), 1]}
            if not state.binary:
                whole = json.dumps(
                    {**state.said, "outputs": [{**message, "data": sums.tolist()}]}
                ).encode()
                return 200, whole, {"Content-Type": "application/json"}
            part = sums.astype("<f4").tobytes()
            message["parameters"] = {"binary_data_size": len(part)}
            head = json.dumps({**state.said, "outputs": [message]}).encode()
            return 200, head + part, {LENGTH: str(len(head))}

    server = _Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if state.tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*state.tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield state
    finally:
        state.gate.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
