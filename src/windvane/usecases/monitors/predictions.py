"""Answers that changed against the version's own recent past, or are nearly all alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.alerting import Cause, CauseGroup, CauseKind, Finding, Join, Severity
from windvane.core.drift import LEAST_SHARE as ALIKE
from windvane.core.drift import (
    PAST_LOOKS,
    Alarm,
    Cell,
    Concentration,
    DriftFacts,
    DriftPolicy,
    HealthyWindows,
    Kind,
    Measure,
    Reading,
    Reference,
    StreamState,
    Watching,
    accept_change,
    axis_index,
    concentration_reading,
    describe_change,
    follow_concentration,
    judge_drift,
    overdispersion,
    psi_words,
    rows_of,
    watch,
)
from windvane.core.routing import Arm
from windvane.core.task import make_task
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.control_store import Deployment
from windvane.ports.event_log import EventLog
from windvane.usecases.closed_window import ClosedWindow, Counts, StateRows
from windvane.usecases.gather_answers import Answers, answer_figures, answer_label, mean_answer
from windvane.usecases.gather_evidence import histogram, sample_requests
from windvane.usecases.monitors.base import AlarmState, Judge, Judged, Monitor, moment, read_rows
from windvane.usecases.monitors.cells import WholeCell
from windvane.usecases.monitors.drift_table import bands_of, drift_table, material_sizes
from windvane.usecases.read_model_file import ModelFile

SHIFT = CauseKind(
    "prediction_shift",
    CauseGroup.DRIFT,
    "predictions-changed.md",
    joins={
        "prediction_shift": Join.SAME_ONSET,
        "stuck_predictions": Join.SAME_ONSET,
        "feed": Join.SAME_ONSET,
        "input_shift": Join.SAME_ONSET,
        "tenant_feed": Join.SAME_ONSET,
        "segment_feed": Join.SAME_ONSET,
        "new_tenant": Join.SAME_ONSET,
        "errors": Join.SAME_ONSET,
    },
)
STUCK = CauseKind(
    "stuck_predictions",
    CauseGroup.FAILING,
    "predictions-changed.md",
    joins={"feed": Join.SAME_ONSET, "errors": Join.SAME_ONSET},
    to_do="see whether what comes in is as varied as ever, and roll back by hand if it is: "
    "`windvane incidents {incident}`",
)
Floats = NDArray[np.float64]
KINDS: Mapping[str, CauseKind] = {kind.name: kind for kind in (STUCK, SHIFT)}
_OF: Mapping[str, Kind] = {STUCK.name: Kind.OUTAGE, SHIFT.name: Kind.VALUES}
_ARMS = 2
_AXES_AN_OUTPUT = 2
_DAY_S = 86_400.0
_KNOWN = 50
# How many answers count as one until it is known: callers ask for the same row again and again.
_CLUSTERED = 10.0
_TOGETHER = 2  # windows within which a deployment and a change are named together
_SALT = "predictions"
_SUBJECT = "version/"


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """Of one version and arm: its ``cell``, the runs of answers that are alike by output, and
    since when what was found is open, by the name of its kind (s). ``accepted``: a person accepted
    the change since the last window."""

    cell: WholeCell
    alike: Mapping[str, Concentration] = field(default_factory=dict[str, Concentration])
    told: Mapping[str, float] = field(default_factory=dict[str, float])
    accepted: bool = False

    @property
    def alarmed(self) -> bool:
        return bool(self.told)


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """A row in use."""

    cell: Cell
    first: float
    alike: Mapping[str, Concentration]
    told: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What was judged of one version and arm; ``past`` is what its answers were compared with,
    ``recent`` those that the judgement is of."""

    cell: Cell
    alike: Mapping[str, Concentration]
    facts: DriftFacts
    policy: DriftPolicy
    verdict: Verdict
    alarms: tuple[Alarm, ...]
    looked: bool
    past: Counts
    recent: Counts


