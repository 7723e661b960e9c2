"""Profile a version: what ``windvane profile`` starts, with the order on its standard input."""

from __future__ import annotations

import json
import sys

import msgspec
from rich.console import Console
from rich.table import Table

from windvane.apps.trainer import wiring
from windvane.apps.trainer.progress import run, steps
from windvane.apps.trainer.tables import read_given_table
from windvane.core.execution import Option
from windvane.core.task import metric_name
from windvane.usecases.accept_candidate import applied
from windvane.usecases.optimization_options import ProfileOrder
from windvane.usecases.profile_version import AS_SERVED, VersionProfile, profile_version

_WIDTH = 110  # of tables that go to a file
_out = Console(highlight=False)


def main() -> int:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=ProfileOrder)
    log = wiring.settings().folder / "logs" / "profile.log"
    return run(lambda: _profile(order), order.model, log)


def _profile(order: ProfileOrder) -> None:
    settings = wiring.settings()
    store = wiring.store(settings)
    contract = applied(store, order.model).file.contract
    with steps(quiet=order.as_json) as say:
        data = None
        if order.data:
            data = read_given_table(order, contract, say)
        with wiring.registration_services(settings, store) as services:
            found = profile_version(
                wiring.profile_services(settings, services), order.model, order.version or None,
                data, order.options, say,
            )  # fmt: skip
    if order.as_json:
        print(json.dumps(msgspec.to_builtins(found)))
        return
    _show(found, _out if _out.is_terminal else Console(highlight=False, width=_WIDTH))


def _show(found: VersionProfile, out: Console) -> None:
    out.print(
        f"{found.model} version {found.version}, served by {found.runtime}, on {found.rows:,} "
        f"rows of {found.source}",
        markup=False,
    )
    p99 = "" if found.request.p99_s is None else f", 99th percentile {_us(found.request.p99_s)}"
    out.print(
        f"a request of one row takes {_us(found.request.median_s)} µs (median{p99}, "
        f"{found.request.executions:,} requests one at a time, HTTP not included)",
        markup=False,
    )
    steps_ = Table("step")
    for title in ("µs", "share"):
        steps_.add_column(title, justify="right")
    for step in found.steps:
        steps_.add_row(step.name, _us(step.median_s), f"{step.share:.0%}")
    out.print(steps_)
    out.print(_options(found))
    for name, why in found.missing.items():
        out.print(f"  no {name}: {why}", markup=False, soft_wrap=True)
    for sentence in found.trades:
        out.print(f"  {sentence}", markup=False, soft_wrap=True)
    out.print(_best(found), markup=False, soft_wrap=True)


def _best(found: VersionProfile) -> str:
    """The option to take, and the command that does."""
    kind, _, rest = found.best.partition(" ")
    if found.best == AS_SERVED:
        return "best: as it is served"
    if kind == "version":
        return f"best: {found.best}; next: windvane deploy {found.model} {rest}"
    where = f"{found.model}:{found.version}"
    return f"best: {found.best}; next: windvane optimize {where} --{kind} …"


def _options(found: VersionProfile) -> Table:
    score = next((one.score for one in found.options if one.score is not None), None)
    table = Table("option")
    metric = metric_name(score.metric) if score else ""
    titles = ["rows", "threads", "median µs", "p99 µs", "rows/s", "MiB", "differs by", "of rows"]
    for title in (*titles, *([metric, "lost"] if score else [])):
        table.add_column(title, justify="right")
    for one in found.options:
        cells = [
            one.name, str(one.batch), str(one.threads), _us(one.latency.median_s),
            "" if one.latency.p99_s is None else _us(one.latency.p99_s),
            f"{one.rows_per_s:,.0f}", f"{one.memory / 2**20:.1f}", *_difference(one),
        ]  # fmt: skip
        if score:
            cells += ["" if one.score is None else f"{one.score.value:.4f}",
                      "" if one.loss is None else f"{one.loss:.2%}"]  # fmt: skip
        table.add_row(*cells)
    return table


def _difference(one: Option) -> tuple[str, str]:
    """By how much an output differs at most, and which part of the rows differ at all."""
    if one.name == AS_SERVED or not one.compared:
        return "", ""
    return f"{one.difference:.2g}", f"{one.moved / one.compared:.0%}"


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:,.1f}"


if __name__ == "__main__":
    sys.exit(main())
