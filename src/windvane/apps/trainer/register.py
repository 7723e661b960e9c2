"""Register a model that was made elsewhere: what ``windvane register`` starts, with the order
on its standard input."""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from windvane.apps.trainer import wiring
from windvane.core.errors import WindvaneError
from windvane.ports.learner import TrainingData
from windvane.usecases.accept_candidate import Trained
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.register_elsewhere import register_elsewhere, with_outputs
from windvane.usecases.register_version import register_version
from windvane.usecases.registration_options import RegistrationOrder

_LOG = "register.log"
_err = Console(stderr=True, highlight=False)


class BadVocabulary(WindvaneError):
    """The file of --vocabulary is not a JSON object of lists of texts."""

    code: ClassVar[str] = "REG-103"
    hint = 'write {"carrier": ["AA", "UA"]}: a category\'s place in its list is its number'


def main() -> int:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=RegistrationOrder)
    try:
        with tempfile.TemporaryDirectory() as folder:
            _register(order, Path(folder))
    except WindvaneError as error:
        _err.print(f"{error.code} {error.message}", style="red", markup=False)
        if error.advice:
            _err.print(f"  hint: {error.advice}", markup=False)
        return 1
    except Exception as error:  # whatever a library may raise: its place is the log
        log = wiring.settings().folder / "logs" / _LOG
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc())
        said = f"{order.source}: {type(error).__name__}: {str(error)[:300]}"
        _err.print(said, style="red", markup=False)
        _err.print(f"  hint: this is an error of ours; logs/{_LOG} says where", markup=False)
        return 1
    return 0


def _register(order: RegistrationOrder, folder: Path) -> None:
    settings = wiring.settings()
    store = wiring.store(settings)
    with store.read() as tx:
        file = read_model_file(tx.model(order.model).text)
    with _steps(quiet=order.as_json) as say:
        table = Path(order.data)
        if order.outputs:
            say(f"read {table.name}")
            contract = with_outputs(file.contract, order.outputs)
            data = wiring.read_table(table, contract, order.label, order.time, order.without)
            _note(data, quiet=order.as_json)
            done = register_elsewhere(
                wiring.stores(settings, store), order.model, data, order.outputs,
                order.options.holdout_from, {"table": table.name}, say,
            )  # fmt: skip
            _tell(done, data.notes, as_json=order.as_json)
            return
        source = wiring.read_source(settings, order, folder, say)
        options = replace(
            order.options,
            vocabulary=_vocabulary(order.vocabulary),
            lineage={"source": source.name, "table": table.name},
        )
        say(f"read {table.name}")
        data = wiring.read_table(table, file.contract, order.label, order.time, order.without)
        _note(data, quiet=order.as_json)
        with wiring.registration_services(settings, store) as services:
            done = register_version(services, order.model, source, data, options, say)
    _tell(done, data.notes, as_json=order.as_json)


def _note(data: TrainingData, *, quiet: bool) -> None:
    for note in () if quiet else data.notes:
        _err.print(f"    {note}", markup=False)


@contextmanager
def _steps(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Says what is being done: on a terminal with the time that it takes, else line by line."""
    if quiet:
        yield lambda _: None
        return
    if not _err.is_terminal:
        yield lambda step: _err.print(f"  {step} ...", markup=False)
        return
    columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.description}", markup=False))
    with Progress(*columns, TimeElapsedColumn(), console=_err) as progress:

        def say(step: str) -> None:
            _finish(progress)
            progress.add_task(step, total=1)

        yield say
        _finish(progress)


def _finish(progress: Progress) -> None:
    for task in progress.tasks:
        if not task.finished:
            progress.update(task.id, completed=1)


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
    for name, one in lineage["packages"].items():
        if one["recorded"] != one["installed"]:
            here = one["installed"] or "none"
            print(f"made with {name} {one['recorded']}, here is {here}")
    if runtime["needs_trust"]:
        print(f"next, by an admin: windvane trust {version.model} {version.version}")
    print(f"next: windvane deploy {version.model} {version.version}")


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
