"""Register a model that was made elsewhere: ``python -m windvane.apps.trainer.register``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from windvane.apps.trainer import wiring
from windvane.core.errors import WindvaneError
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.register_version import RegistrationOptions, register_version


class BadVocabulary(WindvaneError):
    """The file of --vocabulary is not a JSON object of lists of texts."""

    code: ClassVar[str] = "REG-103"
    hint = 'write {"carrier": ["AA", "UA"]}: a category\'s place in its list is its number'


def main() -> int:
    parser = argparse.ArgumentParser(prog="windvane register", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("source", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--label", required=True)
    parser.add_argument("--time", required=True)
    parser.add_argument("--holdout-from", type=float)
    parser.add_argument("--without", default="")
    parser.add_argument("--inputs", default="")
    parser.add_argument("--vocabulary", type=Path)
    parser.add_argument("--unknown", choices=["null", "error"], default="null")
    parser.add_argument("--output", default="")
    parser.add_argument("--positive", type=int)
    parser.add_argument("--logits", action="store_true")
    parser.add_argument("--no-convert", action="store_true")
    parser.add_argument("--trust", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    try:
        return _register(given)
    except WindvaneError as error:
        print(error, file=sys.stderr)
        return 1


def _register(given: argparse.Namespace) -> int:
    settings = wiring.settings()
    store = wiring.store(settings)
    with store.read() as tx:
        file = read_model_file(tx.model(given.model).text)

    def say(step: str) -> None:
        if not given.json:
            print(f"  {step} ...", file=sys.stderr, flush=True)

    source = wiring.read_source(given.source)
    options = RegistrationOptions(
        trust=given.trust,
        inputs=tuple(name for name in given.inputs.split(",") if name),
        vocabulary=_vocabulary(given.vocabulary),
        unknown=given.unknown,
        output=given.output,
        positive=given.positive,
        logits=given.logits,
        convert=not given.no_convert,
        holdout_from=given.holdout_from,
        lineage={"source": given.source.name, "table": given.data.name},
    )
    say(f"read {given.data.name}")
    without = tuple(v for v in given.without.split(",") if v)
    data = wiring.read_table(given.data, file.contract, given.label, given.time, without)
    if not given.json:
        for note in data.notes:
            print(f"    {note}", file=sys.stderr, flush=True)
    with wiring.registration_services(settings, store) as services:
        done = register_version(services, given.model, source, data, options, say)
    version, runtime = done.version, done.version.lineage["runtime"]
    if given.json:
        print(json.dumps({"version": version.version, "metrics": dict(version.metrics),
                          "views": list(version.views), "manifest": version.manifest,
                          "runtime": runtime, "notes": data.notes}))  # fmt: skip
        return 0
    metrics = ", ".join(f"{k} {v:g}" for k, v in version.metrics.items())
    print(f"version {version.version} of {version.model} is registered: {metrics}")
    print(f"runtime: {runtime['reason']}")
    if runtime["needs_trust"]:
        print(f"next, by an admin: windvane trust {version.model} {version.version}")
    print(f"next: windvane deploy {version.model} {version.version}")
    return 0


def _vocabulary(path: Path | None) -> dict[str, list[str]]:
    if path is None:
        return {}
    try:
        body: Any = path.read_bytes()
        return msgspec.json.decode(body, type=dict[str, list[str]])
    except (OSError, msgspec.MsgspecError) as error:
        raise BadVocabulary(f"{path.name}: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
