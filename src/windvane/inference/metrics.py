"""A worker's own counts. Adding one is a plain addition; rendering is another process's work."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from windvane.core.sketch import LATENCY_EDGES_US
from windvane.ports.metrics import OTHER, Series

_EDGES_S = tuple(edge / 1e6 for edge in LATENCY_EDGES_US)
_COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "requests_total": ("Requests by model, tenant and code.", ("model", "tenant", "code")),
    "rows_total": ("Predicted rows by model, version and arm.", ("model", "version", "arm")),
    "fallbacks_total": (
        "Rows answered by another version than was routed.",
        ("model", "version"),
    ),
    "stand_in_compared_total": (
        "Rows put to a version's stand-in, too, by result (answered, silent, left_out).",
        ("model", "version", "result"),
    ),
    "cache_rows_total": (
        "Rows looked up in the cache, by result (hit, shared, miss).",
        ("model", "result"),
    ),
    "flagged_rows_total": (
        "Rows whose outputs are odd, by what is odd about them.",
        ("model", "version", "flag"),
    ),
    "batches_total": ("Executions of a version.", ("model", "version")),
    "batch_rows_total": ("Rows of those executions.", ("model", "version")),
    "breaker_opened_total": ("Times that a version's circuit opened.", ("model", "version")),
    "loads_total": ("Versions loaded.", ()),
    "imported_rows_total": ("Predictions made elsewhere that were told.", ("model", "tenant")),
    "idempotency_replays_total": ("Answers given again for an idempotency key.", ()),
    "idempotency_failures_total": (
        "Calls of the store of idempotency keys that were not carried out.",
        (),
    ),
    "traces_dropped_total": ("Traces of requests that were sampled and not exported.", ()),
    "unloads_total": ("Versions unloaded to stay within the memory budget.", ()),
}
_HISTOGRAM = "request_seconds"
_GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "routing_seq": ("The routing table in use.", ()),
    "start_time_seconds": ("When this worker started.", ()),
    "requests_under_way": ("Predictions being answered now.", ()),
    "cache_bytes": ("Bytes held by the cache.", ()),
    "models_loaded": ("Versions in memory.", ()),
    "model_bytes": ("Bytes held by them, about.", ()),
    "version_broken": ("1 while this worker cannot load a version.", ("model", "version")),
    "breaker_open": ("1 while a version's circuit is open or half open.", ("model", "version")),
    "idempotency_degraded": ("1 while a repeated request may be answered twice.", ()),
    "limits_degraded": ("1 while limits hold for this machine only.", ()),
}
TENANTS = 200
"""Of a model, that a worker counts by their names: the first that it meets; then OTHER. They are
the same after a restart, so that no counter falls."""
_BY_TENANT = ("requests_total", "imported_rows_total")


class Metrics:
    """Counts by name and label values; ``gauges`` are set before they are posted."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[tuple[str, ...]]] = {n: Counter() for n in _COUNTERS}
        self.requests = self.counts["requests_total"]
        self.rows = self.counts["rows_total"]
        self.fallbacks = self.counts["fallbacks_total"]
        self.cache_rows = self.counts["cache_rows_total"]
        self.latency: dict[str, list[int]] = defaultdict(lambda: [0] * (len(LATENCY_EDGES_US) + 1))
        self.latency_sum_us: Counter[str] = Counter()
        self._named: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self.gauges: dict[str, dict[tuple[str, ...], float]] = {
            "start_time_seconds": {(): time.time()}
        }

    def add_latency(self, model: str, latency_us: int) -> None:
        """One answered request's time, in microseconds."""
        self.latency[model][bisect_left(LATENCY_EDGES_US, latency_us)] += 1
        self.latency_sum_us[model] += latency_us

    def series(self) -> list[Series]:
        """Everything, to be posted."""
        self._bound_tenants()
        out = [
            Series(name, "counter", text, labels, [(k, [float(v)]) for k, v in held.items()])
            for name, (text, labels) in _COUNTERS.items()
            # From 0 on, so that an increase over time does not miss the first.
            if (held := self.counts[name] or ({} if labels else {(): 0}))
        ]
        latencies = [
            ((model,), [*map(float, counts), self.latency_sum_us[model] / 1e6])
            for model, counts in self.latency.items()
        ]
        text = "Time from the request's first byte to its answer."
        out.append(Series(_HISTOGRAM, "histogram", text, ("model",), latencies, _EDGES_S))
        out += [
            Series(name, "gauge", text, labels, [(k, [v]) for k, v in self.gauges[name].items()])
            for name, (text, labels) in _GAUGES.items()
            if name in self.gauges
        ]
        return out

    def _bound_tenants(self) -> None:
        """Fold those beyond the bound into one. Here, once a second, and not for each request."""
        for name in _BY_TENANT:
            held = self.counts[name]
            if len(held) <= TENANTS:
                continue
            for key in list(held):
                model, tenant, *rest = key
                named = self._named[model]
                if tenant in named or tenant == OTHER:
                    continue
                if len(named) < TENANTS:
                    named[tenant] = None
                else:
                    held[model, OTHER, *rest] += held.pop(key)

    def go_on_from(self, series: Sequence[Series]) -> None:
        """Begin where the worker before this one ended, so that no counter falls."""
        for one in series:
            if one.kind == "counter" and one.name in self.counts:
                held = self.counts[one.name]
                for labels, (value, *_) in one.values:
                    held[tuple(labels)] += int(value)
            elif one.name == _HISTOGRAM and one.edges == _EDGES_S:
                for (model, *_), values in one.values:
                    counts = self.latency[model]
                    for i, value in enumerate(values[:-1]):
                        counts[i] += int(value)
                    self.latency_sum_us[model] += round(values[-1] * 1e6)


def metric_names() -> Mapping[str, str]:
    """Every metric's name (with the prefix) and what it says."""
    named = {**_COUNTERS, **_GAUGES, _HISTOGRAM: ("Time to answer.", ("model",))}
    return {f"windvane_{name}": text for name, (text, _) in named.items()}
