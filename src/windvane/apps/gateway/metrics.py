"""A gateway's own counts, as Prometheus text."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict

from windvane.core.sketch import LATENCY_EDGES_US


class Metrics:
    """Plain integers; rendering is the only cost beyond an addition."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.rows: Counter[tuple[str, str, str]] = Counter()
        self.fallbacks: Counter[tuple[str, str]] = Counter()
        self.latency: dict[str, list[int]] = defaultdict(lambda: [0] * (len(LATENCY_EDGES_US) + 1))
        self.latency_sum_us: Counter[str] = Counter()
        self.routing_seq = 0
        self.started = time.time()

    def observe(self, model: str, latency_us: int) -> None:
        self.latency[model][bisect_left(LATENCY_EDGES_US, latency_us)] += 1
        self.latency_sum_us[model] += latency_us

    def render(self) -> str:
        out = [
            *_counter(
                "windvane_requests_total",
                "Requests by model, tenant and code.",
                ("model", "tenant", "code"),
                self.requests,
            ),
            *_counter(
                "windvane_rows_total",
                "Predicted rows by model, version and arm.",
                ("model", "version", "arm"),
                self.rows,
            ),
            *_counter(
                "windvane_fallbacks_total",
                "Rows answered by another version than was routed.",
                ("model", "version"),
                self.fallbacks,
            ),
            "# HELP windvane_request_seconds Time from the request's first byte to its answer.",
            "# TYPE windvane_request_seconds histogram",
        ]
        for model, counts in sorted(self.latency.items()):
            total = 0
            name = _escape(model)
            for edge, count in zip([*LATENCY_EDGES_US, None], counts, strict=True):
                total += count
                le = "+Inf" if edge is None else f"{edge / 1e6:g}"
                out.append(f'windvane_request_seconds_bucket{{model="{name}",le="{le}"}} {total}')
            seconds = self.latency_sum_us[model] / 1e6
            out.append(f'windvane_request_seconds_sum{{model="{name}"}} {seconds:.6f}')
            out.append(f'windvane_request_seconds_count{{model="{name}"}} {total}')
        out += [
            "# HELP windvane_routing_seq The routing table in use.",
            "# TYPE windvane_routing_seq gauge",
            f"windvane_routing_seq {self.routing_seq}",
            "# HELP windvane_start_time_seconds When this gateway started.",
            "# TYPE windvane_start_time_seconds gauge",
            f"windvane_start_time_seconds {self.started:.3f}",
        ]
        return "\n".join(out) + "\n"


def _counter(
    name: str, text: str, labels: tuple[str, ...], counts: Counter[tuple[str, ...]]
) -> list[str]:
    out = [f"# HELP {name} {text}", f"# TYPE {name} counter"]
    for values, count in sorted(counts.items()):
        pairs = ",".join(f'{k}="{_escape(v)}"' for k, v in zip(labels, values, strict=True))
        out.append(f"{name}{{{pairs}}} {count}")
    return out


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
