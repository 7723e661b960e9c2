"""Boosted trees of which fewer rounds are used."""

from __future__ import annotations

from dataclasses import replace

from windvane.adapters.xgboost.library import Booster
from windvane.core.execution import Optimization, ServedBy
from windvane.ports.optimizer import CannotOptimize


class XgboostOptimizer:
    """The optimizer port on XGBoost's UBJSON and JSON. The file stays as it is."""

    def cast(self, body: bytes, served: ServedBy, how: Optimization) -> bytes:
        del body, served
        raise CannotOptimize(
            f"{how.value} of boosted trees: XGBoost has none, and thresholds that are cast move "
            "the splits",
            hint="--prune uses fewer of its trees",
        )

    def rounds(self, body: bytes, served: ServedBy) -> int:
        booster = Booster(body)
        try:
            return min(served.rounds or booster.rounds, booster.rounds)
        finally:
            booster.close()

    def prune(self, body: bytes, served: ServedBy, rounds: int) -> tuple[bytes, ServedBy]:
        return body, replace(served, rounds=rounds)
