"""The gateway's API as an OpenAPI 3.1 document."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

import windvane
from windvane.apps.gateway.answers import (
    NEWEST,
    Answer,
    ExplainedPrediction,
    RefusalWithProblems,
    to_json,
)
from windvane.apps.gateway.imported_events import EventsBody
from windvane.apps.gateway.outcomes import OutcomesBody
from windvane.core.routing import ApiVersion

_REFUSALS = {
    400: "the body, a header or the version is not what is expected",
    401: "no key or token that is good here",
    403: "the key lacks the scope",
    404: "no such model for this tenant",
    405: "another method is needed",
    408: "the body did not arrive in time",
    409: "a request with this idempotency key is being answered",
    413: "too many bytes or rows",
    415: "the body is encoded in a way that is not understood",
    422: "rows break the model's promise (`problems` names each field), or an idempotency key "
    "was used before for another body",
    429: "a limit of the tenant is used up",
    500: "the gateway itself failed",
    503: "overloaded, not ready, or no version could answer",
    504: "no answer by the deadline",
}


class Instance(msgspec.Struct, forbid_unknown_fields=True):
    """One row: every feature by name, and the unit that it is routed by."""

    features: dict[str, float | str | bool | list[float] | None]
    unit: str = ""


class PredictBody(msgspec.Struct, forbid_unknown_fields=True):
    """Rows to predict."""

    instances: list[Instance]
    explain: bool = False


class PredictAnswer(Answer, frozen=True):
    """One prediction for each instance, in order."""

    predictions: list[ExplainedPrediction]


class TensorGiven(msgspec.Struct):
    """A named tensor: ``shape`` is [rows] or [rows, length]. In the binary extension `data` is
    left out and `parameters.binary_data_size` says how many bytes it has behind the JSON.
    `parameters.nulls` lists rows that are null."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class OutputWanted(msgspec.Struct):
    """`parameters.binary_data`: as bytes behind the JSON."""

    name: str
    parameters: dict[str, Any] = {}


class InferBody(msgspec.Struct):
    """A tensor for each feature, or one matrix of all of them where all are numbers."""

    inputs: list[TensorGiven]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[OutputWanted] = []


