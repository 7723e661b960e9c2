"""The versions that are loaded, within a budget of memory, and those that can be."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from windvane.core.execution import BreakerPolicy, adopt_policy
from windvane.core.routing import VersionEntry
from windvane.core.signature import kind_of
from windvane.core.task import Contract, Task
from windvane.inference.batching import execute
from windvane.inference.model_queue import ModelQueue
from windvane.ports.artifacts import Artifacts
from windvane.ports.runtime import (
    CannotLoad,
    Predictor,
    RemotePredictor,
    Runtime,
    UnencodableRow,
    read_background,
)

_log = logging.getLogger(__name__)
_WARM_UPS = 3
_SLOW_ROW_S = 0.001
_FIRST_RETRY_S = 5.0
_LAST_RETRY_S = 300.0

_Key = tuple[str, VersionEntry, str]


class ModelHandle:
    """A version's place in the cache: loaded (``queue``), not loaded, or broken (``error``).
    ``fresh`` until it was its turn to be loaded ahead of its first request."""

    __slots__ = (
        "circuit", "contract", "entry", "error", "failures", "fresh", "loading", "model", "queue",
        "retry_at", "task",
    )  # fmt: skip

    def __init__(
        self,
        model: str,
        entry: VersionEntry,
        contract: Contract,
        task: Task,
        circuit: BreakerPolicy,
    ) -> None:
        self.model = model
        self.entry = entry
        self.contract = contract
        self.task = task
        self.circuit = circuit
        self.queue: ModelQueue | None = None
        self.error: Exception | None = None
        self.failures = 0
        self.fresh = True
        self.retry_at = 0.0
        self.loading: asyncio.Future[None] | None = None


class ModelCache:
    """Loads versions off the loop, warms them up before anybody meets them, and unloads those
    that nobody asked for the longest once ``budget_bytes`` are held.

    ``loaders`` versions load at one time: one that loads slowly keeps no other model waiting.
    """

    def __init__(
        self,
        runtime: Runtime,
        artifacts: Artifacts,
        budget_bytes: int,
        *,
        loaders: int = 2,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runtime = runtime
        self._artifacts = artifacts
        self._budget = budget_bytes
        self._monotonic = monotonic
        self._handles: dict[_Key, ModelHandle] = {}
        self._leaving: list[ModelHandle] = []
        self._loaders = loaders
        self._loader = ThreadPoolExecutor(loaders, "loader")
        # Ending a version may wait for its process; never on the loop.
        self._unloader = ThreadPoolExecutor(1, "unloader")
        self.held_bytes = 0
        self.loads = 0
        self.unloads = 0

    def handle(
        self,
        model: str,
        entry: VersionEntry,
        contract: Contract,
        task: Task,
        circuit: BreakerPolicy | None = None,
    ) -> ModelHandle:
        """The place of this very version; the same one as long as somebody routes to it."""
        key = (model, entry, contract.rows_id)
        found = self._handles.get(key)
        circuit = circuit or BreakerPolicy()
        if found is None:
            found = self._handles[key] = ModelHandle(model, entry, contract, task, circuit)
        else:
            found.circuit = circuit
        return found

    def adopt_circuits(self, handles: Sequence[ModelHandle]) -> None:
        """What their models' files say of circuits holds from now on; on the loop, which moves
        the circuits too."""
        for handle in handles:
            queue = handle.queue
            if queue is not None and queue.circuit != handle.circuit:
                queue.circuits = adopt_policy(queue.circuits, self._monotonic(), handle.circuit)
                queue.circuit = handle.circuit

    def keep_only(self, handles: Sequence[ModelHandle]) -> None:
        """Forget every version that no route names any more."""
        wanted = {id(handle) for handle in handles}
        for key, handle in list(self._handles.items()):
            if id(handle) not in wanted:
                del self._handles[key]
                self._leaving.append(handle)
        self.let_go()

    def let_go(self) -> None:
        """Unload what no route names any more, each once its last request is answered."""
        if not self._leaving:
            return
        leaving, self._leaving = self._leaving, []
        for handle in leaving:
            if handle.loading is not None or (handle.queue is not None and not handle.queue.idle):
                self._leaving.append(handle)
            else:
                self._drop(handle)

    @property
    def queues(self) -> list[ModelQueue]:
        """Every loaded version's."""
        return [h.queue for h in list(self._handles.values()) if h.queue is not None]

    def settled(self, handles: Sequence[ModelHandle]) -> bool:
        """Whether each was loaded, failed to load, or had its turn."""
        return not any(h.fresh and h.queue is None and h.error is None for h in handles)

    async def fill(
        self, handles: Sequence[ModelHandle], on_settled: Callable[[], None] = lambda: None
    ) -> None:
        """Load those that are new, a few at a time in this order, until one takes another's
        room. ``on_settled`` is called whenever one more had its turn."""
        waiting = [handle for handle in handles if handle.fresh]
        full = False

        async def work() -> None:
            nonlocal full
            while waiting and not full:
                handle = waiting.pop(0)
                before = self.unloads
                await self.bring(handle)
                handle.fresh = False
                full = full or self.unloads > before
                on_settled()

        await asyncio.gather(*(work() for _ in range(self._loaders)))
        for handle in handles:
            handle.fresh = False

    async def bring(self, handle: ModelHandle) -> None:
        """Load ``handle`` unless it is loaded or broken; whoever asks meanwhile waits for the
        same load. What goes wrong is kept in ``handle.error`` and tried again later."""
        if handle.queue is not None:
            return
        if handle.error is not None and self._monotonic() < handle.retry_at:
            return
        if handle.loading is None:
            loop = asyncio.get_running_loop()
            handle.loading = loop.create_future()
            work = loop.run_in_executor(self._loader, _load, self._runtime, self._artifacts, handle)
            work.add_done_callback(lambda done: self._loaded(handle, done))
        await asyncio.shield(handle.loading)

    def _loaded(self, handle: ModelHandle, done: asyncio.Future[ModelQueue]) -> None:
        stopped = CannotLoad("the worker is stopping") if done.cancelled() else None
        failure = stopped or done.exception()
        if failure is None:
            queue = handle.queue = done.result()
            queue.circuit = handle.circuit
            handle.error, handle.failures = None, 0
            queue.used = self._monotonic()
            self.held_bytes += queue.predictor.memory
            self.loads += 1
            if (
                self._handles.get((handle.model, handle.entry, handle.contract.rows_id))
                is not handle
            ):
                self._leaving.append(handle)  # for requests that began under an older table
            self._make_room(handle)
        else:
            again = min(_FIRST_RETRY_S * 2.0**handle.failures, _LAST_RETRY_S)
            handle.error = failure if isinstance(failure, Exception) else CannotLoad(repr(failure))
            handle.failures = min(handle.failures + 1, 32)
            handle.retry_at = self._monotonic() + again
            _log.error(
                "model %s version %s did not load, next try in %.0f s: %s",
                handle.model, handle.entry.version, again, handle.error,
            )  # fmt: skip
        loading, handle.loading = handle.loading, None
        if loading is not None and not loading.done():
            loading.set_result(None)

    def _make_room(self, keep: ModelHandle) -> None:
        """Unload the least recently used idle versions until the budget holds."""
        if self.held_bytes <= self._budget:
            return
        # A copy: a thread may be adding the handles of the next table.
        held = list(self._handles.values())
        others = [(h.queue.used, i, h) for i, h in enumerate(held) if h.queue]
        for _, _, handle in sorted(others, key=lambda other: other[:2]):
            if self.held_bytes <= self._budget:
                return
            if handle is not keep and handle.queue is not None and handle.queue.idle:
                self._drop(handle)

    def _drop(self, handle: ModelHandle) -> None:
        queue, handle.queue = handle.queue, None
        if queue is not None:
            self.held_bytes -= queue.predictor.memory
            self.unloads += 1
            if queue.predictor.blocking:
                self._unloader.submit(queue.close)
            else:
                queue.close()

    def close(self) -> None:
        """Wait until every version has ended."""
        self._loader.shutdown(wait=False, cancel_futures=True)
        for handle in [*self._handles.values(), *self._leaving]:
            self._drop(handle)
        self._unloader.shutdown(wait=True)


