"""``windvane train``: every option of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from windvane.apps.cli import wiring
from windvane.apps.cli.jobs import carry_out, listed
from windvane.apps.cli.options import AsJson, Home, Label, Unknown, check_unknown, user_name
from windvane.usecases.training_options import Recipe, TrainingOrder


def train(
    model: Annotated[str, typer.Argument(help="An applied model.")],
    table: Annotated[Path, typer.Argument(help="A CSV or a Parquet file.")],
    label: Label,
    time: Annotated[str, typer.Option(help="The column of the time at which the row was known.")],
    holdout_from: Annotated[
        float | None,
        typer.Option(
            help="Where the holdout begins, in seconds since the epoch; the latest fifth by "
            "default."
        ),
    ] = None,
    without: Annotated[
        str, typer.Option(help="Views to leave out, by commas; the table need not have them.")
    ] = "",
    unknown: Unknown = "null",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The seed of training.")] = 0,
    accept: Annotated[
        str,
        typer.Option(
            metavar="REASON",
            help="Register it although it is worse than the champion; the reason and your name "
            "are recorded.",
        ),
    ] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Train a version from a table. Nothing goes live.

    Checks the data, trains on the earlier part, evaluates on the later, converts to ONNX with a
    parity check, judges the candidate and registers it.
    """
    check_unknown(unknown)
    settings = wiring.settings(home)
    wiring.store(settings).close()
    recipe = Recipe(
        without=listed(without), holdout_from=holdout_from, seed=seed, unknown=unknown,
        accept=accept, accepted_by=user_name(),
    )  # fmt: skip
    carry_out("train", settings, TrainingOrder(model, str(table), label, time, recipe, as_json))
