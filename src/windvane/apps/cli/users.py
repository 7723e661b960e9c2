"""Local users of the console: who may sign in, and what they may do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Annotated

import typer

from windvane.apps.cli import show, wiring
from windvane.apps.cli.options import AsJson, Home, Reason, cli_actor
from windvane.apps.cli.output import err, out, print_json
from windvane.apps.cli.up import FIRST_PASSWORD_FILE
from windvane.core.authorization import Role
from windvane.usecases.manage_users import (
    FIRST_USER,
    LEAST_PASSWORD,
    MOST_PASSWORD,
    add_user,
    admins_by_group,
    check_password,
    check_user_name,
    known_user,
    remove_user,
    set_password,
    set_roles,
)

users_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Users of the console: add, list, remove, change their passwords and roles.",
)
_ROLES = ", ".join(role.value for role in Role)
UserName = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]


@users_app.command("add")
def add(
    name: UserName,
    role: Annotated[
        list[str] | None,
        typer.Option(
            help=f"What they may do, repeatable: {_ROLES}; on some models alone by "
            "`operator@team:TEAM` or `approver@model:MODEL`. Default viewer."
        ),
    ] = None,
    reason: Reason = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Add a user. The password is asked for, or read from standard input."""
    settings = wiring.settings(home)
    check_user_name(name)
    store = wiring.store(settings)
    user = add_user(
        store, wiring.clock(settings), wiring.hasher(), name, _password(name),
        role or [Role.VIEWER.value], by=cli_actor(), reason=reason,
    )  # fmt: skip
    if as_json:
        print_json(show.user_row(user))
    else:
        out.print(f"user {name} is added: {_words(map(str, user.grants))}")


@users_app.command("list")
def list_users(home: Home = None, as_json: AsJson = False) -> None:
    """Every local user, with their roles."""
    settings = wiring.settings(home)
    with wiring.store(settings).read() as tx:
        users = tx.users()
    if as_json:
        print_json([show.user_row(user) for user in users])
    elif users:
        out.table(*show.users_table(users))
    else:
        out.print("no user yet")


@users_app.command("remove")
def remove(name: UserName, reason: Reason = "", home: Home = None, as_json: AsJson = False) -> None:
    """Remove a user; their sessions end now."""
    settings = wiring.settings(home)
    oidc = settings.sign_in.oidc
    user = remove_user(
        wiring.store(settings), wiring.clock(settings), name, by=cli_actor(), reason=reason,
        admins_elsewhere=oidc is not None and admins_by_group(oidc.roles),
    )  # fmt: skip
    if as_json:
        print_json(show.user_row(user))
    else:
        out.print(f"user {name} is removed")


@users_app.command("password")
def password(
    name: UserName, reason: Reason = "", home: Home = None, as_json: AsJson = False
) -> None:
    """Set a user's password, asked for or read from standard input; their sessions end now."""
    settings = wiring.settings(home)
    store = wiring.store(settings)
    with store.read() as tx:
        known_user(tx, name)
    user = set_password(
        store, wiring.clock(settings), wiring.hasher(), name, _password(name), by=cli_actor(),
        reason=reason,
    )  # fmt: skip
    if name == FIRST_USER:
        (settings.folder / FIRST_PASSWORD_FILE).unlink(missing_ok=True)
    if as_json:
        print_json(show.user_row(user))
    else:
        out.print(f"the password of {name} is changed")


@users_app.command("role")
def role(
    name: UserName,
    roles: Annotated[
        list[str],
        typer.Argument(help=f"In place of what they have: {_ROLES}, with @team: or @model:."),
    ],
    reason: Reason = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Set what a user may do, from their next request on."""
    settings = wiring.settings(home)
    user = set_roles(
        wiring.store(settings), wiring.clock(settings), name, roles, by=cli_actor(), reason=reason
    )
    if as_json:
        print_json(show.user_row(user))
    else:
        out.print(f"user {name}: {_words(map(str, user.grants))}")


def _password(name: str) -> str:
    """From a person twice, or the first line of standard input. Never an argument: other users
    of the machine can read those. Raises BadPassword."""
    if not sys.stdin.isatty():
        return check_password(sys.stdin.readline(MOST_PASSWORD * 8).rstrip("\r\n"), name)
    err.print(f"  {LEAST_PASSWORD} characters or more")
    given: str = typer.prompt(f"Password of {name}", hide_input=True, err=True)
    normal = check_password(given, name)
    typer.prompt("Again", hide_input=True, err=True, value_proc=_same_as(given))
    return normal


def _same_as(given: str) -> Callable[[str], str]:
    def check(again: str) -> str:
        if again != given:
            raise typer.BadParameter("that is another password")
        return again

    return check


def _words(names: Iterable[str]) -> str:
    return ", ".join(names)
