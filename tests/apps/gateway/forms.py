"""The same rows as each protocol writes them, and what it answers."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from inference.harness import MODEL, Answer, Harness, route

from windvane.apps.gateway.answers import rejection_text
from windvane.apps.gateway.grpc_service import GrpcCall, GrpcService
from windvane.apps.gateway.protocols.open_inference_messages import (
    ModelInferRequest,
    ModelInferResponse,
)
from windvane.apps.gateway.statuses import status_of
from windvane.core.signature import FeatureSpec, pack_byte_strings
from windvane.core.signature import FeatureType as T
from windvane.core.task import Contract, TaskSpec
from windvane.inference.errors import Rejection

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
GRPC = "grpc"  # in place of a path
Row = dict[str, Any]
"""Values as people think of them: a time is a datetime, a picture its bytes."""


@dataclass(frozen=True)
class Sent:
    path: str
    body: bytes
    headers: dict[str, str]


def plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def plain_rows(rows: Sequence[Row]) -> list[Row]:
    return [{name: plain(value) for name, value in row.items()} for row in rows]


def with_units(rows: Sequence[Row], units: Sequence[str]) -> list[Row]:
    return [{**row, "unit": unit} for row, unit in zip(rows, units, strict=True)]


def names_of(rows: Sequence[Row]) -> list[str]:
    return list(rows[0])


def native(contract: Contract, rows: Sequence[Row], units: Sequence[str]) -> Sent:
    instances = [
        {"features": row, "unit": unit} for row, unit in zip(plain_rows(rows), units, strict=True)
    ]
    body = json.dumps({"instances": instances}).encode()
    return Sent(f"/v1/models/{MODEL}/predict", body, {"content-type": JSON})


def tensors_of(
    contract: Contract, rows: Sequence[Row], units: Sequence[str]
) -> list[tuple[dict[str, Any], list[Any]]]:
    """Each with its values, None for null."""
    kinds = {spec.name: spec for spec in contract.features}
    out: list[tuple[dict[str, Any], list[Any]]] = []
    for name in names_of(rows):
        values = [row[name] for row in rows]
        present = [value for value in values if value is not None]
        spec = kinds.get(name)
        shape = [len(rows)]
        if present and isinstance(present[0], list):
            datatype, shape = "FP64", [len(rows), len(present[0])]
        elif all(isinstance(v, bool) for v in present) and present:
            datatype = "BOOL"
        elif all(isinstance(v, int) for v in present) and len(present) == len(values):
            datatype = "INT64"
        elif all(isinstance(v, int | float) for v in present) and (
            present or (spec is not None and spec.type in (T.NUMBER, T.INTEGER))
        ):
            datatype = "FP64"
        else:
            datatype = "BYTES"
            values = [v.isoformat() if isinstance(v, datetime) else v for v in values]
        out.append(({"name": name, "shape": shape, "datatype": datatype}, values))
    out.append(({"name": "unit", "shape": [len(rows)], "datatype": "BYTES"}, list(units)))
    return out


def nulls_of(values: Sequence[Any]) -> dict[str, Any]:
    nulls = [i for i, value in enumerate(values) if value is None]
    return {"nulls": nulls} if nulls else {}


def oip_json(contract: Contract, rows: Sequence[Row], units: Sequence[str]) -> Sent:
    inputs = []
    for message, values in tensors_of(contract, rows, units):
        data: list[Any] = [plain(value) for value in values]
        parameters: dict[str, Any] = {}
        if len(message["shape"]) == 2:
            data = [v if v is not None else [0.0] * message["shape"][1] for v in data]
            parameters = nulls_of(values)
        inputs.append({**message, "data": data, "parameters": parameters})
    body = json.dumps({"inputs": inputs}).encode()
    return Sent(f"/v2/models/{MODEL}/infer", body, {"content-type": JSON})


def oip_binary(contract: Contract, rows: Sequence[Row], units: Sequence[str]) -> Sent:
    inputs, tail = [], b""
    for message, values in tensors_of(contract, rows, units):
        parameters: dict[str, Any] = {}
        if message["datatype"] == "BYTES":
            parts = [v if isinstance(v, bytes) else (v or "").encode() for v in values]
            held = b"".join(struct.pack("<I", len(part)) + part for part in parts)
            parameters = nulls_of(values)
        elif message["datatype"] == "FP64" and len(message["shape"]) == 1:
            held = np.array([math.nan if v is None else v for v in values], "<f8").tobytes()
        else:
            blank: Any = [0.0] * message["shape"][1] if len(message["shape"]) == 2 else 0
            dtype = {"FP64": "<f8", "INT64": "<i8", "BOOL": "?"}[message["datatype"]]
            held = np.array([blank if v is None else v for v in values], dtype).tobytes()
            parameters = nulls_of(values)
        tail += held
        inputs.append({**message, "parameters": {**parameters, "binary_data_size": len(held)}})
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    length = {"inference-header-content-length": str(len(head))}
    octets = {"content-type": "application/octet-stream"}
    return Sent(f"/v2/models/{MODEL}/infer", head + tail, {**octets, **length})


def mlflow(form: str) -> Callable[..., Sent]:
    def made(contract: Contract, rows: Sequence[Row], units: Sequence[str]) -> Sent:
        given = with_units(plain_rows(rows), units)
        names = names_of(given)
        data = [list(row.values()) for row in given]
        body: dict[str, Any] = {
            "dataframe_split": {"columns": names, "data": data, "index": list(range(len(rows)))},
            "dataframe_records": given,
            "instances": given,
            "inputs": {name: [row[name] for row in given] for name in names},
        }
        sent = json.dumps({form: body[form], "params": {}}).encode()
        path = f"/models/{MODEL}/invocations"
        return Sent(path, sent, {"content-type": "application/json; charset=utf-8"})

    return made


def csv_text(rows: Sequence[Row], *, header: bool = True) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    if header:
        writer.writerow(names_of(rows))
    for row in rows:
        cells = [
            json.dumps(v) if isinstance(v, list | bool) else "" if v is None else v
            for v in row.values()
        ]
        writer.writerow([repr(c) if isinstance(c, float) else c for c in cells])
    return out.getvalue().encode()


def csv_native(contract: Contract, rows: Sequence[Row], units: Sequence[str]) -> Sent:
    body = csv_text(with_units(plain_rows(rows), units))
    return Sent(f"/v1/models/{MODEL}/predict", body, {"content-type": CSV})


def csv_mlflow(contract: Contract, rows: Sequence[Row], units: Sequence[str]) -> Sent:
    body = csv_text(with_units(plain_rows(rows), units))
    return Sent(f"/models/{MODEL}/invocations", body, {"content-type": f"{CSV}; charset=UTF-8"})


def json_lines(contract: Contract, rows: Sequence[Row], units: Sequence[str]) -> Sent:
    lines = [
        # What a feature is called comes before what a line may be.
        json.dumps(
            {**row, "unit": unit}
            if "features" in contract.names
            else {"features": row, "unit": unit}
        )
        for row, unit in zip(plain_rows(rows), units, strict=True)
    ]
    body = "\n".join(lines).encode()
    return Sent(f"/models/{MODEL}/invocations", body, {"content-type": "application/jsonlines"})


def arrow_stream(columns: dict[str, Any]) -> bytes:
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def arrow(contract: Contract, rows: Sequence[Row], units: Sequence[str]) -> Sent:
    columns: dict[str, Any] = {}
    kinds = {spec.name: spec for spec in contract.features}
    for name in names_of(rows):
        values = [row[name] for row in rows]
        present = [value for value in values if value is not None]
        spec = kinds.get(name)
        kind = None
        if (
            spec is not None
            and spec.type is T.CATEGORY
            and all(isinstance(v, str) for v in present)
        ):
            columns[name] = pa.array(values, pa.string()).dictionary_encode()
            continue
        if present and isinstance(present[0], list):
            kind = pa.list_(pa.float64(), len(present[0]))
        elif present and isinstance(present[0], datetime) and present[0].tzinfo is not None:
            kind = pa.timestamp("us", tz="Europe/Berlin")
        elif present and isinstance(present[0], str):
            kind = pa.large_string()
        columns[name] = pa.array(values, kind)
    columns["unit"] = pa.array(list(units))
    return Sent(f"/v1/models/{MODEL}/predict", arrow_stream(columns), {"content-type": ARROW})


def grpc_message(*, raw: bool) -> Callable[..., Sent]:
    def made(contract: Contract, rows: Sequence[Row], units: Sequence[str]) -> Sent:
        message = ModelInferRequest(model_name=MODEL)
        for said, values in tensors_of(contract, rows, units):
            tensor = message.inputs.add(**said)
            width = said["shape"][1] if len(said["shape"]) == 2 else 0
            field, dtype, blank = {
                "FP64": ("fp64_contents", "<f8", 0.0 if width else math.nan),
                "INT64": ("int64_contents", "<i8", 0),
                "BOOL": ("bool_contents", "?", False),
                "BYTES": ("bytes_contents", "", b""),
            }[said["datatype"]]
            filled = [v if v is not None else [blank] * width if width else blank for v in values]
            flat = [one for row in filled for one in row] if width else filled
            if field == "bytes_contents":
                flat = [v if isinstance(v, bytes) else v.encode() for v in flat]
            nulls = [str(i) for i, value in enumerate(values) if value is None]
            if nulls:
                tensor.parameters["nulls"].string_param = ",".join(nulls)
            if not raw:
                getattr(tensor.contents, field).extend(flat)
            elif dtype:
                message.raw_input_contents.append(np.array(flat, dtype).tobytes())
            else:
                message.raw_input_contents.append(pack_byte_strings(flat))
        return Sent(GRPC, message.SerializeToString(), {})

    return made


CODECS: dict[str, Callable[[Contract, Sequence[Row], Sequence[str]], Sent]] = {
    "native": native,
    "oip json": oip_json,
    "oip binary": oip_binary,
    **{
        form: mlflow(form)
        for form in ("dataframe_split", "dataframe_records", "instances", "inputs")
    },
    "csv": csv_native,
    "mlflow csv": csv_mlflow,
    "json lines": json_lines,
    "arrow": arrow,
    "grpc": grpc_message(raw=False),
    "grpc raw": grpc_message(raw=True),
}


def values_of(answer: Answer) -> list[float]:
    """What each protocol says of the rows."""
    assert answer.status == 200, answer.body
    length = answer.headers.get("inference-header-content-length")
    if length is not None:
        message = json.loads(answer.body[: int(length)])
        assert message["outputs"][0]["name"] == "value"
        return np.frombuffer(answer.body[int(length) :], "<f8").tolist()
    if "outputs" in answer.json:
        return answer.json["outputs"][0]["data"]
    found = answer.json["predictions"]
    return [row["value"] if isinstance(row, dict) else row for row in found]


def number_of(row: Sequence[Any]) -> float:
    """Another answer for every other row."""
    return float(int.from_bytes(repr(row).encode()[-40:], "little") % 1_000_003)


async def ask(
    harness: Harness,
    sent: Sent,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """``headers`` beside its own; ``body`` in place of its own."""
    told, given = {**sent.headers, **(headers or {})}, sent.body if body is None else body
    if sent.path == GRPC:
        return await ask_by_grpc(harness, given, told)
    return await harness.call("POST", sent.path, given, headers=told)


async def ask_by_grpc(harness: Harness, body: bytes, metadata: Mapping[str, str]) -> Answer:
    """Told as the same protocol tells it over HTTP."""
    service = GrpcService(harness.worker.engine, harness.app.check_ready)
    given = {name: value.encode() for name, value in metadata.items()}
    call = GrpcCall(body, {"authorization": b"Bearer wv_acme", **given})
    try:
        answer = await service.infer(call)
    except Rejection as error:
        said = {"error": rejection_text(error)}
        return Answer(status_of(error), {}, json.dumps(said).encode())
    message = ModelInferResponse.FromString(answer.body)
    outputs: list[dict[str, Any]] = []
    for i, tensor in enumerate(message.outputs):
        if message.raw_output_contents:
            data = np.frombuffer(message.raw_output_contents[i], "<f8").tolist()
        else:
            data = list(tensor.contents.fp64_contents)
        outputs.append({"name": tensor.name, "shape": list(tensor.shape), "data": data})
    told = {
        "model_version": message.model_version,
        "id": message.id,
        "parameters": {name: held.string_param for name, held in message.parameters.items()},
        "outputs": outputs,
    }
    return Answer(200, dict(answer.trailing), json.dumps(told).encode())


async def published(harness: Harness, contract: Contract) -> None:
    harness.predictor().answers = number_of
    await harness.publish(route(contract=contract, cache_ttl_s=0.0))


ALL = Contract(
    (
        FeatureSpec("number", "s", T.NUMBER, low=0.0, high=10.0),
        FeatureSpec("integer", "s", T.INTEGER),
        FeatureSpec("boolean", "s", T.BOOLEAN),
        FeatureSpec("category", "s", T.CATEGORY, known=("van", "bike")),
        FeatureSpec("datetime", "s", T.DATETIME),
        FeatureSpec("text", "s", T.TEXT, high=5),
        FeatureSpec("vector", "s", T.VECTOR, length=2),
        FeatureSpec("image", "s", T.IMAGE, high=4),
    ),
    TaskSpec("regression"),
)
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
GOOD: Row = {
    "number": 1.5, "integer": 2, "boolean": True, "category": "van", "datetime": NOW,
    "text": "hey", "vector": [1.0, 2.0], "image": b"png",
}  # fmt: skip
NUMBERS = Contract(
    (
        FeatureSpec("a", "s", T.NUMBER, low=-5.0, high=5.0),
        FeatureSpec("b", "s", T.NUMBER, nullable=True),
        FeatureSpec("c", "s", T.INTEGER),
    ),
    TaskSpec("regression"),
)


def matrix(values: Any, datatype: str = "FP64", **more: Any) -> Sent:
    array = np.array(values)
    head = json.dumps({
        "inputs": [{
            "name": "input-0", "shape": list(array.shape), "datatype": datatype,
            "parameters": {"binary_data_size": array.nbytes}, **more,
        }]
    }).encode()  # fmt: skip
    headers = {"inference-header-content-length": str(len(head))}
    return Sent(f"/v2/models/{MODEL}/infer", head + array.tobytes(), headers)
