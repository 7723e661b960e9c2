"""Judge one window's readings: significant by the e-detector, and material in size."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from windvane.core.verdict import Outcome, Verdict

_OVER = 3.0  # log evidence beyond its threshold that is remembered
_SURE = 1.0  # log evidence a window, from which a change is dated to the window
_REMEMBERED = 1.0  # log evidence that is left of an effect too small to matter
_DOUBT = 0.5  # of an alarm's log evidence
_DOUBTFUL = 1.0  # log evidence of a window that is hardly healthy
_MOST_A_WINDOW = 2.6  # log evidence of health
_ALIKE = 1.0  # of half of how far hours are apart: hours in which a change is seen alike
_DAY_S = 86_400.0
_TOLD_APART = 4.0  # deviations of healthy windows that one window can be told from
_SHARED = 0.05  # of the weights, which all parts have alike: a change may begin to look otherwise


class Kind(enum.StrEnum):
    """What a stream watches.

    VALUES: what is not null, against the recent past. NULLS: the null rate against it. OUTAGE:
    whether no row has a value, all have one, or all are of what was never seen. DRIFT: all bins
    against the training baseline.
    """

    DRIFT = "drift"
    VALUES = "values"
    NULLS = "nulls"
    OUTAGE = "outage"


_MOST_USUAL = {Kind.VALUES: 1.0, Kind.NULLS: 0.3}
"""Sizes that matter whatever is usual of a feature, where there is evidence."""
STABILITY = (Kind.VALUES, Kind.DRIFT)
"""Kinds whose size is a population stability index."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One stream's measurement of one window.

    ``log_e`` is the window's log e-value given the past, the mean of its ``parts`` (log e-values,
    one a measure and a way to judge it) where it has some; of an outage that of the run up to now,
    which began at ``began`` (s). ``size`` is the effect that materiality is judged on, beyond what
    chance and the hour give: PSI for VALUES and DRIFT, the rise of the null rate for NULLS, the
    share of rows for OUTAGE; of the windows since there is evidence. ``usual`` is what as many
    healthy windows show, ``known`` how many it rests on. ``now``: how far this window alone is
    off, by an amplitude (the root of a PSI, else as ``size``), with its ``noise`` in healthy
    windows, and ``noise_off`` in those that are off, where that differs. ``what`` names an outage.
    ``usual_now``: what is usual at that hour, a number a measure, in halves of how far that is
    apart between the hours of a day; none where hours hardly differ.
    """

    feature: str
    view: str
    kind: Kind
    log_e: float
    size: float
    now: float = 0.0
    noise: float = 0.1
    noise_off: float = 0.0
    usual: float = 0.0
    known: int = 1_000
    began: float = 0.0
    what: str = ""
    parts: tuple[float, ...] = ()
    usual_now: tuple[float, ...] = ()

    @property
    def stream(self) -> str:
        return f"{self.feature}/{self.kind.value}"


@dataclass(frozen=True, slots=True)
class StreamState:
    """An e-detector between two windows.

    ``log_evidence`` is the log of the largest product of e-values over any run of windows up to
    now (CUSUM), 0 where there is none. ``earliest`` is where that run began; ``since`` where most
    of it did, the best estimate of when a change happened, with ``sure`` the log evidence of that
    (s). ``weights`` of the parts of the next reading (see `_mix`), none where they are alike.
    ``alarmed``: its alarm is open, and opened at ``size``, of an outage by ``what`` all rows were.
    ``health``: the log evidence since then that it is over, of ``calm`` windows in a row;
    ``least_usual`` and ``most_usual``: between what a window's ``usual_now`` was where it was off,
    and ``off_at`` when it was so last (s).
    """

    log_evidence: float = 0.0
    earliest: float | None = None
    since: float | None = None
    sure: float = 0.0
    alarmed: bool = False
    size: float = 0.0
    health: float = 0.0
    calm: int = 0
    weights: tuple[float, ...] = ()
    what: str = ""
    least_usual: tuple[float, ...] = ()
    most_usual: tuple[float, ...] = ()
    off_at: float = 0.0


@dataclass(frozen=True, slots=True)
class DriftPolicy:
    """``alarm_at`` comes from the budget. An effect is material from ``material`` of its kind,
    and from ``unusual`` times what is usual of this very feature. A stream is judged once
    ``enough`` healthy windows are known. An alarm closes after ``calm_windows`` in a row with
    evidence of ``healthy_at`` that no material effect is left."""

    alarm_at: float
    material: Mapping[Kind, float] = field(
        default_factory=lambda: {
            Kind.DRIFT: 0.2,
            Kind.VALUES: 0.1,
            Kind.NULLS: 0.05,
            Kind.OUTAGE: 0.5,
        }
    )
    unusual: float = 1.2
    enough: int = 50
    calm_windows: int = 3
    healthy_at: float = 2_000.0
    revision: int = 4

    @property
    def doubtful_at(self) -> float:
        """The log evidence from which nothing is learned any more, and no window is said to be
        healthy."""
        return _DOUBT * math.log(self.alarm_at)

    def least(self, r: Reading) -> float:
        """From which size a reading is material."""
        usual = min(self.unusual * r.usual, _MOST_USUAL.get(r.kind, 1.0))
        return max(self.material[r.kind], usual)


@dataclass(frozen=True, slots=True)
class DriftFacts:
    window: float
    rows: int
    min_rows: int
    readings: tuple[Reading, ...]
    states: Mapping[str, StreamState]


@dataclass(frozen=True, slots=True)
class Alarm:
    """A stream that began to sound (``opened``) or fell quiet again in this window. It began
    between ``earliest`` and ``since``, most likely at ``since`` (s)."""

    feature: str
    view: str
    kind: Kind
    size: float
    since: float
    opened: bool
    earliest: float = 0.0
    what: str = ""


def judge_drift(
    facts: DriftFacts, policy: DriftPolicy, now: float
) -> tuple[Verdict, dict[str, StreamState], tuple[Alarm, ...]]:
    """Verdict, the streams' new states (those with something to carry), and the alarms that opened
    or closed.

    A thin window has no readings but of outages, and is HOLD unless one of them sounds. An alarm
    opens when the evidence reaches ``alarm_at`` while the effect is material; evidence of an
    effect that is not begins anew.
    """
    del now
    states = dict(facts.states)
    alarms: list[Alarm] = []
    for reading in facts.readings:
        before = states.get(reading.stream, StreamState())
        known = reading.known >= policy.enough or reading.kind is Kind.OUTAGE
        if not known and not before.alarmed:
            continue
        states.pop(reading.stream, None)
        after = _step(before, reading, policy, facts.window)
        if after != StreamState():
            states[reading.stream] = after
        if after.alarmed != before.alarmed:
            told = after if after.alarmed else before
            since = facts.window if told.since is None else told.since
            earliest = since if told.earliest is None else told.earliest
            alarms.append(
                Alarm(
                    reading.feature, reading.view, reading.kind, reading.size, since,
                    after.alarmed, earliest, reading.what,
                )
            )  # fmt: skip
    return _verdict(facts, states, policy), states, tuple(alarms)


def _step(before: StreamState, r: Reading, policy: DriftPolicy, window: float) -> StreamState:
    if before.alarmed:
        return _closing(before, r, policy, window)
    enough = math.log(policy.alarm_at)
    if r.kind is Kind.OUTAGE:  # its evidence is of the whole run already
        if r.log_e < enough or r.size < policy.least(r):
            return StreamState()
        return StreamState(r.log_e, r.began, r.began, r.log_e, True, r.size, what=r.what)
    log_e, weights = _mix(before.weights, r)
    value = max(before.log_evidence, 0.0) + log_e
    sure = max(before.sure, 0.0) + log_e - _SURE
    earliest = window if before.log_evidence <= 0.0 else before.earliest
    since = window if before.sure <= 0.0 else before.since
    if value <= 0.0:
        return StreamState()
    if sure <= 0.0:
        sure, since = 0.0, None
    if value < enough:
        return StreamState(value, earliest, since, sure, weights=weights)
    if r.size < policy.least(r):
        # Harmless: it is forgotten as soon as it is over, and keeps its onset while it lasts.
        sure = min(sure, _REMEMBERED)
        return StreamState(_REMEMBERED, earliest, since, sure, weights=weights)
    value = min(value, enough + _OVER)
    return StreamState(
        value, earliest, earliest if since is None else since, sure, True, r.size,
        least_usual=r.usual_now, most_usual=r.usual_now, off_at=window,
    )  # fmt: skip


def _mix(weights: tuple[float, ...], r: Reading) -> tuple[float, tuple[float, ...]]:
    """The log e-value of a reading whose parts have these ``weights``, and the weights after.

    Weights that follow from the past leave an e-value one. They grow with the evidence of each
    part, so that a run of windows has that of its best part less the log of how many there are,
    once and not in every window (a Bayes mixture; the share is Herbster and Warmuth's, 1998).
    """
    parts = r.parts
    if len(parts) < 2:
        return r.log_e, ()
    held = weights if len(weights) == len(parts) else (1.0,) * len(parts)
    whole = sum(held)
    most = max(parts)
    grown = [w / whole * math.exp(part - most) for w, part in zip(held, parts, strict=True)]
    total = sum(grown)
    share = _SHARED / len(parts)
    after = tuple(round((1.0 - _SHARED) * g / total + share, 4) for g in grown)
    return math.log(max(total, 1e-300)) + most, after


def _closing(before: StreamState, r: Reading, policy: DriftPolicy, window: float) -> StreamState:
    """Whether it is over, by the likelihood ratio of a healthy window to one with the least effect
    that would be material (Wald's sequential test, the other way round): not by how long nothing
    was seen, which a weak effect survives. At night there is nothing to see of a sensor that is
    stuck at dark: hours that usually are far from those in which it was off say nothing, for a day
    at most."""
    noise = max(r.noise, 1e-6)
    least, size = policy.material[r.kind], before.size
    if r.kind in STABILITY:
        least, size = math.sqrt(least), math.sqrt(max(size, 0.0))
    wrong = max(min(size, max(least, _TOLD_APART * noise)), 1e-6)
    off = max(r.noise_off, noise)
    ratio = math.log(off / noise) - (r.now / noise) ** 2 / 2.0 + ((r.now - wrong) / off) ** 2 / 2.0
    if ratio < -_MOST_A_WINDOW or (r.log_e > _DOUBTFUL and r.now > noise):
        return _seen_off(before, r, window)
    if window - before.off_at < _DAY_S and not _would_show(before, r):
        return before
    health = max(before.health + min(ratio, _MOST_A_WINDOW), 0.0)
    calm = before.calm + 1
    if calm >= policy.calm_windows and health >= math.log(policy.healthy_at):
        return StreamState()
    return replace(before, health=health, calm=calm)


def _seen_off(before: StreamState, r: Reading, window: float) -> StreamState:
    """Not over, with what is usual when it is seen."""
    if len(before.least_usual) != len(r.usual_now):
        least = most = r.usual_now
    else:
        least = tuple(map(min, before.least_usual, r.usual_now))
        most = tuple(map(max, before.most_usual, r.usual_now))
    return replace(before, health=0.0, calm=0, least_usual=least, most_usual=most, off_at=window)


def _would_show(before: StreamState, r: Reading) -> bool:
    """Whether the hour is one in which it could be seen: hardly other than those in which it
    was."""
    if len(before.least_usual) != len(r.usual_now):
        return True
    return all(
        least - _ALIKE <= now <= most + _ALIKE
        for least, now, most in zip(before.least_usual, r.usual_now, before.most_usual, strict=True)
    )


LARGEST_SAID = 10.0
"""A population stability index beyond this says that nothing is as it was, and no more: of names
that were rare it grows without bound."""


def psi_words(size: float) -> str:
    """A size as it is said to people."""
    return f"PSI over {LARGEST_SAID:.0f}" if size > LARGEST_SAID else f"PSI {size:.2f}"


def windows_to_close(state: StreamState, policy: DriftPolicy) -> int:
    """How many calm windows in a row an alarm needs at least to close."""
    lacking = math.log(policy.healthy_at) - state.health
    return max(policy.calm_windows - state.calm, math.ceil(lacking / _MOST_A_WINDOW), 1)


def _verdict(facts: DriftFacts, states: Mapping[str, StreamState], policy: DriftPolicy) -> Verdict:
    loud = [r for r in facts.readings if r.stream in states and states[r.stream].alarmed]
    if loud:
        return _sounding(facts, loud, states, policy)
    if facts.rows < facts.min_rows:
        message = f"{facts.rows} rows gathered, {facts.min_rows} needed"
        missing = f"{facts.min_rows - facts.rows} rows"
        return Verdict(Outcome.HOLD, "DRI-202", message, missing)
    judged = [r for r in facts.readings if r.known >= policy.enough]
    if not judged:
        most = max((r.known for r in facts.readings), default=0)
        message = f"{most} healthy windows known to compare with, {policy.enough} needed"
        return Verdict(Outcome.HOLD, "DRI-203", message, f"{policy.enough - most} windows")
    if any(state.alarmed for state in states.values()):
        open_still = ", ".join(sorted(s for s, held in states.items() if held.alarmed)[:3])
        return Verdict(Outcome.FAIL, "DRI-201", f"{open_still}: not shown to be healthy again")
    top = max(judged, key=lambda r: states.get(r.stream, StreamState()).log_evidence)
    value = states.get(top.stream, StreamState()).log_evidence
    message = f"largest evidence {math.exp(value):.3g} ({top.stream}) < {policy.alarm_at:.3g}"
    harmless = {r.stream for r in facts.readings if r.size < policy.least(r)}
    doubtful = sorted(
        stream
        for stream, held in states.items()
        if held.log_evidence >= policy.doubtful_at and stream not in harmless
    )
    if doubtful:
        names = ", ".join(doubtful[:3])
        line = f"{message}, too much in {names} to call it healthy"
        return Verdict(Outcome.HOLD, "DRI-205", line, "more windows")
    return Verdict(Outcome.PASS, "DRI-200", f"{message}, n={facts.rows:,}")


def _sounding(
    facts: DriftFacts, loud: list[Reading], states: Mapping[str, StreamState], policy: DriftPolicy
) -> Verdict:
    top = max(loud, key=lambda r: r.size)
    evidence = math.exp(min(states[top.stream].log_evidence, 700.0))
    message = (
        f"{top.feature} {top.kind.value} moved {top.size:.2f} >= {policy.least(top):.2f} "
        f"with evidence {evidence:.3g} >= {policy.alarm_at:.3g}, "
        f"{len(loud)} of {len(facts.readings)} streams, n={facts.rows:,}"
    )
    return Verdict(Outcome.FAIL, "DRI-201", message)
