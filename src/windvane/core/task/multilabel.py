"""Any of several labels: a probability for each, by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from windvane.core.errors import did_you_mean
from windvane.core.signature import OutputMapping, OutputSpec, Transform, show
from windvane.core.statistics import auc
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
)
from windvane.core.task.mapping import ModelOutputs, class_order
from windvane.core.task.spec import BadLabel, BadTask, TaskSpec

_BETWEEN = "|"


class MultilabelTask(Task):
    kind = "multilabel"
    logits = Transform.SIGMOID
    metric = "brier"
    larger_is_better = False

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        if not spec.classes or len(set(spec.classes)) != len(spec.classes):
            raise BadTask(
                "a multilabel model needs at least one class, each named once",
                hint="predicts: {kind: multilabel, classes: [a, b, c]}",
            )
        odd = next((name for name in spec.classes if _BETWEEN in name), None)
        if odd is not None:
            raise BadTask(
                f"the class {odd[:80]!r} has a {_BETWEEN} in it, which stands between labels",
                hint="name it without",
            )
        if "0" in spec.classes and set(spec.classes) <= {"0", "1"}:
            raise BadTask(
                "classes called 0 and 1 cannot be told from 0 and 1 for each class",
                hint="give them names, such as [no_0, no_1]",
            )
        self.outputs = (OutputSpec("probabilities", (len(spec.classes),)),)
        self._known = frozenset(spec.classes)

    def mappings(self, found: ModelOutputs) -> tuple[OutputMapping, ...]:
        columns = class_order(self.spec.classes, found)
        return (OutputMapping("probabilities", found.source, columns, found.transform),)

    def rows(self, outputs: Outputs) -> list[OutputRow | None]:
        return probabilities(outputs[0])

    def value(self, row: OutputRow) -> list[str]:
        return [name for name, p in zip(self.spec.classes, row[0], strict=True) if p >= 0.5]

    def named(self, row: OutputRow) -> dict[str, Any]:
        return {"probabilities": dict(zip(self.spec.classes, row[0], strict=True))}

    @property
    def part_names(self) -> tuple[tuple[str, ...], ...]:
        return (tuple(self.spec.classes),)

    def constant(self, given: Any) -> OutputRow:
        by_name = as_mapping(given)
        if by_name is None:
            names = cast("Sequence[Any]", given if isinstance(given, list) else [given])
            by_name = dict.fromkeys((class_name(one, self._known) for one in names), 1.0)
        for name in by_name:
            if name not in self._known:
                hint = did_you_mean(str(name), self.spec.classes)
                raise BadTask(f"{show(name)} is none of the classes", hint=hint)
        return ([as_probability(by_name.get(name, 0.0), name) for name in self.spec.classes],)

    def told_label(self, kept: Any) -> Any:
        if not self.could_be_label(kept):
            return kept
        return [name for name, held in zip(self.spec.classes, kept, strict=True) if held]

    def label(self, given: Any) -> list[float]:
        """From the names of those that hold, or 0 and 1 for each class."""
        if isinstance(given, str):
            given = [name for name in given.split(_BETWEEN) if name]
        if not isinstance(given, list | tuple):
            raise BadLabel(f"labels must be a list of names, got {show(given)}")
        items: list[Any] = list(given)  # pyright: ignore[reportUnknownArgumentType]
        zeros = all(isinstance(v, int | float) and v in (0, 1) for v in items)
        if len(items) == len(self.spec.classes) and zeros:
            return [float(v) for v in items]
        names = dict.fromkeys(class_name(one, self._known) for one in items)
        for name in names:
            if name not in self._known:
                hint = did_you_mean(name, self.spec.classes)
                raise BadLabel(f"the label {show(name)} is none of the classes", hint=hint)
        return [float(name in names) for name in self.spec.classes]

    def parse_label(self, text: str) -> Any:
        """Names between bars; 0 or 1 where each class has a column of its own."""
        word = class_name(text, self._known)
        return float(word) if word in ("0", "1") and word not in self._known else text

    def losses(self, outputs: Outputs, labels: Floats) -> Floats:
        return ((outputs[0] - labels) ** 2).mean(axis=1)

    def metrics(self, outputs: Outputs, labels: Floats) -> dict[str, float]:
        found, truth = outputs[0], labels > 0.5
        predicted = found >= 0.5
        both = float((predicted & truth).sum())
        areas = [auc(found[:, i], truth[:, i]) for i in range(found.shape[1])]
        known = [area for area in areas if not np.isnan(area)]
        return {
            "brier": float(self.losses(outputs, labels).mean()),
            "f1": 2.0 * both / max(1.0, float(predicted.sum() + truth.sum())),
            "exact_match": float((predicted == truth).all(axis=1).mean()),
            "auc": float(np.mean(known)) if known else float("nan"),
        }

    estimated_by = f"{OUTPUT}#confidence"

    def quality(self, outputs: Outputs, labels: Floats, alpha: float) -> Quality:
        _, most = self.row_ranges(outputs)[self.metric]
        return Quality.of_losses(
            self.metric, self.losses(outputs, labels), alpha, most, has_unit=False
        )

    def row_ranges(self, outputs: Outputs) -> dict[str, tuple[float, float]]:
        del outputs
        return {self.metric: (0.0, 1.0)}

    def suspicious(self, outputs: Outputs) -> str:
        return all_labels(outputs[0])

    def naive_losses(self, labels: Floats) -> Floats:
        return ((labels - labels.mean(axis=0)) ** 2).mean(axis=1)

    def naive(self, labels: Floats) -> float:
        return float(self.naive_losses(labels).mean()) if len(labels) else 0.0

    def confidence(self, row: OutputRow) -> float:
        return min(max(p, 1.0 - p) for p in row[0])

    def explained(self, row: OutputRow) -> ExplainedNumber:
        """The probability of the likeliest label."""
        held = row[0]
        likeliest = max(range(len(held)), key=held.__getitem__)
        return ExplainedNumber(self.spec.classes[likeliest], index=likeliest, probability=True)

    def streams(self, outputs: Outputs) -> dict[str, Any]:
        found = outputs[0]
        return {
            OUTPUT: (found >= 0.5).sum(axis=1).astype(np.float64),
            f"{OUTPUT}#confidence": np.abs(found - 0.5).mean(axis=1) + 0.5,
        }

    compares_by_spread = False

    def disagreement(
        self, outputs: Outputs, others: Outputs, spread: float = 1.0
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """The absolute difference of the probability of the label on which it is largest."""
        del spread
        apart = np.abs(outputs[0] - others[0]).max(axis=1)
        return apart, np.zeros(len(apart), bool)

    def label_spread(self, labels: Floats) -> str:
        return "no row has a label" if len(labels) == 0 else ""
