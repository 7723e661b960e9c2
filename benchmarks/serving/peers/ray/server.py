"""The classifier as a Ray Serve deployment; BENCH_BATCH=1 batches with @serve.batch."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import joblib
import numpy as np
import ray
from ray import serve
from starlette.requests import Request

MODEL = os.environ["BENCH_MODEL"]


@serve.deployment(max_ongoing_requests=128)
class OneByOne:
    def __init__(self) -> None:
        self.model = joblib.load(MODEL)

    async def __call__(self, request: Request) -> dict[str, float]:
        body = await request.json()
        found = self.model.predict_proba(np.array([body["features"]]))
        return {"probability": float(found[0, 1])}


@serve.deployment(max_ongoing_requests=128)
class Batched:
    def __init__(self) -> None:
        self.model = joblib.load(MODEL)

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.01)
    async def predict(self, rows: list[list[float]]) -> Any:  # a list in, one of it out
        return self.model.predict_proba(np.array(rows))[:, 1].tolist()

    async def __call__(self, request: Request) -> dict[str, float]:
        body = await request.json()
        return {"probability": await self.predict(body["features"])}


if __name__ == "__main__":
    # The number of CPUs is only what Ray's scheduler believes; taskset decides what there is.
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["BENCH_PORT"])})
    app = (Batched if os.environ.get("BENCH_BATCH") else OneByOne).bind()
    serve.run(app, route_prefix="/predict")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stop.wait()
    serve.shutdown()
    ray.shutdown()
