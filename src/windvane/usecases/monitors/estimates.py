"""How good answers are likely to be, until their outcomes come."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from windvane.core.outcomes import (
    CalibrationCheck,
    EstimateFacts,
    EstimatePolicy,
    estimate,
    failed_checks,
    judge_estimate,
)
from windvane.core.routing import Arm
from windvane.core.sketch import segmented_by
from windvane.core.task import Task, make_task
from windvane.ports.event_log import EventLog, LogTooSlow, ScoredRows
from windvane.usecases.calibrate_answers import answers_axis, check_declared, check_segments
from windvane.usecases.closed_window import ClosedWindow, Counts, StateRows
from windvane.usecases.count_outcomes import arrive_within_s
from windvane.usecases.measure_quality import ALPHA
from windvane.usecases.monitors.base import NO_SUBJECT, Importance, Judge, Judged, Monitor, read_row
from windvane.usecases.monitors.outcomes import OUTCOMES
from windvane.usecases.monitors.spans import due_since, scored_rows
from windvane.usecases.outcome_metric import task_floor
from windvane.usecases.read_model_file import ModelFile, as_duration

_RELATIVE = 0.25
_MOST_SEGMENTS = 100
MIXED = "cannot be estimated: its answers were not counted apart from those of other versions"
"""Why there is no estimate of a segment while another version answers, too, or where the file
declared it within the span."""


@dataclass(frozen=True, slots=True)
class EstimatesState:
    """Where the next look begins (s), and the answers of ``version`` since then, by bin: all, and
    those of each declared segment. Of the features ``mixed`` others were counted among them, or not
    all of them. It raises no alarm."""

    since: float = 0.0
    version: str = ""
    counts: tuple[int, ...] = ()
    segments: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    mixed: tuple[str, ...] = ()

    @property
    def alarmed(self) -> bool:
        return False


class Estimates(Monitor):
    """The task's metric of what the champion answered over ``drift_over``, as its holdout says of
    answers like these; by the sketches, which cost nothing more. Where outcomes are known, of the
    last span of which all are due, the holdout is held against them, tenant by tenant. So it is of
    each segment that the file declares, whose own estimate it takes away where they disagree.

    It opens no incident and passes nothing: an estimate is no measurement.
    """

    name = "estimates"
    title = "Estimated quality"
    importance = Importance.FIRST_TO_WAIT
    cause = OUTCOMES
    judge = Judge("estimates", EstimateFacts, EstimatePolicy, judge_estimate)
    slow = True

    def streams(self, file: ModelFile, tenants: int) -> int:
        """None: it finds nothing."""
        del file, tenants
        return 0

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        if not window.file.watch.outcomes:
            return []
        held, task = read_row(rows, EstimatesState), make_task(window.file.contract.task)
        axis = answers_axis(task, window.layout)
        version = window.live.champion
        since, due = due_since(window, held.since)
        counts = _answers(window, task.estimated_by)
        segments, mixed = _of_segments(window, task.estimated_by, counts)
        if held.version == version and len(held.counts) == len(counts):
            counts = counts + np.array(held.counts, np.int64)
            segments, mixed = _added(held, segments), mixed | set(held.mixed)
        policy = _policy(window, task)
        within = arrive_within_s(window.file)
        awaited = f" (due within {as_duration(within)})" if within else ""
        facts = EstimateFacts(
            version, task.metric, since, window.end, None,
            larger_is_better=task.larger_is_better, awaited=awaited,
            answers=int(counts.sum()),
            has_holdout=window.calibration is not None and axis is not None,
        )  # fmt: skip
        if not due:
            kept = {name: tuple(of.tolist()) for name, of in segments.items()}
            grown = EstimatesState(
                since, version, tuple(counts.tolist()), kept, tuple(sorted(mixed))
            )  # fmt: skip
            verdict = judge_estimate(facts, policy, window.end)
            return [
                Judged(NO_SUBJECT, facts, policy, verdict, states={NO_SUBJECT: grown}, shown=False)
            ]
        calibration = window.calibration
        told: list[dict[str, Any]] = []
        if calibration is not None and axis is not None and counts.any():
            known = _known_rows(window, log)
            facts = replace(
                facts, estimate=estimate(calibration, counts, ALPHA),
                checks=check_segments(task, window.layout, calibration, known),
            )  # fmt: skip
            checks = check_declared(
                task, window.layout, calibration, known, window.file.segments
            )  # fmt: skip
            told = [
                _segment(window, facts, policy, name, of, checks, len(segments), mixed)
                for name, of in sorted(segments.items())
                if of.any()
            ]
        verdict = judge_estimate(facts, policy, window.end)
        fresh = EstimatesState(window.end, version)
        return [
            Judged(
                NO_SUBJECT, facts, policy, verdict, states={NO_SUBJECT: fresh},
                detail={**_detail(facts, policy, verdict.code), "segments": told},
            )
        ]  # fmt: skip


TOLD = frozenset({"OUT-420", "OUT-421"})
"""Codes of the verdicts that say an estimate."""


def _detail(facts: EstimateFacts, policy: EstimatePolicy, code: str) -> dict[str, Any]:
    found = facts.estimate
    detail: dict[str, Any] = {
        "metric": facts.metric, "version": facts.version, "estimated": True, "began": facts.start,
        "ended": facts.end, "floor": policy.floor, "checked": len(facts.checks),
        "uncalibrated": [one.subject for one in failed_checks(facts, policy)],
    }  # fmt: skip
    if found is not None:
        detail |= {"rows": found.rows, "unseen": round(found.unseen, 4)}
        if code in TOLD:
            detail |= {k: round(getattr(found, k), 4) for k in ("value", "lower", "upper")}
            detail["level"] = policy.level
    return detail


def _answers(window: ClosedWindow, axis: str) -> Counts:
    """What the champion answered as the champion, by bin of its own answers."""
    if axis not in window.layout.names:
        return np.zeros(0, np.int64)
    parts = [
        window.layout.part(sketch.features, axis)
        for key, sketch in window.sketches
        if key.arm == Arm.CHAMPION and key.version == window.live.champion
    ]
    empty = window.layout.part(np.zeros(window.layout.size, np.int64), axis)
    return np.sum([empty, *parts], axis=0)


def _of_segments(
    window: ClosedWindow, axis: str, champion: Counts
) -> tuple[dict[str, Counts], set[str]]:
    """The answers of each declared segment, by bin; and the features of which these are not those
    of the ``champion`` alone: segments are counted whoever answered."""
    if axis not in window.layout.names:
        return {}, set()
    out: dict[str, Counts] = {}
    mixed: set[str] = set()
    for feature in window.file.segments:
        mine = {
            name: window.layout.part(counts, axis)
            for name, counts in window.segments.items()
            if segmented_by(name, window.file.segments) == feature
        }
        if not np.array_equal(sum(mine.values(), np.zeros_like(champion)), champion):
            mixed.add(feature)
        out |= mine
    return out, mixed


def _added(held: EstimatesState, segments: Mapping[str, Counts]) -> dict[str, Counts]:
    """With those of before; new ones as long as there is room."""
    out = {name: np.array(of, np.int64) for name, of in held.segments.items()}
    for name, of in sorted(segments.items()):
        if name in out and len(out[name]) == len(of):
            out[name] = out[name] + of
        elif len(out) < _MOST_SEGMENTS:
            out[name] = of
    return out


def _segment(
    window: ClosedWindow,
    facts: EstimateFacts,
    policy: EstimatePolicy,
    name: str,
    counts: Counts,
    checks: Mapping[str, CalibrationCheck],
    segments: int,
    mixed: Collection[str],
) -> dict[str, Any]:
    """What is likely of one segment, or why that cannot be told. ``checked``: how many known
    outcomes the holdout was held against."""
    check = checks.get(name)
    told: dict[str, Any] = {
        "segment": name, "rows": int(counts.sum()), "checked": 0 if check is None else check.rows,
    }  # fmt: skip
    if segmented_by(name, window.file.segments) in mixed or window.calibration is None:
        return {**told, "note": MIXED}
    mine = replace(
        facts, estimate=estimate(window.calibration, counts, ALPHA), answers=int(counts.sum()),
        checks=() if check is None else (check,),
    )  # fmt: skip
    # Each of them may be said to be uncalibrated: they share the level. The floor is of all rows.
    of_one = replace(policy, floor=None, alpha=policy.alpha / max(1, segments))
    verdict = judge_estimate(mine, of_one, window.end)
    found = mine.estimate
    if found is not None and verdict.code in TOLD:
        told |= {k: round(getattr(found, k), 4) for k in ("value", "lower", "upper")}
    return {**told, "code": verdict.code, "note": verdict.sentence}


def _known_rows(window: ClosedWindow, log: EventLog) -> Sequence[ScoredRows]:
    """Of the champion, with outcomes; none where the log is too slow."""
    try:
        found = scored_rows(window, log)
    except LogTooSlow:
        return ()
    return [one for one in found if one.answered == window.live.champion]


def _policy(window: ClosedWindow, task: Task) -> EstimatePolicy:
    given = task_floor(window.file)
    if task.loss_is_relative:
        return EstimatePolicy(given, _RELATIVE, relative=True, min_rows=window.policy.min_rows)
    return EstimatePolicy(given, min_rows=window.policy.min_rows)
