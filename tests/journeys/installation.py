"""An installation of its own: real processes, real HTTP, and the means to kill them."""

from __future__ import annotations

import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.sql import SqlControlStore
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.read_settings import Settings, find_settings

MODEL = "late"
FILE = """
model: late
owner: {team: ops, contact: "#ops"}
runbook: docs/runbooks/
predicts: {kind: binary, outcome: late}
unit: customer
features:
  order:
    distance: {type: number, range: [0, 50]}
    kind: {type: category, known: [van, bike]}
  weather:
    rain: {type: number, nullable: true, range: [0, 200]}
serve:
  deadline: 5s
  fallback: [previous, {constant: 0.3}]
watch:
  window: 2s
  grace: 1s
  false_alarms: 1 per week
  latency: 10s
rollout:
  steps: [50%, 100%]
  soak: 2s
train: {min_rows: 500, auc_floor: 0.55}
"""


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def wait_until(what: str, done: Callable[[], Any], within_s: float = 60.0) -> None:
    """Poll ``done`` until it is true; fails after the deadline."""
    deadline = time.monotonic() + within_s
    while not done():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        time.sleep(0.05)


def write_table(path: Path, rows: int = 1_500) -> None:
    """Late when it is far and wet, with noise; the same table every time."""
    dice = random.Random(7)
    with path.open("w") as file:
        file.write("placed,distance,kind,rain,late\n")
        for i in range(rows):
            distance, rain = dice.uniform(0, 50), dice.choice([0.0, 0.0, 3.0, 12.0])
            kind = dice.choice(["van", "bike"])
            late = int(distance / 50 + rain / 24 + dice.gauss(0, 0.3) > 0.75)
            file.write(f"{1_700_000_000 + 60 * i},{distance:.3f},{kind},{rain},{late}\n")


@dataclass
class Installation:
    """One home folder, its processes and its one tenant's key."""

    home: Path
    port: int
    console_port: int
    key: str = ""
    viewer: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(
        default_factory=dict[str, "subprocess.Popen[bytes]"]
    )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> Settings:
        return find_settings({}, self.home)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "WINDVANE_HOME": str(self.home), "OMP_NUM_THREADS": "1"}

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "windvane.apps.cli.main", *words],
            env=self.environment, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip

    def cli(self, *words: str) -> str:
        done = self.command(*words)
        assert done.returncode == 0, f"windvane {words}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """One process by itself, with no supervisor that would start it again."""
        module = "windvane.apps.cli.main" if name == "up" else f"windvane.apps.{name}"
        with (self.home / f"{name}.log").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", module, *(["up"] if name == "up" else [])],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        return self.processes[name]

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait(10)

    def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        self.processes.clear()

    def pid(self, name: str) -> int:
        """The latest pid that the supervisor wrote down for a child."""
        found = [
            int(line.split()[1])
            for line in (self.home / "pids").read_text().splitlines()
            if line.split()[0] == name
        ]
        return found[-1]

    def answers(self, path: str = "/readyz") -> bool:
        try:
            return httpx.get(self.url + path, timeout=2.0).status_code == 200
        except httpx.HTTPError:
            return False

    def wait_ready(self) -> None:
        wait_until("the gateway is ready", self.answers)

    def page(self, path: str) -> httpx.Response:
        """What the console shows to a viewer, by a key of theirs."""
        if not self.viewer:
            self.viewer = self.cli("key", "issue", "desk", "--role", "viewer").strip()
        url = f"http://127.0.0.1:{self.console_port}{path}"
        return httpx.get(url, headers={"authorization": f"Bearer {self.viewer}"}, timeout=30.0)

    @contextmanager
    def store(self) -> Iterator[SqlControlStore]:
        opened = SqlControlStore(self.settings.store_url)
        try:
            yield opened
        finally:
            opened.close()

    def logged(self) -> list[str]:
        """The ids of every row in the log, as answers gave them."""
        return [row["prediction_id"] for row in self.rows()]

    def rows(self) -> list[dict[str, Any]]:
        """Every row in the log."""
        with self.store() as store, store.read() as tx:
            contract = read_model_file(tx.model(MODEL).text).contract
        log = DeltaEventLog(self.settings.log_root, self.settings.log_storage)
        return log.samples(MODEL, contract, 0.0, 4e9, {}, 10_000_000)

    def counted(self) -> int:
        """Rows that the windows have counted."""
        with self.store() as store, store.read() as tx:
            found = tx.sketches(MODEL, 0.0, float("inf"))
        return sum(sketch.total("rows") for _, sketch in found)


@contextmanager
def loaded(home: Installation, clients: int = 3) -> Iterator[Load]:
    """Clients that ask without pause until the block ends."""
    load = Load(home)
    threads = [threading.Thread(target=load.run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.over.set()
        for thread in threads:
            thread.join(60)


class Load:
    """Asks, and asks again where no answer came. ``acknowledged`` are the ids of answers."""

    def __init__(self, home: Installation) -> None:
        self.home = home
        self.over = threading.Event()
        self.acknowledged: set[str] = set()
        self.refused: list[tuple[int, str]] = []
        self.unanswered = 0
        self._ids = itertools.count()

    def run(self) -> None:
        with httpx.Client(timeout=10.0) as client:
            while not self.over.is_set():
                self.ask(client, f"r-{next(self._ids)}")

    def ask(self, client: httpx.Client, request_id: str) -> None:
        # Rows as training had them: of one that is always the same, each feature is stuck.
        n = hash(request_id)
        rain = (0.0, 0.0, 3.0, 12.0)[n // 100 % 4]
        row = {
            "distance": 50.0 * (n % 97) / 97,
            "kind": ("van", "bike")[n // 400 % 2],
            "rain": rain,
        }
        body = {"instances": [{"features": row, "unit": request_id}]}
        headers = {"authorization": f"Bearer {self.home.key}", "x-request-id": request_id}
        address = f"{self.home.url}/v1/models/{MODEL}/predict"
        deadline = time.monotonic() + 60.0
        while time.monotonic() < deadline:
            try:
                answer = client.post(address, json=body, headers=headers)
            except httpx.HTTPError:
                self.unanswered += 1
                time.sleep(0.02)
                continue
            if answer.status_code == 200:
                self.acknowledged.add(answer.json()["request_id"])
            else:
                self.refused.append((answer.status_code, answer.text))
            return
        raise AssertionError(f"{request_id} was not answered within a minute")

    def wait_for(self, more: int) -> None:
        """Until that many further requests are acknowledged."""
        wanted = len(self.acknowledged) + more
        wait_until(f"{more} more answers", lambda: len(self.acknowledged) >= wanted)
