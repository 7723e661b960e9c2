"""The group of all commands, which imports a command only when it is called."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping
from copy import copy
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from windvane.apps.cli.commands import COMMANDS, Command

PACKAGE = "windvane.apps.cli"


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
        self.commands = LateCommands(COMMANDS)

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
    target = getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)
    if isinstance(target, typer.Typer):
        command: Any = typer.main.get_group(target)
    else:
        holder = typer.Typer(
            add_completion=False, rich_markup_mode="markdown", context_settings=CONTEXT
        )
        holder.command(listed.name)(target)
        command = typer.main.get_command(holder)
    command.name, command.rich_help_panel = listed.name, listed.panel
    return command


CONTEXT = {"help_option_names": ["--help", "-h"]}
