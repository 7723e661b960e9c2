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
from windvane.apps.trainer.progress import out, run, steps
from windvane.apps.trainer.tables import read_order_table
from windvane.core.errors import WindvaneError
from windvane.core.execution import BadRequirements, RuntimeName, normalise_requirements
from windvane.ports.regular_file import read_regular_file
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
_MOST_VOCABULARY_BYTES = 64 << 20


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
    with steps(quiet=order.as_json) as on_step:
        table = Path(order.data).name
        if order.outputs:
            data = read_order_table(order, with_outputs(file.contract, order.outputs), on_step)
            result = register_elsewhere(
                wiring.stores(settings, store), order.model, data, order.outputs,
                order.options.holdout_from, {"table": table}, on_step,
            )  # fmt: skip
            _print_result(result, data.notes, as_json=order.as_json)
            return
        source = wiring.read_source(settings, order, folder, on_step)
        options = replace(
            order.options,
            vocabulary=_vocabulary(order.vocabulary),
            environment=_environment(order, source),
            lineage={"source": source.name, "table": table},
        )
        data = read_order_table(order, file.contract, on_step)
        with wiring.registration_services(settings, store) as services:
            result = register_version(services, order.model, source, data, options, on_step)
    _print_result(result, data.notes, as_json=order.as_json)


def _print_result(result: Trained, notes: Sequence[str], *, as_json: bool) -> None:
    version, lineage = result.version, result.version.lineage
    runtime: Any = lineage["runtime"]
    if as_json:
        out.print(json.dumps({"version": version.version, "metrics": dict(version.metrics),
                          "views": list(version.views), "manifest": version.manifest,
                          "runtime": runtime, "parity": lineage["parity"],
                          "packages": lineage["packages"],
                          "notes": notes}))  # fmt: skip
        return
    metrics = ", ".join(f"{k} {v:g}" for k, v in version.metrics.items())
    out.print(f"version {version.version} of {version.model} is registered: {metrics}")
    out.print(f"runtime: {runtime['reason']}")
    taken = RuntimeName(runtime["runtime"])
    for name in RuntimeName:
        if name is taken:
            break
        if name.value in runtime["passed_over"]:
            out.print(f"  faster would be {name.value}: {runtime['passed_over'][name.value]}")
    parity: Any = lineage["parity"]
    if parity["not_compared"]:
        out.print(f"parity: nothing was compared: {parity['not_compared']}")
    else:
        worst = max(parity["max_difference"], parity["probe_max_difference"])
        out.print(
            f"parity: {parity['rows']:,} real rows and {parity['probes']:,} others against "
            f"{parity['library']}: at most {worst:.2g} apart"
        )
        for group in parity["groups"]:
            if group["unanswered"]:
                out.print(f"  no answer for {group['name']}: {group['unanswered']}")
    champion: Any = lineage.get("champion")
    if champion:
        out.print(f"against version {champion['version']}, which answers now: {champion['said']}")
    environment: Any = lineage.get("environment")
    if environment:
        own = f"packages: {len(environment['packages']):,} of its own, in {environment['id'][:12]}"
        out.print(own)
    others = [(n, one) for n, one in lineage["packages"].items()
              if one["recorded"] != one["installed"]]  # fmt: skip
    for name, one in others:
        out.print(f"made with {name} {one['recorded']}, here is {one['installed'] or 'none'}")
    if others and not environment:
        out.print("  to run it with those: --own-environment, or --requirements FILE")
    if runtime["needs_trust"]:
        out.print(f"next, by an admin: windvane trust {version.model} {version.version}")
    out.print(f"next: windvane deploy {version.model} {version.version}")


def _environment(order: RegistrationOrder, source: Source) -> EnvironmentRequest | None:
    """Raises BadRequirements, NoEnvironment."""
    if order.requirements:
        path = Path(order.requirements)
        try:
            text = read_regular_file(path, _MOST_BYTES).decode()
        except (OSError, ValueError) as error:
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


def _vocabulary(file: str) -> dict[str, list[str]]:
    if not file:
        return {}
    path = Path(file)
    try:
        body = read_regular_file(path, _MOST_VOCABULARY_BYTES)
    except OSError as error:
        raise BadVocabulary(f"{path.name}: {error.strerror}") from error
    try:
        return msgspec.json.decode(body, type=dict[str, list[str]])
    except msgspec.MsgspecError as error:
        raise BadVocabulary(f"{path.name} is no JSON object of lists of texts") from error
