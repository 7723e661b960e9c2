"""``windvane environments``: packages of models' own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from windvane.apps.cli import show, wiring
from windvane.apps.cli.changes import say_home
from windvane.apps.cli.options import AsJson, Home
from windvane.apps.cli.output import err, out, print_json
from windvane.usecases.list_environments import (
    list_environments,
    prune_environments,
    rebuild_environment,
)


def environments(
    rebuild: Annotated[
        str,
        typer.Option(
            metavar="MODEL:VERSION",
            help="Build the environment of this version again, or the one with this id, from the "
            "very packages that were recorded.",
        ),
    ] = "",
    wheels: Annotated[
        Path | None,
        typer.Option(help="With --rebuild: a folder of wheels, and no network."),
    ] = None,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", help="Remove those that no version runs with, and what cut-off builds left."
        ),
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Environments of models that have packages of their own: size, state, who uses them."""
    if wheels is not None and not rebuild:
        raise typer.BadParameter("--wheels needs --rebuild")
    if rebuild and prune:
        raise typer.BadParameter("--rebuild and --prune: one of them")
    settings = wiring.settings(home)
    store, held = wiring.store(settings), wiring.environments(settings)
    try:
        if rebuild:
            with err.status("build") as shown:
                done = rebuild_environment(store, held, rebuild, wheels, shown.update)
            say_home(settings)
            if as_json:
                print_json({"rebuilt": done})
            else:
                out.print(f"{done.id[:12]}: {len(done.packages):,} packages are in place again")
            return
        if prune:
            pruned = prune_environments(store, held)
            say_home(settings)
            if as_json:
                print_json(pruned)
                return
            for name, size in pruned.removed.items():
                out.print(f"{name[:12]}: removed, {size / 1e6:,.0f} MB")
            if pruned.leftovers:
                out.print(f"What cut-off builds left: removed, {pruned.leftovers / 1e6:,.0f} MB")
            if not pruned.removed and not pruned.leftovers:
                out.print("Nothing to remove: versions run with all of them.")
            return
        found = list_environments(store, held)
    finally:
        store.close()
    if as_json:
        print_json(found)
    elif not found:
        out.print("No model has packages of its own. `windvane register --requirements FILE`.")
    else:
        out.table(*show.environments_table(found))
