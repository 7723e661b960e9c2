"""The versions that are loaded, within a budget of memory, and those that can be."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from windvane.apps.gateway.batcher import Lane
from windvane.core.routing import VersionEntry
from windvane.ports.artifacts import Artifacts
from windvane.ports.runtime import CannotLoad, Predictor, Runtime, UnencodableRow

_log = logging.getLogger(__name__)
_WARM_UPS = 3
_SLOW_ROW_S = 0.001
_FIRST_RETRY_S = 5.0
_LAST_RETRY_S = 300.0


class Slot:
    """A version's place on the shelf: loaded (``lane``), not loaded, or broken (``error``).
    ``fresh`` until it was its turn to be loaded ahead of its first request."""

    __slots__ = (
        "entry", "error", "failures", "fresh", "lane", "loading", "model", "retry_at", "row",
        "schema",
    )  # fmt: skip

    def __init__(
        self, model: str, entry: VersionEntry, schema: tuple[str, ...], row: tuple[Any, ...]
    ) -> None:
        self.model = model
        self.row = row
        self.entry = entry
        self.schema = schema
        self.lane: Lane | None = None
        self.error: Exception | None = None
        self.failures = 0
        self.fresh = True
        self.retry_at = 0.0
        self.loading: asyncio.Future[None] | None = None


class Shelf:
    """Loads versions off the loop, warms them up before anybody meets them, and unloads those
    that nobody asked for the longest once ``budget_bytes`` are held."""

    def __init__(self, runtime: Runtime, artifacts: Artifacts, budget_bytes: int) -> None:
        self._runtime = runtime
        self._artifacts = artifacts
        self._budget = budget_bytes
        self._slots: dict[tuple[str, VersionEntry, tuple[str, ...]], Slot] = {}
        self._leaving: list[Slot] = []
        # One at a time: loading is work, and requests go on meanwhile.
        self._loader = ThreadPoolExecutor(1, "loader")
        self.held_bytes = 0
        self.loads = 0
        self.unloads = 0

    def slot(
        self,
        model: str,
        entry: VersionEntry,
        schema: tuple[str, ...],
        row: tuple[Any, ...] | None = None,
    ) -> Slot:
        """The place of this very version; the same one as long as somebody routes to it.

        ``row`` is what it is warmed up with, in the schema's order; nothing but nulls if None.
        """
        row = (None,) * len(schema) if row is None else row
        key = (model, entry, schema)
        found = self._slots.get(key)
        if found is None:
            found = self._slots[key] = Slot(model, entry, schema, row)
        return found

    def keep_only(self, slots: Sequence[Slot]) -> None:
        """Forget every version that no route names any more."""
        wanted = {id(slot) for slot in slots}
        for key, slot in list(self._slots.items()):
            if id(slot) not in wanted:
                del self._slots[key]
                self._leaving.append(slot)
        self.let_go()

    def let_go(self) -> None:
        """Unload what no route names any more, each once its last request is answered."""
        if not self._leaving:
            return
        leaving, self._leaving = self._leaving, []
        for slot in leaving:
            if slot.loading is not None or (slot.lane is not None and not slot.lane.idle):
                self._leaving.append(slot)
            else:
                self._drop(slot)

    @property
    def lanes(self) -> list[Lane]:
        """Every loaded version's."""
        return [slot.lane for slot in list(self._slots.values()) if slot.lane is not None]

    async def fill(self, slots: Sequence[Slot]) -> None:
        """Load those that are new, in this order, until one takes another's room."""
        for slot in slots:
            if not slot.fresh:
                continue
            before = self.held_bytes
            await self.bring(slot)
            slot.fresh = False
            lane = slot.lane
            if lane is not None and self.held_bytes < before + lane.predictor.memory:
                break
        for slot in slots:
            slot.fresh = False

    async def bring(self, slot: Slot) -> None:
        """Load ``slot`` unless it is loaded or broken; whoever asks meanwhile waits for the
        same load. What goes wrong is kept in ``slot.error`` and tried again later."""
        if slot.lane is not None or (slot.error is not None and time.monotonic() < slot.retry_at):
            return
        if slot.loading is None:
            loop = asyncio.get_running_loop()
            slot.loading = loop.create_future()
            work = loop.run_in_executor(self._loader, _load, self._runtime, self._artifacts, slot)
            work.add_done_callback(lambda done: self._loaded(slot, done))
        await asyncio.shield(slot.loading)

    def _loaded(self, slot: Slot, done: asyncio.Future[Lane]) -> None:
        stopped = CannotLoad("the worker is stopping") if done.cancelled() else None
        failure = stopped or done.exception()
        if failure is None:
            slot.lane, slot.error, slot.failures = done.result(), None, 0
            slot.lane.used = time.monotonic()
            self.held_bytes += slot.lane.predictor.memory
            self.loads += 1
            if self._slots.get((slot.model, slot.entry, slot.schema)) is not slot:
                self._leaving.append(slot)  # for requests that began under an older table
            self._make_room(slot)
        else:
            again = min(_FIRST_RETRY_S * 2.0**slot.failures, _LAST_RETRY_S)
            slot.error = failure if isinstance(failure, Exception) else CannotLoad(repr(failure))
            slot.failures += 1
            slot.retry_at = time.monotonic() + again
            _log.error(
                "model %s version %s did not load, next try in %.0f s: %s",
                slot.model, slot.entry.version, again, slot.error,
            )  # fmt: skip
        loading, slot.loading = slot.loading, None
        if loading is not None and not loading.done():
            loading.set_result(None)

    def _make_room(self, keep: Slot) -> None:
        """Unload the least recently used idle versions until the budget holds."""
        if self.held_bytes <= self._budget:
            return
        # A copy: a thread may be adding the slots of the next table.
        held = list(self._slots.values())
        others = [(s.lane.used, i, s) for i, s in enumerate(held) if s.lane]
        for _, _, slot in sorted(others):
            if self.held_bytes <= self._budget:
                return
            if slot is not keep and slot.lane is not None and slot.lane.idle:
                self._drop(slot)

    def _drop(self, slot: Slot) -> None:
        lane, slot.lane = slot.lane, None
        if lane is not None:
            self.held_bytes -= lane.predictor.memory
            self.unloads += 1
            lane.close()

    def close(self) -> None:
        self._loader.shutdown(wait=False, cancel_futures=True)
        for slot in [*self._slots.values(), *self._leaving]:
            self._drop(slot)


def _load(runtime: Runtime, artifacts: Artifacts, slot: Slot) -> Lane:
    """Check the files, load them, and run a row a few times before any traffic."""
    entry = slot.entry
    artifact = artifacts.open(entry.artifact, entry.manifest)
    predictor: Predictor = runtime.load(artifact, slot.schema, trusted=entry.trusted)
    try:
        row_s = min(_time_a_row(predictor, slot.row) for _ in range(_WARM_UPS))
    except Exception:
        predictor.close()
        raise
    apart = row_s > _SLOW_ROW_S
    return Lane(slot.model, entry.version, predictor, row_s, apart=apart)


def _time_a_row(predictor: Predictor, row: Sequence[Any]) -> float:
    try:
        inputs = predictor.encode(row)
    except UnencodableRow:  # a name that the version was not trained on; no fault of its own
        inputs = predictor.encode([None if isinstance(v, str) else v for v in row])
    began = time.perf_counter()
    predictor.predict([inputs])
    return time.perf_counter() - began
