"""How large the log becomes, from its own files, the set retention and the disk that it is on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from windvane.core.health import DAY_S, LogForecast, forecast
from windvane.ports.control_store import ControlStore
from windvane.ports.event_log import EventLog, LogKind
from windvane.usecases.expire_events import kept_seconds
from windvane.usecases.read_settings import Retention


def log_retention_s(retention: Retention) -> Mapping[LogKind, float]:
    """Of each kind, in seconds, as it is set."""
    return {
        "predictions": retention.predictions * DAY_S,
        "refusals": retention.refusals * DAY_S,
        "outcomes": retention.outcomes * DAY_S,
    }


def forecast_log(
    store: ControlStore,
    log: EventLog,
    now: float,
    retention: Retention,
    warn_days: float,
    *,
    by_model: bool = True,
) -> LogForecast:
    """``now``: business time. Reads the lists of the tables' files, and ``by_model`` which model
    each row of the log is of; ``models`` is empty without."""
    kept = kept_seconds(store, log_retention_s(retention))
    sizes = log.sizes(0.0 if by_model else now)
    days = {cast("str", kind): kept_s / DAY_S for kind, kept_s in kept.items()}
    found = forecast(sizes, now, days, log.free_bytes(), warn_days)
    return found if by_model else replace(found, models=())
