"""Kinds of models: what they answer, how it is checked, counted and judged."""

from __future__ import annotations

from collections.abc import Mapping

from windvane.core.errors import did_you_mean
from windvane.core.task.base import (
    OUTPUT,
    ExplainedNumber,
    OutputRow,
    Outputs,
    Quality,
    Task,
    by_row,
    is_output_axis,
    metric_name,
)
from windvane.core.task.binary import BinaryTask
from windvane.core.task.mapping import BadOutputs, ModelOutputs, is_coded
from windvane.core.task.multiclass import MulticlassTask
from windvane.core.task.multilabel import MultilabelTask
from windvane.core.task.ranking import RankingTask
from windvane.core.task.regression import RegressionTask
from windvane.core.task.spec import BadLabel, BadTask, Contract, TaskSpec
from windvane.core.task.tensor import TensorTask
from windvane.core.task.top_ranked import Measure, PrecisionAt, top_ranked

KINDS: Mapping[str, type[Task]] = {
    task.kind: task
    for task in (
        BinaryTask, MulticlassTask, MultilabelTask, RegressionTask, RankingTask, TensorTask,
    )
}  # fmt: skip


def make_task(spec: TaskSpec) -> Task:
    """The task of a contract. Raises BadTask."""
    found = KINDS.get(spec.kind)
    if found is None:
        raise BadTask(f"{spec.kind!r} is no kind of task", hint=did_you_mean(spec.kind, KINDS))
    return found(spec)


__all__ = [
    "KINDS",
    "OUTPUT",
    "BadLabel",
    "BadOutputs",
    "BadTask",
    "BinaryTask",
    "Contract",
    "ExplainedNumber",
    "Measure",
    "ModelOutputs",
    "OutputRow",
    "Outputs",
    "PrecisionAt",
    "Quality",
    "Task",
    "TaskSpec",
    "by_row",
    "is_coded",
    "is_output_axis",
    "make_task",
    "metric_name",
    "top_ranked",
]
