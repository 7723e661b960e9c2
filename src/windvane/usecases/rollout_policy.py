"""What a model's file says of its rollouts, as the gate takes it."""

from __future__ import annotations

import math
import re

from windvane.core.rollout import GatePolicy
from windvane.usecases.read_model_file import (
    BadModelFile,
    ModelFile,
    Rollout,
    parse_duration,
    parse_share,
)

_MOST_TIMES = 1_000.0
_TIMES = re.compile(r"(\d+(?:\.\d+)?)x champion")


def gate_policy(file: ModelFile) -> GatePolicy:
    """Raises BadModelFile, which names the field and what fits."""
    rollout = file.rollout
    return GatePolicy(
        alpha=rollout.alpha,
        soak_s=parse_duration(rollout.soak),
        max_error_rate=_share(
            "rollout.roll_back_if.error_rate", rollout.roll_back_if.error_rate, ">", "> 5%"
        ),
        advance_error_rate=_share(
            "rollout.advance_if.error_rate", rollout.advance_if.error_rate, "<", "< 1%"
        ),
        max_ratio=_times(
            "rollout.advance_if.errors", rollout.advance_if.errors, "<", "< 2x champion"
        ),
        loss_of_gain=_share(
            "rollout.roll_back_if.loss", rollout.roll_back_if.loss, ">", "> 25% of gain",
            " of gain",
        ),
        outcomes=bool(file.predicts.outcome),
    )  # fmt: skip


def slow_from(rollout: Rollout) -> float:
    """How many times the champion's p99 an answer has to take to be slow. Raises BadModelFile."""
    given = rollout.roll_back_if.latency_p99
    return _times("rollout.roll_back_if.latency_p99", given, ">", "> 2x champion")


def _compared(field: str, given: str, sign: str, example: str) -> str:
    held = given.strip()
    if not held.startswith(sign):
        raise BadModelFile(
            f"{field}: {given!r} must begin with {sign!r}", hint=f"such as {example!r}"
        )
    return held.removeprefix(sign).strip()


def _share(field: str, given: str, sign: str, example: str, unit: str = "") -> float:
    held = _compared(field, given, sign, example)
    try:
        if not held.endswith(unit):
            raise ValueError(f"{given!r} must end with {unit.strip()!r}")
        share = parse_share(held.removesuffix(unit))
    except ValueError as error:
        raise BadModelFile(f"{field}: {error}", hint=f"such as {example!r}") from error
    if not 0.0 < share < 1.0:
        raise BadModelFile(f"{field}: must be between 0% and 100%, not {held}")
    return share


def _times(field: str, given: str, sign: str, example: str) -> float:
    held = _compared(field, given, sign, example)
    found = _TIMES.fullmatch(held)
    times = float(found.group(1)) if found else math.nan
    if not 1.0 < times <= _MOST_TIMES:
        message = (
            f"{field}: {given!r} must be over 1 and up to {_MOST_TIMES:g} times the champion's"
        )
        raise BadModelFile(message, hint=f"such as {example!r}")
    return times
