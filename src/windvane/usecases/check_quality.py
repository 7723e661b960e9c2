"""How good the answers of a table are beside those of its reference, where both have labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.statistics import level_words, reach_over_time
from windvane.core.task import BadLabel, Quality, Task, TaskSpec, make_task, metric_name
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.frames import BadFrame, Frame, FrameColumn
from windvane.usecases.read_model_file import ModelFile

Floats = NDArray[np.float64]
_MOST_ROWS = 200_000  # evenly spread over the table
_MOST_CLASSES = 50
_MARGIN = 0.02  # of a metric, or of a loss as a share, that may be lost
_YES = ("1", "1.0", "true", "True", "TRUE", "yes", "Yes", "YES")
_WORDS = {"binary": "probabilities", "regression": "numbers"}


@dataclass(frozen=True, slots=True)
class QualityChange:
    """By the task's own metric, each with an interval at ``1 - alpha``; ``least``: from where on
    the current one is as good as the reference's, which its bound has to reach."""

    task: str
    before: Quality
    after: Quality
    least: float
    verdict: Verdict

    @property
    def metric(self) -> str:
        return metric_name(self.before.metric)


def compare_quality(
    reference: Frame,
    current: Frame,
    label: str,
    prediction: str,
    file: ModelFile | None,
    alpha: float,
) -> QualityChange:
    """Raises BadFrame where what the columns hold cannot be scored."""
    columns = [(f, f.column(label), f.column(prediction)) for f in (reference, current)]
    if file is not None and file.predicts.kind in ("binary", "regression"):
        spec = file.contract.task
    else:
        spec = _guessed(columns, label, prediction)
    task = make_task(spec)
    before, after = (
        _quality(task, frame, truth, answers, label, prediction, alpha / 2.0)
        for frame, truth, answers in columns
    )
    # A loss has a unit: its margin is a share of it.
    least = before.value - _MARGIN if task.larger_is_better else before.value * (1.0 + _MARGIN)
    return QualityChange(spec.kind, before, after, least, _judge(before, after, least, alpha))


def _bounded(one: Quality, alpha: float) -> str:
    level = level_words(1.0 - alpha)
    return f"{one.value:.4g} ({one.lower:.4g} to {one.upper:.4g}, {level})"


def _judge(before: Quality, after: Quality, least: float, alpha: float) -> Verdict:
    """FAIL where the intervals lie apart; PASS only where the bound says that it is no worse."""
    name = metric_name(before.metric)
    sides = (
        f"{name} {_bounded(before, alpha)} in the reference, {_bounded(after, alpha)} now, "
        f"n={after.rows:,}"
    )
    for where, one in (("the reference", before), ("the current table", after)):
        if one.missing:
            message = f"{name} of {where} is not known, n={one.rows:,}"
            return Verdict(Outcome.HOLD, "CHK-202", message, one.missing)
    worse = after.upper < before.lower if before.larger_is_better else after.lower > before.upper
    if worse:
        return Verdict(Outcome.FAIL, "CHK-201", sides)
    if after.at_least(least):
        return Verdict(Outcome.PASS, "CHK-200", sides)
    return Verdict(
        Outcome.HOLD, "CHK-202", f"{sides}: whether it is as good as {least:.4g} cannot be told",
        "more rows with a label",
    )  # fmt: skip


def _guessed(
    columns: list[tuple[Frame, FrameColumn, FrameColumn]], label: str, prediction: str
) -> TaskSpec:
    """By what the columns hold: probabilities of two classes, classes, else numbers."""
    frame, truth, answers = columns[0]
    if answers.codes is not None and truth.codes is not None:
        names = sorted(
            {name for _, *both in columns for one in both for name in one.labels if name}
        )
        if not 2 <= len(names) <= _MOST_CLASSES:
            raise BadFrame(
                f"{label!r} and {prediction!r} have {len(names):,} names, 2 to {_MOST_CLASSES} can "
                "be classes"
            )
        return TaskSpec(kind="multiclass", classes=tuple(names))
    if answers.numbers is None:
        held = answers.held or "texts"
        raise BadFrame(
            f"{frame.place}: {prediction!r} holds {held}, {label!r} does not",
            hint="a prediction is a probability, a number, or a class by its name as in the label",
        )
    known = answers.numbers[~np.isnan(answers.numbers)]
    probable = bool(len(known)) and bool(((known >= 0.0) & (known <= 1.0)).all())
    if truth.codes is not None:
        named = [name for name in truth.labels if name]
        yes = [name for name in named if name in _YES]
        if len(named) != 2 or len(yes) != 1 or not probable:
            raise BadFrame(
                f"{frame.place}: which of {', '.join(map(repr, named[:5]))} in {label!r} the "
                f"probability {prediction!r} is of is not known",
                hint="--config with `predicts: {kind: binary, positive: …}`",
            )
        return TaskSpec(kind="binary", positive=yes[0])
    if truth.numbers is None:
        raise BadFrame(f"{frame.place}: {label!r} holds {truth.held}, which is no label")
    values = np.unique(truth.numbers[~np.isnan(truth.numbers)])
    if probable and set(values.tolist()) <= {0.0, 1.0}:
        return TaskSpec(kind="binary")
    return TaskSpec(kind="regression")


