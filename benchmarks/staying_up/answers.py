"""What became of the requests of a stream, and what that comes to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_REFUSED = (429, 503)
_TOO_LATE = 504
_FIELDS = ("due_s", "sent_s", "latency_ms", "status", "retry_after", "marked")


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """One entry a request, in the order in which they were due.

    ``due_s`` and ``sent_s`` count from the beginning of the load, in seconds; ``latency_ms`` from
    when the request was due until its answer was whole. ``status`` is 0 where no whole answer
    came. ``retry_after``: the answer has that header. ``marked``: its body has the stream's mark.
    """

    due_s: Floats
    sent_s: Floats
    latency_ms: Floats
    status: NDArray[np.int16]
    retry_after: Flags
    marked: Flags

    def __len__(self) -> int:
        return len(self.status)

    def only(self, which: Flags) -> Answers:
        return Answers(*(getattr(self, name)[which] for name in _FIELDS))

    def between(self, begin_s: float, end_s: float) -> Answers:
        """Those that were due in [begin_s, end_s)."""
        return self.only((self.due_s >= begin_s) & (self.due_s < end_s))

    @property
    def ok(self) -> Answers:
        return self.only(self.status // 100 == 2)

    @property
    def refused(self) -> Answers:
        """Those that were told to come back later: 429 and 503."""
        return self.only(np.isin(self.status, _REFUSED))

    @property
    def admitted(self) -> Answers:
        """Those that were let in: answered, or given up at the deadline."""
        return self.only((self.status // 100 == 2) | (self.status == _TOO_LATE))

    @property
    def failed(self) -> Answers:
        """No answer, or one that is neither a prediction nor a refusal nor "too late"."""
        said = np.isin(self.status, (*_REFUSED, _TOO_LATE))
        return self.only((self.status // 100 != 2) & ~said)

    def quantile_ms(self, share: float) -> float:
        """Of the latencies; NaN if there are none, infinite if an answer never came."""
        if not len(self):
            return math.nan
        ordered = np.sort(self.latency_ms)
        return float(ordered[min(int(share * len(ordered)), len(ordered) - 1)])

    def within(self, deadline_ms: float) -> Answers:
        """Predictions that came by the deadline."""
        return self.only((self.status // 100 == 2) & (self.latency_ms <= deadline_ms))

    @property
    def behind_ms(self) -> float:
        """How late the load itself was: p99 of the time from due to sent."""
        lag = np.sort(self.sent_s - self.due_s)
        return float(lag[int(0.99 * len(lag))]) * 1e3 if len(lag) else math.nan


def from_arrays(arrays: Mapping[str, Any], number: int) -> Answers:
    """Stream ``number`` of a file that ``to_arrays`` made."""
    return Answers(*(np.asarray(arrays[f"{name}_{number}"]) for name in _FIELDS))


def to_arrays(all_answers: Iterable[Answers]) -> dict[str, NDArray[Any]]:
    return {
        f"{name}_{number}": getattr(answers, name)
        for number, answers in enumerate(all_answers)
        for name in _FIELDS
    }


@dataclass(frozen=True, slots=True)
class Seen:
    """One line of the table: what a client saw. Latencies in milliseconds, of predictions.

    ``rate`` was asked for, ``answered`` were predictions, both a second. ``refused``, ``late``
    (504) and ``failed`` are requests. ``stolen`` is as in serving's Load.
    """

    part: str
    case: str
    rate: float
    answered: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    refused: int = 0
    late: int = 0
    failed: int = 0
    stolen: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__slots__}
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()
        }


def see(part: str, case: str, answers: Answers, seconds: float, stolen: float = 0.0) -> Seen:
    """``answers`` were due within ``seconds``."""
    ok = answers.ok
    return Seen(
        part, case, len(answers) / seconds, len(ok) / seconds,
        ok.quantile_ms(0.5), ok.quantile_ms(0.99), ok.quantile_ms(1.0),
        len(answers.refused), int((answers.status == _TOO_LATE).sum()), len(answers.failed), stolen,
    )  # fmt: skip


def middle(runs: Iterable[Seen]) -> Seen:
    """Each figure's median over the runs, by itself; but refusals and failures are summed."""
    held = list(runs)
    figures = {
        name: float(np.median([getattr(run, name) for run in held]))
        for name in ("rate", "answered", "p50_ms", "p99_ms", "max_ms", "stolen")
    }
    sums = {name: sum(getattr(run, name) for run in held) for name in ("refused", "late", "failed")}
    return Seen(held[0].part, held[0].case, **figures, **sums)
