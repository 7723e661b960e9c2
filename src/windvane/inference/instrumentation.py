"""What an engine tells of its requests and versions: counts as they end, and how things stand."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence

from windvane.core.execution import ALL_CLOSED, note_execution
from windvane.inference.access import ModelAccess
from windvane.inference.errors import Rejection
from windvane.inference.metrics import Metrics
from windvane.inference.model_queue import Job, ModelQueue, RowOutputs
from windvane.inference.request import InferenceRequest

_AT_A_TIME = 128


class Instrumentation:
    """One worker's, on its metrics. ``jitter`` in [0, 1) shortens a circuit's pause."""

    def __init__(
        self,
        metrics: Metrics,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.metrics = metrics
        self._monotonic = monotonic
        self._jitter = jitter
        self._used: list[ModelAccess] = []
        self._opened = metrics.counts["breaker_opened_total"]
        self._batches = metrics.counts["batches_total"]
        self._batch_rows = metrics.counts["batch_rows_total"]

    def executed(
        self, queue: ModelQueue, jobs: Sequence[Job], outputs: RowOutputs, failed: str | None
    ) -> None:
        """Count an execution, and move the version's circuits."""
        labels = (queue.model, queue.version)
        self._batches[labels] += 1
        self._batch_rows[labels] += len(outputs)
        before = queue.circuits
        if before is ALL_CLOSED and failed is None:  # as nearly always
            return
        asked: list[tuple[str, bool]] = []
        at = 0
        for job in jobs:
            end = at + len(job.rows)
            asked.append((job.tenant, any(isinstance(one, tuple) for one in outputs[at:end])))
            at = end
        after = note_execution(
            before, failed, asked, self._monotonic(), queue.circuit, self._jitter()
        )
        queue.circuits = after
        opened = after.opened - before.opened
        if opened:
            self._opened[labels] += len(opened)

    def answered(self, request: InferenceRequest) -> None:
        access = request.access
        access.ok += 1
        self.metrics.add_latency(request.model, request.latency_us)
        plain = access.route
        for route in request.routes:
            if route is plain:
                access.plain += 1
                continue
            self.metrics.rows[request.model, route.answered, route.arm] += 1
            if route.answered != route.routed:
                self.metrics.fallbacks[request.model, route.routed] += 1

    def flagged(self, model: str, version: str, flags: Sequence[str]) -> None:
        """Of one row, by the version that answered."""
        for flag in flags:
            self.metrics.counts["flagged_rows_total"][model, version, flag] += 1

    def compared(self, model: str, version: str, result: str) -> None:
        """What became of a row that was drawn to be put to the stand-in of ``version``."""
        self.metrics.counts["stand_in_compared_total"][model, version, result] += 1

    def imported(self, access: ModelAccess, rows: int) -> None:
        self.metrics.counts["imported_rows_total"][access.model.route.model, access.tenant] += rows

    def rejected(self, error: Rejection) -> None:
        self.metrics.requests[error.model, error.tenant, error.code] += 1

    def used(self, access: ModelAccess) -> None:
        """What it counted is to be collected."""
        self._used.append(access)

    async def collect(self) -> None:
        """Move what was counted on accesses into the metrics, with a turn of the loop between
        some and the next: a busy worker has used thousands."""
        used = self._used
        for _ in range(0, len(used), _AT_A_TIME):
            for access in used[:_AT_A_TIME]:
                self._collect(access)
            del used[:_AT_A_TIME]
            await asyncio.sleep(0)

    def _collect(self, access: ModelAccess) -> None:
        metrics = self.metrics
        name, tenant = access.model.route.model, access.tenant
        version, arm = access.route.answered, access.route.arm
        if access.ok:
            metrics.requests[name, tenant, "200"] += access.ok
        if access.plain:
            metrics.rows[name, version, arm] += access.plain
        for result, count in (
            ("hit", access.hits), ("shared", access.shared_hits), ("miss", access.misses),
        ):  # fmt: skip
            if count:
                metrics.cache_rows[name, result] += count
        access.start_again()