class Predictions(Monitor):
    """What each version answers in each arm, against its own recent past, as features are watched;
    and answers that are nearly all alike while the rows are not.

    A version is compared with itself only, so that a new champion is no change; it is judged once
    a day of its answers is known (`watch.recent` where that is shorter), for a distribution is
    known with all of its hours. Answers that are alike are told from the first windows on, by
    what the version answered for its training data.
    """

    name = "predictions"
    title = "Predictions"
    cause = SHIFT
    more_causes = (STUCK,)
    judge = Judge("drift", DriftFacts, DriftPolicy, lambda f, p, now: judge_drift(f, p, now)[0])
    acceptable = True

    def streams(self, file: ModelFile, tenants: int) -> int:
        """Values and concentration of each output's axes, of the champion and a challenger."""
        del tenants
        outputs = len(make_task(file.contract.task).outputs)
        return len(_OF) * _AXES_AN_OUTPUT * outputs * _ARMS

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        del log
        held = read_rows(rows, PredictionRow)
        out: list[Judged] = []
        seen: set[str] = set()
        for i, answers in enumerate(watched_answers(window)):
            subject = subject_of(answers.version, answers.arm)
            seen.add(subject)
            out.append(self._judge(window, answers, held, window.seed(_SALT) + i))
        gone = {s: row for s, row in held.items() if s not in seen and not is_live(s, window.live)}
        out += [self._departed(window, subject, row) for subject, row in gone.items()]
        return out

    def _judge(
        self, window: ClosedWindow, answers: Answers, rows: Mapping[str, PredictionRow], seed: int
    ) -> Judged:
        subject = subject_of(answers.version, answers.arm)
        held = _load(window, answers, rows)
        seen = _watch(window, answers, held, seed)
        findings, told = self._findings(window, answers, held, seen)
        row = PredictionRow(
            WholeCell.of(seen.cell, answers.layout.id, held.first), seen.alike, told
        )
        shown = bool(findings) or seen.verdict.outcome is not Outcome.HOLD or seen.facts.rows > 0
        return Judged(
            subject, seen.facts, seen.policy, seen.verdict, tuple(findings), {subject: row},
            _detail(window, answers, seen), shown,
        )  # fmt: skip

    def _findings(
        self, window: ClosedWindow, answers: Answers, held: _Held, seen: _Seen
    ) -> tuple[list[Finding], Mapping[str, float]]:
        out: list[Finding] = []
        told = dict(held.told)
        for name, kind in KINDS.items():
            sounding = list(_sounding(seen.cell.streams, _OF[name]))
            cause = Cause(kind, cause_subject(answers.version, answers.arm))
            if sounding and name not in told:
                if name == SHIFT.name and STUCK.name in told:
                    continue  # answers that are all alike have moved, too
                if name == SHIFT.name and not _found_now(seen, sounding):
                    continue  # a person closed it, and it is not known to go on
                since = min(s.since for _, s in sounding if s.since is not None)
                told[name] = since
                out.append(_began(self.name, window, answers, cause, since, sounding, seen))
            elif name in told and not sounding and (seen.looked or name == STUCK.name):
                line = f"{_whose(answers.version, answers.arm)} answers as before again"
                out.append(Finding(self.name, cause, False, told.pop(name), line))
        return out, told

    def _departed(self, window: ClosedWindow, subject: str, row: PredictionRow) -> Judged:
        """Of a version that answers no more: what was found of it is over."""
        version, arm = parse_subject(subject)
        line = f"{_whose(version, arm)} answers no more"
        findings = tuple(
            Finding(self.name, Cause(KINDS[name], cause_subject(version, arm)), False, since, line)
            for name, since in row.told.items()
        )
        facts = DriftFacts(window.start, 0, window.policy.min_rows, (), {})
        policy = _policy(window, _KNOWN)
        verdict, _, _ = judge_drift(facts, policy, window.end)
        return Judged(
            subject, facts, policy, verdict, findings, {subject: None}, shown=bool(findings)
        )

    def evidence(
        self, window: ClosedWindow, found: Judged, finding: Finding, log: EventLog
    ) -> Mapping[str, Any]:
        version, arm = parse_subject(found.subject)
        answers = next(a for a in watched_answers(window) if (a.version, a.arm) == (version, arm))
        row = next(r for r in found.states.values() if isinstance(r, PredictionRow))
        cell = row.cell.unpacked
        layout = answers.layout
        before = cell.past if cell.past.any() else _trained_counts(answers)
        after = cell.held if cell.held.any() else answers.counts
        names = [name for name, _ in finding.suspects]
        samples = log.samples(
            window.model, window.file.contract, finding.since, window.end,
            {"answered": version}, 5,
        )  # fmt: skip
        return {
            "first_window": finding.since,
            "suspects": [{"feature": n, "size": round(size, 4)} for n, size in finding.suspects],
            "changes": [describe_change(layout, name, before, after) for name in names],
            "histograms": [histogram(layout, name, before, after) for name in names],
            "samples": sample_requests(samples),
            "last_good": {"version": version, "before": finding.since},
        }

    def begin_anew(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        """The alarm stays, for the forecast has followed the change until it, and only its end is
        evidence that it is over; it is told again if the next look still finds it."""
        return {subject: replace(row, told={}) for subject, row in _told(rows, cause).items()}

    def accept(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        """What came since the change is what answers are compared with from now on."""
        return {
            subject: replace(row, accepted=True, told={})
            for subject, row in _told(rows, cause).items()
        }

    def about(self, subject: str) -> str:
        return f"answers of {_whose(*parse_subject(subject))}" if subject else self.title

    def about_cause(self, cause: Cause) -> str:
        return f"answers of version {cause.subject}"


def _told(rows: StateRows, cause: Cause) -> dict[str, PredictionRow]:
    """Of which something of the cause is open."""
    return {
        subject: row
        for subject, row in read_rows(rows, PredictionRow).items()
        if row.told and is_about(subject, cause)
    }


def watched_answers(window: ClosedWindow) -> list[Answers]:
    """Those that are a sample of what a version is asked: a fallback's rows are drawn for what they
    lack, unless it stands in for the champion."""
    return [
        a
        for a in window.answers
        if a.arm != Arm.FALLBACK.value or a.version == window.live.standing_in
    ]


def subject_of(version: str, arm: str) -> str:
    """Under which something of a version in an arm is carried."""
    return f"{_SUBJECT}{version}/{arm}"


def cause_subject(version: str, arm: str) -> str:
    return version if arm == Arm.CHAMPION.value else f"{version} as {arm}"


def is_about(subject: str, cause: Cause) -> bool:
    """Whether a cause is of the version and arm of a subject."""
    return cause_subject(*parse_subject(subject)) == cause.subject


def is_live(subject: str, live: Deployment) -> bool:
    """Whether its version may answer again in this arm as things are now."""
    version, arm = parse_subject(subject)
    answering = {
        Arm.CHAMPION.value: live.champion,
        Arm.CHALLENGER.value: live.challenger,
        Arm.FALLBACK.value: live.standing_in,
    }
    return answering.get(arm) == version


def parse_subject(subject: str) -> tuple[str, str]:
    """The version and the arm of a subject."""
    version, _, arm = subject.removeprefix(_SUBJECT).rpartition("/")
    return version, arm


def _found_now(seen: _Seen, sounding: Sequence[tuple[str, StreamState]]) -> bool:
    """Whether the look at this window found a change, be it a new one or one that goes on."""
    return seen.looked and any(state.calm == 0 for _, state in sounding)


def _whose(version: str, arm: str) -> str:
    return f"version {cause_subject(version, arm)}"


def _policy(window: ClosedWindow, enough: int) -> DriftPolicy:
    return DriftPolicy(window.policy.alarm_at, material_sizes(window.file), enough=enough)


def _load(window: ClosedWindow, answers: Answers, rows: Mapping[str, PredictionRow]) -> _Held:
    """Of a version that was a challenger until now what is known of it is kept."""
    row = rows.get(subject_of(answers.version, answers.arm))
    former = rows.get(subject_of(answers.version, Arm.CHALLENGER.value))
    promoted = row is None and answers.arm == Arm.CHAMPION.value and former is not None
    row = former if promoted else row
    if row is None or row.cell.layout != answers.layout.id:
        return _Held(Cell.empty(answers.layout, window.start), window.start, {}, {})
    cell = row.cell.unpacked
    if promoted or row.accepted:
        cell = accept_change(cell, answers.layout, answers.layout.names) if row.accepted else cell
        return _Held(replace(cell, streams={}), row.cell.first, {}, {})
    return _Held(cell, row.cell.first, row.alike, row.told)


def _watch(window: ClosedWindow, answers: Answers, held: _Held, seed: int) -> _Seen:
    layout, least = answers.layout, window.policy.min_rows
    index = axis_index(layout)
    has_past = rows_of(layout, held.cell.past) >= PAST_LOOKS * least
    past = held.cell.past if has_past else held.cell.past + _trained_counts(answers)
    reference = Reference.of(index, past)
    alike = _alike(window, answers, held, reference) if past.any() else {}
    total = _concentrations(answers, held.cell, alike, reference, least) if past.any() else []
    policy = _policy(window, _enough(window, held))
    if has_past:
        views = dict.fromkeys(layout.names, "")
        how = Watching(layout, views, policy, least, window.policy.recent_s)
        watched = watch(
            how, held.cell, answers.counts, window.start, window.end, seed,
            reference=reference, healthy=_healthy_windows(answers, held.cell), total_faults=total,
        )  # fmt: skip
        recent = held.cell.pending.waiting + answers.counts
        return _Seen(
            watched.cell, alike, watched.facts, policy, watched.verdict, watched.alarms,
            watched.looked, past, recent,
        )  # fmt: skip
    rows = rows_of(layout, answers.counts)
    facts = DriftFacts(window.start, rows, least, tuple(total), held.cell.streams)
    verdict, streams, alarms = judge_drift(facts, policy, window.end)
    healthy = not streams and not any(run.rows >= least for run in alike.values())
    learned = held.cell.current + answers.counts if healthy else held.cell.current
    cell = replace(held.cell, current=learned, streams=streams)
    return _Seen(cell, alike, facts, policy, verdict, alarms, False, past, answers.counts)


def _trained_counts(answers: Answers) -> Counts:
    return (
        np.zeros(answers.layout.size, np.int64)
        if answers.trained is None
        else (answers.trained.layout.project(answers.trained.counts, answers.layout))
    )


def _healthy_windows(answers: Answers, cell: Cell) -> HealthyWindows | None:
    """How residuals of healthy windows are ranked until more of its own are known than of the
    training data: they are in units of their own error, so what was answered then says how large
    they get, though not what is usual now."""
    trained = answers.trained
    if trained is None or trained.layout.id != answers.layout.id:
        return None
    known = trained.healthy
    return known if known.ranks.sum() > cell.forecast.ranks.sum() else None


def _enough(window: ClosedWindow, held: _Held) -> int:
    """Healthy looks until values are judged: a day's, by how long it still is."""
    left = held.first + min(_DAY_S, window.policy.recent_s) - window.start
    seen = int(held.cell.forecast.seen.max(initial=0.0))
    return max(_KNOWN, seen + math.ceil(left / window.policy.window_s)) if left > 0.0 else _KNOWN


def _alike(
    window: ClosedWindow, answers: Answers, held: _Held, reference: Reference
) -> dict[str, Concentration]:
    """The runs after this window. Rows that are alike themselves get answers that are."""
    if answers.alike >= ALIKE and not held.told:
        return {}
    out: dict[str, Concentration] = {}
    layout = answers.layout
    for name, at in zip(layout.names, layout.offsets, strict=False):
        part = layout.part(answers.counts, name)
        usual = reference.shares[at : at + len(part)]
        run = follow_concentration(held.alike.get(name), part, usual, window.start)
        if run is not None:
            out[name] = run
    return out


def _concentrations(
    answers: Answers,
    cell: Cell,
    alike: Mapping[str, Concentration],
    reference: Reference,
    least: int,
) -> list[Reading]:
    """Of the outputs with a run, and of those whose alarm is open and that have answers."""
    out: list[Reading] = []
    layout = answers.layout
    known = cell.forecast.seen[:, Measure.SHAPE] >= _KNOWN
    spread = overdispersion(cell.forecast)[:, Measure.LOCATION]
    clustered = np.where(known, spread, np.maximum(spread, _CLUSTERED))
    for i, (axis, at) in enumerate(zip(layout.axes, layout.offsets, strict=False)):
        part = layout.part(answers.counts, axis.name)
        run = alike.get(axis.name)
        is_open = f"{axis.name}/{Kind.OUTAGE.value}" in cell.streams
        if not part.any() or (run is None and not is_open):
            continue
        usual = reference.shares[at : at + len(part)]
        label = answer_label(axis, run.place) if run is not None else ""
        out.append(
            concentration_reading(
                axis.name, "", run, usual, label, float(clustered[i]), 1 if is_open else least
            )
        )
    return out


def _sounding(streams: Mapping[str, StreamState], kind: Kind) -> Iterator[tuple[str, StreamState]]:
    """Outputs of which a stream of this kind sounds."""
    for stream, state in streams.items():
        name, _, of = stream.rpartition("/")
        if state.alarmed and of == kind.value:
            yield name, state


def _began(
    monitor: str,
    window: ClosedWindow,
    answers: Answers,
    cause: Cause,
    since: float,
    sounding: Sequence[tuple[str, StreamState]],
    seen: _Seen,
) -> Finding:
    live, whose = window.live, _whose(answers.version, answers.arm)
    challenges = answers.arm == Arm.CHALLENGER.value
    size = max(state.size for _, state in sounding)
    if cause.kind.name == STUCK.name:
        known = (*(a.what for a in seen.alarms if a.opened), *(s.what for _, s in sounding))
        what = next((f": {one}" for one in known if one), "")
        title = f"{whose} gives nearly everyone one answer{what}, since {moment(since)}"
        # Who is answered by a challenger is few, and its gate may end it.
        severity = Severity.MEDIUM if challenges else None
    else:
        title = f"the answers of {whose} moved by {psi_words(size)}{_means(answers, seen)}"
        title = f"{title}, since {moment(since)}"
        bands = bands_of(window.file)
        severity = Severity.MEDIUM if size >= bands.investigate else Severity.LOW
    if abs(live.changed_at - since) <= _TOGETHER * window.policy.window_s:
        title = f"{title}; what is live was changed at {moment(live.changed_at)}"
    suspects = sorted(((n, s.size) for n, s in sounding), key=lambda one: (-one[1], one[0]))
    return Finding(monitor, cause, True, since, title, tuple(suspects), (), severity)


def _means(answers: Answers, seen: _Seen) -> str:
    was = mean_answer(answers.layout, seen.past)
    now = mean_answer(answers.layout, seen.recent)
    return f", mean {was:.3g} to {now:.3g}" if was is not None and now is not None else ""


def _detail(window: ClosedWindow, answers: Answers, seen: _Seen) -> Mapping[str, Any]:
    """Figures are of this window, from its bins; usual ones of the past."""
    task = make_task(window.file.contract.task)
    now = answer_figures(task, answers)
    usual = answer_figures(task, replace(answers, counts=seen.past))
    return {
        **drift_table(seen.facts, seen.alarms, seen.policy, seen.cell.streams),
        "version": answers.version,
        "arm": answers.arm,
        "answers": answers.rows,
        "fallback_share": _rounded(answers.fallback_share),
        "mean": _rounded(now.mean),
        "usual_mean": _rounded(usual.mean),
        "top": now.top,
        "top_share": _rounded(now.top_share),
        "usual_top_share": _rounded(usual.top_share),
        "confidence": _rounded(now.confidence),
        "usual_confidence": _rounded(usual.confidence),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
