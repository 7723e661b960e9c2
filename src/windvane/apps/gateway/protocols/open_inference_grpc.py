"""The Open Inference Protocol v2 over gRPC: messages to rows, and answers to messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError, Message

from windvane.apps.gateway.protocols.base import Hinting
from windvane.apps.gateway.protocols.open_inference_messages import (
    ModelInferRequest,
    ModelInferResponse,
)
from windvane.apps.gateway.protocols.open_inference_tensors import (
    InferRequest,
    WantedOutput,
    about_routes,
    check_outputs,
    check_version,
    read_request,
    wanted_outputs,
)
from windvane.apps.gateway.protocols.tables import check_width
from windvane.apps.gateway.protocols.tensors import (
    BYTES,
    TensorIn,
    bad_tensor,
    check_parameters,
    unknown_datatype,
)
from windvane.core.signature import pack_byte_strings
from windvane.inference.errors import BadBody
from windvane.inference.request import InferenceResponse, Inputs
from windvane.inference.snapshot import ServedModel

_HINT = "send inference.ModelInferRequest, with tensors in `contents` or all in raw_input_contents"
_TOLD = Hinting(_HINT)
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents", "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}  # fmt: skip
_ROW = re.compile(r" ?[0-9]{1,9}")  # no `0_0`, `+1` or digits of other scripts
_ANSWERED = {"FP64": "fp64_contents", BYTES: "bytes_contents"}


class GrpcInferenceCodec:
    """One request's, whose message was read for its model's name already."""

    name = "oip/grpc"
    content_type = b"application/grpc"

    def __init__(self, message: Message) -> None:
        self._message: Any = message
        self._request = InferRequest([])

    def decode(self, body: bytes, model: ServedModel, max_rows: int) -> Inputs:
        message = self._message
        check_version(model, message.model_version)
        with _TOLD:
            # Before any is looked at: a message of a megabyte may hold half a million.
            check_width(model.contract, len(message.inputs))
            check_outputs(message.outputs, model)
            check_parameters(message.parameters, "the request")
            request, tail = _read(message, max_rows)
            inputs = read_request(request, tail, model, max_rows)
        self._request = request
        return inputs

    def encode(self, response: InferenceResponse) -> bytes:
        """Raw contents for who sent raw ones."""
        made: Any = ModelInferResponse(
            model_name=response.model,
            model_version=response.routes[0].answered,
            id=self._request.id or response.id,
        )
        for name, value in about_routes(response).items():
            made.parameters[name].string_param = value
        raw = bool(self._message.raw_input_contents)
        for tensor, _ in wanted_outputs(self._request, response, raw):
            out = made.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
            if raw:
                made.raw_output_contents.append(tensor.binary())
                continue
            data = tensor.data()
            if tensor.datatype == BYTES:
                data = [text.encode() for text in data]
            getattr(out.contents, _ANSWERED[tensor.datatype]).extend(data)
        return made.SerializeToString()


def read_message(body: bytes) -> Any:
    """Raises BadBody for bytes that are no ModelInferRequest."""
    try:
        return ModelInferRequest.FromString(body)
    except DecodeError as error:
        raise BadBody("the body is no inference.ModelInferRequest", hint=_HINT) from error


def _read(message: Any, max_rows: int) -> tuple[InferRequest, memoryview]:
    """The request as the protocol has it everywhere, and what of its tensors is bytes."""
    raw = list(message.raw_input_contents)
    if raw and len(raw) != len(message.inputs):
        sides = f"{len(raw)} parts, there are {len(message.inputs)} inputs"
        raise BadBody(f"raw_input_contents has {sides}")
    read = [_tensor(one, raw[i] if raw else None, max_rows) for i, one in enumerate(message.inputs)]
    request = InferRequest(
        [tensor for tensor, _ in read],
        message.id,
        _parameters(message.parameters, "the request"),
        [
            WantedOutput(one.name, _parameters(one.parameters, f"output {one.name[:80]!r}"))
            for one in message.outputs
        ],
    )
    return request, memoryview(b"".join([part for _, part in read]))


def _tensor(given: Any, raw: bytes | None, max_rows: int) -> tuple[TensorIn, bytes]:
    """The tensor, and what of it goes behind the others as bytes."""
    name, datatype = given.name, given.datatype
    parameters = _parameters(given.parameters, f"tensor {name[:80]!r}")
    if "nulls" in parameters:
        parameters["nulls"] = _rows_listed(name, parameters["nulls"], max_rows)
    filled = [field.name for field, _ in given.contents.ListFields()]
    field = _CONTENTS.get(datatype)
    if raw is not None:
        if filled:
            raise bad_tensor(name, "it has contents, and raw_input_contents are there too")
    elif datatype == "FP16":
        raise bad_tensor(name, "FP16 has no contents of its own: send raw_input_contents")
    elif field is None:
        raise unknown_datatype(name, datatype)
    elif filled not in ([], [field]):
        raise bad_tensor(name, f"a {datatype} is in {field}, not in {' and '.join(filled)}")
    elif datatype == BYTES:
        raw = pack_byte_strings(given.contents.bytes_contents)
    if raw is None:
        data = list(getattr(given.contents, _CONTENTS[datatype]))
        return TensorIn(name, list(given.shape), datatype, data, parameters), b""
    parameters["binary_data_size"] = len(raw)
    return TensorIn(name, list(given.shape), datatype, None, parameters), raw


def _rows_listed(name: str, given: Any, max_rows: int) -> list[int]:
    """A parameter holds no list: rows are written between commas; one may also be a number."""
    if isinstance(given, int) and not isinstance(given, bool):
        return [given]
    words = given.split(",", max_rows) if isinstance(given, str) else [""]
    if words == [""] and given == "":
        return []
    if len(words) > max_rows or not all(_ROW.fullmatch(word) for word in words):
        raise bad_tensor(name, "nulls must list rows between commas, each a whole number")
    return [int(word) for word in words]


def _parameters(given: Mapping[str, Any], whose: str) -> dict[str, Any]:
    check_parameters(given, whose)
    found: dict[str, Any] = {}
    for name, held in given.items():
        choice = held.WhichOneof("parameter_choice")
        if choice is not None:
            found[name] = getattr(held, choice)
    return found
