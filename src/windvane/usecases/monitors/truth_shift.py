"""Truth about the champion's answers that changed against the champion's own past."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from windvane.core.alerting import Cause, CauseGroup, CauseKind, Finding, Join
from windvane.core.outcomes import (
    CODES,
    DELAY_EDGES,
    CellFacts,
    Cut,
    LabelCohort,
    Shift,
    ShiftPolicy,
    delay_curve,
    judge_shift,
)
from windvane.core.task import Task, make_task
from windvane.core.verdict import Level, Outcome, ShiftState, Verdict
from windvane.ports.event_log import EventLog, LogTooSlow
from windvane.usecases.answer_cells import OTHERS, AnswerRows, answer_rows
from windvane.usecases.closed_window import (
    ClosedWindow,
    StateRows,
    segment_of,
    segment_subject,
    tenant_of,
    tenant_subject,
)
from windvane.usecases.count_outcomes import arrive_within_s
from windvane.usecases.monitors.base import (
    NO_SUBJECT,
    AlarmState,
    Judge,
    Judged,
    Monitor,
    moment,
    read_row,
)
from windvane.usecases.monitors.spans import BLOCKS, block_seconds, rolling_alarm_at
from windvane.usecases.monitors.whose_truth import (
    BlockJudge,
    CellRow,
    JudgedBlock,
    JudgedCell,
    unspoiled,
)
from windvane.usecases.read_model_file import ModelFile
from windvane.usecases.watched_segments import is_declared, withdrawn_line

CONCEPT_DRIFT = CauseKind(
    "concept_drift", CauseGroup.QUALITY, "truth-changed.md", joins={"feed": Join.WHILE_OPEN}
)
BASE_RATE = CauseKind(
    "base_rate",
    CauseGroup.QUALITY,
    "truth-changed.md",
    joins={"feed": Join.WHILE_OPEN, "concept_drift": Join.WHILE_OPEN},
)
CALIBRATION = CauseKind(
    "calibration",
    CauseGroup.QUALITY,
    "truth-changed.md",
    joins={
        "feed": Join.WHILE_OPEN,
        "concept_drift": Join.WHILE_OPEN,
        "base_rate": Join.WHILE_OPEN,
    },
)
TENANT_TRUTH = CauseKind(
    "tenant_truth",
    CauseGroup.TENANT,
    "truth-changed.md",
    joins={"tenant_feed": Join.SAME_ONSET},
)
SEGMENT_TRUTH = CauseKind(
    "segment_truth",
    CauseGroup.QUALITY,
    "segment-truth-changed.md",
    joins={
        "feed": Join.WHILE_OPEN,
        "segment_feed": Join.SAME_ONSET,
        "segment_truth": Join.SAME_ONSET,
    },
)
KINDS = {Shift.LOSS: CONCEPT_DRIFT, Shift.BIAS: CALIBRATION, Shift.RATE: BASE_RATE}

_LOOK_BACK = 2 * BLOCKS
_FORGOTTEN = 2 * BLOCKS
_LEARN_WITHIN_S = 60.0
_MOST_ROWS = 200_000
_MATERIAL: Mapping[str, float] = {Shift.LOSS: 0.01, Shift.BIAS: 0.03, Shift.RATE: 0.05}
_MATERIAL_OF_LOSS: Mapping[str, float] = {Shift.LOSS: 0.1, Shift.BIAS: 0.2}


@dataclass(frozen=True, slots=True)
class ModelRow:
    """The model's own cell; where the next block begins (s), how long labels take (s) by what was
    learned until ``learned_at``, and the unit of losses that have one."""

    cell: CellRow = field(default_factory=CellRow)
    next: float = 0.0
    mature_s: float | None = None
    learned_at: float = 0.0
    coverage: float = 0.0
    scale: float = 0.0

    @property
    def alarmed(self) -> bool:
        return self.cell.alarmed


class TruthShift(Monitor):
    """Blocks of predictions (a seventh of ``drift_over``) once their labels have come: what they
    cost beyond what the answers themselves expect (concept drift), labels less predictions
    (calibration), and labels that moved while predictions did not (base rate), each against the
    same version's earlier blocks. Of the model by how far tenants are from their own levels, and
    of each tenant and each declared segment: what changed for one alone is that tenant's or
    segment's, and left out of the model's.
    """

    name = "truth_shift"
    title = "Truth against its past"
    cause = CONCEPT_DRIFT
    more_causes = (CALIBRATION, BASE_RATE, TENANT_TRUTH, SEGMENT_TRUTH)
    judge = Judge(
        "truth_shift", CellFacts, ShiftPolicy, lambda f, p, now: judge_shift(f, p, now)[0]
    )
    slow = True
    acceptable = True

    def is_wanted(self, file: ModelFile) -> bool:
        return super().is_wanted(file) and bool(file.watch.outcomes)

    def streams(self, file: ModelFile, tenants: int) -> int:
        """Three of the model; and tenants share as many among them, each by a threshold that is so
        many times as high; and so do the segments of all features."""
        del tenants
        cells = 3 if file.segments else 2
        return cells * len(Shift) if file.watch.outcomes else 0

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        if not window.file.watch.outcomes:
            return []
        gone = {
            key: read_row(rows, CellRow, key)
            for key in rows
            if segment_of(key) is not None and not is_declared(key, window.file)
        }
        out = self._look(window, {k: row for k, row in rows.items() if k not in gone}, log)
        if not gone:
            return out
        first, *others = out or [self._waiting(window, read_row(rows, ModelRow))]
        findings = (*first.findings, *_withdrawn(self.name, gone))
        states = {**first.states, **dict.fromkeys(gone)}
        return [replace(first, findings=findings, states=states), *others]

    def _look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        held = read_row(rows, ModelRow)
        block_s = block_seconds(window)
        boundary = math.floor(window.end / block_s) * block_s
        fresh = held
        if held.learned_at < boundary:
            fresh = _learn_delays(window, held, log, block_s, boundary)
        start = fresh.next or math.ceil(window.watched_since / block_s) * block_s
        mature_s = _mature_after(window.file, fresh)
        reach = _LOOK_BACK * block_s + (mature_s or 0.0)
        fresh = replace(fresh, next=max(start, boundary - math.ceil(reach / block_s) * block_s))
        if mature_s is None or fresh.next + block_s + mature_s > window.end:
            return [] if fresh == held else [self._waiting(window, fresh)]
        return self._judge_block(window, rows, log, fresh)

    def _waiting(self, window: ClosedWindow, row: ModelRow) -> Judged:
        facts = CellFacts("", row.next, 0, (), row.cell.kinds)
        line = "labels of the next block are still to come"
        verdict = Verdict(Outcome.HOLD, "OUT-414", line, "labels")
        policy = self._policy(window, make_task(window.file.contract.task))
        states: Mapping[str, AlarmState | None] = {NO_SUBJECT: row}
        return Judged(NO_SUBJECT, facts, policy, verdict, states=states, shown=False)

    def _policy(self, window: ClosedWindow, task: Task) -> ShiftPolicy:
        alarm_at = rolling_alarm_at(window)
        return ShiftPolicy(alarm_at, _MATERIAL_OF_LOSS if task.loss_is_relative else _MATERIAL)

    def _judge_block(
        self, window: ClosedWindow, rows: StateRows, log: EventLog, row: ModelRow
    ) -> Sequence[Judged]:
        file, block = window.file, row.next
        task, version = make_task(file.contract.task), window.live.champion
        scored = log.scored(
            window.model, file.contract, block, block + block_seconds(window),
            arrive_within_s(file), limit=_MOST_ROWS, features=file.segments,
        )  # fmt: skip
        cut = _cut(window, log, block, sum(len(one.labels) for one in scored))
        mine = [one for one in scored if one.answered == version]
        scale = row.scale or float(window.holdout.get(task.metric, 0.0))
        if mine and task.loss_is_relative and not 0.0 < scale < math.inf:
            scale = float(task.losses(mine[0].outputs, mine[0].labels).mean()) or 1.0
        found = answer_rows(task, mine, scale or 1.0, window.layout, file.segments)
        held = {
            key: read_row(rows, CellRow, key).of(version, harmed=row.cell.alarmed)
            for key in {*_keys(found), *(k for k in rows if k != NO_SUBJECT)}
        }
        before = row.cell.of(version)
        after = replace(row, next=block + block_seconds(window), scale=scale, cell=before)
        if found is None:
            facts = CellFacts("", block, 0, (), before.kinds, cut=cut)
            policy = self._policy(window, task)
            verdict, _ = judge_shift(facts, policy, window.end)
            return [Judged(NO_SUBJECT, facts, policy, verdict, states={NO_SUBJECT: after})]
        return self._judge_cells(window, task, after, found, held, block, cut)

    def _judge_cells(
        self,
        window: ClosedWindow,
        task: Task,
        row: ModelRow,
        found: AnswerRows,
        held: Mapping[str, CellRow],
        block: float,
        cut: Cut | None,
    ) -> Sequence[Judged]:
        policy = self._policy(window, task)
        of = BlockJudge(found, held, row.cell, block, policy, window.end, cut).judge()
        harmed = of.model.alarmed
        of_all = self._model(window, row, of, block)
        gone = {
            key: None
            for key, one in held.items()
            if key not in of.cells and not one.kinds and not one.open
        }
        out = [replace(of_all, states={**of_all.states, **gone})]
        absent = {k: one for k, one in held.items() if k not in of.judged and one.open}
        out += [self._absent(window, key, one, policy, block) for key, one in absent.items()]
        for key, one in of.judged.items():
            above = of.spoiled[:1] if segment_of(key) else of.spoiled
            kept = unspoiled(one.states, held[key].kinds, above)
            said = held[key].said if harmed else held[key].said.with_block(of.cells[key].said)
            out.append(self._cell(window, key, one, held[key], kept, said))
        return out

    def _absent(
        self, window: ClosedWindow, key: str, before: CellRow, policy: ShiftPolicy, block: float
    ) -> Judged:
        """Of a tenant or a segment that has something open and no labels in the block: nothing is
        known of it, and after some blocks nothing is said any more."""
        since = before.judged or block
        facts = CellFacts(tenant_of(key) or segment_of(key) or key, block, 0, (), before.kinds)
        verdict, _ = judge_shift(facts, policy, window.end)
        if not _is_forgotten(since, block, window):
            kept = replace(before, judged=since)
            return Judged(_subject_of(key), facts, policy, verdict, states={key: kept}, shown=False)
        finding = self._forgotten(key, before, since)
        return Judged(_subject_of(key), facts, policy, verdict, (finding,), {key: None})

    def _forgotten(self, key: str, before: CellRow, judged: float) -> Finding:
        line = f"it has had too few labels since {moment(judged)} to say whether it goes on"
        return Finding(self.name, _cause_of(key), False, min(before.open.values()), line)

    def _model(self, window: ClosedWindow, row: ModelRow, of: JudgedBlock, block: float) -> Judged:
        facts, verdict, states = of.model.facts, of.model.verdict, of.model.states
        cells = [cell for key, cell in of.cells.items() if not segment_of(key)]
        findings: list[Finding] = []
        still = dict(row.cell.open)
        for kind, cause_kind in KINDS.items():
            cause, state = Cause(cause_kind, window.model), states.get(kind, ShiftState())
            if state.alarmed and kind not in still:
                still[kind] = state.since
                line = f"{_of_kind(kind, facts, verdict)}, since {moment(state.since)}"
                findings.append(Finding(self.name, cause, True, state.since, line))
            elif kind in still and _is_over(kind, state, verdict, facts):
                line = f"the truth is as it was again: {verdict.sentence}"
                findings.append(Finding(self.name, cause, False, still.pop(kind), line))
        after = replace(row, cell=replace(row.cell, kinds=states, open=still))
        said = [cell.said for cell in cells]
        weights = [cell.units for cell in cells]
        detail = _detail(facts, states) | {
            "block": block,
            "version": row.cell.version,
            "mature_after": row.mature_s,
            "coverage": round(row.coverage, 4),
            "missing": verdict.missing,
        }
        if any(Shift.RATE in cell.values for cell in cells):
            mean = sum(s * w for s, w in zip(said, weights, strict=True)) / sum(weights)
            detail["said"] = round(mean, 4)
        return Judged(
            NO_SUBJECT,
            facts,
            of.model.policy,
            verdict,
            tuple(findings),
            {NO_SUBJECT: after},
            detail,
        )

    def _cell(
        self,
        window: ClosedWindow,
        key: str,
        of: JudgedCell,
        before: CellRow,
        states: Mapping[str, ShiftState],
        said: Level,
    ) -> Judged:
        """Of a tenant or a segment all statistics are one cause: it has one person to ask."""
        facts, verdict = of.facts, of.verdict
        still = {
            kind: since
            for kind, since in before.open.items()
            if not _is_over(kind, states.get(kind, ShiftState()), verdict, facts)
        }
        still |= {k: s.since for k, s in states.items() if s.alarmed and k not in still}
        cause = _cause_of(key)
        findings: tuple[Finding, ...] = ()
        if still and not before.open:
            since = min(still.values())
            line = f"{verdict.sentence}, since {moment(since)}"
            findings = (Finding(self.name, cause, True, since, line),)
        elif before.open and not still:
            line = f"the truth is as it was again: {verdict.sentence}"
            findings = (Finding(self.name, cause, False, min(before.open.values()), line),)
        judged = facts.block if facts.units >= of.policy.least_units else before.judged
        if before.open and still and _is_forgotten(judged, facts.block, window):
            findings = (self._forgotten(key, before, judged),)
            states, still = {}, {}
        after = CellRow(before.version, states, said, still, judged)
        shown = bool(findings) or (verdict.failed and not facts.covered)
        return Judged(
            _subject_of(key),
            facts,
            of.policy,
            verdict,
            findings,
            {key: after},
            _detail(facts, states),
            shown,
        )

    def evidence(
        self, window: ClosedWindow, found: Judged, finding: Finding, log: EventLog
    ) -> Mapping[str, Any]:
        segment = segment_of(found.subject)
        if segment is None:
            return super().evidence(window, found, finding, log)
        return {"first_window": finding.since, "segment": segment, **found.detail}

    def begin_anew(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        return _changed(rows, cause, _without_evidence)

    def accept(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        """What changed is the new level: it is learned from here on. Of a tenant's rows segments
        have some, and of a segment's any other cell."""
        out = dict(_changed(rows, cause, _forget))
        key = _key_of(cause)
        for other in rows if key != NO_SUBJECT else ():
            cell = read_row(rows, CellRow, other) if other not in (key, NO_SUBJECT) else None
            concerned = segment_of(key) is not None or segment_of(other) is not None
            if cell is not None and concerned and not cell.open:
                out[other] = _forget(cell, set(Shift))
        return out

    def about(self, subject: str) -> str:
        segment = segment_of(subject)
        if segment is not None:
            return f"truth of segment {segment}"
        return f"truth of tenant {subject}" if subject else self.title

    def about_cause(self, cause: Cause) -> str:
        return self.about(
            _key_of(cause) if cause.kind.name == SEGMENT_TRUTH.name else cause.subject
        )


