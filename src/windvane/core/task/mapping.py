"""Which of a model's own outputs are those that its task promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from windvane.core.errors import WindvaneError
from windvane.core.signature import OutputMapping, OutputSpec, Transform


class BadOutputs(WindvaneError):
    """The model does not give what the model's file says."""

    code: ClassVar[str] = "REG-102"
    hint = "the model's file says what is predicted: predicts: {kind: ...}"


@dataclass(frozen=True, slots=True)
class ModelOutputs:
    """What is known of a model's own outputs.

    ``columns``: how many numbers a row has, 0 if that is not known. ``classes``: its labels in
    their order (empty if it does not say). ``source`` names one of several outputs.
    ``positive``: the column of the positive label, if a person says so.
    """

    columns: int = 0
    classes: Sequence[str] = ()
    source: str = ""
    transform: Transform = Transform.NONE
    positive: int | None = None


def only_output(task: str, spec: OutputSpec, found: ModelOutputs) -> tuple[OutputMapping, ...]:
    """The one output of a task that takes it as it comes. Raises BadOutputs."""
    wanted = spec.size
    if found.columns and wanted > 0 and found.columns != wanted:
        raise BadOutputs(f"the model gives {found.columns} numbers a row, {task} needs {wanted}")
    return (OutputMapping(spec.name, found.source, (), found.transform),)


def positive_column(wanted: str, found: ModelOutputs) -> tuple[int, ...]:
    """The column of the positive label; none where there is one column. Raises BadOutputs,
    naming both sides: what is not said is not guessed where two answers could be meant."""
    columns = found.columns or len(found.classes)
    if found.positive is not None:
        if columns and found.positive >= columns:
            raise BadOutputs(f"--positive {found.positive}, the model has {columns} columns")
        if columns == 1:
            raise BadOutputs(
                f"--positive {found.positive}: the model gives one number a row, so there is no "
                "column to choose",
                hint="it is the probability of the second label that the model was trained on: "
                "predicts: {positive: NAME} names that one",
            )
        return (found.positive,)
    if columns > 2:
        raise BadOutputs(
            f"the model gives {columns} classes a row, the model's file says binary",
            hint="predicts: {kind: multiclass, classes: [...]}, or --positive N to serve one",
        )
    classes = list(found.classes)
    if columns == 1 and not classes:
        return ()
    if wanted and wanted in classes:
        return (classes.index(wanted),)
    if classes and not _plain(classes):
        if wanted:
            raise BadOutputs(f"the model's labels are {', '.join(classes)}; none is {wanted!r}")
        raise BadOutputs(
            f"the model's labels are {', '.join(classes)}, and no one says which is meant",
            hint=f"predicts: {{positive: {classes[-1]}}}",
        )
    return (1,)


def is_coded(classes: Sequence[str]) -> bool:
    """Whether labels are but their places, which say nothing of what they stand for."""
    return bool(classes) and list(classes) == [str(i) for i in range(len(classes))]


def class_order(wanted: Sequence[str], found: ModelOutputs) -> tuple[int, ...]:
    """The model's columns in the order of the file's classes; none where they are the same.
    Raises BadOutputs."""
    classes = list(found.classes)
    columns = found.columns or len(classes)
    if columns and columns != len(wanted):
        raise BadOutputs(
            f"the model gives {columns} classes a row, the model's file names {len(wanted)}: "
            f"{', '.join(wanted)}"
        )
    if not classes or classes == list(wanted):
        return ()
    if set(classes) == set(wanted):
        return tuple(classes.index(name) for name in wanted)
    raise BadOutputs(
        f"the model's labels are {', '.join(classes)}, the model's file names {', '.join(wanted)}"
    )


def _plain(classes: Sequence[str]) -> bool:
    """Whether labels say themselves which one is yes."""
    return [c.lower() for c in classes] in (["0", "1"], ["false", "true"])