def _load(runtime: Runtime, artifacts: Artifacts, handle: ModelHandle) -> ModelQueue:
    """Check the files, load them, and run a row a few times before any traffic."""
    entry = handle.entry
    artifact = artifacts.open(entry.artifact, entry.manifest)
    background = read_background(artifact).by_names(handle.contract.names)
    predictor = runtime.load(artifact, handle.contract, trusted=entry.trusted)
    try:
        row_s = 0.0
        if not isinstance(predictor, RemotePredictor):
            row_s = warm_up(predictor, handle.task, handle.contract)
    except Exception:
        predictor.close()
        raise
    return ModelQueue(
        handle.model, entry.version, predictor, handle.task, row_s, handle.circuit,
        threaded=row_s > _SLOW_ROW_S, background=background,
    )  # fmt: skip


def warm_up(predictor: Predictor, task: Task, contract: Contract) -> float:
    """The least seconds that a row took of a few plain ones. Raises what the version raised."""
    row = plain_row(contract)
    return min(_time_a_row(predictor, task, row) for _ in range(_WARM_UPS))


def plain_row(contract: Contract) -> tuple[Any, ...]:
    """A row that keeps the contract and has nothing missing."""
    return tuple(kind_of(spec).plain(spec) for spec in contract.features)


def _time_a_row(predictor: Predictor, task: Task, row: Sequence[Any]) -> float:
    try:
        inputs = predictor.encode(row)
    except UnencodableRow:  # a name that the version was not trained on; no fault of its own
        inputs = predictor.encode([None if isinstance(v, str) else v for v in row])
    began = time.perf_counter()
    found = execute(predictor, task, [inputs])
    if isinstance(found, Exception):
        raise found
    return time.perf_counter() - began
