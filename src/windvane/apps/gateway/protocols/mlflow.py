"""MLflow's scoring protocol and SageMaker's, under the name of each model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

import windvane
from windvane.apps.gateway.answers import JSON, Header, Problem
from windvane.apps.gateway.protocols import media
from windvane.apps.gateway.protocols.base import Headers, Hinting, Page, PredictCall
from windvane.apps.gateway.protocols.csv_table import decode_csv, encode_plain_csv
from windvane.apps.gateway.protocols.tables import (
    UNIT,
    check_width,
    inputs_of_columns,
    once,
    ordered_names,
    units_of,
)
from windvane.apps.gateway.statuses import status_of
from windvane.core.errors import did_you_mean
from windvane.core.signature import FeatureType
from windvane.core.task import Contract
from windvane.inference.access import Principal
from windvane.inference.errors import BadBody, Rejection, SchemaViolation
from windvane.inference.request import Codec, InferenceResponse, Inputs
from windvane.inference.snapshot import ServedModel
from windvane.inference.validation import check_count, validate_rows

_PREFIX, _SUFFIX = "/models/", "/invocations"
_ROUTE = _PREFIX + "{model}" + _SUFFIX
_TAKEN = (media.JSON, media.CSV, media.JSON_LINES)
_OFFERED = (media.JSON, media.CSV)
_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_LINE_FIELDS = ("features", UNIT)
_HINT = "send one of dataframe_split, dataframe_records, instances, inputs; or text/csv"
_HINT_LINES = "send an object of features a line, or a list of them in the model's order"
_encode = msgspec.json.Encoder().encode
_ERROR_CODES = {
    400: "BAD_REQUEST", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST", 409: "ABORTED", 413: "INVALID_PARAMETER_VALUE",
    422: "INVALID_PARAMETER_VALUE", 429: "REQUEST_LIMIT_EXCEEDED", 500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE", 504: "TEMPORARILY_UNAVAILABLE",
}  # fmt: skip


class MlflowCodec:
    def __init__(self, given: media.MediaType, wanted: str) -> None:
        self.name = f"mlflow/{given.name}/{given.parameters.get('header', '')}/{wanted}"
        self.content_type = wanted.encode()
        self._given = given
        self._csv_out = wanted == media.CSV

    def decode(self, body: bytes, model: ServedModel, max_rows: int) -> Inputs:
        contract = model.contract
        match self._given.name:
            case media.CSV:
                header = self._given.parameters.get("header") != "absent"
                return decode_csv(body, contract, max_rows, header=header)
            case media.JSON_LINES:
                with Hinting(_HINT_LINES):
                    return _lines(body, contract, max_rows)
            case _:
                with Hinting(_HINT):
                    return _json(body, contract, max_rows)

    def encode(self, response: InferenceResponse) -> bytes:
        if self._csv_out:
            return encode_plain_csv(response)
        task = response.served.task
        if len(task.outputs) > 1:
            return _encode({"predictions": [task.named(row) for row in response.outputs]})
        values = [task.value(row) for row in response.outputs]
        held = [
            row[0] if value is None else value
            for value, row in zip(values, response.outputs, strict=True)
        ]
        return _encode({"predictions": held})


class MlflowProtocol:
    name = "mlflow"

    def predict_call(self, path: str) -> PredictCall | None:
        if path.startswith(_PREFIX) and path.endswith(_SUFFIX):
            model = path[len(_PREFIX) : -len(_SUFFIX)]
            return PredictCall(model, route=_ROUTE) if model and "/" not in model else None
        return None

    def page(self, path: str) -> Page | None:
        if path in {"/ping", "/health"}:
            return Page(lambda _: b"\n", when_ready=True)
        if path == "/version":
            version = windvane.__version__.encode()
            return Page(lambda _: version, content_type=b"text/plain; charset=utf-8")
        return None

    def codec(self, call: PredictCall, headers: Headers, principal: Principal | None) -> Codec:
        given = media.content_type(headers, _TAKEN)
        return MlflowCodec(given, media.accepted(headers, _OFFERED))

    def answer_headers(self, codec: Codec, response: InferenceResponse) -> list[Header]:
        request_id = response.id.encode()
        return [(b"content-type", response.content_type), (b"windvane-request-id", request_id)]

    def rejection(self, error: Rejection, request_id: str) -> tuple[Header, bytes]:
        """As MLflow's server says it, and our own beside it."""
        details: dict[str, Any] = {
            "code": error.code, "message": error.message, "hint": error.advice,
            "docs": error.docs,
        }  # fmt: skip
        if isinstance(error, SchemaViolation):
            details["problems"] = [
                Problem(row, v.code, v.field, v.message) for row, v in error.violations
            ]
        return JSON, _encode(
            {
                "error_code": _ERROR_CODES.get(status_of(error), "BAD_REQUEST"),
                "message": f"{error.code}: {error.message}",
                "error": details,
                "request_id": request_id,
            }
        )


