"""How each API is asked for one row, and where its answer has the probability."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from .rows import FEATURES, Rows

Body = Callable[[Sequence[float]], Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """``body`` makes the JSON of one row; ``read`` finds the probability in the answer's JSON.

    With several ``paths`` or ``keys`` (API keys; none by default) requests take them in turn.
    """

    name: str
    body: Body
    read: Callable[[Any], float]
    paths: tuple[str, ...]
    keys: tuple[str, ...] = field(default=(), repr=False)

    def requests(self, rows: Iterable[Sequence[float]]) -> Iterator[bytes]:
        """Each row's request as it goes over the wire."""
        encoder = msgspec.json.Encoder()
        heads = [_head(path, key) for path, key in _pairs(self.paths, self.keys or ("",))]
        for head, row in zip(itertools.cycle(heads), rows, strict=False):
            body = encoder.encode(self.body(row))
            yield head + str(len(body)).encode() + b"\r\n\r\n" + body


def windvane(model: str, key: str) -> Shape:
    return spread_windvane((model,), (key,))


def spread_windvane(models: Sequence[str], keys: Sequence[str]) -> Shape:
    """Windvane's API over many models and tenants."""
    return Shape(
        f"windvane-{len(models)}-{len(keys)}",
        lambda row: {"instances": [{"features": dict(zip(FEATURES, row, strict=True))}]},
        lambda answer: answer["predictions"][0]["value"],
        tuple(f"/v1/models/{model}/predict" for model in models),
        tuple(keys),
    )


# What FastAPI, LitServe and Ray Serve leave to their users: the shortest JSON that will do.
FEATURES_LIST = Shape(
    "features",
    lambda row: {"features": row},
    lambda answer: answer["probability"],
    ("/predict",),
)
# The method's argument is the field; it batches along the first axis.
BENTOML = Shape("bentoml", lambda row: {"rows": [row]}, lambda answer: answer[0], ("/predict",))
# "inputs" is the tensor form of MLflow's protocol, which spares it a data frame a request.
MLFLOW = Shape(
    "mlflow",
    lambda row: {"inputs": [row]},
    lambda answer: answer["predictions"][0][1],
    ("/invocations",),
)
# The Open Inference Protocol, version 2.
MLSERVER = Shape(
    "mlserver",
    lambda row: {
        "inputs": [{"name": "rows", "shape": [1, len(row)], "datatype": "FP64", "data": row}],
        "outputs": [{"name": "predict_proba"}],
    },
    lambda answer: answer["outputs"][0]["data"][1],
    ("/v2/models/flight-late/infer",),
)


def write_requests(path: Path, shape: Shape, rows: Rows) -> None:
    """Every row's request behind its length (4 bytes, little endian), as cycle.lua reads them."""
    chunk = 10_000
    values = (
        row for at in range(0, len(rows), chunk) for row in rows.values[at : at + chunk].tolist()
    )
    with path.open("wb") as file:
        for request in shape.requests(values):
            file.write(len(request).to_bytes(4, "little") + request)


def http_head(path: str, headers: Mapping[str, str]) -> bytes:
    """A POST up to where the length of its body belongs."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "Content-Length: "]).encode()


def _head(path: str, key: str) -> bytes:
    headers = {"Content-Type": "application/json"}
    return http_head(path, headers | ({"Authorization": f"Bearer {key}"} if key else {}))


def _pairs(paths: Sequence[str], keys: Sequence[str]) -> list[tuple[str, str]]:
    """As many pairs as the longer has, each of the shorter used equally often."""
    count = max(len(paths), len(keys))
    return [(paths[i % len(paths)], keys[i % len(keys)]) for i in range(count)]
