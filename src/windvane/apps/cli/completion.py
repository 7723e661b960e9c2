"""``windvane completion``: what a shell needs to complete commands and options."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from windvane.apps.cli.group import COMPLETION_VARIABLE, PROGRAM
from windvane.apps.cli.options import AsJson
from windvane.apps.cli.output import out, print_json


class Shell(enum.StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    shell: Annotated[Shell, typer.Argument(help="Whose script: bash, zsh or fish.")],
    as_json: AsJson = False,
) -> None:
    """Print the script that completes commands and options in a shell.

    bash and zsh: `eval "$(windvane completion bash)"` in `~/.bashrc`, or `zsh` in `~/.zshrc`;
    fish: `windvane completion fish > ~/.config/fish/completions/windvane.fish`.
    """
    from typer.completion import (
        get_completion_script,  # pyright: ignore[reportPrivateImportUsage]
    )

    script = get_completion_script(
        prog_name=PROGRAM, complete_var=COMPLETION_VARIABLE, shell=shell.value
    )
    if as_json:
        print_json({"shell": shell.value, "script": script})
    else:
        out.print(script, soft_wrap=True)
