"""``postmortem`` and ``action-items``: what is on record of an incident, and what is to be done."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from windvane.apps.cli import wiring
from windvane.apps.cli.acting import IncidentName, act
from windvane.apps.cli.options import AsJson, Home, Reason, cli_actor
from windvane.apps.cli.output import out, print_json
from windvane.apps.cli.show import moment
from windvane.apps.cli.wiring import Column
from windvane.ports.incidents import ActionItem, ItemState
from windvane.usecases.actions import About, Asked, action_named

items_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="What is to be done after incidents: list it, add to it, say that it is done.",
)
_MOST = 5_000


def postmortem(incident: IncidentName, home: Home = None, as_json: AsJson = False) -> None:
    """Write what is on record of an incident, in Markdown.

    Impact by tenant, times, evidence, what was changed near the onset, the timeline and the action
    items. Nothing is guessed: what is not known says so.
    """
    from windvane.core.alerting.postmortem import write_markdown
    from windvane.usecases.write_postmortem import write_postmortem

    settings = wiring.settings(home)
    with wiring.store(settings).read() as tx:
        found = write_postmortem(tx, incident, wiring.clock(settings).now())
    if as_json:
        print_json(found)
        return
    out.print(write_markdown(found, lambda at: f"{moment(at)} UTC"), soft_wrap=True)


@items_app.command("list")
def list_items(
    model: Annotated[str, typer.Option(help="One model's; all by default.")] = "",
    incident: Annotated[str, typer.Option(help="One incident's; all by default.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Also what is done or verified.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What is open, due first, and what is overdue."""
    settings = wiring.settings(home)
    state = "" if every else ItemState.OPEN.value
    with wiring.store(settings).read() as tx:
        found = tx.action_items(_MOST, model=model, incident=incident, state=state)
    now = wiring.clock(settings).now()
    if as_json:
        print_json([_row(item, now) for item in found])
        return
    if not found:
        out.print("nothing is to be done")
        return
    columns = [
        Column("item", whole=True), Column("state"), Column("by"), Column("who"), Column("what"),
    ]  # fmt: skip
    rows = [
        [
            item.id,
            "overdue" if item.overdue(now) else item.state,
            moment(item.due - 1.0)[:10],
            item.owner,
            item.what,
        ]
        for item in found
    ]
    out.table(columns, rows)


@items_app.command("add")
def add_item(
    incident: IncidentName,
    what: Annotated[str, typer.Option(help="What is to be done.")],
    owner: Annotated[str, typer.Option(help="Who does it.")],
    due: Annotated[str, typer.Option(help="By which day, such as 2026-12-01.")],
    acceptance: Annotated[str, typer.Option(help="By what it is known to be done.")],
    reason: Reason = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Add what is to be done after an incident."""
    answers = {"what": what, "owner": owner, "due": due, "acceptance": acceptance}
    asked = Asked("", cli_actor(), reason, incident=incident, answers=answers)
    act(home, action_named("add-action-item", About.INCIDENT), asked, as_json=as_json)


@items_app.command("set")
def set_item(
    item: Annotated[str, typer.Argument(help="The item's id, as `action-items list` shows it.")],
    state: Annotated[str, typer.Argument(help="How it is: open, done or verified.")],
    reason: Reason = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Say that an item is done, verified, or open again."""
    with wiring.store(wiring.settings(home)).read() as tx:
        incident = tx.action_item(item).incident
    answers = {"item": item, "state": state}
    asked = Asked("", cli_actor(), reason, incident=incident, answers=answers)
    act(home, action_named("set-action-item", About.INCIDENT), asked, as_json=as_json)


def _row(item: ActionItem, now: float) -> dict[str, Any]:
    return {**msgspec.to_builtins(item), "overdue": item.overdue(now)}
