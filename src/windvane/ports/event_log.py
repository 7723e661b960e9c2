"""The durable log of predictions, refusals and outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from windvane.core.errors import WindvaneError
from windvane.core.task import Contract
from windvane.ports.events import Event


class LogTooSlow(WindvaneError):
    """A question to the log was not answered by its deadline."""

    code: ClassVar[str] = "LOG-103"
    hint = "ask for a shorter span, or for one tenant"


RowKind = Literal["predictions", "refusals", "outcomes", "scored"]
"""``scored`` are predictions with a known outcome."""


class RowPlace(NamedTuple):
    """Where a row lies among those of its kind: they are read in this order."""

    ts_us: int
    id: str
    row: int


@dataclass(frozen=True, slots=True)
class LogSpan:
    """How many predicted rows and outcomes there are, and when the first and the last prediction
    was made; None of none."""

    predictions: int
    outcomes: int
    first: float | None
    last: float | None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An event with the place it came from."""

    spool: str
    position: int
    event: Event


@dataclass(frozen=True, slots=True, eq=False)
class ScoredRows:
    """Rows of one version, arm and rollout with known outcomes: the task's outputs in its order,
    each (rows, *shape), and the labels as the task has them, (rows,) or (rows, n)."""

    routed: str
    arm: str
    rollout: str
    outputs: Sequence[NDArray[np.float64]]
    labels: NDArray[np.float64]


class EventLog(Protocol):
    def append(
        self,
        spool: str,
        end: int,
        entries: Sequence[LogEntry],
        contracts: Mapping[str, Contract],
    ) -> None:
        """Append ``entries`` (positions below ``end``), each table at most once a position.

        ``contracts`` by their id say what the events' columns are. Repeating a call after a
        crash writes only what is missing.
        """
        ...

    def appended(self, spool: str) -> int:
        """The largest ``end`` that some table has of this spool; 0 for none."""
        ...

    def recent_keys(self, positions: Mapping[str, int], limit: int) -> list[str]:
        """Dedupe keys of about ``limit`` latest entries before each spool's position."""
        ...

    def counts(self, model: str) -> Mapping[str, int]:
        """Rows by table: predictions, refusals, outcomes."""
        ...

    def samples(
        self,
        model: str,
        contract: Contract,
        start: float,
        end: float,
        where: Mapping[str, Any],
        limit: int,
    ) -> list[dict[str, Any]]:
        """A few predictions in [start, end) with the given column values (``features.NAME`` for a
        feature's), the first ones.

        Each has what is known about the row, its values by the contract's names under
        "features", and its outputs under "outputs".
        """
        ...

    def refusals(
        self, model: str, tenant: str, start: float, end: float, limit: int
    ) -> list[dict[str, Any]]:
        """A few refused requests of one tenant in [start, end)."""
        ...

    def rows(
        self,
        kind: RowKind,
        model: str,
        contract: Contract,
        start: float,
        end: float,
        *,
        tenant: str,
        after: RowPlace | None,
        limit: int,
        within_s: float,
    ) -> Iterator[tuple[RowPlace, dict[str, Any]]]:
        """Rows in [start, end) in the order of their places, those after ``after``, at most
        ``limit``; of one tenant, of all for "". A prediction is as in `samples`; a scored one has
        its "outcome" and "outcome_ts" too, and lies in the span by its own time. Raises LogTooSlow
        where the first rows are not there in time."""
        ...

    def span(self, model: str, tenant: str) -> LogSpan:
        """Of one tenant, of all for ""."""
        ...

    def compact(self, model: str, most: int) -> int:
        """Rewrite each day that lies in more than ``most`` small files as few large ones; the
        files that were replaced, in number. Rows, positions and older versions stay."""
        ...

    def scored(self, model: str, contract: Contract, start: float, end: float) -> list[ScoredRows]:
        """Predictions made in [start, end) whose outcome is known, the latest one of each."""
        ...
