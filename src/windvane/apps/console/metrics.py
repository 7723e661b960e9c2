"""All workers' metrics as one Prometheus text: counters summed, gauges by worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from windvane.ports.metrics import Series
from windvane.ports.quarantine import Counted, CountName

PREFIX = "windvane_"
RECORDERS = "recorders"  # the name under which their counts are beside those of workers
SERIES = 5_000  # of one metric of these, the first by their labels
_OF_RECORDERS: Mapping[str, tuple[tuple[str, ...], str]] = {
    CountName.QUARANTINED: (
        ("kind", "reason"), "What was set aside because it could not be processed",
    ),
    CountName.NOT_HELD: (
        ("kind", "reason"), "What was set aside beyond the bounds, and is counted only",
    ),
    CountName.LATE_EVENTS: (("model",), "Events recorded after their window was judged"),
    CountName.SPOOL_LOST_BYTES: ((), "Bytes of spools, damaged or gone before they were read"),
    CountName.DECISIONS: (("model", "action"), "Decisions, by what was done"),
    CountName.RETENTION_ROWS: (
        ("kind",), "Rows that were rolled up, emptied or removed because of their age",
    ),
    CountName.WATCHING: (("monitor",), "CPU time that monitors used, in milliseconds"),
}  # fmt: skip


def recorder_series(counts: Mapping[Counted, int], most: int = SERIES) -> list[Series]:
    """What recorders and stewards of all machines counted in the control database."""
    out: list[Series] = []
    for name, (labels, text) in _OF_RECORDERS.items():
        values = [
            ((counted.subject, counted.reason)[: len(labels)], [float(n)])
            for counted, n in counts.items()
            if counted.name == name
        ][:most]
        if not labels and not values:
            values = [((), [0.0])]
        out.append(Series(f"{name}_total", "counter", text, labels, values))
    return out


def render(posted: Mapping[str, Sequence[Series]]) -> str:
    """Prometheus' text format 0.0.4 of what each worker posted."""
    held: dict[str, Series] = {}
    sums: dict[str, dict[tuple[str, ...], list[float]]] = {}
    for worker, series in sorted(posted.items()):
        for one in series:
            first = held.setdefault(one.name, one)
            if (one.kind, one.labels, one.edges) != (first.kind, first.labels, first.edges):
                continue  # of another release, during an upgrade: what differs cannot be added
            into = sums.setdefault(one.name, {})
            for labels, values in one.values:
                # A gauge is how things stand with one worker: no sum of them means anything.
                key = (*labels, worker) if one.kind == "gauge" else tuple(labels)
                have = into.get(key)
                both = zip(have, values, strict=True) if have else None
                into[key] = [a + b for a, b in both] if both else list(values)
    return "".join(
        line for name in sorted(held) for line in _lines(held[name], sorted(sums[name].items()))
    )


def _lines(series: Series, values: Sequence[tuple[tuple[str, ...], list[float]]]) -> Iterator[str]:
    name = PREFIX + series.name
    labels = (*series.labels, "worker") if series.kind == "gauge" else tuple(series.labels)
    yield f"# HELP {name} {series.text}\n# TYPE {name} {series.kind}\n"
    for key, found in values:
        if series.kind != "histogram":
            yield f"{name}{_braced(labels, key)} {_number(found[0])}\n"
            continue
        total = 0.0
        for edge, count in zip([*series.edges, None], found[:-1], strict=True):
            total += count
            le = "+Inf" if edge is None else f"{edge:g}"
            yield f"{name}_bucket{_braced((*labels, 'le'), (*key, le))} {_number(total)}\n"
        yield f"{name}_sum{_braced(labels, key)} {found[-1]:.6f}\n"
        yield f"{name}_count{_braced(labels, key)} {_number(total)}\n"


def _braced(labels: Sequence[str], values: Sequence[str]) -> str:
    if not labels:
        return ""
    pairs = ",".join(f'{k}="{_escape(v)}"' for k, v in zip(labels, values, strict=True))
    return f"{{{pairs}}}"


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else f"{value:.6f}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
