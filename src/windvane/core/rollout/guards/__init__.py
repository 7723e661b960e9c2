"""All guards of a rollout; one is a file and a line here."""

from windvane.core.rollout.guards.base import Guard
from windvane.core.rollout.guards.failures import (
    ErrorRate,
    Errors,
    SlowAnswers,
    units_without_failure,
)
from windvane.core.rollout.guards.losses import Losses
from windvane.core.rollout.guards.slices import Slices

GUARDS: tuple[Guard, ...] = (Errors(), ErrorRate(), SlowAnswers(), Slices(), Losses())

__all__ = ["GUARDS", "Guard", "units_without_failure"]
