"""The command line: its options of all commands, and how any command ends."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import windvane
from windvane.apps.cli.group import CONTEXT, LateGroup
from windvane.apps.cli.output import err, out
from windvane.apps.cli.privacy import keep_private
from windvane.apps.cli.wiring import ends_quietly, report_error
from windvane.core.errors import WindvaneError

app = typer.Typer(
    cls=LateGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
    help="Serve machine-learning models to many tenants, and watch them.\n\n"
    "The usual order: `windvane up`, then in another terminal `apply`, `train`, `deploy`; "
    "then `status` and `incidents` as often as you like.",
)


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
