"""``windvane register``: everything that can be said of a model that was made elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from windvane.apps.cli import wiring
from windvane.apps.cli.jobs import carry_out, listed
from windvane.apps.cli.options import AsJson, Home, Label, check_unknown, output_columns, user_name
from windvane.usecases.registration_options import RegistrationOptions, RegistrationOrder

_INPUTS, _OUTPUTS, _MEASURE = "The model's inputs", "The model's outputs", "Measuring"
_PACKAGES = "The model's packages"


def register(
    model: Annotated[str, typer.Argument(help="An applied model.")],
    source: Annotated[
        str,
        typer.Argument(
            help="A file (.onnx, .ubj, .json, LightGBM's .txt, .cbm, .skops, a pickle or joblib, "
            "also .gz, .pt, .pt2), an MLflow model folder, a reference (models:/NAME/VERSION, "
            "models:/NAME@ALIAS, runs:/RUN/PATH), or a model on a server of its own that speaks "
            "the Open Inference Protocol: http://HOST:PORT/v2/models/NAME/versions/VERSION."
        ),
    ],
    data: Annotated[Path, typer.Option(help="Real rows: a CSV or a Parquet file.")],
    label: Label,
    time: Annotated[str, typer.Option(help="The column of the time at which the row was known.")],
    without: Annotated[
        str,
        typer.Option(
            help="Views that the model does not use, by commas; the table need not have them.",
            rich_help_panel=_INPUTS,
        ),
    ] = "",
    inputs: Annotated[
        str,
        typer.Option(
            help="Features in the model's order, by commas, where it does not name them itself.",
            rich_help_panel=_INPUTS,
        ),
    ] = "",
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FEATURE=NAME",
            rich_help_panel=_INPUTS,
            help="What the model calls a feature, where it calls it otherwise; repeatable.",
        ),
    ] = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            help="JSON of lists by feature: a category's place in its list is its number.",
            rich_help_panel=_INPUTS,
        ),
    ] = None,
    unknown: Annotated[
        str,
        typer.Option(
            help="What an unseen category does: `null`, it counts as missing; `error`, the row "
            "fails.",
            rich_help_panel=_INPUTS,
        ),
    ] = "null",
    missing: Annotated[
        float | None,
        typer.Option(help="A number that stands for none, such as -999.", rich_help_panel=_INPUTS),
    ] = None,
    output: Annotated[
        str, typer.Option(help="One of several outputs, by name.", rich_help_panel=_OUTPUTS)
    ] = "",
    classes: Annotated[
        str,
        typer.Option(
            help="The model's labels in the order of its columns, by commas, where it does not "
            "say.",
            rich_help_panel=_OUTPUTS,
        ),
    ] = "",
    positive: Annotated[
        int | None,
        typer.Option(
            min=0, help="The column of the positive label, from 0.", rich_help_panel=_OUTPUTS
        ),
    ] = None,
    logits: Annotated[
        bool, typer.Option("--logits", help="Outputs are log-odds.", rich_help_panel=_OUTPUTS)
    ] = False,
    rounds: Annotated[
        int,
        typer.Option(
            min=0,
            help="Rounds of boosted trees that are used; 0 for the model's best iteration.",
            rich_help_panel=_OUTPUTS,
        ),
    ] = 0,
    holdout_from: Annotated[
        float | None,
        typer.Option(
            help="Where the rows begin that it is measured on, in seconds since the epoch; the "
            "latest fifth by default.",
            rich_help_panel=_MEASURE,
        ),
    ] = None,
    accept: Annotated[
        str,
        typer.Option(
            metavar="REASON",
            rich_help_panel=_MEASURE,
            help="Register it although it answers otherwise than its own library; the reason and "
            "your name are recorded.",
        ),
    ] = "",
    no_convert: Annotated[
        bool,
        typer.Option("--no-convert", help="Try no ONNX graph.", rich_help_panel=_MEASURE),
    ] = False,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust",
            rich_help_panel=_MEASURE,
            help="The files may run code now, in a process of their own. To serve them takes "
            "`windvane trust` as well.",
        ),
    ] = False,
    requirements: Annotated[
        Path | None,
        typer.Option(
            help="A requirements file: the model runs with these packages, in an environment that "
            "is built once and shared by all versions that come to the same packages.",
            rich_help_panel=_PACKAGES,
        ),
    ] = None,
    own_environment: Annotated[
        bool,
        typer.Option(
            "--own-environment",
            help="As --requirements, with those that an MLflow folder records.",
            rich_help_panel=_PACKAGES,
        ),
    ] = False,
    wheels: Annotated[
        Path | None,
        typer.Option(
            help="A folder of wheels: nothing else is installed, and no network is used.",
            rich_help_panel=_PACKAGES,
        ),
    ] = None,
    tracking: Annotated[
        str,
        typer.Option(
            metavar="URI",
            help="The MLflow server or folder of a reference; default $MLFLOW_TRACKING_URI.",
        ),
    ] = "",
    authorization: Annotated[
        str,
        typer.Option(
            metavar="REFERENCE",
            help="Where the Authorization header for a remote server lies: env:NAME, or file:PATH. "
            "The reference is kept, not what it gives.",
        ),
    ] = "",
    remote_rows: Annotated[
        int,
        typer.Option(min=1, max=10_000, help="Rows that a remote server takes at once."),
    ] = 1_000,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Register a model that was made elsewhere. Nothing goes live.

    Its answers on real rows, around its splits, with values missing and with unseen categories
    are compared with those of its own Python library; then it is judged on the latest rows.
    """
    check_unknown(unknown)
    if authorization and not authorization.startswith(("env:", "file:")):
        raise typer.BadParameter("--authorization: it is a reference, env:NAME or file:PATH")
    if requirements is not None and own_environment:
        raise typer.BadParameter("--requirements and --own-environment: one of them")
    if wheels is not None and requirements is None and not own_environment:
        raise typer.BadParameter("--wheels needs --requirements or --own-environment")
    settings = wiring.settings(home)
    wiring.store(settings).close()
    options = RegistrationOptions(
        trust=trust, inputs=listed(inputs), names=_names_by_feature(names or []), unknown=unknown,
        output=output, positive=positive, logits=logits, classes=listed(classes),
        missing=missing, rounds=rounds, convert=not no_convert, accept=accept,
        accepted_by=user_name(), holdout_from=holdout_from,
    )  # fmt: skip
    order = RegistrationOrder(
        model, source, str(data), label, time, options,
        vocabulary=str(vocabulary or ""), without=listed(without), as_json=as_json,
        authorization=authorization, remote_rows=remote_rows,
        requirements=str(requirements or ""), wheels=str(wheels or ""),
        own_environment=own_environment,
        tracking=tracking or os.environ.get("MLFLOW_TRACKING_URI", ""),
    )  # fmt: skip
    carry_out("register", settings, order)


