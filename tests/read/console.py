"""A real console over a home, on a port of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from journeys.installation import free_port, wait_until


@contextmanager
def console(home: Path) -> Iterator[str]:
    port = free_port()
    (home / "windvane.yaml").write_text(f"console_port: {port}\n")
    url = f"http://127.0.0.1:{port}"

    def up() -> bool:
        assert process.poll() is None
        try:
            return httpx.get(f"{url}/readyz", timeout=2.0).status_code == 200
        except httpx.HTTPError:
            return False

    with (home / "console.log").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "windvane.apps.console"],
            env={**os.environ, "WINDVANE_HOME": str(home)}, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        wait_until("the console is up", up)
        yield url
    finally:
        process.terminate()
        process.wait(20)