def _learn_delays(
    window: ClosedWindow, held: ModelRow, log: EventLog, block_s: float, boundary: float
) -> ModelRow:
    """How long labels take, by the predictions of the last blocks."""
    start = boundary - _LOOK_BACK * block_s
    try:
        found = log.label_delays(
            window.model, start, block_s, _LOOK_BACK, window.end, DELAY_EDGES,
            within_s=_LEARN_WITHIN_S,
        )  # fmt: skip
    except LogTooSlow:
        return replace(held, learned_at=boundary)  # by what is known, until the next block
    cohorts = [
        LabelCohort(window.end - (start + (one.cohort + 1) * block_s), one.rows, one.labelled)
        for one in found
    ]
    curve = delay_curve(cohorts)
    known = curve.mature_after_s
    return replace(
        held, learned_at=boundary, coverage=curve.coverage,
        mature_s=held.mature_s if known is None else known,
    )  # fmt: skip


def _cut(window: ClosedWindow, log: EventLog, block: float, read: int) -> Cut | None:
    """How many rows of a block have a label, where not all of them were read."""
    if read < _MOST_ROWS:
        return None
    try:
        found = log.label_delays(
            window.model, block, block_seconds(window), 1, window.end, (),
            within_s=_LEARN_WITHIN_S,
        )  # fmt: skip
    except LogTooSlow:
        return Cut(read)
    return Cut(read, sum(sum(one.labelled) for one in found))


