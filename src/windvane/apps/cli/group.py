"""The group of all commands, which imports a command only when it is called, and says in one style
what was not understood."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, MutableMapping, Sequence
from copy import copy
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from windvane.apps.cli.commands import COMMANDS, Command
from windvane.apps.cli.output import err
from windvane.core.errors import did_you_mean

PACKAGE = "windvane.apps.cli"
PROGRAM = "windvane"
COMPLETION_VARIABLE = "_WINDVANE_COMPLETE"
CONTEXT = {"help_option_names": ["--help", "-h"]}
STATUSES = "Exit status: 0 done; 1 an error; 2 not understood; 130 Ctrl-C."
NOT_UNDERSTOOD = 2


class LateCommands(MutableMapping[str, Any]):
    """Commands by their names in the order of the list, each imported when it is first read."""

    def __init__(self, listed: tuple[Command, ...]) -> None:
        self._listed = {one.name: one for one in listed}
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = load(self._listed[name])
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._listed[name] = Command(name, "", "", "")
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._listed[name]
        self._loaded.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._listed

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


class LateGroup(TyperGroup):
    """The root. Its help and its completion know the commands by their summaries alone."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.suggest_commands = False  # the hint does
        self.commands = LateCommands(COMMANDS)

    def main(self, *args: Any, **how: Any) -> Any:
        if COMPLETION_VARIABLE in os.environ:
            from typer.completion import (
                completion_init,  # pyright: ignore[reportPrivateImportUsage]
            )

            completion_init()
        how |= {
            "prog_name": PROGRAM, "complete_var": COMPLETION_VARIABLE, "standalone_mode": False,
        }  # fmt: skip
        try:
            status = super().main(*args, **how)
        except TyperException as error:
            report_usage(error)
            sys.exit(error.exit_code)
        except typer.Abort:
            sys.exit(1)
        sys.exit(status if isinstance(status, int) else 0)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super(LateGroup, self._summarised()).format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        return super(LateGroup, self._summarised()).shell_complete(ctx, incomplete)

    def _summarised(self) -> LateGroup:
        alike = copy(self)
        alike.commands = {
            one.name: TyperCommand(one.name, help=one.summary, rich_help_panel=one.panel)
            for one in COMMANDS
        }
        return alike


def load(listed: Command) -> Any:
    """The command itself, or the group, with everything that it imports."""
    module, _, name = listed.target.partition(":")
    holder_module = importlib.import_module(f"{PACKAGE}.{module}")
    target = getattr(holder_module, name)
    if isinstance(target, typer.Typer):
        command: Any = typer.main.get_group(target)
        command.suggest_commands = False
        leaves = [*command.commands.values()]
    else:
        holder = typer.Typer(
            add_completion=False, rich_markup_mode="markdown", context_settings=CONTEXT
        )
        holder.command(listed.name)(target)
        command = typer.main.get_command(holder)
        leaves = [command]
    command.name, command.rich_help_panel = listed.name, listed.panel
    for leaf in leaves:
        leaf.epilog = leaf.epilog or getattr(holder_module, "STATUSES", STATUSES)
    return command


def report_usage(error: TyperException) -> None:
    """What was not understood, in the style of every other error: a sentence and a hint."""
    if type(error).__name__ == "NoArgsIsHelpError":  # the help was printed as it was made
        return
    context: Any = getattr(error, "ctx", None)
    path = context.command_path if context is not None else PROGRAM
    wrong: Any = getattr(error, "option_name", None)
    if context is not None and wrong is not None and hasattr(error, "possibilities"):
        known = [name for one in context.command.params for name in one.opts]
        message, hint = f"there is no option {wrong!r}", _nearest(wrong, known)
    elif context is not None and "No such command" in error.message:
        given = error.message.partition("'")[2].rpartition("'")[0]
        message = f"there is no command {given!r}"
        hint = _nearest(given, list(context.command.commands))
    else:
        message = error.format_message()
        message, hint = message[:1].lower() + message[1:].rstrip("."), ""
    err.print(f"{path}: {message}", style="red")
    err.print(f"  hint: {hint}`{path} --help` lists what there is")


def _nearest(given: str, known: Sequence[str]) -> str:
    hint = did_you_mean(given, known)
    return f"{hint} " if hint.startswith("did you mean") else ""
