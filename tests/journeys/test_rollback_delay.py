"""From the decision to roll back to the last answer of the bad version, when all else is slow."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import msgspec
import pytest
from contracts.runtime.hostile import Calls
from contracts.runtime.hostile import version as write_version
from journeys.installation import FILE, MODEL, Installation, free_port, wait_until

from windvane.adapters.clock import open_clock
from windvane.adapters.files import FileRoutingFeed
from windvane.core.execution import Offer, RuntimeName, choose_runtime
from windvane.core.journal import Decision, Effect
from windvane.core.verdict import Outcome, Verdict
from windvane.usecases.actions import About, Asked, action_named, perform
from windvane.usecases.actions.deploy import deploy_version
from windvane.usecases.deliver_effects import NOTIFY
from windvane.usecases.publish_routing import publish_latest

SLOW = "slow-to-load"
LOADS_S = 30.0
WITHIN_S = 2.0
NOTIFICATIONS = 20


@dataclass
class Hanging:
    """A server that takes connections and never says anything."""

    port: int = field(default_factory=free_port)
    taken: list[socket.socket] = field(default_factory=list[socket.socket])

    @contextmanager
    def open(self) -> Iterator[None]:
        with socket.create_server(("127.0.0.1", self.port), backlog=64) as server:
            thread = threading.Thread(target=self._take, args=(server,))
            thread.start()
            try:
                yield
            finally:
                server.shutdown(socket.SHUT_RDWR)
                thread.join(10.0)
                for one in self.taken:
                    one.close()

    def _take(self, server: socket.socket) -> None:
        while True:
            try:
                self.taken.append(server.accept()[0])
            except OSError:
                return


@dataclass
class Watched:
    """A client that asks without pause, and when which version answered (monotonic, s)."""

    home: Installation
    seen: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self.over.set()
            thread.join(30.0)

    def _run(self) -> None:
        row = {"distance": 1.0, "kind": "van", "rain": 0.0}
        headers = {"authorization": f"Bearer {self.home.key}"}
        url = f"{self.home.url}/v1/models/{MODEL}/predict"
        with httpx.Client(timeout=10.0, headers=headers) as client:
            while not self.over.is_set():
                units = [{"features": row, "unit": f"{len(self.seen)}-{i}"} for i in range(4)]
                answer = client.post(url, json={"instances": units})
                assert answer.status_code == 200, answer.text
                at = time.monotonic()
                self.seen += [(at, one["version"]) for one in answer.json()["predictions"]]

    def last(self, version: str) -> float:
        return max((at for at, name in self.seen if name == version), default=0.0)


@pytest.mark.takes_turns
def test_a_rollback_waits_for_no_notification_and_no_load(
    home: Installation, tmp_path: Path
) -> None:
    hanging, clients = Hanging(), Watched(home)
    with (home.home / "windvane.yaml").open("a") as settings:
        settings.write(f'notify: ["json://127.0.0.1:{hanging.port}/"]\n')
    table = str(home.home / "orders.csv")
    home.cli("train", MODEL, table, "--label", "late", "--time", "placed", "--seed", "3")
    (home.home / "slow.yaml").write_text(FILE.replace("model: late\n", f"model: {SLOW}\n"))
    home.cli("apply", str(home.home / "slow.yaml"))
    home.start("up")
    home.wait_ready()
    home.cli("deploy", MODEL, "3")
    with hanging.open(), clients.running(), home.store() as store:
        wait_until("version 3 answers", lambda: clients.last("3") > 0.0)
        clock = open_clock(home.settings.clock)
        feed = FileRoutingFeed(home.settings.routing_file)
        _add_slow_version(home, tmp_path / "slow")
        deploy_version(store, clock, SLOW, "1")
        loading_since = time.monotonic()
        publish_latest(store, feed)
        told = Verdict(Outcome.FAIL, "SLO-203", "it is broken")
        with store.begin([]) as tx:
            for i in range(NOTIFICATIONS):
                body = {"title": f"n{i}", "body": "b", "severity": "high"}
                tx.decide(
                    Decision(f"n{i}", MODEL, "", "s", "note", clock.now(), {}, {}, told,
                             (Effect(NOTIFY, body),))
                )  # fmt: skip
        wait_until("notifications hang", lambda: len(hanging.taken) > 0)
        decided = time.monotonic()
        # The decision alone: what brings it to the gateways is the steward.
        perform(store, clock, action_named("roll-back", About.MODEL), Asked(MODEL, "test"))
        wait_until("all is quiet for a while", lambda: time.monotonic() - decided > 6.0)
        assert time.monotonic() - loading_since < LOADS_S, "the other model loads meanwhile"
        with store.read() as tx:
            waiting = [e for e in tx.due_effects(1e12, 1_000) if e.kind == NOTIFY]
        assert len(waiting) >= NOTIFICATIONS, "nothing was delivered"
    delay = clients.last("3") - decided
    after = [name for at, name in clients.seen if at > decided + WITHIN_S]
    print(f"\nlast answer of the bad version {delay:.2f} s after the decision")
    assert len(after) > 100
    assert set(after) == {"1"}


def _add_slow_version(home: Installation, folder: Path) -> None:
    """One whose loading sleeps, as a very large one would be read."""
    manifest = write_version(folder, Calls(time.sleep, LOADS_S))
    choice = choose_runtime([Offer(RuntimeName.SKLEARN, runs_code=True)])
    with home.store() as store:
        with store.begin() as tx:
            like = tx.version(MODEL, "1")
            tx.add_version(
                replace(
                    like, model=SLOW, version="1", artifact=str(folder), manifest=manifest,
                    lineage={"runtime": msgspec.to_builtins(choice)},
                )
            )  # fmt: skip
        perform(
            store, open_clock(home.settings.clock), action_named("trust", About.VERSION),
            Asked(SLOW, "test", version="1"),
        )  # fmt: skip
