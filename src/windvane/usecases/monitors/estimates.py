"""How good answers are likely to be, until their outcomes come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from windvane.core.task import Task, make_task
from windvane.ports.event_log import EventLog, LogTooSlow
from windvane.usecases.calibrate_answers import answers_axis, check_segments
from windvane.usecases.closed_window import ClosedWindow, Counts, StateRows
from windvane.usecases.count_outcomes import arrive_within_s
from windvane.usecases.measure_quality import ALPHA
from windvane.usecases.monitors.base import NO_SUBJECT, Importance, Judge, Judged, Monitor, read_row
from windvane.usecases.monitors.outcomes import OUTCOMES
from windvane.usecases.monitors.spans import due_since, scored_rows
from windvane.usecases.outcome_metric import task_floor
from windvane.usecases.read_model_file import ModelFile, as_duration

_RELATIVE = 0.25


@dataclass(frozen=True, slots=True)
class EstimatesState:
    """Where the next look begins (s), and the answers of ``version`` since then, by bin. It raises
    no alarm."""

    since: float = 0.0
    version: str = ""
    counts: tuple[int, ...] = ()

    @property
    def alarmed(self) -> bool:
        return False


class Estimates(Monitor):
    """The task's metric of what the champion answered over ``drift_over``, as its holdout says of
    answers like these; by the sketches, which cost nothing more. Where outcomes are known, of the
    last span of which all are due, the holdout is held against them, tenant by tenant.

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
        if held.version == version and len(held.counts) == len(counts):
            counts = counts + np.array(held.counts, np.int64)
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
            grown = EstimatesState(since, version, tuple(counts.tolist()))
            verdict = judge_estimate(facts, policy, window.end)
            return [
                Judged(NO_SUBJECT, facts, policy, verdict, states={NO_SUBJECT: grown}, shown=False)
            ]
        calibration = window.calibration
        if calibration is not None and axis is not None and counts.any():
            facts = replace(
                facts, estimate=estimate(calibration, counts, ALPHA),
                checks=_checks(window, task, log),
            )  # fmt: skip
        verdict = judge_estimate(facts, policy, window.end)
        fresh = EstimatesState(window.end, version)
        return [
            Judged(
                NO_SUBJECT, facts, policy, verdict, states={NO_SUBJECT: fresh},
                detail=_detail(facts, policy, verdict.code),
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


def _checks(window: ClosedWindow, task: Task, log: EventLog) -> tuple[CalibrationCheck, ...]:
    if window.calibration is None:
        return ()
    try:
        found = scored_rows(window, log)
    except LogTooSlow:
        return ()
    mine = [one for one in found if one.answered == window.live.champion]
    return check_segments(task, window.layout, window.calibration, mine)


def _policy(window: ClosedWindow, task: Task) -> EstimatePolicy:
    given = task_floor(window.file)
    if task.loss_is_relative:
        return EstimatePolicy(given, _RELATIVE, relative=True, min_rows=window.policy.min_rows)
    return EstimatePolicy(given, min_rows=window.policy.min_rows)
