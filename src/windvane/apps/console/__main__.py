"""Run the console."""

from __future__ import annotations

import asyncio
import contextlib
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import uvicorn

from windvane.apps.console import wiring
from windvane.usecases.read_settings import Settings


def main() -> None:
    os.umask(0o077)  # what people sent is for this user alone
    given = wiring.settings()
    wiring.start_logging(given)
    asyncio.run(_serve(given))


async def _serve(given: Settings) -> None:
    certificate = wiring.certificate(given)
    server = uvicorn.Server(
        uvicorn.Config(
            wiring.console(given),
            host=given.host,
            port=given.console_port,
            ws="none",
            access_log=False,
            log_config=None,
            log_level="warning",
            timeout_graceful_shutdown=5,
            server_header=False,
            ssl_context_factory=(lambda *_: certificate.context) if certificate else None,
        )
    )
    if certificate is None:
        await server.serve()
        return
    watching = asyncio.create_task(certificate.watch())
    try:
        await server.serve()
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


if __name__ == "__main__":
    main()
