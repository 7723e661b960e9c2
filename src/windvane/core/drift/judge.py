"""Judge one window's readings: significant by the e-detector, and material in size."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from windvane.core.verdict import Outcome, Verdict, p_to_e, shiryaev_roberts

_LARGEST = 1e300


class Kind(enum.StrEnum):
    """What a stream watches.

    DRIFT: all bins against the training baseline (training drift). VALUES: values
    against the recent past. NULLS: the null rate against the recent past.
    """

    DRIFT = "drift"
    VALUES = "values"
    NULLS = "nulls"


@dataclass(frozen=True, slots=True)
class Reading:
    """One stream's measurement of one window.

    ``p`` is the calibrated p-value, ``size`` the effect that materiality is judged on (PSI
    for DRIFT, rank shift for VALUES, rise of the null rate for NULLS). ``usual`` is the
    largest size of a healthy window, ``known`` how many such windows it and ``p`` rest on.
    """

    feature: str
    view: str
    kind: Kind
    p: float
    size: float
    usual: float = 0.0
    known: int = 1_000

    @property
    def stream(self) -> str:
        return f"{self.feature}/{self.kind.value}"


@dataclass(frozen=True, slots=True)
class StreamState:
    """An e-detector between two windows.

    ``value`` is the Shiryaev-Roberts statistic. ``peak`` is the largest product of e-values
    over any run of windows up to now (CUSUM) and ``since`` where that run began: the best
    estimate of when a change happened. ``alarmed``: its alarm is open; ``calm``: the
    healthy windows in a row since then.
    """

    value: float = 0.0
    peak: float = 0.0
    since: float | None = None
    alarmed: bool = False
    calm: int = 0


@dataclass(frozen=True, slots=True)
class DriftPolicy:
    """``alarm_at`` comes from the budget. An effect is material from ``material`` of its kind,
    and from ``unusual`` times what healthy windows of this very feature showed: the shift
    of a feature that is constant within an hour says nothing, a tenth of it in one that never
    moves says much. A stream is judged once ``enough`` healthy windows are known."""

    alarm_at: float
    material: Mapping[Kind, float] = field(
        default_factory=lambda: {Kind.DRIFT: 0.2, Kind.VALUES: 0.15, Kind.NULLS: 0.05}
    )
    unusual: float = 1.2
    enough: int = 50
    calm_windows: int = 3
    revision: int = 1


@dataclass(frozen=True, slots=True)
class DriftFacts:
    window: float
    rows: int
    min_rows: int
    readings: tuple[Reading, ...]
    states: Mapping[str, StreamState]


@dataclass(frozen=True, slots=True)
class Alarm:
    """A stream that began to sound (``opened``) or fell quiet again in this window."""

    feature: str
    view: str
    kind: Kind
    size: float
    since: float
    opened: bool


def judge_drift(
    facts: DriftFacts, policy: DriftPolicy, now: float
) -> tuple[Verdict, dict[str, StreamState], tuple[Alarm, ...]]:
    """Verdict, the streams' new states, and the alarms that opened or closed.

    A thin window changes nothing and is HOLD. An alarm opens when ``R >= alarm_at`` while
    the effect is material, and closes after ``calm_windows`` windows in a row whose effect
    is less than half of material, or no larger than is usual.
    """
    del now
    states = dict(facts.states)
    if facts.rows < facts.min_rows:
        message = f"{facts.rows} rows in the window, {facts.min_rows} needed"
        return (
            Verdict(Outcome.HOLD, "DRI-202", message, f"{facts.min_rows - facts.rows} rows"),
            (states),
            (),
        )
    if not facts.readings:
        message = "no reference yet: the recent past is still being learned"
        return Verdict(Outcome.HOLD, "DRI-203", message, "more windows"), states, ()
    most = max(r.known for r in facts.readings)
    if most < policy.enough:
        message = f"{most} healthy windows known to compare with, {policy.enough} needed"
        return (
            Verdict(Outcome.HOLD, "DRI-203", message, f"{policy.enough - most} windows"),
            states,
            (),
        )
    alarms: list[Alarm] = []
    for reading in facts.readings:
        if reading.known < policy.enough:
            continue
        before = states.get(reading.stream, StreamState())
        after = _step(before, reading, policy, facts.window)
        states[reading.stream] = after
        if after.alarmed != before.alarmed:
            since = (after if after.alarmed else before).since or facts.window
            alarms.append(
                Alarm(
                    reading.feature, reading.view, reading.kind, reading.size, since, after.alarmed
                )
            )
    return _verdict(facts, states, policy), states, tuple(alarms)


def _step(before: StreamState, r: Reading, policy: DriftPolicy, window: float) -> StreamState:
    material = _material(r, policy)
    if before.alarmed:
        quiet = r.size < policy.material[r.kind] / 2 or r.size <= r.usual
        calm = before.calm + 1 if quiet else 0
        if calm >= policy.calm_windows:
            return StreamState()
        return replace(before, calm=calm)
    e = p_to_e(np.array([r.p]))
    value = float(min(shiryaev_roberts(np.array([before.value]), e)[0], _LARGEST))
    peak = float(min(max(before.peak, 1.0) * e[0], _LARGEST))
    since = window if before.peak <= 1.0 else before.since
    alarmed = value >= policy.alarm_at and r.size >= material
    return StreamState(value, peak, since, alarmed)


def _material(r: Reading, policy: DriftPolicy) -> float:
    return max(policy.material[r.kind], policy.unusual * r.usual)


def _verdict(facts: DriftFacts, states: Mapping[str, StreamState], policy: DriftPolicy) -> Verdict:
    loud = [r for r in facts.readings if r.stream in states and states[r.stream].alarmed]
    if not loud:
        judged = [r for r in facts.readings if r.stream in states]
        top = max(judged, key=lambda r: states[r.stream].value)
        value = states[top.stream].value
        message = f"largest evidence {value:.3g} ({top.stream}) < {policy.alarm_at:.3g}"
        return Verdict(Outcome.PASS, "DRI-200", f"{message}, n={facts.rows:,}")
    top = max(loud, key=lambda r: r.size)
    message = (
        f"{top.feature} {top.kind.value} moved {top.size:.2f} >= "
        f"{_material(top, policy):.2f} with evidence {states[top.stream].value:.3g} >= "
        f"{policy.alarm_at:.3g}, {len(loud)} of {len(facts.readings)} streams, n={facts.rows:,}"
    )
    return Verdict(Outcome.FAIL, "DRI-201", message)
