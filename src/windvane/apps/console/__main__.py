"""Run the console."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import uvicorn

from windvane.apps.console import wiring


def main() -> None:
    given = wiring.settings()
    wiring.start_logging(given)
    uvicorn.run(
        wiring.console(given),
        host=given.host,
        port=given.console_port,
        ws="none",
        access_log=False,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=5,
        server_header=False,
    )


if __name__ == "__main__":
    main()
