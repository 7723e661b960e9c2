"""The durable log of predictions, refusals and outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from windvane.core.errors import WindvaneError
from windvane.core.health import LogSize
from windvane.core.task import Contract
from windvane.ports.events import Event

WRONG_OUTCOMES = ("CON-111", "CON-112")
"""Codes of refusals of outcomes that could be known to be wrong."""
LogKind = Literal["predictions", "refusals", "outcomes"]


class OldLogLayout(WindvaneError):
    """The log was written before all models shared one table a kind."""

    code: ClassVar[str] = "LOG-101"
    hint = (
        "move the folder elsewhere, where any reader of Delta still reads it, and start again: "
        "the log begins anew, while sketches, versions and incidents stay"
    )


class UnknownLogVersion(WindvaneError):
    """A version of a table that was to be kept is not there."""

    code: ClassVar[str] = "LOG-102"
    hint = "nothing was removed; leave out the version, or put back what it needs"


class LogTooSlow(WindvaneError):
    """A question to the log was not answered by its deadline."""

    code: ClassVar[str] = "LOG-103"
    hint = "ask for a shorter span, or for one tenant"


class LogUnavailable(WindvaneError):
    """The storage of the log, or a file in it, cannot be read."""

    code: ClassVar[str] = "LOG-104"
    hint = (
        "check `log_root` and `log_storage` in windvane.yaml and whether the storage is there; "
        "gateways go on answering, and what they spool is recorded once it is back"
    )


RowKind = Literal["predictions", "refusals", "outcomes", "scored"]
"""``scored`` are predictions with a known outcome."""


class RowPlace(NamedTuple):
    """Where a row lies among those of its kind: they are read in this order."""

    ts_us: int
    id: str
    row: int


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which rows: each "" for all. ``request`` is a prediction's id, ours or the client's;
    ``version`` the one that was to answer or that did; ``code`` a refusal's. Outcomes have no
    version, and neither they nor predictions have a code."""

    tenant: str = ""
    version: str = ""
    request: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class NewestRows:
    """Rows with their places, newest first, of all that is newer than ``searched_to`` (s): what is
    older was not looked at. ``more`` says that there may be older ones."""

    rows: Sequence[tuple[RowPlace, dict[str, Any]]]
    searched_to: float
    more: bool


@dataclass(frozen=True, slots=True)
class LogSpan:
    """How many predicted rows and outcomes there are, and when the first and the last prediction
    was made; None of none."""

    predictions: int
    outcomes: int
    first: float | None
    last: float | None


class LogEntry(msgspec.Struct, frozen=True, gc=False):
    """An event with the place it came from."""

    spool: str
    position: int
    event: Event


@dataclass(frozen=True, slots=True, eq=False)
class ScoredRows:
    """Rows of one version, arm and rollout with known outcomes: the task's outputs in its order,
    each (rows, *shape), and the labels as the task has them, (rows,) or (rows, n).

    ``routed`` was to answer, ``answered`` did: another one after a fallback, "" for a rule or a
    constant. ``times`` (rows,) are of the predictions, in s; ``units`` (rows,) are alike for rows
    of one tenant's unit, and 0 where the unit is not known; ``tenants`` (rows,) are names;
    ``features`` (rows,) are the values of those that were asked for, None for null."""

    routed: str
    answered: str
    arm: str
    rollout: str
    times: NDArray[np.float64]
    units: NDArray[np.uint64]
    tenants: NDArray[np.str_]
    outputs: Sequence[NDArray[np.float64]]
    labels: NDArray[np.float64]
    features: Mapping[str, NDArray[np.object_]] = field(
        default_factory=dict[str, NDArray[np.object_]]
    )

    def taken(self, rows: NDArray[np.bool_]) -> ScoredRows:
        """Those of the rows."""
        return replace(
            self,
            times=self.times[rows],
            units=self.units[rows],
            tenants=self.tenants[rows],
            outputs=[output[rows] for output in self.outputs],
            labels=self.labels[rows],
            features={name: column[rows] for name, column in self.features.items()},
        )


@dataclass(frozen=True, slots=True)
class OutcomeCounts:
    """What became of one tenant's outcomes, each row that they name counted once, by its latest.

    ``joined`` tell the truth about a prediction in time. ``late`` came more than the model's
    window after it; ``out_of_range`` are none that the task can have; ``ambiguous`` name a
    client's own id that stands for several predictions; ``unknown`` name no row that was ever
    predicted, as far back as the log goes. ``revised`` of all these had another value before.
    ``refused`` requests had outcomes that the gateway could know to be wrong.
    """

    tenant: str
    joined: int = 0
    unknown: int = 0
    ambiguous: int = 0
    late: int = 0
    out_of_range: int = 0
    revised: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class LabelDelays:
    """Of one tenant's predictions that were made in one cohort (numbered from 0): how many ``rows``
    there are, and how many of them had a label by bin of the time from the prediction to the first
    one that names it; one bin more than there are edges."""

    tenant: str
    cohort: int
    rows: int
    labelled: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RemovedRows:
    """``rows`` are gone from the latest version. For that ``rewritten_files`` were written anew
    without them, and ``removed_files`` are no longer part of it."""

    rows: int = 0
    removed_files: int = 0
    rewritten_files: int = 0


class LogRows(Protocol):
    """Events of one spool below position ``end``, as the log will have them."""

    @property
    def spool(self) -> str: ...

    @property
    def end(self) -> int: ...

    @property
    def rows(self) -> int: ...

    @property
    def bytes(self) -> int:
        """How much memory they take."""
        ...

    def positions(self) -> Sequence[int]:
        """Of the events, sorted, each once."""
        ...

    def halves(self) -> tuple[LogRows, LogRows]:
        """The first half of the events, and the rest; of at least two."""
        ...