class TensorTold(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class InferAnswer(msgspec.Struct):
    """`parameters` say who answered and what outcomes refer to (`request_id`)."""

    model_name: str
    model_version: str
    id: str
    parameters: dict[str, Any]
    outputs: list[TensorTold]


class InferRefused(msgspec.Struct):
    """Begins with the stable code."""

    error: str


class TensorAbout(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] = {}


class ModelAbout(msgspec.Struct):
    """``versions`` are those that may answer now."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorAbout]
    outputs: list[TensorAbout]


class ServerAbout(msgspec.Struct):
    name: str
    version: str
    extensions: list[str]


class ServerLive(msgspec.Struct):
    live: bool


class ServerReady(msgspec.Struct):
    ready: bool


class ModelReady(msgspec.Struct):
    name: str
    ready: bool


class Split(msgspec.Struct, forbid_unknown_fields=True):
    data: list[list[Any]]
    columns: list[str] | None = None
    index: list[Any] | None = None


class InvocationsBody(msgspec.Struct, forbid_unknown_fields=True):
    """Exactly one of the four forms. `params` must be empty."""

    dataframe_split: Split | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    instances: list[Any] | None = None
    inputs: list[Any] | dict[str, list[Any]] | None = None
    params: dict[str, Any] | None = None


class InvocationsAnswer(msgspec.Struct):
    """A number, label or list a row; an object where the model has several outputs."""

    predictions: list[Any]


class InvocationsRefused(msgspec.Struct):
    """As MLflow's server says it, and our own error beside it."""

    error_code: str
    message: str
    error: RefusalWithProblems
    request_id: str


class OutcomesAnswer(msgspec.Struct, frozen=True):
    """How many outcomes are on disk."""

    accepted: int


class EventsAnswer(msgspec.Struct, frozen=True):
    """How many events are on disk, and by which ids outcomes may refer to them."""

    accepted: int
    request_ids: list[str]


class FeatureOut(msgspec.Struct, frozen=True):
    """``optional``: it need not be sent, for it was added after the contract's first version."""

    name: str
    type: str
    nullable: bool
    optional: bool


class OutputOut(msgspec.Struct, frozen=True):
    """``shape`` is that of one row: empty for a number, -1 for any length."""

    name: str
    shape: list[int]


class ModelOut(msgspec.Struct, frozen=True):
    """A model that the caller may ask for, and what kind of answers it gives."""

    model: str
    task: str
    features: list[FeatureOut]
    outputs: list[OutputOut]
    deadline_s: float


class ModelsAnswer(msgspec.Struct, frozen=True):
    models: list[ModelOut]


class RefusedAnswer(msgspec.Struct, frozen=True):
    """Why there is no answer: a stable code, a sentence with both sides, and a hint."""

    error: RefusalWithProblems
    request_id: str


class Alive(msgspec.Struct, frozen=True):
    status: str


class ReadyDependency(msgspec.Struct, frozen=True):
    """What the worker depends on: its state is ok, degraded, down or unknown."""

    name: str
    state: str
    code: str
    why: str


class Ready(msgspec.Struct, frozen=True):
    """The routing table in use and how many models it has; ready, or degraded where something that
    the worker depends on is."""

    status: str
    routing: int
    models: int
    dependencies: list[ReadyDependency]


@cache
def document() -> bytes:
    """The document, as JSON."""
    kinds = [
        PredictBody, PredictAnswer, OutcomesBody, OutcomesAnswer, EventsBody, EventsAnswer,
        ModelsAnswer, RefusedAnswer,
        Alive, Ready, InferBody, InferAnswer, InferRefused, ModelAbout, ServerAbout, ServerLive,
        ServerReady, ModelReady, InvocationsBody, InvocationsAnswer, InvocationsRefused,
    ]  # fmt: skip
    _, components = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/{name}"
    )
    predict = _operation(
        "predict", "Predict one row or many", "PredictAnswer", _REFUSALS, body="PredictBody",
        more=(_CSV, _ARROW),
        parameters=[
            _MODEL,
            _header("X-Request-Id", "What you call the request: sent back, kept with its event.",
                    {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"}),
            _header("X-Request-Deadline", "How long an answer is of use: `250ms`, `1.5s`.",
                    {"type": "string", "pattern": "^[1-9][0-9]{0,5}(ms|s)$"}),
            _header("grpc-timeout", "The same as gRPC writes it: `250m` are milliseconds.",
                    {"type": "string", "pattern": "^[1-9][0-9]{0,5}[HMSmun]$"}),
            _header("Idempotency-Key", "The same answer for a request that is sent again.",
                    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}),
            _ENCODING, _VERSION,
        ],
    )  # fmt: skip
    events = _operation(
        "events", "Tell of predictions that were made elsewhere", "EventsAnswer",
        {k: v for k, v in _REFUSALS.items() if k not in (409, 504)},
        body="EventsBody", parameters=[_MODEL, _VERSION], success="202",
    )  # fmt: skip
    outcomes = _operation(
        "outcomes", "Send the truth about earlier predictions", "OutcomesAnswer",
        {k: v for k, v in _REFUSALS.items() if k not in (409, 422, 504)}
        | {422: "an outcome that the model's task cannot have, or that contradicts another one"},
        body="OutcomesBody", parameters=[_ENCODING, _VERSION], success="202",
    )  # fmt: skip
    asked = {k: _REFUSALS[k] for k in (400, 401, 403, 405, 500, 503)}
    models = _operation("models", "Models that this key may ask for", "ModelsAnswer", asked,
                        parameters=[_VERSION])  # fmt: skip
    unready = {503: _REFUSALS[503], 405: _REFUSALS[405]}
    alive = {405: _REFUSALS[405]}
    return to_json(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Windvane gateway",
                "version": NEWEST.value,
                "summary": "Predictions and outcomes",
                "description": f"Served by Windvane {windvane.__version__}.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "security": [{"key": []}],
            "paths": {
                "/v1/models/{model}/predict": {"post": predict},
                **_open_inference(),
                **_mlflow(),
                "/v1/models/{model}/events": {"post": events},
                "/v1/outcomes": {"post": outcomes},
                "/v1/models": {"get": models},
                "/healthz": {"get": _open(_operation("healthz", "Alive?", "Alive", alive))},
                "/readyz": {"get": _open(_operation("readyz", "Ready?", "Ready", unready))},
                "/openapi.json": {"get": _open(_document_operation())},
            },
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "key": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "An API key, or a token of the configured issuer.",
                    }
                },
            },
        }
    )


def _operation(
    name: str,
    summary: str,
    answer: str,
    refusals: dict[int, str],
    *,
    body: str = "",
    parameters: list[dict[str, Any]] | None = None,
    success: str = "200",
    more: Sequence[str] = (),
    refused: str = "RefusedAnswer",
) -> dict[str, Any]:
    """``more``: content types that are taken and given beside JSON."""
    responses: dict[str, Any] = {success: _response("The answer.", answer)}
    for kind in more:
        responses[success]["content"][kind] = _BYTES
    for status, text in refusals.items():
        responses[str(status)] = _response(text.capitalize() + ".", refused)
    out: dict[str, Any] = {"operationId": name, "summary": summary, "responses": responses}
    if body:
        content = {"application/json": {"schema": _ref(body)}, **dict.fromkeys(more, _BYTES)}
        out["requestBody"] = {"required": True, "content": content}
    if parameters:
        out["parameters"] = parameters
    return out


