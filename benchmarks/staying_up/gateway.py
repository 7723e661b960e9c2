"""`windvane up` on a copy of a home, pinned to the servers' core."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from serving.cores import SERVER_CORE, busy_s, stolen_s
from serving.processes import Running, ServerFailed, free_port

_UP_WITHIN_S = 120.0
_SETTLE_WITHIN_S = 15.0
_POSTED_S = 1.5  # workers post their metrics each second
_SAMPLE = re.compile(r"^(windvane_\w+?)(?:\{[^}]*\})? ([-+0-9.e]+)$", re.MULTILINE)


class Gateway:
    """A running installation. ``home`` is its own copy, ``port`` its gateway's."""

    def __init__(self, home: Path, port: int, running: Running) -> None:
        self.home = home
        self.port = port
        self.others: list[float] = []
        """Shares of the core that went to processes of others, one for each load."""
        self._running = running
        self._before = self._spent()

    def settle(self) -> float:
        """How many seconds in each the hypervisor took from both cores since it rested, once it
        rests again. Raises ServerFailed if it is gone."""
        self._running.check()
        now = self._spent()
        lasted, busy, own, stolen = (b - a for a, b in zip(self._before, now, strict=True))
        self.others.append(max(0.0, busy - own) / lasted)
        self._running.settle(_SETTLE_WITHIN_S)
        self._before = self._spent()
        return stolen / lasted

    @contextmanager
    def awake(self) -> Iterator[None]:
        """It alone goes on, at rest when the block begins."""
        with self._running.awake(_SETTLE_WITHIN_S):
            self._before = self._spent()
            yield

    def freeze(self) -> None:
        """Stand still beside another one."""
        self._running.freeze()

    def _spent(self) -> tuple[float, float, float, float]:
        """Now, and the seconds in which the core was busy, busy with our processes, and in which
        the hypervisor took it."""
        own = self._running.busy_s()
        return time.monotonic(), busy_s(SERVER_CORE), own, stolen_s()

    def metrics(self) -> dict[str, float]:
        """From the console; samples that differ in labels only are summed."""
        time.sleep(_POSTED_S)
        answer = httpx.get(f"http://127.0.0.1:{self.port + 1}/metrics", timeout=10.0)
        return read_metrics(answer.raise_for_status().text)

    def workers_started(self) -> int:
        """How many gateway processes there have been."""
        return (self.home / "pids").read_text().count("gateway")

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + _UP_WITHIN_S
        while not ((self.home / "pids").exists() and self._is_ready()):
            self._running.check()
            if time.monotonic() > deadline:
                words = self._running.last_words()
                raise ServerFailed(f"not ready in {_UP_WITHIN_S:.0f} s:\n{words}")
            time.sleep(0.2)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=2.0).is_success
        except httpx.HTTPError:
            return False


@contextmanager
def up(
    home: Path,
    folder: Path,
    prepare: Callable[[Path], None] = lambda _: None,
    *,
    core: int | str = SERVER_CORE,
    **settings: Any,
) -> Iterator[Gateway]:
    """Serve a copy of ``home`` in ``folder`` with these settings; ``prepare`` gets the copy
    before it is served."""
    copy, port = folder / "home", free_port()
    shutil.copytree(home, copy)
    given = {"port": port, "console_port": port + 1, "metrics_without_sign_in": True}
    given |= settings
    (copy / "windvane.yaml").write_text(yaml.safe_dump(given))
    prepare(copy)
    running = Running(
        [sys.executable, "-m", "windvane.apps.cli.main", "up", "--home", str(copy)],
        core=core, folder=folder, environment={}, log=folder / "up.log",
    )  # fmt: skip
    try:
        gateway = Gateway(copy, port, running)
        gateway.wait_until_up()
        gateway.settle()
        gateway.others.clear()
        yield gateway
    finally:
        running.stop()
        shutil.rmtree(copy, ignore_errors=True)


def read_metrics(text: str) -> dict[str, float]:
    """Sums by name of a Prometheus text."""
    found: dict[str, float] = {}
    for name, value in _SAMPLE.findall(text):
        found[name] = found.get(name, 0.0) + float(value)
    return found
