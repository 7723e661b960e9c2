"""The commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import windvane
from windvane.apps.cli.backups import backup_commands
from windvane.apps.cli.environments import environments_commands
from windvane.apps.cli.home import keep_private
from windvane.apps.cli.imports import import_commands
from windvane.apps.cli.jobs import run_module
from windvane.apps.cli.optimize import optimize_commands
from windvane.apps.cli.options import AsJson
from windvane.apps.cli.output import err, out
from windvane.apps.cli.quarantine import quarantine_app, spools_app
from windvane.apps.cli.reading import reading_commands
from windvane.apps.cli.register import register, watch
from windvane.apps.cli.serving import serving_commands
from windvane.apps.cli.tenants import keys_app, tenants_commands
from windvane.apps.cli.train import train
from windvane.apps.cli.up import up_commands
from windvane.apps.cli.users import users_app
from windvane.apps.cli.wiring import ends_quietly, report_error
from windvane.core.errors import WindvaneError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    help="Serve machine-learning models to many tenants and keep them healthy.\n\n"
    "The usual order: `windvane up`, then in another terminal `apply`, `train`, `deploy`; "
    "then `status` and `incidents` as often as you like.",
)
up_commands(app)
serving_commands(app)
app.command()(train)
app.command()(register)
app.command()(watch)
reading_commands(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"windvane {windvane.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version, and end."
        ),
    ] = False,
) -> None:
    del version


app.add_typer(keys_app, name="key")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(spools_app, name="spools")
app.add_typer(users_app, name="user")
tenants_commands(app)
import_commands(app)
optimize_commands(app)
environments_commands(app)
backup_commands(app)


@app.command()
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


def main() -> None:
    """Entry point: our own errors are a sentence and a hint, never a trace."""
    keep_private()
    try:
        with ends_quietly():
            app()
    except WindvaneError as error:
        report_error(err, error)
        sys.exit(1)


if __name__ == "__main__":
    main()
