"""Truth about the champion's answers that changed against the champion's own past."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from windvane.core.alerting import Cause, CauseGroup, CauseKind, Finding, Join
from windvane.core.outcomes import (
    CODES,
    DELAY_EDGES,
    LEAST_UNITS,
    CellFacts,
    LabelCohort,
    Reading,
    Shift,
    ShiftPolicy,
    delay_curve,
    judge_shift,
    read_cell,
    read_over,
    strength,
)
from windvane.core.task import Task, make_task
from windvane.core.verdict import Level, Outcome, ShiftState, Verdict
from windvane.ports.event_log import EventLog, LogTooSlow
from windvane.usecases.answer_cells import OTHERS, AnswerCell, answer_cells
from windvane.usecases.closed_window import ClosedWindow, StateRows, tenant_of, tenant_subject
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
from windvane.usecases.read_model_file import ModelFile

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
KINDS = {Shift.LOSS: CONCEPT_DRIFT, Shift.BIAS: CALIBRATION, Shift.RATE: BASE_RATE}

_LOOK_BACK = 2 * BLOCKS
_LEARN_WITHIN_S = 60.0
_MOST_ROWS = 200_000
_LEAST_LEVEL = 2.0
_MOST_SHARE = 0.5
# So many standard deviations in one block, at over half of the tenants, are not one tenant's.
_STRONG = 3.0
_MATERIAL: Mapping[str, float] = {Shift.LOSS: 0.01, Shift.BIAS: 0.03, Shift.RATE: 0.05}
_MATERIAL_OF_LOSS: Mapping[str, float] = {Shift.LOSS: 0.1, Shift.BIAS: 0.2}


@dataclass(frozen=True, slots=True)
class CellRow:
    """Of one cell and ``version``: the detectors by statistic, the level of what was said, and
    since when what was found is open, by statistic (s)."""

    version: str = ""
    kinds: Mapping[str, ShiftState] = field(default_factory=dict[str, ShiftState])
    said: Level = field(default_factory=Level)
    open: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def alarmed(self) -> bool:
        return bool(self.open)

    def of(self, version: str) -> CellRow:
        """As that version begins: what is open stays so until it is known to be over."""
        return self if self.version == version else CellRow(version, open=self.open)


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
    of each tenant: what changed for one alone is that tenant's, and left out of the model's.
    """

    name = "truth_shift"
    title = "Truth against its past"
    cause = CONCEPT_DRIFT
    more_causes = (CALIBRATION, BASE_RATE, TENANT_TRUTH)
    judge = Judge(
        "truth_shift", CellFacts, ShiftPolicy, lambda f, p, now: judge_shift(f, p, now)[0]
    )
    slow = True
    acceptable = True

    def is_wanted(self, file: ModelFile) -> bool:
        return super().is_wanted(file) and bool(file.watch.outcomes)

    def streams(self, file: ModelFile, tenants: int) -> int:
        """Three of the model; and tenants share as many among them, each by a threshold that is so
        many times as high."""
        del tenants
        return 2 * len(Shift) if file.watch.outcomes else 0

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        if not window.file.watch.outcomes:
            return []
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
        policy = self._policy(window, make_task(window.file.contract.task), 1)
        states: Mapping[str, AlarmState | None] = {NO_SUBJECT: row}
        return Judged(NO_SUBJECT, facts, policy, verdict, states=states, shown=False)

    def _policy(self, window: ClosedWindow, task: Task, share: int) -> ShiftPolicy:
        alarm_at = rolling_alarm_at(window) * share
        return ShiftPolicy(alarm_at, _MATERIAL_OF_LOSS if task.loss_is_relative else _MATERIAL)

    def _judge_block(
        self, window: ClosedWindow, rows: StateRows, log: EventLog, row: ModelRow
    ) -> Sequence[Judged]:
        file, block = window.file, row.next
        task, version = make_task(file.contract.task), window.live.champion
        scored = log.scored(
            window.model, file.contract, block, block + block_seconds(window),
            arrive_within_s(file), limit=_MOST_ROWS,
        )  # fmt: skip
        mine = [one for one in scored if one.answered == version]
        scale = row.scale or float(window.holdout.get(task.metric, 0.0))
        if mine and task.loss_is_relative and not 0.0 < scale < math.inf:
            scale = float(task.losses(mine[0].outputs, mine[0].labels).mean()) or 1.0
        cells = answer_cells(task, mine, scale or 1.0, LEAST_UNITS)
        held = {
            key: read_row(rows, CellRow, key).of(version)
            for key in {*cells, *(k for k in rows if k != NO_SUBJECT)}
        }
        before = row.cell.of(version)
        after = replace(row, next=block + block_seconds(window), scale=scale, cell=before)
        if not cells:
            facts = CellFacts("", block, 0, (), before.kinds)
            verdict, _ = judge_shift(facts, self._policy(window, task, 1), window.end)
            return [
                Judged(
                    NO_SUBJECT, facts, self._policy(window, task, 1), verdict,
                    states={NO_SUBJECT: after},
                )
            ]  # fmt: skip
        return self._judge_cells(window, task, after, cells, held, block)

    def _judge_cells(
        self,
        window: ClosedWindow,
        task: Task,
        row: ModelRow,
        cells: Mapping[str, AnswerCell],
        held: Mapping[str, CellRow],
        block: float,
    ) -> Sequence[Judged]:
        tenants = [key for key in cells if key != OTHERS]
        policy = self._policy(window, task, max(1, len(tenants)))
        readings = {key: _readings(cell, held[key]) for key, cell in cells.items()}
        together = bool(row.cell.open) or len(cells) < 2 or _is_shared(readings, held)
        judged: dict[str, tuple[CellFacts, Verdict, Mapping[str, ShiftState]]] = {}
        for key, cell in cells.items():
            covered = not held[key].open and (together or key == OTHERS)
            name = "tenants with few units" if key == OTHERS else (tenant_of(key) or key)
            subject = name if key == OTHERS else f"tenant {name}"
            facts = CellFacts(
                subject, block, cell.units, readings[key], held[key].kinds, covered
            )  # fmt: skip
            judged[key] = (facts, *judge_shift(facts, policy, window.end))
        guilty = {k for k, (_, _, states) in judged.items() if _alarmed(states)}
        rest = {k: c for k, c in cells.items() if k not in guilty}
        of_model = self._judge_model(window, task, row.cell, rest, held, block)
        lone = _furthest(rest, held) if not together and len(rest) > 1 else ""
        if lone and _alarmed(of_model[2]) and not _alarmed(row.cell.kinds):
            without = {k: c for k, c in rest.items() if k != lone}
            again = self._judge_model(window, task, row.cell, without, held, block)
            of_model = of_model if _alarmed(again[2]) else again
        harmed = _alarmed(of_model[2])
        of_all = self._model(window, row, cells, of_model, block)
        gone = {
            key: None
            for key, one in held.items()
            if key not in cells and not one.kinds and not one.open
        }
        out = [replace(of_all, states={**of_all.states, **gone})]
        for key, (facts, verdict, states) in judged.items():
            kept = _unspoiled(states, held[key].kinds, of_model[2])
            said = held[key].said if harmed else held[key].said.with_block(cells[key].said)
            out.append(self._cell(key, facts, policy, verdict, held[key], kept, said))
        return out

    def _judge_model(
        self,
        window: ClosedWindow,
        task: Task,
        before: CellRow,
        cells: Mapping[str, AnswerCell],
        held: Mapping[str, CellRow],
        block: float,
    ) -> tuple[CellFacts, Verdict, Mapping[str, ShiftState]]:
        units = sum(cell.units for cell in cells.values())
        readings: list[Reading] = []
        for kind in Shift:
            of = {
                key: (cell.values[kind], held[key].kinds[kind].level.mean)
                for key, cell in cells.items()
                if kind in cell.values
                and kind in held[key].kinds
                and held[key].kinds[kind].level.blocks >= _LEAST_LEVEL
            }
            if of:
                followed = _followed([(cells[key], held[key]) for key in of])
                state = before.kinds.get(kind, ShiftState())
                readings.append(read_over(list(of.values()), state, _MOST_SHARE, followed))
        facts = CellFacts("", block, units, tuple(readings), before.kinds)
        policy = self._policy(window, task, 1)
        return (facts, *judge_shift(facts, policy, window.end))

    def _model(
        self,
        window: ClosedWindow,
        row: ModelRow,
        cells: Mapping[str, AnswerCell],
        judged: tuple[CellFacts, Verdict, Mapping[str, ShiftState]],
        block: float,
    ) -> Judged:
        facts, verdict, states = judged
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
        said = [cell.said for cell in cells.values()]
        weights = [cell.units for cell in cells.values()]
        detail = _detail(facts, states) | {
            "block": block,
            "version": row.cell.version,
            "mature_after": row.mature_s,
            "coverage": round(row.coverage, 4),
            "missing": verdict.missing,
        }
        if any(Shift.RATE in cell.values for cell in cells.values()):
            mean = sum(s * w for s, w in zip(said, weights, strict=True)) / sum(weights)
            detail["said"] = round(mean, 4)
        policy = self._policy(window, make_task(window.file.contract.task), 1)
        return Judged(
            NO_SUBJECT, facts, policy, verdict, tuple(findings), {NO_SUBJECT: after}, detail
        )

    def _cell(
        self,
        key: str,
        facts: CellFacts,
        policy: ShiftPolicy,
        verdict: Verdict,
        before: CellRow,
        states: Mapping[str, ShiftState],
        said: Level,
    ) -> Judged:
        """Of a tenant all statistics are one cause: it has one person to ask."""
        still = {
            kind: since
            for kind, since in before.open.items()
            if not _is_over(kind, states.get(kind, ShiftState()), verdict, facts)
        }
        still |= {k: s.since for k, s in states.items() if s.alarmed and k not in still}
        tenant = tenant_of(key) or key
        cause = Cause(TENANT_TRUTH, tenant)
        findings: tuple[Finding, ...] = ()
        if still and not before.open:
            since = min(still.values())
            line = f"{verdict.sentence}, since {moment(since)}"
            findings = (Finding(self.name, cause, True, since, line),)
        elif before.open and not still:
            line = f"the truth is as it was again: {verdict.sentence}"
            findings = (Finding(self.name, cause, False, min(before.open.values()), line),)
        after = CellRow(before.version, states, said, still)
        shown = bool(findings) or (verdict.failed and not facts.covered)
        return Judged(
            tenant, facts, policy, verdict, findings, {key: after}, _detail(facts, states), shown
        )

    def begin_anew(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        return _changed(rows, cause, _without_evidence)

    def accept(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        """What changed is the new level: it is learned from here on."""
        return _changed(rows, cause, _forget)

    def about(self, subject: str) -> str:
        return f"truth of tenant {subject}" if subject else self.title


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


def _mature_after(file: ModelFile, row: ModelRow) -> float | None:
    """How old a block must be; None where nobody knows."""
    within = arrive_within_s(file)
    if row.mature_s is None:
        return within
    return row.mature_s if within is None else min(row.mature_s, within)


def _readings(cell: AnswerCell, row: CellRow) -> tuple[Reading, ...]:
    return tuple(
        read_cell(values, row.kinds.get(kind, ShiftState()), _followed([(cell, row)]))
        for kind, values in cell.values.items()
    )


def _followed(cells: Sequence[tuple[AnswerCell, CellRow]]) -> float:
    """By how much what was said moved, the mean over units."""
    known = [(c, r) for c, r in cells if r.said.blocks >= _LEAST_LEVEL]
    units = sum(cell.units for cell, _ in known)
    moved = sum((cell.said - row.said.mean) * cell.units for cell, row in known)
    return moved / units if units else 0.0


def _is_shared(readings: Mapping[str, Sequence[Reading]], held: Mapping[str, CellRow]) -> bool:
    """Whether over half of the cells are far from their levels, on one side, by one statistic."""
    for kind in Shift:
        far = [
            strength(held[key].kinds[kind], one)
            for key, found in readings.items()
            for one in found
            if one.kind is kind and kind in held[key].kinds and held[key].kinds[kind].known
        ]
        for sign in (1.0, -1.0):
            if 2 * sum(sign * s > _STRONG for s in far) > max(len(far), 1):
                return True
    return False


def _furthest(cells: Mapping[str, AnswerCell], held: Mapping[str, CellRow]) -> str:
    """The tenant that moves the model's statistics most; "" for none that is known."""

    def pull(key: str) -> float:
        return max(
            (
                abs(strength(held[key].kinds[kind], read_cell(values, held[key].kinds[kind])))
                for kind, values in cells[key].values.items()
                if kind in held[key].kinds
            ),
            default=0.0,
        )

    own = [key for key in cells if key != OTHERS]
    return max(own, key=pull, default="")


def _alarmed(states: Mapping[str, ShiftState]) -> bool:
    return any(state.alarmed for state in states.values())


def _unspoiled(
    states: Mapping[str, ShiftState],
    before: Mapping[str, ShiftState],
    model: Mapping[str, ShiftState],
) -> Mapping[str, ShiftState]:
    """A cell's detectors, with the levels of before where the model's evidence rises: what is too
    little to see in a cell would become its level, and the model is measured by these. What was
    learned meanwhile counts once that came to nothing."""
    out = dict(states)
    for kind, state in states.items():
        above, held = model.get(kind, ShiftState()), before.get(kind)
        if held is None or not held.known or not (above.alarmed or above.peak > 1.0):
            continue
        learned = held.learned if above.alarmed else state.learned
        out[kind] = replace(state, level=held.level, learned=learned)
    return out


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
    return f"{_TITLES[kind]} {one.shown:.3f}, usually {one.usual:.3f}, n={facts.units:,} units"


_TITLES = {
    Shift.LOSS: "loss over what the answers expect",
    Shift.BIAS: "labels less predictions",
    Shift.RATE: "labels",
}


def _detail(facts: CellFacts, states: Mapping[str, ShiftState]) -> dict[str, Any]:
    return {
        "units": facts.units,
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


def _changed(
    rows: StateRows, cause: Cause, change: Callable[[CellRow, set[Shift]], CellRow]
) -> Mapping[str, AlarmState | None]:
    """The rows that a cause is about: of the model's those of tenants, too, by which it is
    measured, but for what is open of a tenant alone."""
    if cause.kind.name == TENANT_TRUTH.name:
        key = tenant_subject(cause.subject)
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
