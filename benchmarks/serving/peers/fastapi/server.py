"""FastAPI in front of the classifier, as its documentation writes a prediction.

BENCH_RUNTIME=onnx answers with ONNX Runtime instead: the peer's server with Windvane's runtime.
"""
# pyright: reportMissingImports=false

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel


class Row(BaseModel):
    features: list[float]


class Answer(BaseModel):
    probability: float


def load() -> Callable[[list[float]], float]:
    if os.environ.get("BENCH_RUNTIME") == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(os.environ["BENCH_GRAPH"], options)

        def run(features: list[float]) -> float:
            found = np.asarray(session.run(["probability"], {"x": np.array([features])})[0])
            return float(found[0, 0])

        return run
    import joblib

    model = joblib.load(os.environ["BENCH_MODEL"])
    return lambda features: float(model.predict_proba(np.array([features]))[0, 1])


app = FastAPI()
probability = load()


def predict(row: Row) -> Answer:
    """What computes goes into FastAPI's thread pool."""
    return Answer(probability=probability(row.features))


async def predict_on_the_loop(row: Row) -> Answer:
    """No thread in between, and nothing else meanwhile."""
    return Answer(probability=probability(row.features))


app.post("/predict")(predict_on_the_loop if os.environ.get("BENCH_ASYNC") else predict)
