"""What several commands share: the home, names, durations and rates."""

from __future__ import annotations

import getpass
import os
import re
from pathlib import Path
from typing import Annotated

import typer

from windvane.usecases.read_model_file import parse_duration, parse_moment

Home = Annotated[
    Path | None,
    typer.Option(
        help="The installation's folder; default $WINDVANE_HOME, else .windvane here or above."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
ModelName = Annotated[str, typer.Argument(help="A model's name.")]
VersionName = Annotated[str, typer.Argument(help="A registered version.")]
Label = Annotated[str, typer.Option(help="The column of the outcome, or several between commas.")]
Unknown = Annotated[
    str,
    typer.Option(
        help="What an unseen category does: `null`, it counts as missing; `error`, the row fails."
    ),
]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Do not wait for the gateways to take the change.")
]
_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


def user_name() -> str:
    """Who stands at this terminal, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def cli_actor() -> str:
    """As decisions name them."""
    return f"cli:{user_name()}"


def check_unknown(word: str) -> None:
    """Raises typer.BadParameter."""
    if word not in ("null", "error"):
        raise typer.BadParameter(f"--unknown: {word!r} is neither null nor error")


def duration(text: str, option: str) -> float:
    """Seconds of `30d`; a typo is the command line's error."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from error


def moment_before(text: str, option: str, now: float) -> float:
    """Seconds since the epoch of `7d` (so long before ``now``) or `2026-01-31T12:00`, which is UTC
    where it names no zone; a typo is the command line's error."""
    try:
        return now - parse_duration(text)
    except ValueError as error:
        try:
            return parse_moment(text)
        except ValueError:
            raise typer.BadParameter(f"{option}: {error}, nor a time") from error


def rate(text: str) -> tuple[int, float]:
    """(requests, seconds) of `600 per minute` or `5 per 10s`; (0, 60) of `none`."""
    if text.strip() == "none":
        return 0, 60.0
    match = re.fullmatch(
        r"\s*(\d[\d_,]*)\s*(?:per|/)\s*(?:(second|minute|hour|day)s?|(\S+))\s*", text
    )
    if not match:
        raise typer.BadParameter(f"--rate: {text!r} is no rate such as `600 per minute`")
    seconds = _SECONDS[match[2]] if match[2] else duration(match[3], "--rate")
    requests = int(match[1].replace(",", "").replace("_", ""))
    if not requests:
        raise typer.BadParameter(
            "--rate: no bound is `none`; what shuts a tenant out is `windvane key revoke`"
        )
    return requests, seconds


def output_columns(words: list[str]) -> dict[str, str]:
    """Columns by the output's name; one column alone under ""."""
    if len(words) == 1 and "=" not in words[0]:
        return {"": words[0]}
    columns: dict[str, str] = {}
    for word in words:
        name, sign, column = word.partition("=")
        if not (name and sign and column):
            raise typer.BadParameter("--output: one COLUMN, or NAME=COLUMN for each output")
        columns[name] = column
    return columns
