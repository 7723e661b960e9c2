"""What ``windvane status`` says of the installation itself, before it tells of models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from windvane.apps.cli import wiring
from windvane.apps.cli.running import find_holder
from windvane.core.health import (
    Dependency,
    DependencyState,
    judge_disk,
    judge_routing_file,
    judge_watchers,
    readiness,
)
from windvane.usecases.observe_watchers import observe_watchers

if TYPE_CHECKING:
    from windvane.ports.control_store import Tx
    from windvane.usecases.read_settings import Settings


@dataclass(frozen=True, slots=True)
class Installation:
    """``nothing_up``: no process serves the home, and no steward elsewhere works on its store.
    ``pending``: what is not on record yet, a sentence each."""

    home: str
    nothing_up: bool
    dependencies: tuple[Dependency, ...]
    pending: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "up": not self.nothing_up,
            "status": "down" if self.nothing_up else readiness(self.dependencies, ()),
            "dependencies": self.dependencies,
            "pending": self.pending,
        }

    def lines(self) -> list[str]:
        """What is not as it should be, a sentence each."""
        if self.nothing_up:
            nothing = f"Nothing is up on {self.home}: no request is answered, no model is watched."
            return [f"{nothing} Next: `windvane up`."]
        bad = [one for one in self.dependencies if one.state is not DependencyState.OK]
        lines = [f"{one.name} {one.state.value} ({one.code}): {one.why}" for one in bad]
        lines += self.pending
        return [*lines, "`windvane doctor` says what to do."] if lines else []


def observe_installation(tx: Tx, settings: Settings) -> Installation:
    """By what the processes last left in the control store, and the file that gateways read."""
    watchers = observe_watchers(tx, wiring.clock(settings).wall())
    found = [judge_disk(wiring.free_bytes(settings)), *judge_watchers(watchers)]
    try:
        table = wiring.routing_feed(settings).latest()
    except Exception as error:  # of whatever is wrong with a file
        why = f"it cannot be read: {type(error).__name__}: new workers have no table"
        found.append(judge_routing_file(None, watchers.routing_seq, why))
    else:
        seq = None if table is None else table.seq
        found.append(judge_routing_file(seq, watchers.routing_seq))
    nobody = find_holder(settings.folder) is None and not watchers.shards_held
    return Installation(str(settings.folder), nobody, tuple(found), tuple(_pending(settings)))


def _pending(settings: Settings) -> list[str]:
    """What was done while the control database was away, and is not on record yet."""
    held = wiring.pending_rollbacks(settings)
    lines = [
        f"version {one.version} of {one.model} was rolled back without the control database; it "
        "goes on record when a steward runs"
        for one in held.waiting()
    ]
    lines += [f"{name} in {settings.pending_folder} cannot be read" for name in held.set_aside()]
    return lines
