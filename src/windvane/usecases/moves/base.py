"""What a move is: a change of a deployment against a cause, and the way back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from windvane.core.alerting import Finding
from windvane.core.task import KINDS, metric_name
from windvane.ports.control_store import Deployment, Tx, VersionRecord


@dataclass(frozen=True, slots=True)
class Moved:
    """The deployment afterwards, what was done in lines for people, and the action's name in the
    record, "" where nothing was done that a decision should be called after."""

    live: Deployment
    lines: tuple[str, ...] = ()
    action: str = ""


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """Against which ``findings``, ``now`` (s). ``unfit``: versions that are known to give no
    answer, with why: none is chosen."""

    tx: Tx
    findings: Sequence[Finding]
    now: float
    unfit: Mapping[str, str]


class Move(ABC):
    """One way to act on a model's deployment. To add one: a file here and a line in ``MOVES``."""

    name: ClassVar[str]

    @abstractmethod
    def begin(self, live: Deployment, asked: MoveRequest) -> Moved:
        """What is done when findings of one cause began."""

    def end(self, live: Deployment, asked: MoveRequest) -> Moved:
        """What is taken back when findings ended; nothing by default."""
        del asked
        return Moved(live)


def price(champion: VersionRecord, other: VersionRecord) -> str:
    """What it costs that ``other`` answers for ``champion``, by the metric that both were accepted
    with; "" where they cannot be compared."""
    metric = KINDS[champion.task].metric
    if (
        other.task != champion.task
        or not {metric} <= champion.metrics.keys() & other.metrics.keys()
    ):
        return ""
    mine, theirs = champion.metrics[metric], other.metrics[metric]
    return f" ({metric_name(metric)} {theirs:.3f} instead of {mine:.3f} when they were accepted)"
