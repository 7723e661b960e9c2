"""The classifier as a BentoML service; BENCH_BATCH=1 makes its method batchable."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import os

import bentoml
import joblib
import numpy as np

BATCHING = (
    {"batchable": True, "max_batch_size": 64, "max_latency_ms": 1_000}
    if os.environ.get("BENCH_BATCH")
    else {}
)


@bentoml.service(
    workers=1,
    traffic={"timeout": 30},
    logging={"access": {"enabled": False}},  # nobody else writes a line a request either
)
class FlightLate:
    def __init__(self) -> None:
        self.model = joblib.load(os.environ["BENCH_MODEL"])

    @bentoml.api(**BATCHING)
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(rows)[:, 1]
