"""What the transports cost by themselves: ``python -m serving.echo http|grpc PORT FOLDER``.

Each request is read whole and gets the bytes of the file in FOLDER that its path names, answers
that Windvane gave: ``http`` as floor 1 does, ``grpc`` by grpc.aio, whatever method is called.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from .floors import Floor, Receive, Scope, Send, echo, serve

GRPC_FILE = "grpc"


def paths(folder: Path) -> dict[str, Floor]:
    return {f"/{file.name}": Floor(echo(file.read_bytes())) for file in folder.iterdir()}


def serve_http(port: int, folder: Path) -> None:
    floors = paths(folder)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await floors[scope["path"]](scope, receive, send)

    serve(app, port)


class _Anything(grpc.GenericRpcHandler):
    """Bytes in, ``fixed`` out."""

    def __init__(self, fixed: bytes) -> None:
        async def answer(body: bytes, context: Any) -> bytes:
            del body, context
            return fixed

        self._handler = grpc.unary_unary_rpc_method_handler(answer)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        del handler_call_details
        return self._handler


async def serve_grpc(port: int, folder: Path) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Anything((folder / GRPC_FILE).read_bytes()),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop(None)


def main() -> None:
    which, port, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    if which == "http":
        serve_http(port, folder)
    else:
        asyncio.run(serve_grpc(port, folder))


if __name__ == "__main__":
    main()
