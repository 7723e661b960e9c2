"""What a worker tells of its versions: executions as they end, and how things stand now."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable

from windvane.apps.gateway.access import Way
from windvane.apps.gateway.batcher import BREAKER, Lane
from windvane.apps.gateway.live import LiveTable
from windvane.apps.gateway.metrics import Metrics
from windvane.apps.gateway.steps import Parts
from windvane.core.execution import CLOSED, Circuit, note


def noting(metrics: Metrics) -> Callable[[Lane, int, int, bool], None]:
    """Hears of every execution: counts it, and moves the version's circuit."""
    opened = metrics.counts["breaker_opened_total"]
    batches, batch_rows = metrics.counts["batches_total"], metrics.counts["batch_rows_total"]

    def on_result(lane: Lane, jobs: int, rows: int, failed: bool) -> None:
        labels = (lane.model, lane.version)
        batches[labels] += 1
        batch_rows[labels] += rows
        before = lane.breaker
        if before is CLOSED and not failed:  # as nearly always
            return
        lane.breaker = note(before, failed, time.monotonic(), BREAKER, random.random())
        for _ in range(jobs - 1):  # probes that met in one execution report one by one
            if lane.breaker.circuit is not Circuit.HALF_OPEN:
                break
            lane.breaker = note(lane.breaker, failed, time.monotonic(), BREAKER, random.random())
        if lane.breaker.circuit is Circuit.OPEN and before.circuit is not Circuit.OPEN:
            opened[labels] += 1

    return on_result


def collect(metrics: Metrics, ways: Iterable[Way]) -> None:
    """Move what was counted on the ways into the metrics."""
    for way in ways:
        name, tenant = way.model.route.model, way.tenant
        version, arm = way.pick
        if way.ok:
            metrics.requests[name, tenant, "200"] += way.ok
        if way.plain:
            metrics.rows[name, version, arm] += way.plain
        for result, count in (
            ("hit", way.hits), ("shared", way.shared_hits), ("miss", way.misses),
        ):  # fmt: skip
            if count:
                metrics.cache_rows[name, result] += count
        way.start_again()


def tell_metrics(metrics: Metrics, parts: Parts, live: LiveTable | None) -> None:
    """Set the gauges, and the counters that others keep, before the metrics are posted."""
    lanes = parts.shelf.lanes
    loads, unloads = metrics.counts["loads_total"], metrics.counts["unloads_total"]
    loads[()] += parts.shelf.loads
    unloads[()] += parts.shelf.unloads
    parts.shelf.loads = parts.shelf.unloads = 0
    metrics.gauges.update(
        routing_seq={(): float(live.seq if live else 0)},
        requests_under_way={(): float(parts.under_way)},
        cache_bytes={(): float(parts.cache.bytes)},
        models_loaded={(): float(len(lanes))},
        model_bytes={(): float(parts.shelf.held_bytes)},
        breaker_open={
            (lane.model, lane.version): 1.0
            for lane in lanes
            if lane.breaker.circuit is not Circuit.CLOSED
        },
        limits_degraded={(): float(parts.limiter.degraded)},
    )