class EventLog(Protocol):
    def prepare(
        self,
        spool: str,
        end: int,
        entries: Sequence[LogEntry],
        contracts: Mapping[str, Contract],
    ) -> LogRows:
        """Rows of ``entries`` (positions below ``end``); nothing is written. ``contracts`` by
        their id say what the events' columns are. Raises what a bad event makes it raise."""
        ...

    def commit(self, rows: Sequence[LogRows], ends: Mapping[str, int]) -> None:
        """Write them, each table in one commit that has them all and says that it has each spool
        up to its end; predictions before the outcomes that name them. Repeating a call after a
        crash, with the same rows cut otherwise, writes only what is missing. What was committed
        survives a power cut once this returns."""
        ...

    def append(
        self,
        spool: str,
        end: int,
        entries: Sequence[LogEntry],
        contracts: Mapping[str, Contract],
    ) -> None:
        """`prepare` and `commit`."""
        ...

    def appended(self, spool: str) -> int:
        """The largest end that some table has of this spool; 0 for none."""
        ...

    def recent_keys(self, positions: Mapping[str, int], limit: int) -> list[str]:
        """Dedupe keys of about ``limit`` latest entries before each spool's position, of the last
        month that has any. Files that are damaged or missing are passed over, and said in the
        process's log."""
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

    def newest(
        self,
        kind: LogKind,
        model: str,
        contract: Contract,
        start: float,
        end: float,
        where: RowFilter,
        *,
        before: RowPlace | None,
        limit: int,
        within_s: float,
    ) -> NewestRows:
        """Rows in [start, end) from the newest back, those before ``before``, at most ``limit``.
        Days are read one by one until there are enough rows or the time is over. A prediction is
        as in `samples`, with its latest "outcome" and "outcome_ts", None where none is known.
        Raises LogTooSlow where not even the newest day could be read in time, LogUnavailable."""
        ...

    def span(self, model: str, tenant: str) -> LogSpan:
        """Of one tenant, of all for ""."""
        ...

    def check_storage(self) -> None:
        """Return where events could be read and appended; raise OSError where the storage does
        not answer, or is no place for them. May take as long as the storage does."""
        ...

    def damaged_files(self) -> int:
        """How many files of the log are missing or cut off, of a bounded number of the newest: none
        is opened. Raises OSError."""
        ...

    def compact(self, most: int) -> int:
        """Rewrite some partitions that lie in more than ``most`` small files as few large ones,
        and sort those that are written no more; the files that were replaced, in number. Rows,
        positions and older versions stay. The work of one call is bounded; call again."""
        ...

    def erase(self, model: str, tenant: str, before: float) -> RemovedRows:
        """Remove a tenant's rows of a model from before that time, of every kind. Older versions
        have them until ``expire`` removes their files."""
        ...

    def expire(self, kind: LogKind, before: float, keep: Sequence[int]) -> RemovedRows:
        """Remove the oldest whole days that end before that time, a month of them at most, and
        the files that no version needs: neither the latest, nor one of the last day, nor one of
        ``keep``. Raises UnknownLogVersion."""
        ...

    def outcome_counts(
        self,
        model: str,
        contract: Contract,
        start: float,
        end: float,
        arrive_within_s: float | None,
        *,
        within_s: float | None = None,
    ) -> list[OutcomeCounts]:
        """What became of the outcomes that were received in [start, end), by tenant. None is late
        where ``arrive_within_s`` is None. Raises LogTooSlow where it is not told ``within_s``."""
        ...

    def label_delays(
        self,
        model: str,
        start: float,
        cohort_s: float,
        cohorts: int,
        seen_until: float,
        edges: Sequence[float],
        *,
        within_s: float | None = None,
    ) -> list[LabelDelays]:
        """How long labels took, of predictions in so many cohorts of ``cohort_s`` (s) each from
        ``start`` on, by tenant; cohorts without a prediction are left out. Labels that were
        received from ``seen_until`` on are not there yet. A delay is in the first bin whose edge it
        does not exceed. Joined as in `outcome_counts`, whatever the label says. Raises LogTooSlow
        where it is not told ``within_s``."""
        ...

    def sizes(self, recent_from: float) -> list[LogSize]:
        """What the files of its latest version hold, by table and day; of days from
        ``recent_from`` (s) on by model, too. A file of several models is shared out by their
        rows."""
        ...

    def free_bytes(self) -> int | None:
        """Of the disk that it is on; None where that is an object store."""
        ...

    def scored(
        self,
        model: str,
        contract: Contract,
        start: float,
        end: float,
        arrive_within_s: float | None = None,
        *,
        limit: int | None = None,
        within_s: float | None = None,
        labelled: tuple[float, float] | None = None,
        features: Sequence[str] = (),
    ) -> list[ScoredRows]:
        """Predictions made in [start, end) that an outcome of `outcome_counts`'s ``joined`` tells
        the truth about: of several, the latest one. A client's own id stands for a prediction
        where it does for no other in all of the log; a prediction whose first outcome came more
        than ``arrive_within_s`` later is left out, and so is one whose latest is no label that the
        task can have. With ``limit`` at most so many rows, the newest; with ``labelled`` only those
        whose first outcome was received in that span [from, until) (s). The rows have the values of
        the contract's ``features`` that are named. Raises LogTooSlow where they are not there
        ``within_s``."""
        ...
