"""``windvane backup`` and ``windvane restore``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from windvane.apps.cli import wiring
from windvane.apps.cli.options import AsJson, Home
from windvane.apps.cli.output import err, out, print_json
from windvane.apps.cli.show import counted
from windvane.usecases.back_up_home import back_up_home, log_place, name_backup
from windvane.usecases.restore_home import restore_home

_SHOWN = 10
_SHORT = 48


def backup(
    target: Annotated[
        Path,
        typer.Argument(help="The file, ending in .tar, or the folder for one named by the time."),
    ] = Path(),
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Write a backup of the installation, while it runs.

    Everything it needs to answer and to remember is in it: keep it as you keep the home, for it
    holds secrets. `windvane restore` makes a home of it.
    """
    settings = wiring.settings(home)
    sources = wiring.backup_sources(settings)
    file = name_backup(target, sources.clock).absolute()
    with _progress(as_json) as on_step:
        report = back_up_home(sources, settings, file, on_step)
    if as_json:
        print_json({**_plain(report), "file": str(report.file)})
        return
    out.print(f"{report.file}: {report.bytes / 1e6:,.1f} MB, {counted(report.files, 'file')}")
    out.print(f"  {counted(report.models, 'model')}, {counted(report.versions, 'version')}")
    if sources.log is None:
        out.print(f"  the log is not in it: it lies in {log_place(settings)}")
    _say_problems(report.problems)


def restore(
    file: Annotated[Path, typer.Argument(help="What `windvane backup` wrote.")],
    home: Annotated[
        Path, typer.Option(help="The new home: a folder that is empty, or not there yet.")
    ],
    store: Annotated[
        str,
        typer.Option(
            help="Where control state goes that lay in PostgreSQL: `sqlite`, or the address of an "
            "empty database, also as `env:NAME`."
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Make a new home of a backup; then `windvane up --home NEW` answers as the old one did.

    Every file's hash is compared before anything is written. Nothing is left of a restore that
    fails.
    """
    with _progress(as_json) as on_step:
        report = restore_home(wiring.restore_targets(), file, home, store, os.environ, on_step)
    if as_json:
        print_json({**_plain(report), "home": str(report.home)})
        return
    out.print(f"{report.home}: {counted(report.files, 'file')}, each as it was written")
    held = f"{counted(report.models, 'model')}, {counted(report.versions, 'version')}"
    out.print(f"  {held}, schema {report.schema}")
    _say_problems(report.problems)
    out.print(f"Next: `windvane up --home {home}`")


def _plain(report: object) -> dict[str, object]:
    import dataclasses

    return {
        field.name: getattr(report, field.name)
        for field in dataclasses.fields(report)  # pyright: ignore[reportArgumentType]
        if not isinstance(getattr(report, field.name), Path)
    }


def _say_problems(problems: object) -> None:
    found = list(problems) if isinstance(problems, (list, tuple)) else []
    for sentence in found[:_SHOWN]:
        err.print(f"  {sentence}", style="yellow")
    if len(found) > _SHOWN:
        err.print(f"  and {len(found) - _SHOWN} more; --json lists them", style="yellow")


@contextmanager
def _progress(as_json: bool) -> Iterator[Callable[[str, int, int], None]]:
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(
        *columns, console=err, transient=True, disable=as_json or not err.is_terminal
    ) as shown:
        task = shown.add_task("", total=None)

        def on_step(what: str, done: int, total: int) -> None:
            shown.update(task, description=what[-_SHORT:], completed=done, total=total)

        yield on_step
