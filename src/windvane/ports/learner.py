"""Training a candidate and writing it as a servable version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from windvane.core.acceptance import ParityReport
from windvane.core.errors import WindvaneError
from windvane.core.signature import FeatureSpec
from windvane.core.task import Outputs, TaskSpec

Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Equally long columns by feature name (None for missing), labels as the task has them,
    (rows,) or (rows, n), and when each row was known, in seconds since the epoch (rows,), in any
    order.

    ``numbers``: each row's number in its table from 1, if there is one. ``unlabelled`` and
    ``untimed`` count rows that were left out. ``absent`` features are in no row: nothing may be
    learned from them. ``notes`` are what a person should know of how the table was read."""

    columns: Columns
    labels: NDArray[np.float64]
    times: NDArray[np.float64]
    numbers: NDArray[np.int64] | None = None
    unlabelled: int = 0
    untimed: int = 0
    absent: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return len(self.labels)

    def take(self, mask: NDArray[np.bool_]) -> TrainingData:
        keep = mask.tolist()
        columns = {name: list(compress(column, keep)) for name, column in self.columns.items()}
        return replace(
            self,
            columns=columns,
            labels=self.labels[mask],
            times=self.times[mask],
            numbers=None if self.numbers is None else self.numbers[mask],
        )


class Candidate(Protocol):
    """A fitted model."""

    def predict(self, columns: Columns) -> Outputs:
        """The task's outputs in its order, each (rows, *shape), by the fitted model itself."""
        ...

    def write(self, folder: Path) -> None:
        """The servable files."""
        ...

    def parity(self, columns: Columns, tolerance: float) -> ParityReport:
        """The written form against the fitted one, on these rows and around every split."""
        ...


class CannotLearn(WindvaneError):
    """The built-in learner does not know such a task or feature."""

    code: ClassVar[str] = "TRA-103"
    hint = "train it with your own library and `windvane register` it"


class Learner(Protocol):
    def fit(
        self,
        features: Sequence[FeatureSpec],
        task: TaskSpec,
        columns: Columns,
        labels: NDArray[np.float64],
        *,
        unknown: str,
        seed: int,
    ) -> Candidate:
        """``unknown``: what an unseen category does, "null" or "error". Raises CannotLearn for a
        task or features that it does not know."""
        ...

    @property
    def params(self) -> Mapping[str, Any]:
        """Hyperparameters, for the record."""
        ...
