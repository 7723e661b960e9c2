"""What the Open Inference Protocol v2 asks and answers, the same over HTTP and gRPC."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import Any

import msgspec
import numpy as np

import windvane
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
    Tensor,
    TensorIn,
    TensorOut,
    bad_tensor,
    check_parameters,
    read_tensor,
    write_tensor,
)
from windvane.core.errors import did_you_mean
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract, Task, make_task
from windvane.inference.errors import BadBody, NoSuchModel
from windvane.inference.request import InferenceResponse, Inputs
from windvane.inference.snapshot import ServedModel
from windvane.inference.validation import (
    Column,
    MatrixValidator,
    as_values,
    check_count,
    validate_columns,
)

EXTENSIONS = ("binary_tensor_data",)


class WantedOutput(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct):
    inputs: list[TensorIn]
    id: str = ""
    parameters: dict[str, Any] | None = None
    outputs: list[WantedOutput] | None = None


def read_request(
    request: InferRequest, tail: memoryview, model: ServedModel, max_rows: int
) -> Inputs:
    """The rows of all tensors, those in ``tail`` in their order. Raises BadBody, BodyTooLarge,
    SchemaViolation."""
    _check_parameters(request.parameters)
    _check_outputs(request.outputs, _compiled(model))
    return _inputs(request, tail, model, max_rows)


def wanted_outputs(
    request: InferRequest, response: InferenceResponse, default: bool
) -> Iterator[tuple[TensorOut, bool]]:
    """The tensors that were asked for, in that order, and whether each is to be binary;
    ``default`` for one that says nothing of it."""
    tensors = outputs_of(response.served.task, response.outputs)
    if not request.outputs:
        yield from ((tensor, default) for tensor in tensors)
        return
    by_name = {tensor.name: tensor for tensor in tensors}
    for one in request.outputs:
        if one.name in by_name:
            yield by_name[one.name], bool((one.parameters or {}).get("binary_data", default))


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


def check_outputs(wanted: Sized, model: ServedModel) -> None:
    """Raises BadBody for more outputs than there are."""
    known = len(_compiled(model).outputs)
    if len(wanted) > known:
        raise BadBody(f"{len(wanted):,} outputs are wanted, there are {known}")


def _check_parameters(given: Mapping[str, Any] | None) -> None:
    check_parameters(given, "the request")
    for name in given or ():
        if name.startswith("sequence_"):
            raise BadBody(f"parameter {name[:80]!r}: models here keep no sequences")


def _check_outputs(wanted: list[WantedOutput] | None, compiled: _Compiled) -> None:
    if not wanted:
        return
    once([one.name for one in wanted], "output")
    known = [tensor["name"] for tensor in compiled.outputs]
    for one in wanted:
        if one.name not in known:
            hint = did_you_mean(one.name[:80], known)
            raise BadBody(f"there is no output {one.name[:80]!r}", hint=hint)
        check_parameters(one.parameters, f"output {one.name[:80]!r}")
        for name, value in (one.parameters or {}).items():
            if name == "classification" and not value:
                continue
            if name == "binary_data":
                if not isinstance(value, bool):
                    raise bad_tensor(one.name, "binary_data must be true or false")
            elif name == "classification" or name.startswith("shared_memory"):
                raise bad_tensor(one.name, f"the parameter {name!r} is not supported")


def _inputs(request: InferRequest, tail: memoryview, model: ServedModel, max_rows: int) -> Inputs:
    contract = model.contract
    compiled = _compiled(model)
    given = request.inputs
    if not given:
        raise BadBody("there are no inputs")
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
        raise BadBody(f"{len(tail) - at:,} bytes behind the last tensor")
    rows = tensors[0].rows
    check_count(rows, max_rows)
    same = (request.parameters or {}).get(UNIT)
    if same is not None and (not isinstance(same, str) or len(same) > MAX_UNIT):
        message = f"parameter 'unit' must be a string of at most {MAX_UNIT} characters"
        raise BadBody(message)
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


def about_routes(response: InferenceResponse) -> dict[str, str]:
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


def server_metadata() -> dict[str, Any]:
    return {"name": "windvane", "version": windvane.__version__, "extensions": EXTENSIONS}


def model_metadata(model: ServedModel) -> dict[str, Any]:
    return {
        "name": model.route.model,
        "versions": live_versions(model),
        "platform": "windvane",
        "inputs": [_input_metadata(spec) for spec in model.contract.features],
        "outputs": _compiled(model).outputs,
    }


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
