"""Run the console."""

from __future__ import annotations

import asyncio
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import uvicorn

from windvane.apps.console import wiring
from windvane.apps.console.connections import (
    ConnectionBounds,
    Connections,
    NotesRequests,
    bounded_protocol,
)
from windvane.usecases.read_settings import Settings


def main() -> None:
    os.umask(0o077)  # what people sent is for this user alone
    given = wiring.settings()
    wiring.start_logging(given)
    asyncio.run(_serve(given))


async def _serve(given: Settings) -> None:
    certificate = wiring.certificate(given)
    connections = Connections(ConnectionBounds.of_this_process())
    tls = certificate.context if certificate else None
    server = uvicorn.Server(
        uvicorn.Config(
            NotesRequests(wiring.console(given)),
            http=bounded_protocol(connections, tls),
            host=given.host,
            port=given.console_port,
            ws="none",
            access_log=False,
            log_config=None,
            log_level="warning",
            timeout_graceful_shutdown=5,
            server_header=False,
        )
    )
    beside = [asyncio.create_task(connections.sweep())]
    if certificate is not None:
        beside.append(asyncio.create_task(certificate.watch()))
    try:
        await server.serve()
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


if __name__ == "__main__":
    main()
