"""``monitors``: how good alerts are, and how fast people answer them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from windvane.apps.cli import wiring
from windvane.apps.cli.options import AsJson, Home, duration
from windvane.apps.cli.output import out, print_json
from windvane.apps.cli.show import Table, moment
from windvane.apps.cli.wiring import Column

if TYPE_CHECKING:
    from windvane.core.alerting.grading import AlertPrecision
    from windvane.core.alerting.response_times import Delay, ResponseTimes
    from windvane.usecases.measure_alerts import AlertReport


def monitors(
    model: Annotated[str, typer.Argument(help="One model; all by default.")] = "",
    over: Annotated[str, typer.Option("--over", help="Incidents of so long back.")] = "365d",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """How good each monitor's alerts are, and how fast people answer them.

    Precision is the share of true incidents among those graded, with its 95% interval. A monitor
    that is proposed for retirement goes on until a model's file says otherwise.
    """
    from windvane.usecases.measure_alerts import measure_alerts

    settings, over_s = wiring.settings(home), duration(over, "--over")
    with wiring.store(settings).read() as tx:
        if model:
            tx.model(model)
        found = measure_alerts(tx, wiring.clock(settings).now(), model=model, over_s=over_s)
    if as_json:
        print_json(_as_json(found))
        return
    if not found.incidents:
        out.print(f"No incident since {moment(found.since)}: there is nothing to grade.")
        return
    out.table(*_precision_table(found))
    out.print()
    out.table(*_times_table(found, weekly=bool(model)))
    for name, one in found.proposals:
        out.print()
        on = f" on {name}" if name else ""
        out.print(f"proposed for retirement: {one.monitor}{on}: {one.retire}")
    if found.ungraded:
        out.print()
        out.print(f"{found.ungraded:,} of {found.incidents:,} are not graded (`windvane grade`)")
    if found.cut:
        out.print("there were more incidents: only the newest are counted")


def _precision_table(found: AlertReport) -> Table:
    columns = [
        Column("monitor", whole=True), Column("alerts", right=True), Column("graded", right=True),
        Column("true", right=True), Column("harmless", right=True), Column("false", right=True),
        Column("precision", right=True), Column("95%", right=True),
    ]  # fmt: skip
    rows = [
        [
            one.monitor, f"{one.alerts:,}", f"{one.graded:,}", f"{one.true:,}",
            f"{one.harmless:,}", f"{one.false:,}",
            "" if one.precision is None else f"{one.precision:.0%}",
            f"{one.lower:.0%} to {one.upper:.0%}" if one.graded else "",
        ]
        for one in found.monitors
    ]  # fmt: skip
    return columns, rows


def _times_table(found: AlertReport, *, weekly: bool) -> Table:
    columns = [
        Column("model", whole=True), Column("opened"), Column("incidents", right=True),
        Column("to detect", right=True), Column("to acknowledge", right=True),
        Column("to resolve", right=True),
    ]  # fmt: skip
    rows = [
        [
            one.model,
            "all" if one.week is None else f"week of {moment(one.week)[:10]}",
            f"{one.incidents:,}",
            *map(_median, (one.detect, one.acknowledge, one.resolve)),
        ]
        for one in found.times
        if weekly or one.week is None
    ]
    return columns, rows


def _median(delay: Delay) -> str:
    if delay.median_s is None:
        return ""
    for unit, word in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if delay.median_s >= unit:
            return f"{delay.median_s / unit:.1f} {word} ({delay.count:,})"
    return f"{delay.median_s:.0f} s ({delay.count:,})"


def _as_json(found: AlertReport) -> dict[str, Any]:
    return {
        "since": found.since,
        "incidents": found.incidents,
        "ungraded": found.ungraded,
        "cut": found.cut,
        "monitors": [_precision(*rule) for rule in found.everywhere],
        "rules": [_precision(*rule) for rule in found.rules],
        "times": [_times(one) for one in found.times],
    }


def _precision(model: str, one: AlertPrecision) -> dict[str, Any]:
    return {
        "monitor": one.monitor, "model": model, "alerts": one.alerts, "graded": one.graded,
        "true": one.true, "harmless": one.harmless, "false": one.false,
        "precision": one.precision, "lower": one.lower, "upper": one.upper, "latest": one.latest,
        "retire": one.retire,
    }  # fmt: skip


def _times(one: ResponseTimes) -> dict[str, Any]:
    return {
        "model": one.model, "week": one.week, "incidents": one.incidents, "detect": one.detect,
        "acknowledge": one.acknowledge, "resolve": one.resolve,
    }  # fmt: skip
