"""The gateway's API as an OpenAPI 3.1 document."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

import windvane
from windvane.apps.gateway.answers import (
    NEWEST,
    Answer,
    PredictionWithOutputs,
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


class PredictAnswer(Answer, frozen=True):
    """One prediction for each instance, in order."""

    predictions: list[PredictionWithOutputs]


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


class Ready(msgspec.Struct, frozen=True):
    """The routing table in use and how many models it has."""

    status: str
    routing: int
    models: int


@cache
def document() -> bytes:
    """The document, as JSON."""
    kinds = [
        PredictBody, PredictAnswer, OutcomesBody, OutcomesAnswer, EventsBody,
        EventsAnswer, ModelsAnswer, RefusedAnswer,
        Alive, Ready,
    ]  # fmt: skip
    _, components = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/{name}"
    )
    predict = _operation(
        "predict", "Predict one row or many", "PredictAnswer", _REFUSALS, body="PredictBody",
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
        | {422: "an outcome that the model's task cannot have"},
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
) -> dict[str, Any]:
    responses: dict[str, Any] = {success: _response("The answer.", answer)}
    for status, text in refusals.items():
        responses[str(status)] = _response(text.capitalize() + ".", "RefusedAnswer")
    out: dict[str, Any] = {"operationId": name, "summary": summary, "responses": responses}
    if body:
        content = {"application/json": {"schema": _ref(body)}}
        out["requestBody"] = {"required": True, "content": content}
    if parameters:
        out["parameters"] = parameters
    return out


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
_VERSION = _header(
    "Windvane-Version",
    "Pins the behaviour of the API; without it the key's own version, else the newest.",
    {"type": "string", "enum": [version.value for version in ApiVersion]},
)
