"""A version whose library takes one matrix of numbers and gives one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from windvane.core.execution import ServedBy
from windvane.core.explanation import Explanation, Method, scale_of
from windvane.core.signature import InputSpec, OutputReader, RowEncoder, RowPacker
from windvane.core.task import Contract, ExplainedNumber, Outputs, make_task
from windvane.ports.runtime import CannotExplain, CannotLoad, refuse_value


class MatrixModel(Protocol):
    """A loaded model: (rows, width) float64, NaN for missing, to (rows,) or (rows, columns)."""

    width: int

    def predict(self, x: NDArray[Any], /) -> NDArray[Any]: ...

    def contributions(self, x: NDArray[Any], /) -> NDArray[np.float64]:
        """(rows, groups, width + 1): what each column added to each raw score, and what all rows
        have last. On any thread."""
        ...

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
        specs = make_task(contract.task).outputs
        self._read = OutputReader(served.outputs, specs)
        mapped = {mapping.output: mapping.columns for mapping in served.outputs}
        self._columns = [mapped.get(spec.name, ()) for spec in specs]
        self._features = [spec.feature for spec in inputs for _ in range(lengths[spec.feature])]
        self.encode = RowEncoder(inputs, contract.names, refuse_value)
        self._flatten = width != len(inputs)
        self._matrix = RowPacker(width)
        self.memory = memory

    def predict(self, rows: Sequence[Sequence[Any]]) -> Outputs:
        if self._flatten:
            rows = [flat_row(row) for row in rows]
        return self._read.one(self._model.predict(self._matrix(rows)))

    def explain(
        self, rows: Sequence[Sequence[Any]], answers: Sequence[tuple[ExplainedNumber, float]]
    ) -> list[Explanation]:
        if self._flatten:
            rows = [flat_row(row) for row in rows]
        found = self._model.contributions(RowPacker(len(self._features))(rows))
        scores = found.sum(axis=2)
        groups = [self._group(number, scores.shape[1]) for number, _ in answers]
        values = [value for _, value in answers]
        scale = scale_of(scores, groups, values, probability=answers[0][0].probability)
        if scale is None:
            raise CannotExplain("what its trees add up to is not what the version answers")
        out: list[Explanation] = []
        for held, group, (number, _) in zip(found, groups, answers, strict=True):
            *parts, base = held[group].tolist()
            by_feature: dict[str, float] = dict.fromkeys(self._features, 0.0)
            for feature, part in zip(self._features, parts, strict=True):
                by_feature[feature] += part
            out.append(Explanation(Method.TREE_SHAP, number.name, scale, base, by_feature))
        return out

    def _group(self, number: ExplainedNumber, groups: int) -> int:
        """Which of the model's raw scores a number of the task's outputs is made of."""
        columns = self._columns[number.place]
        group = columns[number.index] if columns and groups > 1 else number.index
        if group >= groups:
            raise CannotExplain(f"its trees have {groups} scores, {number.name} is none of them")
        return group

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
