"""``windvane quarantine`` and ``windvane spools``: what is not recorded, and why."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from windvane.apps.cli import show, wiring
from windvane.apps.cli.options import AsJson, Home, Reason, cli_actor
from windvane.apps.cli.output import out, print_json
from windvane.ports.control_store import Tx
from windvane.ports.quarantine import MAX_ITEMS, CountName, ItemKind, Quarantined
from windvane.usecases.put_back import forget, put_back
from windvane.usecases.recorded_until import drop_spool, spool_states
from windvane.usecases.set_aside import content_of_item

quarantine_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="What could not be processed: list it, look at it, process it again, forget it.",
)
spools_app = typer.Typer(
    rich_markup_mode="markdown",
    invoke_without_command=True,
    help="How far each spool is recorded, and which are gone.",
)
Items = Annotated[list[str] | None, typer.Argument(help="Ids, as `quarantine list` shows them.")]
OfModel = Annotated[str, typer.Option("--model", help="All that is held of this model.")]
All = Annotated[bool, typer.Option("--all", help="All that is held.")]


@quarantine_app.command("list")
def list_items(
    model: Annotated[str, typer.Option(help="One model's; all by default.")] = "",
    kind: Annotated[
        str, typer.Option(help=f"One kind: {', '.join(ItemKind)}; all by default.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=MAX_ITEMS, help="The most lines.")] = 100,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What is set aside and why, newest first."""
    if kind and kind not in list(ItemKind):
        raise typer.BadParameter(f"--kind: {kind!r} is none of {', '.join(ItemKind)}")
    with wiring.store(wiring.settings(home)).read() as tx:
        items, held_back = tx.quarantined(model, kind, limit), not_held(tx)
    if as_json:
        print_json([item_row(item) for item in items])
        return
    if items:
        out.table(*show.quarantine_table(items))
    else:
        out.print(f"nothing of {model} is set aside" if model else "nothing is set aside")
    if held_back:
        out.print(f"{held_back:,} more were beyond the bounds and are only counted")


@quarantine_app.command("show")
def show_item(
    item: Annotated[str, typer.Argument(help="The id, as `quarantine list` shows it.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """One item with its content: the event, or its first bytes where it is none."""
    with wiring.store(wiring.settings(home)).read() as tx:
        found = tx.quarantined_item(item)
    content = content_of_item(found)
    if as_json:
        print_json({**item_row(found), "content": content})
        return
    out.print(f"{found.reason}  {found.message}", style="bold")
    out.print(
        f"{found.kind} of model {found.model or '?'}, tenant {found.tenant or '?'}, "
        f"{show.moment(found.at)}, {found.size:,} bytes from {found.source}, {found.status}"
    )
    if not found.whole:
        out.print("it is not whole, so it cannot be processed again")
    out.print(content if isinstance(content, str) else show.fields_of(content))


@quarantine_app.command("retry")
def retry(
    items: Items = None,
    model: OfModel = "",
    every: All = False,
    reason: Reason = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Process it again; what is still bad is held again.

    A recorder records an event once, within seconds; the steward judges a window again for the
    record, and sends a notification again. A model's file is held until it can be read.
    """
    settings = wiring.settings(home)
    with wiring.store(settings).begin() as tx:
        chosen = _chosen(tx, items, model, every=every)
        marked = put_back(tx, wiring.clock(settings), chosen, by=cli_actor(), reason=reason)
    if as_json:
        print_json({"retried": marked})
    else:
        out.print(f"{marked:,} are processed again; `windvane quarantine list` shows what is left")


@quarantine_app.command("drop")
def drop(
    items: Items = None,
    model: OfModel = "",
    every: All = False,
    reason: Reason = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Forget it: it will never be processed."""
    settings = wiring.settings(home)
    with wiring.store(settings).begin() as tx:
        chosen = _chosen(tx, items, model, every=every)
        dropped = forget(tx, wiring.clock(settings), chosen, by=cli_actor(), reason=reason)
    if as_json:
        print_json({"dropped": dropped})
    else:
        out.print(f"{dropped:,} are forgotten")


def _chosen(tx: Tx, items: list[str] | None, model: str, *, every: bool) -> list[str]:
    if sum((bool(items), bool(model), every)) != 1:
        raise typer.BadParameter("name ids, or --model MODEL, or --all: one of them")
    if items:
        return [tx.quarantined_item(item).id for item in dict.fromkeys(items)]
    return [item.id for item in tx.quarantined(model, "", MAX_ITEMS)]


def item_row(item: Quarantined) -> dict[str, Any]:
    """An item for machines, without its body."""
    row: dict[str, Any] = msgspec.to_builtins(item)
    return {name: value for name, value in row.items() if name not in ("body", "place")}


def not_held(tx: Tx) -> int:
    """How many were beyond the bounds of the quarantine."""
    return sum(n for counted, n in tx.counts().items() if counted.name == CountName.NOT_HELD)


@spools_app.callback()
def spools(context: typer.Context, home: Home = None, as_json: AsJson = False) -> None:
    if context.invoked_subcommand is None:
        list_spools(home, as_json)


@spools_app.command("list")
def list_spools(home: Home = None, as_json: AsJson = False) -> None:
    """Each spool: position, how far the log has it, watermark, lag, when it was last seen, whether
    windows close without it. The same as `windvane spools`."""
    settings = wiring.settings(home)
    clock = wiring.clock(settings)
    with wiring.store(settings).read() as tx:
        states = spool_states(
            tx.checkpoints(), clock.now(), clock.wall(), settings.spool_expire_after_s
        )
    if as_json:
        print_json(states)
    elif states:
        out.table(*show.spools_table(states))
    else:
        out.print("no spool yet: no recorder has run")


@spools_app.command("drop")
def drop_one(
    spool: Annotated[str, typer.Argument(help="The spool's name, as `spools` shows it.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Leave a spool out that will not come back. Should it do so, it is recorded all the same."""
    settings = wiring.settings(home)
    wall = wiring.clock(settings).wall()
    lost = drop_spool(wiring.store(settings), spool, wall, settings.spool_expire_after_s)
    if as_json:
        print_json({"spool": spool, "dropped": True, "lost_bytes": lost})
        return
    out.print(f"spool {spool} is left out from now on")
    if lost:
        out.print(f"up to {lost:,} bytes of it are counted and not in the log: they are lost")
