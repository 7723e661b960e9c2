"""How a model is, from what was observed of it and of what watches it."""

from windvane.core.health.health import (
    Health,
    HealthFacts,
    Tone,
    Traffic,
    Trouble,
    Watching,
    judge_health,
)
from windvane.core.health.log_growth import (
    DAY_S,
    RATE_DAYS,
    LogForecast,
    LogSize,
    TableGrowth,
    forecast,
)

__all__ = [
    "DAY_S",
    "RATE_DAYS",
    "Health",
    "HealthFacts",
    "LogForecast",
    "LogSize",
    "TableGrowth",
    "Tone",
    "Traffic",
    "Trouble",
    "Watching",
    "forecast",
    "judge_health",
]