def _mature_after(file: ModelFile, row: ModelRow) -> float | None:
    """How old a block must be; None where nobody knows."""
    within = arrive_within_s(file)
    if row.mature_s is None:
        return within
    return row.mature_s if within is None else min(row.mature_s, within)


def _withdrawn(monitor: str, gone: Mapping[str, CellRow]) -> Iterator[Finding]:
    """What ends with segments that the file declares no more."""
    for key, row in sorted(gone.items()):
        segment = segment_of(key)
        if segment is not None and row.open:
            line = withdrawn_line(segment)
            yield Finding(
                monitor, Cause(SEGMENT_TRUTH, segment), False, min(row.open.values()), line
            )


def _keys(found: AnswerRows | None) -> set[str]:
    """Of all cells that the rows may make."""
    if found is None:
        return set()
    segments = {segment_subject(name) for one in found.segments.values() for name in one.names}
    return {OTHERS, *segments, *map(tenant_subject, np.unique(found.tenants).tolist())}


def _is_over(kind: str, state: ShiftState, verdict: Verdict, facts: CellFacts) -> bool:
    """Not knowing is no recovery: the statistic was read, against a level that is known."""
    if verdict.outcome is Outcome.HOLD or state.alarmed or not state.known:
        return False
    return any(reading.kind == kind for reading in facts.readings)