def _open_inference() -> dict[str, Any]:
    """The Open Inference Protocol's paths."""
    length = _header(
        "Inference-Header-Content-Length",
        "Of the binary extension: how many bytes of the body are JSON.",
        {"type": "integer", "minimum": 1},
    )
    read = {k: _REFUSALS[k] for k in (401, 403, 404, 405, 503)}
    unready = {k: _REFUSALS[k] for k in (405, 503)}
    alive = {405: _REFUSALS[405]}

    def infer(name: str, *path: dict[str, Any]) -> dict[str, Any]:
        given = [*path, length]
        return {"post": _operation(
            name, "Predict from tensors", "InferAnswer", _REFUSALS, body="InferBody",
            parameters=given, more=("application/octet-stream",), refused="InferRefused",
        )}  # fmt: skip

    def look(name: str, summary: str, answer: str, *path: dict[str, Any]) -> dict[str, Any]:
        found = _operation(
            name, summary, answer, read, parameters=list(path), refused="InferRefused"
        )
        return {"get": found}

    def anybody(name: str, summary: str, answer: str, refusals: dict[int, str]) -> dict[str, Any]:
        return {"get": _open(_operation(name, summary, answer, refusals, refused="InferRefused"))}

    of_model, of_version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
    ready, about = "Ready to infer?", "Inputs and outputs"
    return {
        "/v2": anybody("server", "What this server speaks", "ServerAbout", alive),
        "/v2/health/live": anybody("live", "Alive?", "ServerLive", alive),
        "/v2/health/ready": anybody("ready", "Ready?", "ServerReady", unready),
        of_model: look("about", about, "ModelAbout", _MODEL),
        f"{of_model}/ready": look("modelReady", ready, "ModelReady", _MODEL),
        f"{of_model}/infer": infer("infer", _MODEL),
        of_version: look("aboutVersion", about, "ModelAbout", _MODEL, _OF_VERSION),
        f"{of_version}/ready": look("versionReady", ready, "ModelReady", _MODEL, _OF_VERSION),
        f"{of_version}/infer": infer("inferVersion", _MODEL, _OF_VERSION),
    }


def _mlflow() -> dict[str, Any]:
    """MLflow's and SageMaker's paths."""
    unready = {k: _REFUSALS[k] for k in (405, 503)}
    blank = {"200": {"description": "It is.", "content": {"application/json": {}}}}
    version = {"200": {"description": "Windvane's.", "content": {"text/plain": {}}}}

    def anybody(name: str, summary: str, responses: dict[str, Any]) -> dict[str, Any]:
        refused = {
            str(k): _response(v.capitalize() + ".", "InvocationsRefused")
            for k, v in unready.items()
        }
        operation = {"operationId": name, "summary": summary, "responses": {**responses, **refused}}
        return {"get": _open(operation)}

    return {
        "/models/{model}/invocations": {"post": _operation(
            "invocations", "Predict as MLflow and SageMaker do", "InvocationsAnswer", _REFUSALS,
            body="InvocationsBody", parameters=[_MODEL], more=(_CSV, "application/jsonlines"),
            refused="InvocationsRefused",
        )},
        "/ping": anybody("ping", "Ready?", blank),
        "/health": anybody("health", "Ready?", blank),
        "/version": anybody("version", "Windvane's version", version),
    }  # fmt: skip


def _open(operation: dict[str, Any]) -> dict[str, Any]:
    """Needs no key."""
    return {**operation, "security": []}


def _document_operation() -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    wrong = _response(_REFUSALS[405].capitalize() + ".", "RefusedAnswer")
    return {
        "operationId": "openapi",
        "summary": "This document",
        "responses": {"200": {"description": "The document.", "content": content}, "405": wrong},
    }


def _response(text: str, schema: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": _ref(schema)}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _header(name: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": text, "schema": schema}


_MODEL: dict[str, Any] = {
    "name": "model",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[a-z][a-z0-9-]{0,62}$"},
}
_ENCODING = _header(
    "Content-Encoding",
    "How the body is compressed; the bound of its size holds once it is not.",
    {"type": "string", "enum": ["gzip", "zstd", "identity"]},
)
_CSV, _ARROW = "text/csv", "application/vnd.apache.arrow.stream"
_BYTES: dict[str, Any] = {}
_MODEL = {
    "name": "model", "in": "path", "required": True,
    "schema": {"type": "string", "pattern": "^[a-z][a-z0-9-]{0,62}$"},
}  # fmt: skip
_OF_VERSION = {
    "name": "version", "in": "path", "required": True, "schema": {"type": "string"},
    "description": "One that may answer now; which one does is for routing to say.",
}  # fmt: skip
_VERSION = _header(
    "Windvane-Version",
    "Pins the behaviour of the API; without it the key's own version, else the newest.",
    {"type": "string", "enum": [version.value for version in ApiVersion]},
)
