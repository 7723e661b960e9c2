"""What several commands share: the home, output for machines, durations and rates."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from windvane.usecases.read_model_file import parse_duration

Home = Annotated[
    Path | None,
    typer.Option(help="The installation's folder; default $WINDVANE_HOME, else ./.windvane."),
]
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]
_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


def print_json(body: Any) -> None:
    print(json.dumps(msgspec.to_builtins(body), indent=2))


def duration(text: str, option: str) -> float:
    """Seconds of `30d`; a typo is the command line's error."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from error


def rate(text: str) -> tuple[int, float]:
    """(requests, seconds) of `600 per minute` or `5 per 10s`; (0, 60) of `none`."""
    if text.strip() in ("none", "0"):
        return 0, 60.0
    found = re.fullmatch(
        r"\s*(\d[\d_,]*)\s*(?:per|/)\s*(?:(second|minute|hour|day)s?|(\S+))\s*", text
    )
    if not found:
        raise typer.BadParameter(f"--rate: {text!r} is no rate such as `600 per minute`")
    seconds = _SECONDS[found[2]] if found[2] else duration(found[3], "--rate")
    return int(found[1].replace(",", "").replace("_", "")), seconds


def output_columns(given: list[str]) -> dict[str, str]:
    """Columns by the output's name; one column alone under ""."""
    if len(given) == 1 and "=" not in given[0]:
        return {"": given[0]}
    named: dict[str, str] = {}
    for text in given:
        name, sign, column = text.partition("=")
        if not (name and sign and column):
            raise typer.BadParameter("--output: one COLUMN, or NAME=COLUMN for each output")
        named[name] = column
    return named