def _json(body: bytes, contract: Contract, max_rows: int) -> Inputs:
    given = _loads(body)
    if not isinstance(given, dict):
        raise BadBody("the body must be an object")
    forms = [name for name in _FORMS if name in given]
    for name in given:
        if name not in (*_FORMS, "params"):
            hint = did_you_mean(name[:80], (*_FORMS, "params"))
            raise BadBody(f"unknown field {name[:80]!r}", hint=hint)
    if len(forms) != 1:
        present = " and ".join(forms) or "none of them"
        raise BadBody(f"one of {', '.join(_FORMS)} is needed, {present} is there")
    if given.get("params"):
        raise BadBody("params are not taken: no model here has any", hint="leave `params` out")
    (form,) = forms
    held = given[form]
    match form:
        case "dataframe_split":
            return _split(held, contract, max_rows)
        case "dataframe_records":
            return _records(held, form, contract, max_rows)
        case _ if isinstance(held, dict):
            return _by_column(held, form, contract, max_rows)
        case _:
            return _listed(held, form, contract, max_rows)


def _loads(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # MLflow's own client writes NaN, which is no JSON, for what is missing.
        if b"NaN" not in body and b"Infinity" not in body:
            raise BadBody(f"the body is not JSON: {str(error)[:200]}") from error
    try:
        return json.loads(body, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise BadBody(f"the body is not JSON: {str(error)[:200]}") from error


def _constant(word: str) -> float | None:
    return None if word == "NaN" else float(word)


def _split(held: Any, contract: Contract, max_rows: int) -> Inputs:
    """{"columns": [...], "data": [[...], ...]}; an index is not looked at."""
    if not isinstance(held, dict) or not isinstance(held.get("data"), list):
        raise BadBody("dataframe_split must be an object with columns and data")
    for name in held:
        if name not in {"columns", "data", "index"}:
            hint = did_you_mean(name[:80], ["columns", "data", "index"])
            raise BadBody(f"dataframe_split has an unknown field {name[:80]!r}", hint=hint)
    data: list[Any] = held["data"]
    check_count(len(data), max_rows)
    names = held.get("columns")
    if names is None:
        return _matrix(data, "dataframe_split.data", contract)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadBody("dataframe_split.columns must be a list of names")
    check_width(contract, len(names))
    once(names, "column")
    return _table(data, names, "dataframe_split.data", contract)


def _table(data: list[Any], names: Sequence[str], where: str, contract: Contract) -> Inputs:
    for i, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(names):
            sides = f"{where}[{i}] must be a list of {len(names):,} values"
            raise BadBody(sides)
    columns = dict(zip(names, map(list, zip(*data, strict=True)), strict=True))
    return inputs_of_columns(contract, columns, len(data))


def _matrix(data: list[Any], where: str, contract: Contract) -> Inputs:
    """Rows without names, in the contract's order."""
    first = data[0]
    if not isinstance(first, list):
        raise BadBody(f"{where}[0] must be a list of values")
    return _table(data, ordered_names(contract, len(first)), where, contract)


def _records(held: Any, form: str, contract: Contract, max_rows: int) -> Inputs:
    if not isinstance(held, list):
        raise BadBody(f"{form} must be a list")
    rows = cast("list[Any]", held)
    check_count(len(rows), max_rows)
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise BadBody(f"{form}[{i}] must be an object")
    units = [""] * len(rows)
    if UNIT not in contract.names and any(UNIT in row for row in rows):
        units = units_of([row.get(UNIT) for row in rows])
        rows = [{name: v for name, v in row.items() if name != UNIT} for row in rows]
    return Inputs(validate_rows(contract, rows), units)


def _by_column(held: Mapping[str, Any], form: str, contract: Contract, max_rows: int) -> Inputs:
    """{"a": [...], "b": [...]}: values, or lists of one, or a vector's lists."""
    vectors = {s.name: s.length for s in contract.features if s.type is FeatureType.VECTOR}
    check_width(contract, len(held))
    columns: dict[str, list[Any]] = {}
    rows = -1
    for name, given in held.items():
        if not isinstance(given, list):
            raise BadBody(f"{form}.{name[:80]} must be a list")
        column = cast("list[Any]", given)
        if name not in vectors and all(isinstance(v, list) and len(v) == 1 for v in column):
            column = [v[0] for v in column]
        if rows not in (-1, len(column)):
            raise BadBody(f"{form}.{name[:80]} has {len(column):,} values for {rows:,} rows")
        rows = len(column)
        columns[name] = column
    check_count(max(rows, 0), max_rows)
    return inputs_of_columns(contract, columns, rows)


def _listed(held: Any, form: str, contract: Contract, max_rows: int) -> Inputs:
    """Objects, lists in the contract's order, or plain values of an only feature."""
    if not isinstance(held, list):
        raise BadBody(f"{form} must be a list or an object")
    rows = cast("list[Any]", held)
    check_count(len(rows), max_rows)
    if isinstance(rows[0], dict):
        return _records(rows, form, contract, max_rows)
    if isinstance(rows[0], list):
        return _matrix(rows, form, contract)
    return _matrix([[value] for value in rows], form, contract)


def _lines(body: bytes, contract: Contract, max_rows: int) -> Inputs:
    """A JSON value a line: an object of features, a list in the contract's order, or either
    as `features`, with a `unit` beside it."""
    lines = [line for line in body.split(b"\n", max_rows + 1) if line.strip()]
    check_count(len(lines), max_rows)
    rows: list[Any] = []
    beside: list[Any] = []
    for i, line in enumerate(lines):
        try:
            row = _loads(line)
        except BadBody as error:
            raise BadBody(f"line {i}: {error.message}", hint=error.advice) from error
        unit = None
        if isinstance(row, dict) and "features" in row and "features" not in contract.names:
            unit, row = row.get(UNIT), _features(row, i)
            if isinstance(row, dict) and UNIT in row and UNIT not in contract.names:
                raise BadBody(f"line {i} has a unit in `features` too", hint="name it once")
        if not isinstance(row, dict | list):
            raise BadBody(f"line {i} must be an object or a list")
        rows.append(row)
        beside.append(unit)
    if isinstance(rows[0], list):
        inputs = _matrix(rows, "line", contract)
    else:
        inputs = _records(rows, "line", contract, max_rows)
    units = [a or b for a, b in zip(units_of(beside), inputs.units, strict=True)]
    return Inputs(inputs.rows, units)


def _features(line: Mapping[str, Any], i: int) -> Any:
    for name in line:
        if name not in _LINE_FIELDS:
            hint = did_you_mean(name[:80], _LINE_FIELDS)
            raise BadBody(f"line {i} has an unknown field {name[:80]!r}", hint=hint)
    return line["features"]
