"""Run one gateway worker."""

from __future__ import annotations

import logging
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import uvicorn

from windvane.apps.gateway import wiring


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s gateway %(levelname)s %(message)s")
    given = wiring.settings()
    uvicorn.run(
        wiring.gateway(given),
        host=given.host,
        port=given.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
        limit_concurrency=4_096,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=75,
        server_header=False,
    )


if __name__ == "__main__":
    main()
