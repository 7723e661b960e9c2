"""Versions and weights over time, from the routing tables that decisions published."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from windvane.apps.console.reading import ModelPage
from windvane.apps.console.svg import Band, bands
from windvane.apps.console.views import Weight
from windvane.core.journal import Decision
from windvane.core.routing import ModelRoute


@dataclass(frozen=True, slots=True)
class WeightStep:
    """One decision that changed who answers."""

    decision: Decision
    weights: tuple[Weight, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """Versions and weights over time: the picture, its ends, and the steps, newest first."""

    picture: Markup
    start: float
    end: float
    steps: tuple[WeightStep, ...]
    shown: tuple[Weight, ...]

    @property
    def ticks(self) -> tuple[float, ...]:
        """Where the axis is written, its end aside."""
        return tuple(self.start + (self.end - self.start) * i / 3 for i in range(3))


def weights_of(route: ModelRoute) -> tuple[Weight, ...]:
    part = route.challenger_share if route.challenger else 0.0
    first = route.standing_in or route.champion
    role = "standing in" if route.standing_in else "champion"
    out = [Weight(first, role, 1.0 - part)]
    if route.challenger:
        out.append(Weight(route.challenger, "challenger", part))
    return tuple(out)


def timeline(page: ModelPage, now: float) -> Timeline | None:
    """Who answered since the oldest decision that the page knows."""
    steps: list[WeightStep] = []
    for decision, route in page.routes:
        weights = weights_of(route)
        if not steps or steps[-1].weights != weights:
            steps.append(WeightStep(decision, weights))
    if not steps:
        return None
    ends = [*(s.decision.at for s in steps[1:]), max(now, steps[-1].decision.at)]
    drawn = [
        Band(
            step.decision.at,
            end,
            tuple((w.version, w.share, w.role == "standing in") for w in step.weights),
        )
        for step, end in zip(steps, ends, strict=True)
    ]
    order = {v.version: i for i, v in enumerate(page.versions)}
    shown = {w.version: w for step in steps for w in step.weights}
    return Timeline(
        picture=bands(drawn),
        start=drawn[0].start,
        end=drawn[-1].end,
        steps=tuple(reversed(steps)),
        shown=tuple(sorted(shown.values(), key=lambda w: order.get(w.version, len(order)))),
    )
