"""``windvane quality``: how good a model's answers are, by all that says something of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windvane.apps.cli import show, wiring
from windvane.apps.cli.options import AsJson, Home, ModelName, duration
from windvane.apps.cli.output import err, out, print_json

if TYPE_CHECKING:
    from windvane.usecases.read_quality import QualityReading


def quality(
    model: ModelName,
    since: Annotated[
        str, typer.Option(help="How far back, such as `30d`; the model's `drift_over` by default.")
    ] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """How good answers are: measured, estimated until outcomes come, and from sampled labels."""
    from windvane.usecases.read_quality import read_quality

    settings = wiring.settings(home)
    ago = duration(since, "--since") if since else None
    store, log, clock = wiring.store(settings), wiring.event_log(settings), wiring.clock(settings)
    with err.status("read the log"):
        found = read_quality(store, log, model, clock.now(), ago)
    rows = [
        {
            "how": how, "of": one.of, "version": one.version, "start": one.start, "end": one.end,
            "metric": one.metric, "value": _number(one.value), "lower": _number(one.lower),
            "upper": _number(one.upper), "rows": one.rows, "note": one.note,
        }
        for how, readings in (
            ("measured", found.measured), ("estimated", found.estimated),
            ("sampled labels", found.sampled),
        )
        for one in readings
    ]  # fmt: skip
    if as_json:
        print_json({"model": model, "floor": found.floor, "quality": rows})
    else:
        _show(model, found, rows)


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _show(model: str, found: QualityReading, rows: list[dict[str, Any]]) -> None:
    if not rows:
        out.print(f"{model}: no outcome, no estimate and no sampled label yet")
        return
    out.table(
        [
            wiring.Column("how"), wiring.Column("of"), wiring.Column("version", whole=True),
            wiring.Column("from"),
            wiring.Column("until"), wiring.Column("metric", whole=True),
            wiring.Column("value", right=True), wiring.Column("95% interval"),
            wiring.Column("n", right=True), wiring.Column("says"),
        ],
        [
            [
                one["how"], one["of"] or "all", one["version"] or "a rule",
                show.moment(one["start"]), show.moment(one["end"]), one["metric"],
                "" if one["value"] is None else f"{one['value']:.3f}",
                "" if one["value"] is None else f"{one['lower']:.3f} to {one['upper']:.3f}",
                f"{one['rows']:,}", one["note"],
            ]
            for one in rows
        ],
    )  # fmt: skip
    floor = "" if found.floor is None else f"; the floor is {found.floor:g}"
    out.print(f"an estimate is no measurement: it cannot see that the truth changed{floor}")
