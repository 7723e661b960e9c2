"""``windvane backtest``: a model's past through today's policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from windvane.apps.cli import wiring
from windvane.apps.cli.options import AsJson, Home, ModelName, duration
from windvane.apps.cli.output import err, out, print_json

if TYPE_CHECKING:
    from windvane.usecases.backtest_alarms import AlarmBacktest, Replayed


def backtest(
    model: ModelName,
    alarms: Annotated[
        bool, typer.Option("--alarms", help="Replay what would have alarmed.")
    ] = False,
    since: Annotated[
        str, typer.Option(help="How far back, such as `30d`; all that is kept by default.")
    ] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Replay a model's recorded windows through today's policy. Nothing is written.

    The real monitors judge, from a fresh state, by the champion and the model's file of today:
    what would have alarmed, when and for how long, beside the incidents that were really told.
    """
    from windvane.usecases.backtest_alarms import backtest_alarms, backtest_json

    if not alarms:
        raise typer.BadParameter("say what is replayed: --alarms")
    settings = wiring.settings(home)
    ago = duration(since, "--since") if since else None
    store = wiring.store(settings)
    try:
        at = wiring.clock(settings).now() - ago if ago is not None else None
        with err.status("read the windows") as shown:
            found = backtest_alarms(
                store, model, at, lambda i, of: shown.update(f"window {i:,} of {of:,}")
            )
    finally:
        store.close()
    if as_json:
        print_json(backtest_json(found))
    else:
        _show(found)


def _show(found: AlarmBacktest) -> None:
    from windvane.usecases.monitors.base import moment

    out.print(
        f"{found.model}: {found.windows:,} windows of {found.window_s:g} s, {moment(found.start)} "
        f"to {moment(found.end)}, judged by version {found.champion}"
    )
    out.print(
        f"budget {found.budget}: {found.allowed:.2g} false alarms allowed in that time, over "
        f"everything; an alarm takes evidence of {found.alarm_at:,.4g}"
    )
    if found.alarms:
        out.print()
        out.table(
            [
                wiring.Column("SINCE"), wiring.Column("ALARMED"), wiring.Column("FOR", right=True),
                wiring.Column("SEVERITY"), wiring.Column("TOLD"), wiring.Column("WHAT"),
                wiring.Column("INCIDENT", whole=True),
            ],
            [
                [
                    moment(one.alarm.since), moment(one.alarm.opened), _lasted(one, found.end),
                    one.alarm.severity, one.alarm.told, one.alarm.title, one.incident,
                ]
                for one in found.alarms
            ],
        )  # fmt: skip
    out.print()
    told = sum(bool(one.incident) for one in found.alarms)
    out.print(f"{len(found.alarms)} alarms, {told} of which were told as an incident then")
    for incident in found.missed:
        out.print(f"told and not replayed: {incident.id}, {moment(incident.opened_at)}: "
                  f"{incident.title}")  # fmt: skip
    for name, why in found.left_out.items():
        out.print(f"left out: monitor {name}: {why}")
    if found.rolled_up:
        out.print(f"left out: {found.rolled_up:,} sums of older windows, which are kept no longer "
                  "one by one")  # fmt: skip


def _lasted(one: Replayed, end: float) -> str:
    until = end if one.alarm.closed is None else one.alarm.closed
    hours = max(until - one.alarm.opened, 0.0) / 3600.0
    shown = f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.1f} h"
    return shown if one.alarm.closed is not None else f"{shown}, goes on"
