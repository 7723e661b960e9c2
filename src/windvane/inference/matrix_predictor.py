"""A version whose library takes one matrix of numbers and gives one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from windvane.core.execution import ServedBy
from windvane.core.signature import InputSpec, OutputReader, RowEncoder, RowPacker
from windvane.core.task import Contract, Outputs, make_task
from windvane.ports.runtime import CannotLoad, refuse_value


class MatrixModel(Protocol):
    """A loaded model: (rows, width) float64, NaN for missing, to (rows,) or (rows, columns)."""

    width: int

    def predict(self, x: NDArray[Any], /) -> NDArray[Any]: ...
    def close(self) -> None: ...


class MatrixPredictor:
    """Closes ``model`` if it does not fit the version's inputs. ``memory`` is in bytes."""

    blocking = False

    def __init__(
        self,
        model: MatrixModel,
        inputs: Sequence[InputSpec],
        contract: Contract,
        served: ServedBy,
        memory: int,
    ) -> None:
        lengths = {spec.name: max(1, spec.length) for spec in contract.features}
        width = sum(lengths[spec.feature] for spec in inputs)
        if model.width != width:
            model.close()
            raise CannotLoad(f"the model takes {model.width} columns, the version has {width}")
        self._model = model
        self._read = OutputReader(served.outputs, make_task(contract.task).outputs)
        self.encode = RowEncoder(inputs, contract.names, refuse_value)
        self._flatten = width != len(inputs)
        self._matrix = RowPacker(width)
        self.memory = memory

    def predict(self, rows: Sequence[Sequence[Any]]) -> Outputs:
        if self._flatten:
            rows = [flat_row(row) for row in rows]
        return self._read.one(self._model.predict(self._matrix(rows)))

    def close(self) -> None:
        self._model.close()


def flat_row(row: Sequence[Any]) -> list[Any]:
    """A row whose vectors are spread over as many places as they have numbers."""
    flat: list[Any] = []
    for value in row:
        if isinstance(value, list):
            flat += value
        else:
            flat.append(value)
    return flat


def check_task(served: ServedBy, contract: Contract) -> None:
    """Raises CannotLoad for a version that was registered for another kind of answers."""
    if served.task != contract.task.kind:
        raise CannotLoad(
            f"the version gives {served.task} outputs, the model's file says {contract.task.kind}",
            hint="register the version again for the model as it is now",
        )
