"""Any named arrays: embeddings, maps, whatever no other kind describes."""

from __future__ import annotations

from typing import Any

import numpy as np

from windvane.core.errors import did_you_mean
from windvane.core.signature import MAX_MAGNITUDE, OutputSpec, nested_numbers
from windvane.core.task.base import (
    OUTPUT,
    ExplainedNumber,
    Floats,
    OutputRow,
    Outputs,
    Quality,
    Task,
    as_mapping,
    by_row,
    finite_number,
    in_bounds,
)
from windvane.core.task.spec import BadTask, TaskSpec


class TensorTask(Task):
    """Its outcomes are numbers, which only a scalar ``score`` can be compared with."""

    kind = "tensor"
    metric = "mae"
    larger_is_better = False
    loss_is_relative = True

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        if not spec.outputs:
            raise BadTask(
                "a tensor model names its arrays",
                hint="predicts: {kind: tensor, outputs: {embedding: [384]}}",
            )
        self.outputs = tuple(OutputSpec(name, shape) for name, shape in spec.outputs.items())
        if spec.score and spec.score not in spec.outputs:
            hint = did_you_mean(spec.score, spec.outputs)
            raise BadTask(f"score: there is no output {spec.score!r}", hint=hint)
        if spec.score and spec.outputs[spec.score] not in ((), (1,)):
            raise BadTask(f"score: {spec.score!r} must be one number a row")

    def rows(self, outputs: Outputs) -> list[OutputRow | None]:
        good = np.ones(len(outputs[0]), bool)
        for found in outputs:
            good &= in_bounds(found)
        held = list(zip(*(found.tolist() for found in outputs), strict=True))
        return [row if fine else None for row, fine in zip(held, good.tolist(), strict=True)]

    def value(self, row: OutputRow) -> float | None:
        """The score, if there is one."""
        return self._score(row)

    def _score(self, row: OutputRow) -> float | None:
        for spec, held in zip(self.outputs, row, strict=True):
            if spec.name == self.spec.score:
                return held[0] if spec.shape else held
        return None

    def explained(self, row: OutputRow) -> ExplainedNumber | None:
        """The score, if there is one."""
        del row
        names = [spec.name for spec in self.outputs]
        score = self.spec.score
        return ExplainedNumber(score, place=names.index(score)) if score else None

    def constant(self, given: Any) -> OutputRow:
        by_name = as_mapping(given)
        if by_name is None:
            raise BadTask("a tensor's constant names every array", hint="{constant: {name: [...]}}")
        out: list[Any] = []
        for spec in self.outputs:
            if spec.name not in by_name:
                raise BadTask(f"the constant has no {spec.name}")
            try:
                held = nested_numbers(spec, by_name[spec.name])
            except ValueError as error:
                raise BadTask(str(error)) from error
            if not bool((np.abs(held) <= MAX_MAGNITUDE).all()):
                raise BadTask(f"{spec.name}: a number is outside -1e100 to 1e100")
            out.append(held.tolist())
        return tuple(out)

    def label(self, given: Any) -> float:
        return finite_number(given, "the outcome")

    def losses(self, outputs: Outputs, labels: Floats) -> Floats:
        for spec, found in zip(self.outputs, outputs, strict=True):
            if spec.name == self.spec.score:
                return np.abs(found.reshape(len(found)) - labels)
        return np.full(len(labels), np.nan)

    def metrics(self, outputs: Outputs, labels: Floats) -> dict[str, float]:
        return {"mae": float(self.losses(outputs, labels).mean())} if self.spec.score else {}

    def quality(self, outputs: Outputs, labels: Floats, alpha: float) -> Quality:
        if not self.spec.score:
            message = "a score to compare outcomes with (predicts: {score: NAME})"
            return Quality(self.metric, 0.0, 0.0, 0.0, len(labels), False, message)
        return Quality.of_losses(self.metric, self.losses(outputs, labels), alpha)

    def naive_losses(self, labels: Floats) -> Floats | None:
        return np.abs(labels - np.median(labels)) if self.spec.score and len(labels) else None

    def naive(self, labels: Floats) -> float | None:
        losses = self.naive_losses(labels)
        return None if losses is None else float(losses.mean())

    def streams(self, outputs: Outputs) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for spec, found in zip(self.outputs, outputs, strict=True):
            flat = by_row(found)
            if spec.name == self.spec.score:
                out[OUTPUT] = flat[:, 0]
            else:
                out[f"{OUTPUT}#{spec.name}_norm"] = np.linalg.norm(flat, axis=1)
        return out

    def label_spread(self, labels: Floats) -> str:
        del labels
        return ""
