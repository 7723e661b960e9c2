"""Profile a version: what ``windvane profile`` starts, with the order on its standard input."""

from __future__ import annotations

import json
import sys

import msgspec

from windvane.apps.trainer import wiring
from windvane.apps.trainer.progress import out, run, steps
from windvane.apps.trainer.tables import read_order_table
from windvane.apps.trainer.wiring import Column
from windvane.core.execution import Optimization, Option
from windvane.core.task import metric_name
from windvane.usecases.accept_candidate import applied
from windvane.usecases.optimization_options import ProfileOrder
from windvane.usecases.profile_version import AS_SERVED, VersionProfile, profile_version


def main() -> int:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=ProfileOrder)
    log = wiring.settings().folder / "logs" / "profile.log"
    return run(lambda: _profile(order), order.model, log)


def _profile(order: ProfileOrder) -> None:
    settings = wiring.settings()
    store = wiring.store(settings)
    contract = applied(store, order.model).file.contract
    with steps(quiet=order.as_json) as on_step:
        data = None
        if order.data:
            data = read_order_table(order, contract, on_step)
        with wiring.registration_services(settings, store) as services:
            profile = profile_version(
                wiring.profile_services(settings, services), order.model, order.version or None,
                data, order.options, on_step,
            )  # fmt: skip
    if order.as_json:
        out.print(json.dumps(msgspec.to_builtins(profile)))
        return
    _print_profile(profile)


def _print_profile(profile: VersionProfile) -> None:
    out.print(
        f"{profile.model} version {profile.version}, served by {profile.runtime}, on "
        f"{profile.rows:,} rows of {profile.source}",
    )
    p99 = "" if profile.request.p99_s is None else f", 99th percentile {_us(profile.request.p99_s)}"
    out.print(
        f"a request of one row takes {_us(profile.request.median_s)} µs (median{p99}, "
        f"{profile.request.executions:,} requests one at a time, HTTP not included)",
    )
    out.print()
    out.table(
        [Column("step"), Column("µs", right=True), Column("share", right=True)],
        [[step.name, _us(step.median_s), f"{step.share:.0%}"] for step in profile.steps],
    )
    out.print()
    _print_options(profile)
    out.print()
    for name, why in profile.missing.items():
        out.print(f"  no {name}: {why}")
    for sentence in profile.trades:
        out.print(f"  {sentence}")
    out.print(best_of(profile))


def best_of(profile: VersionProfile) -> str:
    """The option to take, and the command that does."""
    kind, _, rest = profile.best.partition(" ")
    if profile.best == AS_SERVED:
        return "best: as it is served"
    if kind == "version":
        return f"best: {profile.best}; next: windvane deploy {profile.model} {rest}"
    where = f"{profile.model}:{profile.version}"
    best = next(one for one in profile.options if one.name == profile.best)
    # Parity also asks around splits and gaps, where fewer trees or bits always differ.
    differs = best.moved > 0 or kind in (Optimization.PRUNE, Optimization.INT8)
    accept = " --accept REASON" if differs else ""
    return f"best: {profile.best}; next: windvane optimize {where} --{kind}{accept} …"


def _print_options(profile: VersionProfile) -> None:
    score = next((one.score for one in profile.options if one.score is not None), None)
    titles = ["rows", "threads", "median µs", "p99 µs", "rows/s", "MiB", "differs by", "of rows"]
    if score:
        titles += [metric_name(score.metric), "lost"]
    columns = [Column("option", whole=True), *(Column(t, whole=True, right=True) for t in titles)]
    rows: list[list[str]] = []
    for one in profile.options:
        cells = [
            one.name, str(one.batch), str(one.threads), _us(one.latency.median_s),
            "" if one.latency.p99_s is None else _us(one.latency.p99_s),
            f"{one.rows_per_s:,.0f}", f"{one.memory / 2**20:.1f}", *_difference(one),
        ]  # fmt: skip
        if score:
            cells += ["" if one.score is None else f"{one.score.value:.4f}",
                      "" if one.loss is None else f"{one.loss:.2%}"]  # fmt: skip
        rows.append(cells)
    out.table(columns, rows)


def _difference(one: Option) -> tuple[str, str]:
    """By how much an output differs at most, and which part of the rows differ at all."""
    if one.name == AS_SERVED or not one.compared:
        return "", ""
    return f"{one.difference:.2g}", f"{one.moved / one.compared:.0%}"


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:,.1f}"
