"""What a gateway answers, typed."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import msgspec

if TYPE_CHECKING:
    import pandas as pd


class Explanation(msgspec.Struct, frozen=True):
    """What each feature contributed: ``base`` and all ``contributions`` add up to the number
    ``output`` on ``scale`` ("output": itself, "log_odds", "log_output", or "score", of its class
    before a softmax). ``method`` is "tree_shap", or "permutation" with its largest
    ``standard_error`` after so many ``evaluations`` of the version."""

    method: str
    output: str
    scale: str
    base: float
    contributions: dict[str, float]
    evaluations: int = 0
    standard_error: float | None = None


class Unexplained(msgspec.Struct, frozen=True):
    """Why there is no explanation."""

    code: str
    message: str
    hint: str = ""


class Prediction(msgspec.Struct, frozen=True):
    """One row's answer: what a client looks at, who answered on which arm, what was odd (in
    words: ``why``), and every output of the model's task by its name; with ``explain``, its
    explanation, or why there is none (``unexplained``)."""

    value: Any
    version: str
    arm: str
    flags: tuple[str, ...] = ()
    why: str = ""
    outputs: dict[str, Any] = {}
    explanation: Explanation | None = None
    unexplained: Unexplained | None = None


class PredictAnswer(msgspec.Struct, frozen=True):
    request_id: str
    model: str
    predictions: list[Prediction]


class EventsAnswer(msgspec.Struct, frozen=True):
    accepted: int
    request_ids: list[str] = []


class Feature(msgspec.Struct, frozen=True):
    """A feature that a model takes."""

    name: str
    type: str
    nullable: bool = False
    optional: bool = False


class Output(msgspec.Struct, frozen=True):
    """A named output; ``shape`` of one row, () for a number."""

    name: str
    shape: tuple[int, ...] = ()


class Model(msgspec.Struct, frozen=True):
    """A model that this key may ask for; ``deadline_s`` is how long it takes at most."""

    model: str
    task: str = ""
    features: tuple[Feature, ...] = ()
    outputs: tuple[Output, ...] = ()
    deadline_s: float = 0.0


class ModelsAnswer(msgspec.Struct, frozen=True):
    models: list[Model]


@dataclass(frozen=True, slots=True)
class SentEvents:
    """How many events are on disk, and the ids that outcomes may refer to, in order."""

    accepted: int
    request_ids: list[str]


class Predictions(Sequence[Prediction]):
    """One prediction for each row, in order.

    ``request_ids`` and ``places`` name each row to `send_outcomes`: the request that carried it
    and its place in there. ``replayed``: all of it had been answered before, for the same
    idempotency key.
    """

    def __init__(
        self, model: str, answers: Sequence[PredictAnswer], *, replayed: bool, index: Any = None
    ) -> None:
        self.model = model
        self.replayed = replayed
        self.request_ids = [a.request_id for a in answers for _ in a.predictions]
        self.places = [i for a in answers for i in range(len(a.predictions))]
        self._rows = [row for answer in answers for row in answer.predictions]
        self._index = index

    @property
    def values(self) -> list[Any]:
        """What a client looks at, one a row: a probability, a number, a label."""
        return [row.value for row in self._rows]

    def output(self, name: str) -> list[Any]:
        """One named output of the model's task, one a row. Raises KeyError."""
        return [row.outputs[name] for row in self._rows]

    def to_frame(self) -> pd.DataFrame:
        """A row for each prediction, under the index of the DataFrame that was given; a column
        for each field, and ``output_NAME`` for each output. Needs pandas."""
        import pandas as pd

        columns: dict[str, list[Any]] = {
            name: [getattr(row, name) for row in self._rows]
            for name in ("value", "version", "arm", "flags", "why")
        }
        names = dict.fromkeys(name for row in self._rows for name in row.outputs)
        for name in names:
            columns[f"output_{name}"] = [row.outputs.get(name) for row in self._rows]
        columns["request_id"], columns["row"] = self.request_ids, self.places
        return pd.DataFrame(columns, index=self._index)

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> Predictions: ...
    def __getitem__(self, index: int | slice) -> Prediction | Predictions:
        if not isinstance(index, slice):
            return self._rows[index]
        some = copy.copy(self)
        some._rows = self._rows[index]
        some.request_ids, some.places = self.request_ids[index], self.places[index]
        some._index = None if self._index is None else self._index[index]
        return some

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self._rows)

    def __repr__(self) -> str:
        return f"Predictions({self.model!r}, {len(self._rows):,} rows)"