def _of_kind(kind: Shift, facts: CellFacts, verdict: Verdict) -> str:
    """The verdict names the first that is alarmed; each has a line of its own."""
    if verdict.code == CODES[kind]:
        return verdict.sentence
    one = next(r for r in facts.readings if r.kind is kind)
    return f"{_TITLES[kind]} {one.shown:.3f}, usually {one.usual:.3f}, {facts.units_words}"


_TITLES = {
    Shift.LOSS: "loss over what the answers expect",
    Shift.BIAS: "labels less predictions",
    Shift.RATE: "labels",
}


def _detail(facts: CellFacts, states: Mapping[str, ShiftState]) -> dict[str, Any]:
    return {
        "units": facts.units,
        **({"cut": {"read": facts.cut.read, "rows": facts.cut.rows}} if facts.cut else {}),
        "statistics": {
            one.kind.value: {
                "now": round(one.shown, 4),
                "error": round(one.error, 4),
                "usual": round(one.usual, 4),
                "evidence": min(states.get(one.kind, ShiftState()).value, 1e12),
            }
            for one in facts.readings
        },
    }


def _key_of(cause: Cause) -> str:
    """The subject of the cell that a cause is of."""
    if cause.kind.name == SEGMENT_TRUTH.name:
        return segment_subject(cause.subject)
    return tenant_subject(cause.subject) if cause.kind.name == TENANT_TRUTH.name else NO_SUBJECT


