"""The list of commands: what it says of each is what the command says itself."""

from __future__ import annotations

import pytest

from windvane.apps.cli.commands import COMMANDS, Command
from windvane.apps.cli.group import load


@pytest.mark.parametrize("listed", COMMANDS, ids=[one.name for one in COMMANDS])
def test_the_list_says_of_a_command_what_its_help_begins_with(listed: Command) -> None:
    command = load(listed)
    first = " ".join((command.help or "").split("\n\n")[0].split())
    assert first == listed.summary
    assert command.name == listed.name
