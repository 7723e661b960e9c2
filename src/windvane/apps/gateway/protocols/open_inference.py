"""The Open Inference Protocol v2 over HTTP, as KServe, Triton and MLServer speak it."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from windvane.apps.gateway.answers import JSON, Header, rejection_text
from windvane.apps.gateway.protocols import media
from windvane.apps.gateway.protocols.base import Headers, Hinting, Page, PredictCall, split_path
from windvane.apps.gateway.protocols.open_inference_tensors import (
    InferRequest,
    about_routes,
    check_version,
    model_metadata,
    read_request,
    server_metadata,
    wanted_outputs,
)
from windvane.apps.gateway.typed_bodies import TypedBody
from windvane.inference.access import Principal
from windvane.inference.errors import BadBody, Rejection
from windvane.inference.request import Codec, InferenceResponse, Inputs
from windvane.inference.snapshot import ServedModel

_LENGTH = b"inference-header-content-length"
_BINARY = "application/octet-stream"
_ROUTE = "/v2/models/{model}/infer"
_ROUTE_OF_VERSION = "/v2/models/{model}/versions/{version}/infer"
HINT = 'send {"inputs": [{"name": ..., "shape": [rows], "datatype": "FP64", "data": [...]}]}'
_encode = msgspec.json.Encoder().encode


_TOLD = Hinting(HINT)
_BODY = TypedBody(InferRequest, HINT)


class OpenInferenceCodec:
    """One request's. ``header_bytes``: how much of the body is JSON, -1 for all of it."""

    def __init__(self, version: str, header_bytes: int) -> None:
        # What the same body asks for depends on where its JSON ends, and on the version.
        self.name = f"oip/{header_bytes}/{version}"
        self.content_type = b"application/json"
        self._version = version
        self._header_bytes = header_bytes
        self._request = InferRequest([])
        self.header_out = -1

    def decode(self, body: bytes, model: ServedModel, max_rows: int) -> Inputs:
        check_version(model, self._version)
        with _TOLD:
            return self._read(body, model, max_rows)

    def _read(self, body: bytes, model: ServedModel, max_rows: int) -> Inputs:
        size = self._header_bytes
        if size > len(body):
            sides = f"Inference-Header-Content-Length is {size:,}, the body has {len(body):,} bytes"
            raise BadBody(sides, hint=HINT)
        whole = memoryview(body)
        request = _BODY.decode(whole if size < 0 else whole[:size])
        tail = whole[size:] if size >= 0 else whole[:0]
        with _TOLD:
            inputs = read_request(request, tail, model, max_rows)
        self._request = request
        if self._binary_outputs():
            self.content_type = _BINARY.encode()
        return inputs

    def _binary_outputs(self) -> bool:
        wanted = self._request.outputs
        if wanted is None or not wanted:
            return _binary_by_default(self._request)
        default = _binary_by_default(self._request)
        return any(bool((one.parameters or {}).get("binary_data", default)) for one in wanted)

    def encode(self, response: InferenceResponse) -> bytes:
        request = self._request
        outputs: list[dict[str, Any]] = []
        tail: list[bytes] = []
        for tensor, binary in wanted_outputs(request, response, _binary_by_default(request)):
            entry: dict[str, Any] = {
                "name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape,
            }  # fmt: skip
            if binary:
                held = tensor.binary()
                entry["parameters"] = {"binary_data_size": len(held)}
                tail.append(held)
            else:
                entry["data"] = tensor.data()
            outputs.append(entry)
        head = _encode(
            {
                "model_name": response.model,
                "model_version": response.routes[0].answered,
                "id": request.id or response.id,
                "parameters": about_routes(response),
                "outputs": outputs,
            }
        )
        if not tail:
            return head
        self.header_out = len(head)
        return b"".join([head, *tail])


class OpenInferenceProtocol:
    name = "oip"

    def predict_call(self, path: str) -> PredictCall | None:
        if not path.startswith("/v2/models/") or not path.endswith("/infer"):
            return None
        match split_path(path, "/v2/models/"):
            case [model, "infer"] if model:
                return PredictCall(model, route=_ROUTE)
            case [model, "versions", version, "infer"] if model and version:
                return PredictCall(model, version, _ROUTE_OF_VERSION)
            case _:
                return None

    def page(self, path: str) -> Page | None:
        match split_path(path, "/v2"):
            case [""]:
                return Page(_server)
            case ["", "health", "live"]:
                return Page(lambda _: b'{"live":true}')
            case ["", "health", "ready"]:
                return Page(lambda _: b'{"ready":true}', when_ready=True)
            case ["", "models", model] if model:
                return Page(_metadata, model)
            case ["", "models", model, "ready"]:
                return Page(_model_ready, model, when_ready=True)
            case ["", "models", model, "versions", version]:
                return Page(lambda held: _metadata(_of_version(held, version)), model)
            case ["", "models", model, "versions", version, "ready"]:
                return Page(lambda held: _model_ready(_of_version(held, version)), model, True)
            case _:
                return None

    def codec(self, call: PredictCall, headers: Headers, principal: Principal | None) -> Codec:
        given = headers.get(_LENGTH)
        if given is None:
            media.content_type(headers, (media.JSON,))
            return OpenInferenceCodec(call.version, -1)
        media.content_type(headers, (_BINARY, media.JSON))
        if not given.isdigit() or len(given) > 10:
            length = given[:40].decode("latin-1")
            raise BadBody(f"Inference-Header-Content-Length {length!r} is no length", hint=HINT)
        return OpenInferenceCodec(call.version, int(given))

    def answer_headers(self, codec: Codec, response: InferenceResponse) -> list[Header]:
        assert isinstance(codec, OpenInferenceCodec)
        size = codec.header_out
        body = response.body
        if response.replayed:
            _, end = json.JSONDecoder().raw_decode(body.decode("latin-1"))
            size = end if end < len(body) else -1
        if size < 0:
            return [JSON]
        return [(b"content-type", _BINARY.encode()), (_LENGTH, str(size).encode())]

    def rejection(self, error: Rejection, request_id: str) -> tuple[Header, bytes]:
        return JSON, _encode({"error": rejection_text(error)})


def _binary_by_default(request: InferRequest) -> bool:
    return bool((request.parameters or {}).get("binary_data_output", False))


def _server(_: ServedModel | None) -> bytes:
    return _encode(server_metadata())


def _of_version(model: ServedModel | None, version: str) -> ServedModel | None:
    if model is not None:
        check_version(model, version)
    return model


def _model_ready(model: ServedModel | None) -> bytes:
    assert model is not None
    return _encode({"name": model.route.model, "ready": True})


def _metadata(model: ServedModel | None) -> bytes:
    assert model is not None
    return _encode(model_metadata(model))