def _changed(
    rows: StateRows, cause: Cause, change: Callable[[CellRow, set[Shift]], CellRow]
) -> Mapping[str, AlarmState | None]:
    """The rows that a cause is about: of the model's those of tenants and segments, too, by which
    it is measured, but for what is open of one alone."""
    key = _key_of(cause)
    if key != NO_SUBJECT:
        return {key: change(read_row(rows, CellRow, key), set(Shift))}
    kinds = {kind for kind, of in KINDS.items() if of.name == cause.kind.name}
    cells = {key: read_row(rows, CellRow, key) for key in rows if key != NO_SUBJECT}
    out: dict[str, AlarmState | None] = {
        key: change(cell, kinds) for key, cell in cells.items() if not cell.open
    }
    held = read_row(rows, ModelRow)
    return {**out, NO_SUBJECT: replace(held, cell=change(held.cell, kinds))}


def _without_evidence(row: CellRow, kinds: set[Shift]) -> CellRow:
    return replace(
        row,
        kinds={k: s.anew() if k in kinds else s for k, s in row.kinds.items()},
        open={k: s for k, s in row.open.items() if k not in kinds},
    )


def _forget(row: CellRow, kinds: set[Shift]) -> CellRow:
    """What a person accepts of the truth is accepted of all that is measured of it."""
    del kinds
    return replace(row, kinds={}, open={})


def _cause_of(key: str) -> Cause:
    segment = segment_of(key)
    if segment is not None:
        return Cause(SEGMENT_TRUTH, segment)
    return Cause(TENANT_TRUTH, tenant_of(key) or key)


def _subject_of(key: str) -> str:
    return key if segment_of(key) is not None else tenant_of(key) or key


def _is_forgotten(judged: float, block: float, window: ClosedWindow) -> bool:
    """Whether a cell had too few units for so many blocks that what was found is no news."""
    return judged > 0.0 and block - judged >= _FORGOTTEN * block_seconds(window)
