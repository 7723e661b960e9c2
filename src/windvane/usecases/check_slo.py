"""Whether the objectives of a model's file can be judged by what is counted."""

from __future__ import annotations

from bisect import bisect_left

from windvane.core.errors import did_you_mean
from windvane.core.signature import MAX_MAGNITUDE
from windvane.core.sketch import LATENCY_EDGES_US
from windvane.core.task import TaskSpec, make_task
from windvane.usecases.read_model_file import (
    BadModelFile,
    ModelFile,
    Slo,
    as_duration,
    parse_duration,
    parse_quantile,
    parse_share,
)

_USUAL = ("p50", "p75", "p90", "p95", "p99", "p99.9")
_MOST_QUANTILES = 4
_MOST_VIEWS = 4
MOST_OBJECTIVES = _MOST_QUANTILES + _MOST_VIEWS + 2
_LEAST_OVER, _MOST_OVER = "1d", "90d"


def check_slo(file: ModelFile) -> None:
    """Raises BadModelFile."""
    slo = file.slo
    if slo is None:
        return
    if not slo.availability and not slo.latency and not slo.freshness and not slo.quality:
        hint = "for example {availability: 99.9%, latency: {p99: 50ms}}"
        raise BadModelFile("slo: it has no objective", hint=hint)
    if slo.availability:
        _check_share("slo.availability", slo.availability, 0.999999, "for example 99.9%")
    _check_quality(slo, file.contract.task)
    if len(slo.latency) > _MOST_QUANTILES:
        raise BadModelFile(f"slo.latency: {len(slo.latency)} quantiles, {_MOST_QUANTILES} allowed")
    for name, limit in slo.latency.items():
        _check_latency(name, limit)
    if len(slo.freshness) > _MOST_VIEWS:
        raise BadModelFile(f"slo.freshness: {len(slo.freshness)} views, {_MOST_VIEWS} allowed")
    for view, share in slo.freshness.items():
        if view not in file.watch.fresh:
            hint = f"`watch.fresh: {{{view[:80]}: {{time: FEATURE, within: 2h}}}}` declares it"
            message = f"slo.freshness: how old rows of {view[:80]!r} may be is not declared"
            raise BadModelFile(message, hint=hint)
        _check_share(f"slo.freshness.{view}", share, 0.999999, "for example 99%")
    try:
        over_s = parse_duration(slo.over)
    except ValueError as error:
        raise BadModelFile(f"slo.over: {error}") from error
    if not parse_duration(_LEAST_OVER) <= over_s <= parse_duration(_MOST_OVER):
        raise BadModelFile(f"slo.over must be from {_LEAST_OVER} to {_MOST_OVER}")


def _check_share(field: str, given: str, most: float, example: str) -> None:
    try:
        share = parse_share(given)
    except ValueError as error:
        raise BadModelFile(f"{field}: {error}") from error
    if not 0.5 <= share <= most:
        hint = f"{example}; nothing is always there or right: 100% leaves no budget"
        raise BadModelFile(f"{field} must be from 50% to {most * 100:.6g}%", hint=hint)


def _check_quality(slo: Slo, spec: TaskSpec) -> None:
    if not slo.quality:
        if slo.max_loss is not None:
            raise BadModelFile("slo.max_loss: it is of slo.quality, which is not there")
        return
    _check_share("slo.quality", slo.quality, 0.9999, "for example 90%")
    if slo.max_loss is None and not make_task(spec).decides:
        message = f"slo.quality: an answer of a {spec.kind} is neither right nor wrong by itself"
        raise BadModelFile(message, hint="slo.max_loss says what a row may cost, such as 10")
    if slo.max_loss is not None and not 0.0 <= slo.max_loss <= MAX_MAGNITUDE:
        raise BadModelFile(f"slo.max_loss must be from 0 to {MAX_MAGNITUDE:g}")


def _check_latency(name: str, limit: str) -> None:
    try:
        parse_quantile(name)
    except ValueError as error:
        raise BadModelFile(f"slo.latency: {error}", hint=did_you_mean(name, _USUAL)) from error
    field = f"slo.latency.{name}"
    try:
        limit_us = parse_duration(limit) * 1e6
    except ValueError as error:
        raise BadModelFile(f"{field}: {error}") from error
    # Whether an answer that lies in the same bin as the limit was in time, nobody can tell later.
    if round(limit_us) not in LATENCY_EDGES_US or abs(limit_us - round(limit_us)) > 1e-6:
        at = bisect_left(LATENCY_EDGES_US, limit_us)
        near = [_written(edge) for edge in LATENCY_EDGES_US[max(0, at - 1) : at + 1]]
        message = f"{field}: answers are counted by bins of time, and {limit} is no edge of one"
        raise BadModelFile(message, hint=f"take {' or '.join(near)}")


def _written(edge_us: int) -> str:
    return f"{edge_us / 1e3:g}ms" if edge_us < 1_000_000 else as_duration(edge_us / 1e6)
