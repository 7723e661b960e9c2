"""How a model is, from what was observed of it and of what watches it; and how what a process
depends on is."""

from windvane.core.health.dependencies import (
    SILENT_AFTER_S,
    Dependency,
    DependencyState,
    Readiness,
    WatcherFacts,
    judge_database,
    judge_log_storage,
    judge_routing_file,
    judge_served_versions,
    judge_shared,
    judge_spool,
    judge_unseen_watchers,
    judge_watchers,
    readiness,
)
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
    LogForecast,
    LogSize,
    TableGrowth,
    forecast,
)

__all__ = [
    "DAY_S",
    "SILENT_AFTER_S",
    "Dependency",
    "DependencyState",
    "Health",
    "HealthFacts",
    "LogForecast",
    "LogSize",
    "Readiness",
    "TableGrowth",
    "Tone",
    "Traffic",
    "Trouble",
    "WatcherFacts",
    "Watching",
    "forecast",
    "judge_database",
    "judge_health",
    "judge_log_storage",
    "judge_routing_file",
    "judge_served_versions",
    "judge_shared",
    "judge_spool",
    "judge_unseen_watchers",
    "judge_watchers",
    "readiness",
]
