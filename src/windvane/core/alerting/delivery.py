"""When whom is told of an incident: at once, in office hours, the next one, or nobody any more."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from windvane.core.alerting.severity import Severity

DEFAULT = "notify"
"""The channel of the setting of that name, for what has no route."""


@dataclass(frozen=True, slots=True)
class Route:
    """Who is told of a severity, in this order; ``team`` "" is every owner."""

    severity: Severity
    channels: tuple[str, ...]
    team: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """A page that nobody acknowledges goes to the next channel after ``escalate_after_s``, one
    wait a channel, the last for all that follow. What is for office hours is due within
    ``due_within_s``; then it is a page, once."""

    escalate_after_s: tuple[float, ...] = (300.0, 600.0)
    due_within_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class DeliveryFacts:
    """How far the telling of one incident is (all times wall, s).

    ``channels`` are on its route, ``told`` of them were reached or passed over, ``reached`` took
    it, the last ``told_at``; it ``began`` when it was first to be told. ``office_opens`` is the
    next time at which somebody is there, not after now where that is so now. ``overdue``: it
    became a page for want of an answer; ``waited``: the first telling was put off.
    """

    severity: Severity
    channels: int
    began: float
    office_opens: float
    told: int = 0
    told_at: float = 0.0
    reached: int = 0
    is_open: bool = True
    acknowledged: bool = False
    overdue: bool = False
    waited: bool = False


class Step(enum.StrEnum):
    TELL = "tell"
    WAIT = "wait"
    RAISE = "raise"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What comes next: tell the channel of this number, wait until ``at``, raise the severity, or
    nothing."""

    step: Step
    channel: int = 0
    at: float = 0.0


_DONE = Delivery(Step.DONE)


def choose_channels(routes: Sequence[Route], severity: Severity, team: str) -> tuple[str, ...]:
    """The channels of the first route of this severity that is the team's own, else of the first
    that is everybody's; `DEFAULT` where there is none."""
    fits = [route for route in routes if route.severity is severity]
    own = next((r for r in fits if r.team and r.team == team), None)
    shared = next((r for r in fits if not r.team), None)
    chosen = own or shared
    return chosen.channels if chosen is not None else (DEFAULT,)


def wait_after(policy: DeliveryPolicy, reached: int) -> float:
    """How long an answer is waited for when so many were told (s)."""
    return policy.escalate_after_s[max(0, min(reached, len(policy.escalate_after_s)) - 1)]


def plan_delivery(facts: DeliveryFacts, policy: DeliveryPolicy, now: float) -> Delivery:
    """What is to be done now about telling of one incident."""
    if facts.told == 0:
        return _first(facts, now)
    if not facts.is_open or facts.acknowledged:
        return _DONE
    if facts.severity is Severity.HIGH:
        if facts.told >= facts.channels:
            return _DONE
        due = facts.told_at + wait_after(policy, facts.reached)
        return Delivery(Step.TELL, facts.told) if now >= due else Delivery(Step.WAIT, at=due)
    if facts.severity is Severity.MEDIUM and not facts.overdue:
        due = facts.began + policy.due_within_s
        return Delivery(Step.RAISE) if now >= due else Delivery(Step.WAIT, at=due)
    return _DONE


def _first(facts: DeliveryFacts, now: float) -> Delivery:
    if facts.waited and not facts.is_open:
        return _DONE
    if facts.severity is Severity.MEDIUM and facts.office_opens > now:
        return Delivery(Step.WAIT, at=facts.office_opens)
    return Delivery(Step.TELL)
