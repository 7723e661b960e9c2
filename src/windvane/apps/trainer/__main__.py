"""Train one version: ``python -m windvane.apps.trainer MODEL TABLE ...``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from windvane.apps.trainer import wiring
from windvane.core.errors import WindvaneError
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.train_version import Recipe, train_version


def main() -> int:
    parser = argparse.ArgumentParser(prog="windvane train", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("table", type=Path)
    parser.add_argument("--label", required=True)
    parser.add_argument("--time", required=True)
    parser.add_argument("--holdout-from", type=float)
    parser.add_argument("--without", default="")
    parser.add_argument("--unknown", choices=["null", "error"], default="null")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    try:
        return _train(given)
    except WindvaneError as error:
        print(error, file=sys.stderr)
        return 1


def _train(given: argparse.Namespace) -> int:
    settings = wiring.settings()
    store = wiring.store(settings)
    with store.read() as tx:
        file = read_model_file(tx.model(given.model).text)

    def say(step: str) -> None:
        if not given.json:
            print(f"  {step} ...", file=sys.stderr, flush=True)

    say(f"read {given.table.name}")
    without = tuple(v for v in given.without.split(",") if v)
    data = wiring.read_table(given.table, file.contract, given.label, given.time, without)
    if not given.json:
        for note in data.notes:
            print(f"    {note}", file=sys.stderr, flush=True)
    recipe = Recipe(
        without=without,
        holdout_from=given.holdout_from,
        seed=given.seed,
        unknown=given.unknown,
        lineage={"git_sha": wiring.git_sha(Path.cwd()), "table": given.table.name},
    )
    with wiring.champions(settings) as champions:
        trained = train_version(
            store, wiring.registry(settings), wiring.learner(), wiring.seal,
            wiring.clock(settings), champions, given.model, data, recipe, say,
        )  # fmt: skip
    version = trained.version
    if given.json:
        print(json.dumps({"version": version.version, "metrics": dict(version.metrics),
                          "views": list(version.views), "manifest": version.manifest,
                          "notes": data.notes}))  # fmt: skip
    else:
        metrics = ", ".join(f"{k} {v:g}" for k, v in version.metrics.items())
        print(f"version {version.version} of {version.model} is registered: {metrics}")
        champion: Any = version.lineage.get("champion")
        if champion:
            print(f"against version {champion['version']}, which answers now: {champion['said']}")
        print(f"next: windvane deploy {version.model} {version.version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