def _quality(
    task: Task,
    frame: Frame,
    truth: FrameColumn,
    answers: FrameColumn,
    label: str,
    prediction: str,
    alpha: float,
) -> Quality:
    labels = _labels(task, frame, truth, label)
    outputs = _outputs(task, frame, answers, prediction)
    known = ~np.isnan(labels) & ~np.isnan(outputs)
    places = np.flatnonzero(known)
    if len(places) > _MOST_ROWS:
        places = places[np.arange(_MOST_ROWS) * len(places) // _MOST_ROWS]
    labels, found = labels[places], outputs[places]
    if task.kind == "binary" and not bool(((found >= 0.0) & (found <= 1.0)).all()):
        raise BadFrame(f"{frame.place}: {prediction!r} has values that are no probabilities")
    classes = len(task.spec.classes)
    shaped = np.eye(classes)[found.astype(int)] if task.kind == "multiclass" else found
    # Two tables are compared with each other: what neither shows is in neither bound.
    quality = task.quality([shaped], labels, alpha).by_seen()
    if not len(places):
        return Quality(task.metric, 0.0, 0.0, 0.0, 0, task.larger_is_better, "rows with a label")
    if quality.missing:
        return quality
    # Neighbours in a table go wrong together: blocks of it, less than a day apart.
    order = np.arange(len(labels)) / max(len(labels), 1)
    parts = task.parts([shaped], labels)
    if len(parts):
        quality = quality.widened(reach_over_time(parts, order, alpha)[0])
    if not all(map(math.isfinite, (quality.value, quality.lower, quality.upper))):
        return Quality(
            task.metric, 0.0, 0.0, 0.0, quality.rows, task.larger_is_better,
            "a value that is a number",
        )  # fmt: skip
    return quality


def _labels(task: Task, frame: Frame, column: FrameColumn, name: str) -> Floats:
    if column.codes is None:
        if column.numbers is None:
            raise BadFrame(f"{frame.place}: {name!r} holds {column.held}, which is no label")
        values = column.numbers
        if task.kind != "binary":
            return values
        distinct, places = np.unique(values, return_inverse=True)
        return _mapped(task, frame, name, distinct.tolist())[places]
    found = _mapped(task, frame, name, list(column.labels))
    return np.append(found, np.nan)[column.codes]


def _mapped(task: Task, frame: Frame, name: str, given: list[Any]) -> Floats:
    """Each of these labels as the task has it, NaN for none."""
    out: list[float] = []
    for one in given:
        if one == "" or (isinstance(one, float) and math.isnan(one)):
            out.append(math.nan)
            continue
        try:
            out.append(float(task.label(one)))
        except BadLabel as error:
            raise BadFrame(f"{frame.place}, column {name!r}: {error.message}") from error
    return np.array(out, np.float64)


def _outputs(task: Task, frame: Frame, column: FrameColumn, name: str) -> Floats:
    if task.kind == "multiclass":
        if column.codes is None:
            raise BadFrame(f"{frame.place}: {name!r} holds numbers, the reference has classes")
        return np.append(_mapped(task, frame, name, list(column.labels)), np.nan)[column.codes]
    if column.numbers is None:
        word = _WORDS[task.kind]
        raise BadFrame(f"{frame.place}: {name!r} holds {column.held or 'texts'}, not {word}")
    return column.numbers
