"""One of several labels: a probability for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.errors import did_you_mean
from windvane.core.signature import OutputMapping, OutputSpec, Transform, show
from windvane.core.statistics import auc, moments_of, share_bounds
from windvane.core.task.base import (
    OUTPUT,
    ExplainedNumber,
    Floats,
    OutputRow,
    Outputs,
    Quality,
    Task,
    all_labels,
    as_mapping,
    as_probability,
    class_name,
    probabilities,
    ranges_between,
)
from windvane.core.task.mapping import ModelOutputs, class_order
from windvane.core.task.spec import BadLabel, BadTask, TaskSpec

_TOTAL = 1e-3


class MulticlassTask(Task):
    """Labels are names; a number that is one of the names as a text is taken for it."""

    kind = "multiclass"
    decides = True
    logits = Transform.SOFTMAX
    metric = "accuracy"

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        if len(spec.classes) < 2 or len(set(spec.classes)) != len(spec.classes):
            raise BadTask(
                f"a multiclass model needs at least two different classes, got {len(spec.classes)}",
                hint="predicts: {kind: multiclass, classes: [a, b, c]}",
            )
        self.outputs = (OutputSpec("probabilities", (len(spec.classes),)),)
        self._places = {name: i for i, name in enumerate(spec.classes)}

    def mappings(self, found: ModelOutputs) -> tuple[OutputMapping, ...]:
        columns = class_order(self.spec.classes, found)
        return (OutputMapping("probabilities", found.source, columns, found.transform),)

    def rows(self, outputs: Outputs) -> list[OutputRow | None]:
        found = outputs[0]
        rows = probabilities(found)
        totals = np.abs(found.sum(axis=1) - 1.0) <= _TOTAL
        if totals.all():
            return rows
        return [row if fine else None for row, fine in zip(rows, totals.tolist(), strict=True)]

    def value(self, row: OutputRow) -> str:
        held = row[0]
        return self.spec.classes[max(range(len(held)), key=held.__getitem__)]

    def named(self, row: OutputRow) -> dict[str, Any]:
        return {"probabilities": dict(zip(self.spec.classes, row[0], strict=True))}

    @property
    def part_names(self) -> tuple[tuple[str, ...], ...]:
        return (tuple(self.spec.classes),)

    def constant(self, given: Any) -> OutputRow:
        by_name = as_mapping(given)
        if by_name is None:
            by_name = {class_name(given, self._places): 1.0}
        for name in by_name:
            if name not in self._places:
                hint = did_you_mean(str(name), self._places)
                raise BadTask(f"{show(name)} is none of the classes", hint=hint)
        held = [as_probability(by_name.get(name, 0.0), name) for name in self.spec.classes]
        if abs(sum(held) - 1.0) > _TOTAL:
            raise BadTask(f"probabilities must add up to 1, they add up to {sum(held):g}")
        return (held,)

    def label(self, given: Any) -> float:
        name = class_name(given, self._places)
        if name not in self._places:
            hint = did_you_mean(name, self._places)
            raise BadLabel(f"the label {show(given)} is none of the classes", hint=hint)
        return float(self._places[name])

    def could_be_label(self, kept: float | Sequence[float]) -> bool:
        return kept in self._places.values()

    def told_label(self, kept: Any) -> Any:
        return self.spec.classes[int(kept)] if self.could_be_label(kept) else kept

    def parse_label(self, text: str) -> str:
        return text

    def losses(self, outputs: Outputs, labels: Floats) -> Floats:
        """Half of the Brier score over classes: from 0 to 1, as a binary model's."""
        truth = np.eye(len(self.spec.classes))[labels.astype(int)]
        return 0.5 * ((outputs[0] - truth) ** 2).sum(axis=1)

    def constant_losses(self, labels: Floats) -> Floats:
        if not len(labels):
            return labels
        truth = np.eye(len(self.spec.classes))[labels.astype(int)]
        return 0.5 * ((truth.mean(axis=0) - truth) ** 2).sum(axis=1)

    loss_bounds = (-0.5, 1.0)

    def excess_losses(self, outputs: Outputs, labels: Floats) -> Floats:
        """Half of the Brier score less what the probabilities say that it is."""
        expected = 0.5 * (1.0 - (outputs[0] ** 2).sum(axis=1))
        return self.losses(outputs, labels) - expected

    def metrics(self, outputs: Outputs, labels: Floats) -> dict[str, float]:
        found, truth = outputs[0], labels.astype(int)
        areas = [auc(found[:, i], truth == i) for i in range(len(self.spec.classes))]
        known = [area for area in areas if not np.isnan(area)]
        means = self.row_metrics(outputs, labels).items()
        return {
            **{name: float(values.mean()) for name, values in means},
            "auc": float(np.mean(known)) if known else float("nan"),
        }

    estimated_by = f"{OUTPUT}#confidence"

    def row_metrics(self, outputs: Outputs, labels: Floats) -> dict[str, Floats]:
        truth = labels.astype(int)
        of_truth = np.clip(outputs[0][np.arange(len(truth)), truth], 1e-15, 1.0)
        return {
            "accuracy": _right(outputs, labels),
            "log_loss": -np.log(of_truth),
            "brier": self.losses(outputs, labels),
        }

    def row_ranges(self, outputs: Outputs) -> dict[str, tuple[float, float]]:
        """Of the likeliest and the least likely class."""
        return ranges_between(
            self.row_metrics(outputs, outputs[0].argmax(axis=1).astype(np.float64)),
            self.row_metrics(outputs, outputs[0].argmin(axis=1).astype(np.float64)),
        )

    def quality(self, outputs: Outputs, labels: Floats, alpha: float) -> Quality:
        found = moments_of(_right(outputs, labels))
        lower, upper = share_bounds(round(found.mean * len(labels)), len(labels), alpha)
        return Quality(self.metric, found.mean, max(0.0, lower), min(1.0, upper), len(labels))

    def parts(self, outputs: Outputs, labels: Floats) -> Floats:
        right = _right(outputs, labels)
        return right - right.mean()

    def suspicious(self, outputs: Outputs) -> str:
        return all_labels(outputs[0])

    def over_naive(self, outputs: Outputs, labels: Floats) -> Floats:
        truth = labels.astype(int)
        return (truth == np.bincount(truth).argmax()) - _right(outputs, labels)

    def naive(self, labels: Floats) -> float:
        return float(np.bincount(labels.astype(int)).max() / len(labels)) if len(labels) else 0.0

    def confidence(self, row: OutputRow) -> float:
        return max(row[0])

    def explained(self, row: OutputRow) -> ExplainedNumber:
        """The probability of the class that the answer names."""
        name = self.value(row)
        return ExplainedNumber(name, index=self._places[name], probability=True)

    def streams(self, outputs: Outputs) -> dict[str, Any]:
        found = outputs[0]
        names = np.array(self.spec.classes, dtype=object)
        return {
            OUTPUT: names[found.argmax(axis=1)].tolist(),
            f"{OUTPUT}#confidence": found.max(axis=1),
        }

    compares_by_spread = False

    def disagreement(
        self, outputs: Outputs, others: Outputs, spread: float = 1.0
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """The total variation distance of the probabilities: half of the sum of their absolute
        differences; the class is the likeliest one."""
        del spread
        mine, theirs = outputs[0], others[0]
        apart = np.minimum(0.5 * np.abs(mine - theirs).sum(axis=1), 1.0)
        return apart, mine.argmax(axis=1) != theirs.argmax(axis=1)


def _right(outputs: Outputs, labels: Floats) -> Floats:
    """(rows,): 1 where the likeliest class is the label."""
    return (outputs[0].argmax(axis=1) == labels.astype(int)).astype(np.float64)
