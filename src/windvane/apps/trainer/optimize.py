"""Make a version cheaper: what ``windvane optimize`` starts, with the order on its standard
input."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from windvane.apps.trainer import wiring
from windvane.apps.trainer.progress import out, run, steps
from windvane.apps.trainer.tables import read_order_table
from windvane.core.task import metric_name
from windvane.usecases.accept_candidate import applied
from windvane.usecases.optimization_options import OptimizeOrder
from windvane.usecases.optimize_version import Optimized, optimize_version


def main() -> int:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=OptimizeOrder)
    log = wiring.settings().folder / "logs" / "optimize.log"
    return run(lambda: _optimize(order), f"{order.model}:{order.version}", log)


def _optimize(order: OptimizeOrder) -> None:
    settings = wiring.settings()
    store = wiring.store(settings)
    contract = applied(store, order.model).file.contract
    with steps(quiet=order.as_json) as on_step:
        data = read_order_table(order, contract, on_step)
        options = replace(order.options, table=Path(order.data).name)
        with wiring.registration_services(settings, store) as services:
            result = optimize_version(
                wiring.variant_services(services), services.stores, order.model, order.version,
                data, options, on_step,
            )  # fmt: skip
    _print_result(result, as_json=order.as_json)


def _print_result(result: Optimized, *, as_json: bool) -> None:
    version, lineage = result.trained.version, result.trained.version.lineage
    if as_json:
        out.print(json.dumps({"version": version.version, "metrics": dict(version.metrics),
                          "manifest": version.manifest, "optimized": lineage["optimized"],
                          "parity": lineage["parity"]}))  # fmt: skip
        return
    signed: Any = lineage["optimized"]
    out.print(
        f"version {version.version} of {version.model} is registered: {signed['how']} of version "
        f"{result.source}"
    )
    name = metric_name(result.before.metric)
    out.print(
        f"{name} {result.before.value:.4g} became {result.after.value:.4g} on "
        f"{result.after.rows:,} later rows: {result.loss:.2%} lost, "
        f"{signed['allowed']:.2%} allowed, signed by "
        f"{signed['by']}"
    )
    parity: Any = lineage["parity"]
    worst = max(parity["max_difference"], parity["probe_max_difference"])
    out.print(
        f"parity: {parity['rows']:,} real rows and {parity['probes']:,} others against "
        f"{parity['library']}: at most {worst:.2g} apart, {parity['moved']:,} beyond the tolerance"
    )
    out.print(f"next: windvane deploy {version.model} {version.version}")
