"""What the gate of a rollout judges, counted by the unit and by the stage it happened in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FAILED, SLOW = "failed", "slow"
"""What can happen to a unit: it was owed an answer and got none of the version's own, or it had to
wait for one longer than the stage's limit."""
EVERYONE = ""
"""The slice that every unit is in; others are named by `tenant_slice` and `segment_slice`."""


def tenant_slice(tenant: str) -> str:
    return f"tenant:{tenant}"


def segment_slice(segment: str) -> str:
    return f"segment:{segment}"


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of a rollout as it was begun, whatever the model's file says by now: the challenger's
    ``share`` of the units, ``started`` (s), what was ``slow_us`` in it (None: not known), and of
    which part of the champion's units the first request is kept (``sample``)."""

    share: float
    started: float
    slow_us: float | None = None
    sample: float = 1.0


@dataclass(frozen=True, slots=True)
class ArmCounts:
    """First requests of units in a stage, one each: how many, and what became of them. That is a
    fixed exposure: it grows neither with time nor with how active a unit is. ``mixed``: those whose
    rows were of both arms, so that how long they took is of neither."""

    units: int = 0
    failed: int = 0
    slow: int = 0
    mixed: int = 0

    def of(self, what: str) -> int:
        return self.failed if what == FAILED else self.slow

    def seen(self, what: str) -> int:
        """Units of which it can be said."""
        return self.units if what == FAILED else self.units - self.mixed


@dataclass(frozen=True, slots=True)
class FirstEvents:
    """Units to which something happened for the first time in the whole rollout, in either arm, by
    the arm that they were in; of one slice."""

    challenger: int = 0
    champion: int = 0


@dataclass(frozen=True, slots=True)
class StageFacts:
    """What happened in one stage. ``first``: by what happened, then by slice."""

    stage: Stage
    challenger: ArmCounts = ArmCounts()
    champion: ArmCounts = ArmCounts()
    first: Mapping[str, Mapping[str, FirstEvents]] = field(
        default_factory=dict[str, Mapping[str, FirstEvents]]
    )

    def requests(self, what: str) -> tuple[int, int, float]:
        """(challenger, champion, share) of first requests that were so: the share is that of the
        challenger's units among those whose first requests are kept."""
        share = self.stage.share
        kept = share / (share + self.stage.sample * (1.0 - share))
        return self.challenger.of(what), self.champion.of(what), kept

    def first_of(self, what: str, of: str = EVERYONE) -> FirstEvents:
        return self.first.get(what, {}).get(of, FirstEvents())


@dataclass(frozen=True, slots=True)
class ArmLosses:
    """Mean losses of an arm's units against their outcomes, one each: how many units, the sum and
    the sum of squares, and as many of the best constant's losses for the same rows (``naive``)."""

    units: int = 0
    loss: float = 0.0
    loss_squares: float = 0.0
    naive: float = 0.0


@dataclass(frozen=True, slots=True)
class GateFacts:
    """``stages`` up to the present one, in order; ``next_share`` is what the challenger has after
    it; ``slices``: how many slices have traffic;
    ``most_loss`` is what no unit's loss exceeds; ``broken`` are sources that are broken now, whose
    windows are left out of both arms; ``paused`` is who paused it, "" for nobody."""

    stages: tuple[StageFacts, ...]
    next_share: float = 1.0
    slices: int = 0
    challenger: ArmLosses = ArmLosses()
    champion: ArmLosses = ArmLosses()
    most_loss: float = 1.0
    broken: tuple[str, ...] = ()
    paused: str = ""

    @property
    def now(self) -> StageFacts:
        return self.stages[-1]

    def counts(self, what: str, of: str = EVERYONE) -> list[tuple[int, int, float]]:
        """(challenger, champion, share) of the first events of each stage."""
        out: list[tuple[int, int, float]] = []
        for one in self.stages:
            first = one.first_of(what, of)
            if first.challenger or first.champion:
                out.append((first.challenger, first.champion, one.stage.share))
        return out
