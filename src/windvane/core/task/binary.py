"""Yes or no: the probability of one named label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.signature import OutputMapping, OutputSpec, Transform, read_number, show
from windvane.core.statistics import auc, auc_parts, delong
from windvane.core.task.base import (
    OUTPUT,
    ExplainedNumber,
    Floats,
    OutputRow,
    Outputs,
    Quality,
    Task,
    all_labels,
    class_name,
    ranges_between,
)
from windvane.core.task.mapping import ModelOutputs, positive_column
from windvane.core.task.spec import BadLabel, BadTask

_MIN_EACH = 10
_PLAIN_NO = frozenset({"0", "false", "no"})


class BinaryTask(Task):
    kind = "binary"
    logits = Transform.SIGMOID
    metric = "auc"
    decides = True
    outputs = (OutputSpec("probability"),)

    def mappings(self, found: ModelOutputs) -> tuple[OutputMapping, ...]:
        columns = positive_column(self.spec.positive, found)
        return (OutputMapping("probability", found.source, columns, found.transform),)

    def rows(self, outputs: Outputs) -> list[OutputRow | None]:
        return [(p,) if 0.0 <= p <= 1.0 else None for p in outputs[0].tolist()]

    def value(self, row: OutputRow) -> float:
        return row[0]

    def named(self, row: OutputRow) -> dict[str, float]:
        return {"probability": row[0]}

    def constant(self, given: Any) -> OutputRow:
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
            raise BadTask(f"{show(given)} is no probability", hint="give a number from 0 to 1")
        return (float(given),)

    def label(self, given: Any) -> float:
        positive, classes = self.spec.positive, self.spec.classes
        if positive and isinstance(given, str | bool | int | float) and _known(given):
            name = class_name(given, (positive, *classes))
            if name == positive:
                return 1.0
            # A number may be its own name, else it says whether the positive label holds.
            if isinstance(given, str) or name in classes or _numeric(positive):
                if classes and name not in classes:
                    raise BadLabel(f"the label {show(given)} is none of {', '.join(classes)}")
                return 0.0
        if isinstance(given, bool | int | float) and isfinite(given) and given in (0, 1):
            return float(given)
        hint = "name the label that the probability is of: predicts: {positive: NAME}"
        raise BadLabel(f"labels must be 0 or 1, got {show(given)}", hint="" if positive else hint)

    def could_be_label(self, kept: float | Sequence[float]) -> bool:
        return kept in (0.0, 1.0)

    def outcome(self, given: Any) -> float:
        found = self.label(given)
        if found or not isinstance(given, str) or self.spec.classes:
            return found
        positive = self.spec.positive
        if given.strip().lower() in _PLAIN_NO and not (positive and positive.lower() in _PLAIN_NO):
            return found
        raise BadLabel(
            f"{show(given)} is not {positive!r}, and nobody said that it is the other label",
            hint=f"predicts: {{positive: {positive}, classes: [OTHER, {positive}]}} names both; "
            "false and 0 say no as well",
        )

    def parse_label(self, text: str) -> Any:
        if self.spec.positive:
            return text
        word = text.strip().lower()
        if word in ("true", "false"):
            return word == "true"
        try:
            return super().parse_label(text)
        except BadLabel:
            return text  # `label` says what is needed

    def odd_labels(self, given: Iterable[Any]) -> str:
        positive = self.spec.positive
        if not positive or self.spec.classes:
            return ""
        names = {class_name(one, (positive,)) for one in given}
        spare = set[str]() if _numeric(positive) else {"0", "1"}
        others = sorted(names - spare - {positive})
        if len(others) < 2:
            return ""
        listed = ", ".join(show(name) for name in others[:5])
        return f"the positive label is {positive!r}, and there are {len(others)} others: {listed}"

    def losses(self, outputs: Outputs, labels: Floats) -> Floats:
        return (outputs[0] - labels) ** 2

    def constant_losses(self, labels: Floats) -> Floats:
        return (labels - labels.mean()) ** 2 if len(labels) else labels

    loss_bounds = (-0.125, 1.0)

    def excess_losses(self, outputs: Outputs, labels: Floats) -> Floats:
        """The Brier score less p (1 - p): of mean 0 wherever p is the truth's probability."""
        return (labels - outputs[0]) * (1.0 - 2.0 * outputs[0])

    def residuals(self, outputs: Outputs, labels: Floats) -> Floats:
        return labels - outputs[0]

    def positives(self, labels: Floats) -> Floats:
        return labels

    def metrics(self, outputs: Outputs, labels: Floats) -> dict[str, float]:
        found = self.row_metrics(outputs, labels)
        return {
            "auc": auc(outputs[0], labels > 0.5),
            **{name: float(found[name].mean()) for name in ("brier", "log_loss", "base_rate")},
        }

    def row_metrics(self, outputs: Outputs, labels: Floats) -> dict[str, Floats]:
        """``accuracy`` at a half."""
        scores = outputs[0]
        clipped = np.clip(scores, 1e-15, 1.0 - 1e-15)
        return {
            "accuracy": ((scores >= 0.5) == (labels > 0.5)).astype(np.float64),
            "brier": self.losses(outputs, labels),
            "log_loss": -np.log(np.where(labels > 0.5, clipped, 1.0 - clipped)),
            "base_rate": labels,
        }

    def row_ranges(self, outputs: Outputs) -> dict[str, tuple[float, float]]:
        return ranges_between(
            self.row_metrics(outputs, np.zeros(len(outputs[0]))),
            self.row_metrics(outputs, np.ones(len(outputs[0]))),
        )

    def ranked(self, labels: Floats) -> NDArray[np.bool_]:
        return labels > 0.5

    def quality(self, outputs: Outputs, labels: Floats, alpha: float) -> Quality:
        found = delong(outputs[0], labels > 0.5)
        fewest = min(found.positives, found.negatives)
        if fewest < _MIN_EACH:
            message = f"{_MIN_EACH - fewest} more of the rarer label"
            area = found.area if isfinite(found.area) else 0.5
            return Quality(self.metric, area, 0.0, 1.0, len(labels), missing=message)
        return Quality(self.metric, found.area, found.lower(alpha), found.upper(alpha), len(labels))

    def parts(self, outputs: Outputs, labels: Floats) -> Floats:
        return auc_parts(outputs[0], labels > 0.5)

    def suspicious(self, outputs: Outputs) -> str:
        return all_labels(outputs[0])

    def label_spread(self, labels: Floats) -> str:
        odd = labels[~np.isin(labels, (0.0, 1.0))]
        return (
            f"labels must be 0 or 1, got {odd[0]:g}" if len(odd) else super().label_spread(labels)
        )

    def naive(self, labels: Floats) -> float:
        del labels
        return 0.5

    def confidence(self, row: OutputRow) -> float:
        return max(row[0], 1.0 - row[0])

    def explained(self, row: OutputRow) -> ExplainedNumber:
        del row
        return ExplainedNumber(self.spec.positive or "probability", probability=True)

    def streams(self, outputs: Outputs) -> dict[str, Any]:
        return {OUTPUT: outputs[0]}

    compares_by_spread = False

    def disagreement(
        self, outputs: Outputs, others: Outputs, spread: float = 1.0
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """The absolute difference of the probabilities; the class is the likelier one."""
        del spread
        mine, theirs = outputs[0], others[0]
        return np.abs(mine - theirs), (mine >= 0.5) != (theirs >= 0.5)


def _known(given: Any) -> bool:
    return not isinstance(given, float) or isfinite(given)


def _numeric(name: str) -> bool:
    """Whether a label's name is a number or a truth value, so that numbers are names."""
    if name in ("true", "false"):
        return True
    try:
        read_number(name)
    except ValueError:
        return False
    return True
