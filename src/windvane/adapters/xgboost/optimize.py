"""Boosted trees of which fewer rounds are used."""

from __future__ import annotations

from windvane.adapters.xgboost.library import Booster
from windvane.ports.optimizer import RoundsOptimizer


class XgboostOptimizer(RoundsOptimizer):
    """The optimizer port on XGBoost's own files."""

    def __init__(self) -> None:
        super().__init__("XGBoost", _rounds)


def _rounds(body: bytes) -> int:
    booster = Booster(body)
    try:
        return booster.rounds
    finally:
        booster.close()
