"""What rollouts did, stage by stage, and what happened to the units that they met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from windvane.core.rollout import Stage, StageFacts


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """One rollout of a version beside its ``champion``. ``stages`` are those that began, each as it
    was then; ``end`` says how it ended at ``ended`` (s), "" while it is under way."""

    id: str
    model: str
    challenger: str
    champion: str
    started: float
    stages: tuple[Stage, ...]
    ended: float | None = None
    end: str = ""


@dataclass(frozen=True, slots=True)
class FirstRequest:
    """A tenant's unit whose first request in a step of a rollout this was. ``slow`` is None of one
    whose rows were of both arms."""

    rollout: str
    step: int
    tenant: str
    unit: str
    arm: str
    at: float
    failed: bool
    slow: bool | None


@dataclass(frozen=True, slots=True)
class UnitEvent:
    """``what`` happened at ``at`` (s) to a tenant's unit, in one ``slice`` that it is in."""

    rollout: str
    what: str
    slice: str
    tenant: str
    unit: str
    arm: str
    step: int
    at: float


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A span [since, until) (s) whose requests are evidence for neither arm: of one ``tenant``, ""
    for all."""

    since: float
    until: float
    tenant: str = ""


class Rollouts(Protocol):
    def put_rollout(self, rollout: RolloutRecord) -> None: ...
    def rollout(self, rollout_id: str) -> RolloutRecord | None: ...
    def rollouts(self, model: str, limit: int) -> list[RolloutRecord]:
        """Newest first."""
        ...

    def add_first_requests(self, requests: Sequence[FirstRequest]) -> None:
        """Keep each unit's first of a step; later ones change nothing."""
        ...

    def add_unit_events(self, events: Sequence[UnitEvent]) -> None:
        """Keep the first of each kind, of each unit and slice, in the whole rollout and whichever
        arm it was in; later ones change nothing."""
        ...

    def stage_facts(
        self, rollout: str, stages: Sequence[Stage], left_out: Sequence[LeftOut] = ()
    ) -> tuple[StageFacts, ...]:
        """What happened in each of the ``stages``, in which steps are counted from 0. A unit whose
        first event was left out is not counted by a later one."""
        ...

    def slices_of(self, rollout: str) -> int:
        """Tenants whose requests it met."""
        ...
