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

__all__ = [
    "Health",
    "HealthFacts",
    "Tone",
    "Traffic",
    "Trouble",
    "Watching",
    "judge_health",
]