def watch(
    model: Annotated[str, typer.Argument(help="An applied model.")],
    data: Annotated[
        Path, typer.Option(help="Past rows with what it answered: a CSV or a Parquet file.")
    ],
    label: Label,
    time: Annotated[str, typer.Option(help="The column of the time at which the row was known.")],
    output: Annotated[
        list[str],
        typer.Option(
            metavar="[NAME=]COLUMN",
            help="The column of its answers; of several outputs NAME=COLUMN each.",
        ),
    ],
    without: Annotated[
        str, typer.Option(help="Views that the table need not have, by commas.")
    ] = "",
    holdout_from: Annotated[
        float | None,
        typer.Option(
            help="Where the rows begin that it is measured on, in seconds since the epoch; the "
            "latest fifth by default.",
        ),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Register a version that somebody else serves, by what it answered in the past.

    Nothing of the model is needed here: its past rows and answers become the baseline that what
    you tell of later is compared with. Then deploy it, and send events.
    """
    settings = wiring.settings(home)
    wiring.store(settings).close()
    options = RegistrationOptions(holdout_from=holdout_from)
    order = RegistrationOrder(
        model, "", str(data), label, time, options, without=listed(without), as_json=as_json,
        outputs=output_columns(output),
    )  # fmt: skip
    carry_out("register", settings, order)


def _names_by_feature(words: list[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for word in words:
        feature, sign, name = word.partition("=")
        if not sign or not feature or not name:
            raise typer.BadParameter(f'--map: {word!r} is no "FEATURE=NAME"')
        if feature.strip() in names:
            raise typer.BadParameter(f"--map: {feature.strip()!r} is named twice")
        names[feature.strip()] = name.strip()
    return names
