"""Register a model that was made elsewhere: what ``windvane register`` starts, with the order
on its standard input."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from windvane.apps.trainer import wiring
from windvane.apps.trainer.progress import run, steps
from windvane.apps.trainer.tables import read_given_table
from windvane.core.errors import WindvaneError
from windvane.core.execution import BadRequirements, normalise_requirements
from windvane.ports.source import Source
from windvane.usecases.accept_candidate import Trained
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.register_elsewhere import register_elsewhere, with_outputs
from windvane.usecases.register_version import register_version
from windvane.usecases.registration_options import (
    EnvironmentRequest,
    NoEnvironment,
    RegistrationOrder,
)

_MOST_BYTES = 1 << 20


class BadVocabulary(WindvaneError):
    """The file of --vocabulary is not a JSON object of lists of texts."""

    code: ClassVar[str] = "REG-103"
    hint = 'write {"carrier": ["AA", "UA"]}: a category\'s place in its list is its number'


def main() -> int:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=RegistrationOrder)

    def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            _register(order, Path(folder))

    return run(work, order.source, wiring.settings().folder / "logs" / "register.log")


def _register(order: RegistrationOrder, folder: Path) -> None:
    settings = wiring.settings()
    store = wiring.store(settings)
    with store.read() as tx:
        file = read_model_file(tx.model(order.model).text)
    with steps(quiet=order.as_json) as say:
        table = Path(order.data).name
        if order.outputs:
            data = read_given_table(order, with_outputs(file.contract, order.outputs), say)
            done = register_elsewhere(
                wiring.stores(settings, store), order.model, data, order.outputs,
                order.options.holdout_from, {"table": table}, say,
            )  # fmt: skip
            _tell(done, data.notes, as_json=order.as_json)
            return
        source = wiring.read_source(settings, order, folder, say)
        options = replace(
            order.options,
            vocabulary=_vocabulary(order.vocabulary),
            environment=_environment(order, source),
            lineage={"source": source.name, "table": table},
        )
        data = read_given_table(order, file.contract, say)
        with wiring.registration_services(settings, store) as services:
            done = register_version(services, order.model, source, data, options, say)
    _tell(done, data.notes, as_json=order.as_json)


def _tell(done: Trained, notes: Sequence[str], *, as_json: bool) -> None:
    version, lineage = done.version, done.version.lineage
    runtime: Any = lineage["runtime"]
    if as_json:
        print(json.dumps({"version": version.version, "metrics": dict(version.metrics),
                          "views": list(version.views), "manifest": version.manifest,
                          "runtime": runtime, "parity": lineage["parity"],
                          "packages": lineage["packages"],
                          "notes": notes}))  # fmt: skip
        return
    metrics = ", ".join(f"{k} {v:g}" for k, v in version.metrics.items())
    print(f"version {version.version} of {version.model} is registered: {metrics}")
    print(f"runtime: {runtime['reason']}")
    parity: Any = lineage["parity"]
    if parity["not_compared"]:
        print(f"parity: nothing was compared: {parity['not_compared']}")
    else:
        worst = max(parity["max_difference"], parity["probe_max_difference"])
        print(
            f"parity: {parity['rows']:,} real rows and {parity['probes']:,} others against "
            f"{parity['library']}: at most {worst:.2g} apart"
        )
        for group in parity["groups"]:
            if group["unanswered"]:
                print(f"  no answer for {group['name']}: {group['unanswered']}")
    champion: Any = lineage.get("champion")
    if champion:
        print(f"against version {champion['version']}, which answers now: {champion['said']}")
    environment: Any = lineage.get("environment")
    if environment:
        print(f"packages: {len(environment['packages']):,} of its own, in {environment['id'][:12]}")
    others = [(n, one) for n, one in lineage["packages"].items()
              if one["recorded"] != one["installed"]]  # fmt: skip
    for name, one in others:
        print(f"made with {name} {one['recorded']}, here is {one['installed'] or 'none'}")
    if others and not environment:
        print("  to run it with those: --own-environment, or --requirements FILE")
    if runtime["needs_trust"]:
        print(f"next, by an admin: windvane trust {version.model} {version.version}")
    print(f"next: windvane deploy {version.model} {version.version}")


def _environment(order: RegistrationOrder, source: Source) -> EnvironmentRequest | None:
    """Raises BadRequirements, NoEnvironment."""
    if order.requirements:
        path = Path(order.requirements)
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise BadRequirements(f"{path.name} is beyond {_MOST_BYTES:,} bytes")
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise BadRequirements(f"{path.name} cannot be read: {error}") from error
    elif order.own_environment:
        text = "\n".join(source.requirements)
        if not text.strip():
            raise NoEnvironment(
                f"{source.name} records no requirements", hint="write them: --requirements FILE"
            )
    else:
        return None
    return EnvironmentRequest(normalise_requirements(text), order.wheels)


def _vocabulary(given: str) -> dict[str, list[str]]:
    if not given:
        return {}
    path = Path(given)
    try:
        body = path.read_bytes()
    except OSError as error:
        raise BadVocabulary(f"{path.name}: {error.strerror}") from error
    try:
        return msgspec.json.decode(body, type=dict[str, list[str]])
    except msgspec.MsgspecError as error:
        raise BadVocabulary(f"{path.name} is no JSON object of lists of texts") from error


if __name__ == "__main__":
    sys.exit(main())
