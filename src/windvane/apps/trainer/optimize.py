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
from windvane.apps.trainer.progress import run, steps
from windvane.apps.trainer.tables import read_given_table
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
    with steps(quiet=order.as_json) as say:
        data = read_given_table(order, contract, say)
        options = replace(order.options, table=Path(order.data).name)
        with wiring.registration_services(settings, store) as services:
            done = optimize_version(
                wiring.variant_services(services), services.stores, order.model, order.version,
                data, options, say,
            )  # fmt: skip
    _tell(done, as_json=order.as_json)


def _tell(done: Optimized, *, as_json: bool) -> None:
    version, lineage = done.trained.version, done.trained.version.lineage
    if as_json:
        print(json.dumps({"version": version.version, "metrics": dict(version.metrics),
                          "manifest": version.manifest, "optimized": lineage["optimized"],
                          "parity": lineage["parity"]}))  # fmt: skip
        return
    signed: Any = lineage["optimized"]
    print(
        f"version {version.version} of {version.model} is registered: {signed['how']} of version "
        f"{done.source}"
    )
    name = metric_name(done.before.metric)
    print(
        f"{name} {done.before.value:.4g} became {done.after.value:.4g} on {done.after.rows:,} "
        f"later rows: {done.loss:.2%} lost, {signed['allowed']:.2%} allowed, signed by "
        f"{signed['by']}"
    )
    parity: Any = lineage["parity"]
    worst = max(parity["max_difference"], parity["probe_max_difference"])
    print(
        f"parity: {parity['rows']:,} real rows and {parity['probes']:,} others against "
        f"{parity['library']}: at most {worst:.2g} apart, {parity['moved']:,} beyond the tolerance"
    )
    print(f"next: windvane deploy {version.model} {version.version}")


if __name__ == "__main__":
    sys.exit(main())
