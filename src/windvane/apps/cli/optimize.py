"""``windvane profile`` and ``windvane optimize``: where time goes, and a cheaper version."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from windvane.apps.cli import wiring
from windvane.apps.cli.jobs import carry_out, listed
from windvane.apps.cli.options import AsJson, Home, Label, user_name
from windvane.core.execution import Optimization
from windvane.usecases.find_version import find_version
from windvane.usecases.optimization_options import (
    OptimizeOptions,
    OptimizeOrder,
    ProfileOptions,
    ProfileOrder,
)
from windvane.usecases.read_settings import Settings

_MOST_THREADS = 4
Loss = Annotated[
    float,
    typer.Option(
        min=0.0, max=100.0, help="How many percent of the metric may be lost, of its own value."
    ),
]
HoldoutFrom = Annotated[
    float | None,
    typer.Option(
        help="Where the rows begin that it is measured on, in seconds since the epoch; the latest "
        "fifth by default."
    ),
]
Without = Annotated[
    str,
    typer.Option(
        help="Views that the version does not use, by commas; the table need not have them."
    ),
]


def profile(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL[:VERSION]", help="A model; its champion, else its latest version."
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Real rows: a CSV or a Parquet file. Without it rows of the log are taken, which "
            "have no labels."
        ),
    ] = None,
    label: Annotated[
        str, typer.Option(help="The column of the outcome, or several between commas.")
    ] = "",
    time: Annotated[
        str, typer.Option(help="The column of the time at which the row was known.")
    ] = "",
    without: Without = "",
    holdout_from: HoldoutFrom = None,
    seconds: Annotated[
        float, typer.Option(min=1.0, max=600.0, help="How long to measure, in all.")
    ] = 20.0,
    loss: Loss = 0.5,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="VERSION",
            help="Another version of the model, to be measured beside it; repeatable.",
        ),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Where a request's time goes, and what other ways to serve a version cost and buy.

    Requests go through the engine as a gateway runs it; every option is measured in a process of
    its own, by turns. Nothing is registered and nothing goes live.
    """
    settings = wiring.settings(home)
    name, version = _look_up(settings, model)
    for one in beside or ():
        _look_up(settings, f"{name}:{one}")
    if data is not None and not (label and time):
        raise typer.BadParameter("--data needs --label and --time, the columns of the table")
    if data is None and (label or time or without or holdout_from is not None):
        raise typer.BadParameter("--label, --time, --without and --holdout-from need --data")
    options = ProfileOptions(
        seconds, min(os.cpu_count() or 1, _MOST_THREADS), loss / 100.0, holdout_from,
        tuple(beside or ()),
    )  # fmt: skip
    order = ProfileOrder(
        name, version, options, str(data or ""), label, time, listed(without), as_json
    )
    carry_out("profile", settings, order, changes=False)


def optimize(
    model: Annotated[
        str, typer.Argument(metavar="MODEL:VERSION", help="A registered version of a model.")
    ],
    data: Annotated[Path, typer.Option(help="Real rows: a CSV or a Parquet file.")],
    label: Label,
    time: Annotated[str, typer.Option(help="The column of the time at which the row was known.")],
    fp32: Annotated[
        bool,
        typer.Option("--fp32", help="The weights of an ONNX graph in 32 bits, where they have 64."),
    ] = False,
    fp16: Annotated[
        bool, typer.Option("--fp16", help="The weights of an ONNX graph in 16 bits.")
    ] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="The weights of an ONNX graph in 8 bits.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="As few rounds of trees as keep the metric within --loss."),
    ] = False,
    loss: Loss = 0.5,
    accept: Annotated[
        str,
        typer.Option(
            metavar="REASON",
            help="Register it although it answers otherwise than the version it is made of; the "
            "reason and your name are recorded.",
        ),
    ] = "",
    without: Without = "",
    holdout_from: HoldoutFrom = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Register a cheaper form of a version, with what it loses signed. Nothing goes live.

    It is compared with the version that it is made of, measured with it on the same later rows,
    and judged like any other; `windvane deploy` begins its canary.
    """
    flags = {
        Optimization.FP32: fp32, Optimization.FP16: fp16, Optimization.INT8: int8,
        Optimization.PRUNE: prune,
    }  # fmt: skip
    chosen = [how for how, wanted in flags.items() if wanted]
    if len(chosen) != 1:
        names = ", ".join(f"--{how.value}" for how in chosen) or "none"
        raise typer.BadParameter(
            f"exactly one of --fp32, --fp16, --int8, --prune is needed, got {names}"
        )
    if ":" not in model:
        raise typer.BadParameter(f"{model!r} names no version: MODEL:VERSION, such as {model}:1")
    settings = wiring.settings(home)
    name, version = _look_up(settings, model)
    options = OptimizeOptions(chosen[0], user_name(), loss / 100.0, accept, holdout_from)
    order = OptimizeOrder(name, version, str(data), label, time, options, listed(without), as_json)
    carry_out("optimize", settings, order)


def _look_up(settings: Settings, model: str) -> tuple[str, str]:
    """The model and the version ("" where none is named), looked up before anything slow is
    started. Raises UnknownName."""
    name, _, version = model.partition(":")
    store = wiring.store(settings)
    try:
        with store.read() as tx:
            find_version(tx, name, version or None)
    finally:
        store.close()
    return name, version
