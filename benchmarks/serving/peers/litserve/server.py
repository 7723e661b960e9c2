"""The classifier as a LitServe API; BENCH_BATCH=1 batches, BENCH_FAST=1 takes the fast queue."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

# Without `from __future__ import annotations`: LitServe reads the methods' annotations as types.
import os
from typing import Any

import joblib
import litserve as ls
import numpy as np


class OneByOne(ls.LitAPI):
    def setup(self, device: str) -> None:
        del device
        self.model = joblib.load(os.environ["BENCH_MODEL"])

    def decode_request(self, request):
        return np.array(request["features"])

    def predict(self, x: Any) -> Any:
        return self.model.predict_proba(x.reshape(1, -1))[0, 1]

    def encode_response(self, output: Any) -> dict[str, float]:
        return {"probability": float(output)}


class Batched(OneByOne):
    def batch(self, inputs: list[Any]) -> Any:
        return np.stack(inputs)

    def predict(self, x: Any) -> Any:
        return self.model.predict_proba(x)[:, 1]

    def unbatch(self, output: Any) -> list[Any]:
        return list(output)


if __name__ == "__main__":
    if os.environ.get("BENCH_BATCH"):
        api = Batched(max_batch_size=64, batch_timeout=0.01)
    else:
        api = OneByOne()
    server = ls.LitServer(api, accelerator="cpu", fast_queue=bool(os.environ.get("BENCH_FAST")))
    server.run(
        host="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        generate_client_file=False,
        access_log=False,
        log_level="warning",
    )
