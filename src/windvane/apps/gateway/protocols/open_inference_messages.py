"""The messages of the Open Inference Protocol v2 over gRPC.

They are built from a table in a pool of their own: generated code would want one release of
protobuf, and would clash with a client's copy of the same messages in one process. A test holds
every field against those that Triton's client was generated from.

Source: KServe, Open Inference Protocol v2, `open_inference_grpc.proto`.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

PACKAGE = "inference"
SERVICE = "inference.GRPCInferenceService"
_FILE = "windvane/open_inference.proto"
_SCALARS = {
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "uint32": FieldDescriptorProto.TYPE_UINT32,
    "uint64": FieldDescriptorProto.TYPE_UINT64,
    "float": FieldDescriptorProto.TYPE_FLOAT,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}
_PARAMETERS = "map InferParameter"
_TENSOR = {"name": "1 string", "datatype": "2 string", "shape": "3 repeated int64"}
_FILLED = {**_TENSOR, "parameters": f"4 {_PARAMETERS}", "contents": "5 InferTensorContents"}

MESSAGES: dict[str, dict[str, str]] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {"live": "1 bool"},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {"ready": "1 bool"},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": {
        "name": "1 string", "version": "2 string", "extensions": "3 repeated string",
    },
    "ModelReadyRequest": {"name": "1 string", "version": "2 string"},
    "ModelReadyResponse": {"ready": "1 bool"},
    "ModelMetadataRequest": {"name": "1 string", "version": "2 string"},
    "ModelMetadataResponse.TensorMetadata": _TENSOR,
    "ModelMetadataResponse": {
        "name": "1 string", "versions": "2 repeated string", "platform": "3 string",
        "inputs": "4 repeated ModelMetadataResponse.TensorMetadata",
        "outputs": "5 repeated ModelMetadataResponse.TensorMetadata",
    },
    "InferParameter": {
        "bool_param": "1 oneof bool", "int64_param": "2 oneof int64",
        "string_param": "3 oneof string", "double_param": "4 oneof double",
        "uint64_param": "5 oneof uint64",
    },
    "InferTensorContents": {
        "bool_contents": "1 repeated bool", "int_contents": "2 repeated int32",
        "int64_contents": "3 repeated int64", "uint_contents": "4 repeated uint32",
        "uint64_contents": "5 repeated uint64", "fp32_contents": "6 repeated float",
        "fp64_contents": "7 repeated double", "bytes_contents": "8 repeated bytes",
    },
    "ModelInferRequest.InferInputTensor": _FILLED,
    "ModelInferRequest.InferRequestedOutputTensor": {
        "name": "1 string", "parameters": f"2 {_PARAMETERS}",
    },
    "ModelInferRequest": {
        "model_name": "1 string", "model_version": "2 string", "id": "3 string",
        "parameters": f"4 {_PARAMETERS}",
        "inputs": "5 repeated ModelInferRequest.InferInputTensor",
        "outputs": "6 repeated ModelInferRequest.InferRequestedOutputTensor",
        "raw_input_contents": "7 repeated bytes",
    },
    "ModelInferResponse.InferOutputTensor": _FILLED,
    "ModelInferResponse": {
        "model_name": "1 string", "model_version": "2 string", "id": "3 string",
        "parameters": f"4 {_PARAMETERS}",
        "outputs": "5 repeated ModelInferResponse.InferOutputTensor",
        "raw_output_contents": "6 repeated bytes",
    },
}  # fmt: skip
"""Fields by message: number, whether there may be many, type."""


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name=_FILE, package=PACKAGE, syntax="proto3")
    made: dict[str, DescriptorProto] = {}
    for path, fields in MESSAGES.items():
        outer, _, name = path.rpartition(".")
        if outer and outer not in made:
            made[outer] = file.message_type.add(name=outer)
        message = made.get(path)
        if message is None:
            message = made[outer].nested_type.add() if outer else file.message_type.add()
            message.name = name
            made[path] = message
        for field, spec in fields.items():
            _add_field(message, path, field, spec.split())
    return file


def _add_field(message: DescriptorProto, path: str, name: str, spec: list[str]) -> None:
    number, *how, kind = spec
    field = message.field.add(
        name=name, number=int(number), label=FieldDescriptorProto.LABEL_OPTIONAL
    )
    if how == ["oneof"]:
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    elif how:
        field.label = FieldDescriptorProto.LABEL_REPEATED
    if how == ["map"]:
        # A map is a repeated message of keys and values.
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _add_field(entry, f"{path}.{entry.name}", "key", ["1", "string"])
        _add_field(entry, f"{path}.{entry.name}", "value", ["2", kind])
        kind = f"{path}.{entry.name}"
    scalar = _SCALARS.get(kind)
    if scalar is None:
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{kind}"
    else:
        field.type = scalar


_pool = descriptor_pool.DescriptorPool()
_pool.AddSerializedFile(_file().SerializeToString())


def message_class(name: str) -> Any:
    """The class of a message of `MESSAGES`."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


ModelInferRequest = message_class("ModelInferRequest")
ModelInferResponse = message_class("ModelInferResponse")
