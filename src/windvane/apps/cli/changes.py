"""What a command that changed something says of it: which home, and which gateways took it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windvane.apps.cli import wiring
from windvane.apps.cli.output import err
from windvane.apps.cli.running import find_holder

if TYPE_CHECKING:
    from windvane.ports.control_store import ControlStore
    from windvane.usecases.read_settings import Settings

TAKEN_WITHIN_S = 5.0
NOT_WAITED_FOR = "not waited for; `windvane doctor` says whether they have taken it"
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Worker:
    """A gateway's worker of this home that posts, and the number of the routing table that it
    answers by."""

    name: str
    seq: int


def say_home(settings: Settings) -> None:
    """On the error output, so that a program reads the answer alone."""
    err.print(f"  home      {settings.folder}")


def publish(settings: Settings, store: ControlStore, *, wait: bool = True) -> None:
    """Hand the newest routing table to the gateways, and say which home was changed and which
    of its gateways have it. Waits for those that run, TAKEN_WITHIN_S at most; those that have
    not taken it by then are named, and it is no error: the change is made, and they follow."""
    from windvane.usecases.publish_routing import publish_latest

    feed = wiring.routing_feed(settings)
    publish_latest(store, feed)
    say_home(settings)
    table = feed.latest()
    if table is None:
        return
    if not wait:
        err.print(f"  gateways  {NOT_WAITED_FOR}")
        return
    with err.status("waiting for the gateways"):
        workers = await_taken(lambda: wiring.gateway_workers(settings), table.seq)
    up = find_holder(settings.folder) is not None
    err.print(f"  gateways  {taken_sentence(workers, table.seq, up=up)}")


def await_taken(
    look: Callable[[], Sequence[Worker]],
    seq: int,
    *,
    within_s: float = TAKEN_WITHIN_S,
    now: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Sequence[Worker]:
    """The workers once all of them have table ``seq`` or a later one, or when the time is up."""
    deadline = now() + within_s
    while True:
        workers = look()
        if all(worker.seq >= seq for worker in workers) or now() >= deadline:
            return workers
        pause(_LOOK_EVERY_S)


def taken_sentence(workers: Sequence[Worker], seq: int, *, up: bool = False) -> str:
    """Which of them have it. ``up``: a supervisor runs, so that there are workers, though none
    posts: they cannot while the disk is full, and do not yet while they start."""
    if not workers and up:
        return "not known: none that runs says which table it has. `windvane doctor` says why"
    if not workers:
        return "none runs on this home now; whichever starts takes it"
    late = [worker.name for worker in workers if worker.seq < seq]
    taken = f"{len(workers) - len(late)} of {len(workers)} have taken it"
    if not late:
        return taken
    who = ", ".join(late)
    return f"{taken}; not yet after {TAKEN_WITHIN_S:.0f} s: {who}. `windvane doctor` says why"
