"""``maintenance``: planned ahead, listed, cancelled."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from windvane.apps.cli import wiring
from windvane.apps.cli.changes import say_home
from windvane.apps.cli.options import AsJson, Home, Reason, cli_actor, duration
from windvane.apps.cli.output import out, print_json
from windvane.apps.cli.show import moment
from windvane.apps.cli.wiring import Column
from windvane.ports.control_store import Silence
from windvane.usecases.read_model_file import parse_moment

maintenance_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Planned maintenance, in which nobody is paged: list it, declare it, cancel it.",
)


@maintenance_app.command("list")
def list_maintenance(
    model: Annotated[str, typer.Option(help="What concerns one model; all by default.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What is planned or lasts, first to begin first."""
    from windvane.usecases.plan_maintenance import find_maintenance, scope_of

    settings = wiring.settings(home)
    wall = wiring.clock(settings).wall()
    with wiring.store(settings).read() as tx:
        found = find_maintenance(tx, wall, model)
    if as_json:
        print_json([msgspec.to_builtins(one) for one in found])
        return
    if not found:
        out.print("no maintenance is planned")
        return
    columns = [
        Column("maintenance", whole=True), Column("of", whole=True), Column("state"),
        Column("from"), Column("until"), Column("who"), Column("why"),
    ]  # fmt: skip
    rows = [
        [
            one.id, scope_of(one), "now" if wall >= one.begins else "planned", moment(one.begins),
            moment(one.until), one.by, one.reason,
        ]
        for one in found
    ]  # fmt: skip
    out.table(columns, rows)


@maintenance_app.command("add")
def add_maintenance(
    lasts: Annotated[str, typer.Option("--for", help="For how long, such as `2h`; 7d at most.")],
    model: Annotated[str, typer.Option(help="Of one model; all by default.")] = "",
    tenant: Annotated[str, typer.Option(help="Of one tenant; all by default.")] = "",
    begins: Annotated[
        str, typer.Option("--from", help="From when, in UTC, such as 2026-12-01T22:00.")
    ] = "now",
    reason: Reason = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Declare it: nobody is paged meanwhile, and what still lives after its end is told then."""
    from windvane.usecases.plan_maintenance import plan_maintenance, scope_of

    settings = wiring.settings(home)
    clock = wiring.clock(settings)
    at = _moment(begins, clock.wall())
    planned = plan_maintenance(
        wiring.store(settings), clock, begins=at, until=at + duration(lasts, "--for"),
        by=cli_actor(), reason=reason, model=model, tenant=tenant,
    )  # fmt: skip
    _say(planned, f"planned: {scope_of(planned)} until {moment(planned.until)}", as_json=as_json)
    if not as_json:
        say_home(settings)


@maintenance_app.command("cancel")
def cancel(
    name: Annotated[str, typer.Argument(help="Its id, as `maintenance list` shows it.")],
    reason: Reason = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """End it now, or take it away before it begins."""
    from windvane.usecases.plan_maintenance import cancel_maintenance, scope_of

    settings = wiring.settings(home)
    held = cancel_maintenance(
        wiring.store(settings), wiring.clock(settings), name, by=cli_actor(), reason=reason
    )
    _say(held, f"cancelled: {scope_of(held)}", as_json=as_json)
    if not as_json:
        say_home(settings)


def _say(one: Silence, line: str, *, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.to_builtins(one))
    else:
        out.print(f"{line} ({one.id})")


def _moment(text: str, wall: float) -> float:
    """Seconds since the epoch. Raises BadParameter."""
    if text == "now":
        return wall
    try:
        return parse_moment(text)
    except ValueError:
        message = f"--from is {text[:40]!r}, a time such as 2026-12-01T22:00 or `now` is needed"
        raise typer.BadParameter(message) from None
