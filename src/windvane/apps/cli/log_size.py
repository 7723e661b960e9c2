"""``windvane log-size``: how large the log is and becomes."""

from __future__ import annotations

from windvane.apps.cli import wiring
from windvane.apps.cli.options import AsJson, Home
from windvane.apps.cli.output import out, print_json


def log_size(home: Home = None, as_json: AsJson = False) -> None:
    """How large the log is and becomes, and when its disk is full."""
    from windvane.usecases.forecast_log import forecast_log

    settings = wiring.settings(home)
    found = forecast_log(
        wiring.store(settings), wiring.event_log(settings), wiring.clock(settings).now(),
        settings.retention, settings.disk_warning_days,
    )  # fmt: skip
    if as_json:
        print_json(found)
        return
    columns = [
        wiring.Column("table", whole=True), wiring.Column("model"), wiring.Column("MB", right=True),
        wiring.Column("MB a day", right=True), wiring.Column("rows a day", right=True),
        wiring.Column("kept", right=True), wiring.Column("levels off at MB", right=True),
    ]  # fmt: skip
    rows = [
        [
            one.table,
            one.model,
            f"{one.held_bytes / 1e6:,.1f}",
            f"{one.bytes_a_day / 1e6:,.1f}",
            f"{one.rows_a_day:,.0f}",
            f"{one.kept_days:,.0f} days",
            f"{one.level_bytes / 1e6:,.1f}",
        ]
        for one in [*found.tables, *sorted(found.models, key=lambda m: -m.bytes_a_day)]
    ]
    out.table(columns, rows)
    days = f"{found.measured_days:,.1f} days" if found.measured_days else "no rows yet"
    out.print(f"{found.code + ': ' if found.code else ''}{found.why} (measured over {days})")
