"""What does not change any more is read once: settled windows, published routes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import msgspec

from windvane.apps.console.traffic import Grid, Tally, TrafficSeries, WindowTallies
from windvane.core.routing import ModelRoute
from windvane.ports.control_store import Tx
from windvane.ports.metrics import MetricsBoard
from windvane.usecases.broken_versions import broken_versions
from windvane.usecases.observe_health import Observed, observe
from windvane.usecases.recorded_until import EXPIRE_AFTER_S

_ROUTES = 500
_MODELS = 200
_SETTLED_WINDOWS = 2
_AGAIN_S = 60.0


class Memory:
    """Shared by the threads that read; bounded, oldest forgotten first.

    A window is settled when every recorder's news is well past it. A recorder that was down
    may still add to it, so settled windows are read again once a minute. ``expire_after_s``:
    after which time of the wall a spool that nobody sees is taken for gone.
    """

    def __init__(
        self, expire_after_s: float = EXPIRE_AFTER_S, board: MetricsBoard | None = None
    ) -> None:
        self.expire_after_s = expire_after_s
        self._board = board
        self._lock = threading.Lock()
        self._routes: OrderedDict[tuple[int, str], ModelRoute | None] = OrderedDict()
        self._tallies: OrderedDict[str, tuple[float, dict[float, Tally]]] = OrderedDict()

    def observe(self, tx: Tx, wall: float) -> Observed:
        """What bears on every model, with what this machine's gateways cannot load."""
        return observe(tx, wall, self.expire_after_s, broken_versions(self._board))

    def route(self, tx: Tx, published: Mapping[str, Any], model: str) -> ModelRoute | None:
        """The model's route after what was ``published``: noted with it, or in the table, which
        never changes once stored."""
        noted = published.get("routes", {}).get(model)
        if noted is not None:
            return msgspec.convert(noted, ModelRoute)
        seq = int(published.get("seq", 0))
        key = (seq, model)
        with self._lock:
            if key in self._routes:
                return self._routes[key]
        table = tx.routing(seq)
        route = table.models.get(model) if table else None
        with self._lock:
            self._routes[key] = route
            if len(self._routes) > _ROUTES:
                self._routes.popitem(last=False)
        return route

    def series(self, tx: Tx, grids: Mapping[str, Grid], wall: float) -> Mapping[str, TrafficSeries]:
        """Traffic of each model over its grid, of which only what may have changed is read again,
        of all models at once."""
        known = {model: self._held(model, wall) for model in grids}
        fresh = {model: _first_unknown(given, known[model][1]) for model, given in grids.items()}
        found = {model: WindowTallies(given) for model, given in grids.items()}
        for key, sketch in tx.sketches_since(fresh):
            found[key.model].add(key, sketch)
        out: dict[str, TrafficSeries] = {}
        for model, given in grids.items():
            read_at, held = known[model]
            closed = found[model].closed
            tallies = {s: held.get(s) or closed.get(s) or Tally() for s in given.starts}
            self._hold(model, read_at, {s: n for s, n in tallies.items() if _settled(s, given)})
            out[model] = TrafficSeries.of(given, tallies, found[model].open)
        return out

    def _held(self, model: str, wall: float) -> tuple[float, dict[float, Tally]]:
        with self._lock:
            read_at, held = self._tallies.get(model, (float("-inf"), {}))
        return (read_at, held) if read_at <= wall < read_at + _AGAIN_S else (wall, {})

    def _hold(self, model: str, read_at: float, settled: dict[float, Tally]) -> None:
        with self._lock:
            self._tallies[model] = (read_at, settled)
            self._tallies.move_to_end(model)
            if len(self._tallies) > _MODELS:
                self._tallies.popitem(last=False)


def _first_unknown(given: Grid, held: Mapping[float, Tally]) -> float:
    """From when on to read."""
    first = next((s for s in given.starts if s not in held), given.open)
    return given.read_from if given.starts and first == given.starts[0] else first


def _settled(start: float, given: Grid) -> bool:
    until = start + (1 + _SETTLED_WINDOWS) * given.window_s
    return given.recorded is not None and until <= given.recorded
