"""Tables and the contracts that they are read by."""

from __future__ import annotations

import base64
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract, TaskSpec

DAY = "2024-03-01T12:00:00Z"
AT = 1_709_294_400.0
BINARY = TaskSpec()


def feature(name: str, kind: str, **given: Any) -> FeatureSpec:
    return FeatureSpec(name, given.pop("view", "v"), FeatureType(kind), nullable=True, **given)


def contract(*features: FeatureSpec, task: TaskSpec = BINARY) -> Contract:
    return Contract(features, task)


def csv_file(folder: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    path = folder / "orders.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def text_file(folder: Path, text: str | bytes, name: str = "orders.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def parquet_file(folder: Path, columns: dict[str, Any], names: Sequence[str] = ()) -> Path:
    """Arrow arrays or lists by name, with a label and a time for each row where there is none."""
    arrays = {k: v if isinstance(v, pa.Array) else pa.array(v) for k, v in columns.items()}
    rows = len(next(iter(arrays.values())))
    arrays.setdefault("y", pa.array([i % 2 for i in range(rows)]))
    arrays.setdefault("t", pa.array([int(AT) + i for i in range(rows)]))
    path = folder / "orders.parquet"
    pq.write_table(pa.table(list(arrays.values()), names=list(names) or list(arrays)), path)
    return path


def cell(value: Any) -> str:
    """As anybody's program writes it to a CSV file."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return "[" + ", ".join(map(repr, value)) + "]"
    return str(value)
