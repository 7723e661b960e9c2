"""Train one version: what ``windvane train`` starts, with the order on its standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from windvane.apps.trainer import wiring
from windvane.apps.trainer.progress import out, run, steps
from windvane.apps.trainer.tables import read_order_table
from windvane.usecases.accept_candidate import Trained, applied
from windvane.usecases.train_version import train_version
from windvane.usecases.training_options import TrainingOrder


def main() -> int:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=TrainingOrder)
    log = wiring.settings().folder / "logs" / "train.log"
    return run(lambda: _train(order), order.model, log)


def _train(order: TrainingOrder) -> None:
    settings = wiring.settings()
    store = wiring.store(settings)
    contract = applied(store, order.model).file.contract
    table = Path(order.data).name
    lineage = {"git_sha": wiring.git_sha(Path.cwd()), "table": table}
    with steps(quiet=order.as_json) as on_step:
        data = read_order_table(order, contract, on_step)
        recipe = replace(order.recipe, lineage=lineage)
        with wiring.champions(settings) as champions:
            trained = train_version(
                store, wiring.registry(settings), wiring.learner(), wiring.seal,
                wiring.clock(settings), champions, order.model, data, recipe, on_step,
            )  # fmt: skip
    _print_result(trained, data.notes, as_json=order.as_json)


def _print_result(trained: Trained, notes: Sequence[str], *, as_json: bool) -> None:
    version = trained.version
    if as_json:
        out.print(json.dumps({"version": version.version, "metrics": dict(version.metrics),
                              "views": list(version.views), "manifest": version.manifest,
                              "notes": notes}))  # fmt: skip
        return
    metrics = ", ".join(f"{name} {value:g}" for name, value in version.metrics.items())
    out.print(f"version {version.version} of {version.model} is registered: {metrics}")
    champion: Any = version.lineage.get("champion")
    if champion:
        out.print(f"against version {champion['version']}, which answers now: {champion['said']}")
    out.print(f"next: windvane deploy {version.model} {version.version}")
