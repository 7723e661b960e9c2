"""Boosted trees of which fewer rounds are used."""

from __future__ import annotations

from windvane.adapters.lightgbm.library import Booster
from windvane.ports.optimizer import RoundsOptimizer


class LightgbmOptimizer(RoundsOptimizer):
    """The optimizer port on LightGBM's own files."""

    def __init__(self) -> None:
        super().__init__("LightGBM", _rounds)


def _rounds(body: bytes) -> int:
    booster = Booster(body)
    try:
        return booster.rounds
    finally:
        booster.close()
