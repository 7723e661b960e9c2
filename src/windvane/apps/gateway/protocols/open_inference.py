"""The Open Inference Protocol v2 over HTTP, as KServe, Triton and MLServer speak it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

import windvane
from windvane.apps.gateway.answers import JSON, Header
from windvane.apps.gateway.protocols import media
from windvane.apps.gateway.protocols.base import Headers, Hinting, Page, PredictCall, split_path
from windvane.apps.gateway.protocols.tables import (
    MAX_UNIT,
    UNIT,
    check_width,
    inputs_of_columns,
    once,
    units_of,
)
from windvane.apps.gateway.protocols.tensors import (
    BYTES,
    HINT,
    Tensor,
    TensorIn,
    TensorOut,
    bad_tensor,
    read_tensor,
    write_tensor,
)
from windvane.core.errors import did_you_mean
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract, Task, make_task
from windvane.inference.access import Principal
from windvane.inference.errors import BadBody, NoSuchModel, Rejection
from windvane.inference.request import Codec, InferenceResponse, Inputs
from windvane.inference.snapshot import ServedModel
from windvane.inference.validation import (
    Column,
    MatrixValidator,
    as_values,
    check_count,
    validate_columns,
)

_LENGTH = b"inference-header-content-length"
_BINARY = "application/octet-stream"
_EXTENSIONS = ("binary_tensor_data",)
_encode = msgspec.json.Encoder().encode


class _Wanted(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _Request(msgspec.Struct):
    inputs: list[TensorIn]
    id: str = ""
    parameters: dict[str, Any] | None = None
    outputs: list[_Wanted] | None = None


_TOLD = Hinting(HINT)
_decoder = msgspec.json.Decoder(_Request)


class OpenInferenceCodec:
    """One request's. ``header_bytes``: how much of the body is JSON, -1 for all of it."""

    def __init__(self, version: str, header_bytes: int) -> None:
        # What the same body asks for depends on where its JSON ends, and on the version.
        self.name = f"oip/{header_bytes}/{version}"
        self.content_type = b"application/json"
        self._version = version
        self._header_bytes = header_bytes
        self._request = _Request([])
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
        try:
            request = _decoder.decode(whole if size < 0 else whole[:size])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadBody(
                f"the body is no inference request: {str(error)[:200]}", hint=HINT
            ) from error
        _check_parameters(request.parameters)
        tail = whole[size:] if size >= 0 else whole[:0]
        _check_outputs(request.outputs, _compiled(model))
        inputs = _inputs(request, tail, model, max_rows)
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
        default = _binary_by_default(request)
        tensors = outputs_of(response.served.task, response.outputs)
        picked: list[tuple[TensorOut, bool]]
        if request.outputs:
            by_name = {tensor.name: tensor for tensor in tensors}
            picked = [
                (by_name[one.name], bool((one.parameters or {}).get("binary_data", default)))
                for one in request.outputs
                if one.name in by_name
            ]
        else:
            picked = [(tensor, default) for tensor in tensors]
        outputs: list[dict[str, Any]] = []
        tail: list[bytes] = []
        for tensor, binary in picked:
            said: dict[str, Any] = {
                "name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape,
            }  # fmt: skip
            if binary:
                held = tensor.binary()
                said["parameters"] = {"binary_data_size": len(held)}
                tail.append(held)
            else:
                said["data"] = tensor.data()
            outputs.append(said)
        head = _encode(
            {
                "model_name": response.model,
                "model_version": response.routes[0].answered,
                "id": request.id or response.id,
                "parameters": _about(response),
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
                return PredictCall(model)
            case [model, "versions", version, "infer"] if model and version:
                return PredictCall(model, version)
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
            said = given[:40].decode("latin-1")
            raise BadBody(f"Inference-Header-Content-Length {said!r} is no length", hint=HINT)
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
        hint = f" ({error.advice})" if error.advice else ""
        return JSON, _encode({"error": f"{error.code}: {error.message}{hint}"})


def check_version(model: ServedModel, version: str) -> None:
    """Routing says which version answers; a client may only insist that the one that it names
    is among those that can. Raises NoSuchModel."""
    if version and version not in live_versions(model):
        live = ", ".join(live_versions(model))
        raise NoSuchModel(
            f"model {model.route.model!r} has no version {version[:64]!r} that answers now",
            hint=f"these do: {live}; leave the version out to take whichever is routed",
        )


def live_versions(model: ServedModel) -> list[str]:
    """Those that routing may choose."""
    route = model.route
    found = [route.standing_in or route.champion, route.challenger or ""]
    return [version for version in found if version]


def outputs_of(task: Task, rows: Sequence[Sequence[Any]]) -> list[TensorOut]:
    """A tensor for each of the task's outputs, and `value` for what the task says in one word,
    unless that is the name of an output."""
    made = [
        write_tensor(spec.name, [row[i] for row in rows]) for i, spec in enumerate(task.outputs)
    ]
    if all(spec.name != "value" for spec in task.outputs):
        first = tuple(rows[0])
        if task.value(first) is first[0] and isinstance(made[0].values, np.ndarray):
            made.append(TensorOut("value", made[0].values))
            return made
        values = [task.value(tuple(row)) for row in rows]
        if values[0] is not None:
            made.append(write_tensor("value", values))
    return made


def _check_parameters(given: Mapping[str, Any] | None) -> None:
    for name in given or ():
        if name.startswith("sequence_"):
            raise BadBody(f"parameter {name[:80]!r}: models here keep no sequences", hint=HINT)


def _check_outputs(wanted: list[_Wanted] | None, compiled: _Compiled) -> None:
    if not wanted:
        return
    once([one.name for one in wanted], "output")
    known = [tensor["name"] for tensor in compiled.outputs]
    for one in wanted:
        if one.name not in known:
            hint = did_you_mean(one.name[:80], known)
            raise BadBody(f"there is no output {one.name[:80]!r}", hint=hint)
        for name, value in (one.parameters or {}).items():
            if name == "classification" and not value:
                continue
            if name == "binary_data":
                if not isinstance(value, bool):
                    raise bad_tensor(one.name, "binary_data must be true or false")
            elif name == "classification" or name.startswith("shared_memory"):
                raise bad_tensor(one.name, f"the parameter {name!r} is not supported")


def _binary_by_default(request: _Request) -> bool:
    return bool((request.parameters or {}).get("binary_data_output", False))


def _inputs(request: _Request, tail: memoryview, model: ServedModel, max_rows: int) -> Inputs:
    contract = model.contract
    compiled = _compiled(model)
    given = request.inputs
    if not given:
        raise BadBody("there are no inputs", hint=HINT)
    check_width(contract, len(given))
    once([tensor.name for tensor in given], "tensor")
    tensors: list[Tensor] = []
    at = 0
    for one in given:
        as_bytes = one.name in compiled.images
        tensor, at = read_tensor(one, tail, at, max_rows, as_bytes=as_bytes)
        if tensor.rows != (tensors[0].rows if tensors else tensor.rows):
            sides = f"{tensor.rows:,} rows, {tensors[0].name[:80]!r} has {tensors[0].rows:,}"
            raise bad_tensor(one.name, sides)
        tensors.append(tensor)
    if at != len(tail):
        raise BadBody(f"{len(tail) - at:,} bytes behind the last tensor", hint=HINT)
    rows = tensors[0].rows
    check_count(rows, max_rows)
    same = (request.parameters or {}).get(UNIT)
    if same is not None and (not isinstance(same, str) or len(same) > MAX_UNIT):
        said = f"parameter 'unit' must be a string of at most {MAX_UNIT} characters"
        raise BadBody(said, hint=HINT)
    inputs = _matrix(tensors, compiled)
    if inputs is None:
        columns = {t.name: _column(t, compiled.specs.get(t.name)) for t in tensors}
        inputs = inputs_of_columns(contract, columns, rows)
    return inputs if same is None or any(inputs.units) else Inputs(inputs.rows, [same] * rows)


class _Compiled:
    """What of a contract need not be found out for each request."""

    def __init__(self, contract: Contract) -> None:
        self.specs = {spec.name: spec for spec in contract.features}
        self.images = {s.name for s in contract.features if s.type is FeatureType.IMAGE}
        numbers = MatrixValidator.takes(contract)
        self.matrix = MatrixValidator(contract) if numbers else None
        self.outputs = _outputs_metadata(make_task(contract.task))


def _compiled(model: ServedModel) -> _Compiled:
    return model.compile("oip", _Compiled)


def _matrix(tensors: Sequence[Tensor], compiled: _Compiled) -> Inputs | None:
    """The rows of one matrix of all features, where that is what came, perhaps beside units."""
    given = [t for t in tensors if t.name != UNIT or UNIT in compiled.specs]
    if compiled.matrix is None or len(given) != 1 or given[0].width < 0:
        return None
    (matrix,) = given
    if matrix.name in compiled.specs and matrix.width == 1:
        return None
    units = [""] * matrix.rows
    for tensor in tensors:
        if tensor is not matrix:
            units = units_of(as_values(_column(tensor, None)))
    if isinstance(matrix.values, np.ndarray):
        return Inputs(compiled.matrix(matrix.values), units)
    names = compiled.matrix.names(matrix.width)
    columns = {
        name: [None if row is None else row[i] for row in matrix.values]
        for i, name in enumerate(names)
    }
    return Inputs(validate_columns(compiled.matrix.contract, columns, matrix.rows), units)


def _column(tensor: Tensor, spec: FeatureSpec | None) -> Column:
    values, width = tensor.values, tensor.width
    if spec is not None and spec.type is FeatureType.VECTOR:
        if width >= 0 or spec.length != 1:  # the check says what a plain number is here
            return values
        if isinstance(values, np.ndarray):
            return values.reshape(-1, 1)
        return [None if value is None else [value] for value in values]
    if width < 0:
        return values
    if width != 1:
        raise bad_tensor(tensor.name, f"{width} values a row, one is needed")
    if isinstance(values, np.ndarray):
        return values[:, 0]
    return [value if value is None else value[0] for value in values]


def _about(response: InferenceResponse) -> dict[str, str]:
    """Who answered: one word where it is the same for all rows, else one a row."""
    routes = response.routes
    first = routes[0]
    if any(route is not first and route != first for route in routes):
        return {
            "request_id": response.id,
            "version": ",".join(route.answered for route in routes),
            "arm": ",".join(route.arm for route in routes),
            "flags": ",".join(" ".join(route.flags) for route in routes),
        }
    flags = " ".join(first.flags)
    return {
        "request_id": response.id, "version": first.answered, "arm": first.arm, "flags": flags,
    }  # fmt: skip


def _server(_: ServedModel | None) -> bytes:
    about = {"name": "windvane", "version": windvane.__version__, "extensions": _EXTENSIONS}
    return _encode(about)


def _of_version(model: ServedModel | None, version: str) -> ServedModel | None:
    if model is not None:
        check_version(model, version)
    return model


def _model_ready(model: ServedModel | None) -> bytes:
    assert model is not None
    return _encode({"name": model.route.model, "ready": True})


def _metadata(model: ServedModel | None) -> bytes:
    assert model is not None
    return _encode(
        {
            "name": model.route.model,
            "versions": live_versions(model),
            "platform": "windvane",
            "inputs": [_input_metadata(spec) for spec in model.contract.features],
            "outputs": _compiled(model).outputs,
        }
    )


def _input_metadata(spec: FeatureSpec) -> dict[str, Any]:
    shape = [-1, spec.length] if spec.type is FeatureType.VECTOR else [-1]
    kind = spec.type
    if kind is FeatureType.INTEGER:
        # NaN is how a tensor says null.
        datatype = "FP64" if spec.nullable or spec.optional else "INT64"
    elif kind in {FeatureType.NUMBER, FeatureType.VECTOR}:
        datatype = "FP64"
    else:
        datatype = "BOOL" if kind is FeatureType.BOOLEAN else BYTES
    return {
        "name": spec.name, "datatype": datatype, "shape": shape,
        "parameters": {"type": kind.value, "nullable": spec.nullable or spec.optional},
    }  # fmt: skip


def _outputs_metadata(task: Task) -> list[dict[str, Any]]:
    def zeros(shape: Sequence[int]) -> Any:
        return [zeros(shape[1:])] * max(shape[0], 1) if shape else 0.0

    plain = [tuple(zeros(spec.shape) for spec in task.outputs)]
    by_name = {spec.name: list(spec.shape) for spec in task.outputs}
    return [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": [-1, *by_name.get(tensor.name, tensor.shape[1:])],
        }
        for tensor in outputs_of(task, plain)
    ]
