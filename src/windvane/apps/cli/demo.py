"""``windvane demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from windvane.apps.cli.jobs import run_module
from windvane.apps.cli.options import AsJson


def demo(
    name: Annotated[str, typer.Argument(help="Which demo; `flights` is the one.")] = "flights",
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything up at the end, until Ctrl-C.")
    ] = False,
    home: Annotated[
        Path, typer.Option(help="Its folder, made anew: what a former demo left is deleted.")
    ] = Path(".windvane/demo"),
    as_json: AsJson = False,
) -> None:
    """Watch the whole loop on a year of real flights: quiet weeks, then three faults."""
    if name != "flights":
        raise typer.BadParameter(f"there is no demo {name!r}; `flights` is the one")
    order = {"home": str(home), "keep": keep, "as_json": as_json}
    raise typer.Exit(run_module(["windvane.apps.demo"], order, {}))
