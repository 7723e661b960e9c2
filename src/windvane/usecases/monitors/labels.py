"""Labels that stopped, are late, or join nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from windvane.core.alerting import Cause, CauseGroup, CauseKind, Finding, Join
from windvane.core.outcomes import (
    DELAY_EDGES,
    DelayCurve,
    LabelCohort,
    LabelFacts,
    LabelFault,
    LabelPolicy,
    ShareReading,
    delay_curve,
    is_bad,
    judge_labels,
    sentence_of,
)
from windvane.core.verdict import Outcome, ShiftState, Verdict
from windvane.ports.event_log import EventLog, LabelDelays, LogTooSlow, OutcomeCounts
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
from windvane.usecases.monitors.spans import BLOCKS, block_seconds
from windvane.usecases.read_model_file import ModelFile, parse_duration

LABELS = CauseKind(
    "labels",
    CauseGroup.ABSENCE,
    "labels-missing.md",
    joins={"labels_unjoined": Join.WHILE_OPEN},
)
UNJOINED = CauseKind("labels_unjoined", CauseGroup.ABSENCE, "labels-missing.md")
TENANT_LABELS = CauseKind(
    "tenant_labels",
    CauseGroup.TENANT,
    "labels-missing.md",
    joins={"labels": Join.WHILE_OPEN, "labels_unjoined": Join.WHILE_OPEN},
)
KINDS = {LabelFault.MISSING: LABELS, LabelFault.UNJOINED: UNJOINED}

_LOOK_BACK = 2 * BLOCKS
_MOST_CELLS = 200
_LEAST_ROWS = 20
_OTHERS = ""
_LEAST_LEVEL = 2.0
_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class LabelRow:
    """The detectors of the model or of a tenant, and since when what was found is open, by fault;
    of the model also where the next block begins and the age at which labels are wanted (s), which
    after a person closed its incident is ``age_kept`` until a block tells whether labels come."""

    faults: Mapping[str, ShiftState] = field(default_factory=dict[str, ShiftState])
    open: Mapping[str, float] = field(default_factory=dict[str, float])
    next: float = 0.0
    age_s: float = 0.0
    looked: float = 0.0
    retry_at: float = 0.0
    age_kept: bool = False

    @property
    def alarmed(self) -> bool:
        return bool(self.open)


@dataclass(frozen=True, slots=True)
class _Counted:
    """Of one tenant's block: predictions, those without a label at the age, outcomes received, and
    those that join nothing."""

    rows: int
    missing: int
    received: int
    unjoined: int

    def shares(self) -> Mapping[LabelFault, tuple[float, int]]:
        return {
            LabelFault.MISSING: (self.missing / max(self.rows, 1), self.rows),
            LabelFault.UNJOINED: (self.unjoined / max(self.received, 1), self.received),
        }


class Labels(Monitor):
    """Of each block of predictions (a seventh of ``drift_over``): how many have a label at the age
    at which most usually do, by the delay curve of earlier blocks; and how many of the outcomes
    that came in it join no prediction. Of each tenant, and of the model by how far tenants are from
    their own usual shares."""

    name = "labels"
    title = "Labels"
    cause = LABELS
    more_causes = (UNJOINED, TENANT_LABELS)
    judge = Judge("labels", LabelFacts, LabelPolicy, lambda f, p, now: judge_labels(f, p, now)[0])
    slow = True
    acceptable = True

    def is_wanted(self, file: ModelFile) -> bool:
        return super().is_wanted(file) and bool(file.watch.outcomes)

    def streams(self, file: ModelFile, tenants: int) -> int:
        """Two of the model; tenants share as many, by a threshold that is so many times as high."""
        del tenants
        return 2 * len(LabelFault) if file.watch.outcomes else 0

    def outlook(self, file: ModelFile, rows: StateRows, cause: Cause) -> str:
        del cause
        held = read_row(rows, LabelRow)
        if not held.age_s or not held.next:
            return ""
        ends = held.next + parse_duration(file.watch.drift_over) / BLOCKS
        due = moment(ends + held.age_s)
        return (
            f"labels of the predictions from {moment(held.next)} to {moment(ends)} are due by {due}"
        )

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        if not window.file.watch.outcomes:
            return []
        held, block_s = read_row(rows, LabelRow), block_seconds(window)
        boundary = math.floor(window.end / block_s) * block_s
        start = held.next or math.ceil(window.watched_since / block_s) * block_s
        due = held.age_s > 0.0 and start + block_s + held.age_s <= window.end
        if window.end < held.retry_at or (not due and held.looked >= boundary):
            return []
        first = min(start, boundary - _LOOK_BACK * block_s)
        longest = _LOOK_BACK + math.ceil(held.age_s / block_s) + 1
        first = max(first, boundary - longest * block_s)
        blocks = round((boundary - first) / block_s)
        try:
            found = log.label_delays(
                window.model, first, block_s, blocks, window.end, DELAY_EDGES, within_s=_WITHIN_S
            )
        except LogTooSlow as error:
            return [self._too_slow(window, replace(held, retry_at=boundary + block_s), error)]
        # What is still to be judged does not say how it should be.
        place = round((max(start, first) - first) / block_s)
        known = [one for one in found if held.age_s <= 0.0 or one.cohort < place]
        curve = delay_curve([_cohort(window, one, first, block_s) for one in known])
        fresh = replace(
            held, next=max(start, first), looked=boundary, age_s=_age(window, held, curve)
        )
        if fresh.age_s <= 0.0 or fresh.next + block_s + fresh.age_s > window.end:
            facts = LabelFacts("", fresh.next, fresh.age_s, (), held.faults)
            verdict = Verdict(Outcome.HOLD, "ABS-213", "the next block is not due", "time")
            policy = self._policy(window, 1)
            return [
                Judged(NO_SUBJECT, facts, policy, verdict, states={NO_SUBJECT: fresh}, shown=False)
            ]
        mine = [one for one in found if one.cohort == place]
        try:
            received = log.outcome_counts(
                window.model, window.file.contract, fresh.next, fresh.next + block_s,
                arrive_within_s(window.file), within_s=_WITHIN_S,
            )  # fmt: skip
        except LogTooSlow as error:
            return [self._too_slow(window, replace(fresh, retry_at=boundary + block_s), error)]
        counted = _count(mine, received, fresh.age_s)
        return self._judge(window, rows, fresh, counted, curve)

    def _too_slow(self, window: ClosedWindow, row: LabelRow, error: LogTooSlow) -> Judged:
        """It is asked again after a block, and not in each window."""
        facts = LabelFacts("", row.next, row.age_s, (), row.faults)
        verdict = Verdict(Outcome.ERROR, error.code, error.message)
        policy = self._policy(window, 1)
        return Judged(NO_SUBJECT, facts, policy, verdict, states={NO_SUBJECT: row})

    def _policy(self, window: ClosedWindow, share: int) -> LabelPolicy:
        return LabelPolicy(max(window.policy.slow_alarm_at, math.e) * BLOCKS * share)

    def _judge(
        self,
        window: ClosedWindow,
        rows: StateRows,
        row: LabelRow,
        counted: Mapping[str, _Counted],
        curve: DelayCurve,
    ) -> Sequence[Judged]:
        held = {t: read_row(rows, LabelRow, tenant_subject(t)) for t in counted}
        readings = {t: _readings(one, held[t]) for t, one in counted.items()}
        policy = self._policy(window, max(1, len(counted)))
        worse = [t for t, found in readings.items() if any(is_bad(r, policy) for r in found)]
        # Most may be so small that nobody sees them in the sum: then each is told by itself.
        seen = any(is_bad(r, policy) for r in _of_all(list(counted), readings, held))
        most = seen and 2 * len(worse) > len(counted)
        together = bool(row.open) or len(counted) < 2 or most
        out: list[Judged] = []
        rest: list[str] = []
        kept: dict[str, Mapping[str, ShiftState]] = {}
        for tenant in counted:
            covered = (together or not tenant) and not held[tenant].open
            subject = f"tenant {tenant}" if tenant else "tenants with few"
            facts = LabelFacts(
                subject, row.next, row.age_s, readings[tenant], held[tenant].faults, covered
            )
            verdict, states = judge_labels(facts, policy, window.end)
            kept[tenant] = states
            if not any(state.alarmed for state in states.values()):
                rest.append(tenant)
            out.append(self._tenant(tenant, facts, policy, verdict, held[tenant], states))
        lone = worse if len(worse) == 1 and not together else []
        members = [t for t in rest if t not in lone] or rest
        facts = LabelFacts(
            "", row.next, row.age_s, _of_all(members, readings, held), row.faults
        )  # fmt: skip
        policy = self._policy(window, 1)
        verdict, states = judge_labels(facts, policy, window.end)
        still, findings = dict(row.open), list[Finding]()
        for kind, cause_kind in KINDS.items():
            cause, state = Cause(cause_kind, window.model), states.get(kind, ShiftState())
            if state.alarmed and kind not in still:
                still[kind] = state.since
                line = f"{sentence_of(facts, kind)}, since {moment(state.since)}"
                findings.append(Finding(self.name, cause, True, state.since, line))
            elif kind in still and not state.alarmed and verdict.outcome is not Outcome.HOLD:
                line = f"labels come as they used to: {verdict.sentence}"
                findings.append(Finding(self.name, cause, False, still.pop(kind), line))
        block_s = block_seconds(window)
        age_kept = row.age_kept and verdict.outcome is Outcome.HOLD
        after = replace(
            row, faults=states, open=still, next=row.next + block_s, age_kept=age_kept
        )  # fmt: skip
        detail = {
            "block": row.next,
            "age": row.age_s,
            "coverage": round(curve.coverage, 4),
            "curve": [
                [edge, round(share, 4)]
                for edge, share in zip(DELAY_EDGES, curve.shares, strict=False)
            ],
            "missing": verdict.missing,
        }
        if any(state.alarmed for state in states.values()):
            out = [_with_levels_of_before(one, held) for one in out]
        of_all = Judged(
            NO_SUBJECT, facts, policy, verdict, tuple(findings), {NO_SUBJECT: after}, detail
        )
        return [of_all, *out]

    def _tenant(
        self,
        tenant: str,
        facts: LabelFacts,
        policy: LabelPolicy,
        verdict: Verdict,
        before: LabelRow,
        states: Mapping[str, ShiftState],
    ) -> Judged:
        alarmed = {kind: state.since for kind, state in states.items() if state.alarmed}
        findings: tuple[Finding, ...] = ()
        cause, still = Cause(TENANT_LABELS, tenant), dict(before.open)
        if alarmed and not before.open:
            still = alarmed
            since = min(alarmed.values())
            line = f"{verdict.sentence}, since {moment(since)}"
            findings = (Finding(self.name, cause, True, since, line),)
        elif before.open and not alarmed and verdict.outcome is not Outcome.HOLD:
            since, still = min(before.open.values()), {}
            line = f"labels come as they used to: {verdict.sentence}"
            findings = (Finding(self.name, cause, False, since, line),)
        after = LabelRow(states, still)
        shown = bool(findings) or verdict.failed
        return Judged(
            tenant or "others",
            facts,
            policy,
            verdict,
            findings,
            {tenant_subject(tenant): after},
            shown=shown,
        )

    def begin_anew(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        if cause.kind.name == TENANT_LABELS.name:
            key = tenant_subject(cause.subject)
            return {key: _without_evidence(read_row(rows, LabelRow, key), set(LabelFault))}
        faults = {fault for fault, of in KINDS.items() if of.name == cause.kind.name}
        out: dict[str, AlarmState | None] = {
            key: _without_evidence(row, faults) for key, row in _shared(rows).items()
        }
        model = _without_evidence(read_row(rows, LabelRow), faults)
        return {**out, NO_SUBJECT: replace(model, age_kept=True)}

    def accept(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        """How labels come now is the new usual: it is learned from here on."""
        if cause.kind.name == TENANT_LABELS.name:
            return {tenant_subject(cause.subject): None}
        held = read_row(rows, LabelRow)
        out: dict[str, AlarmState | None] = dict.fromkeys(_shared(rows))
        return {**out, NO_SUBJECT: LabelRow(next=held.next, looked=held.looked)}

    def about(self, subject: str) -> str:
        return f"labels of tenant {subject}" if subject else self.title


def _shared(rows: StateRows) -> dict[str, LabelRow]:
    """The tenants by which the model is measured, but for those that have an incident."""
    found = {key: read_row(rows, LabelRow, key) for key in rows if key != NO_SUBJECT}
    return {key: row for key, row in found.items() if not row.open}


def _without_evidence(row: LabelRow, faults: set[LabelFault]) -> LabelRow:
    return replace(
        row,
        faults={k: s.anew() if k in faults else s for k, s in row.faults.items()},
        open={k: s for k, s in row.open.items() if k not in faults},
    )


def _cohort(
    window: ClosedWindow, one: LabelDelays, first: float, block_s: float
) -> LabelCohort:  # fmt: skip
    age = window.end - (first + (one.cohort + 1) * block_s)
    return LabelCohort(age, one.rows, one.labelled)


def _age(window: ClosedWindow, held: LabelRow, curve: DelayCurve) -> float:
    """The age at which labels are wanted: it stays while something is wrong, or seems to be, for a
    curve of labels that stopped says nothing."""
    rising = any(state.alarmed or state.peak > 1.0 for state in held.faults.values())
    if held.age_s > 0.0 and (rising or held.open or held.age_kept):
        return held.age_s
    known = curve.mature_after_s or held.age_s
    within = arrive_within_s(window.file)
    return known if within is None else min(known or within, within)


def _count(
    delays: Sequence[LabelDelays], received: Sequence[OutcomeCounts], age_s: float
) -> Mapping[str, _Counted]:
    """By tenant, those with most predictions first; the others all together."""
    reached = sum(edge <= age_s for edge in DELAY_EDGES)
    made = {one.tenant: (one.rows, one.rows - sum(one.labelled[:reached])) for one in delays}
    came = {
        one.tenant: (
            one.joined + one.late + one.out_of_range + one.unknown + one.ambiguous,
            one.unknown + one.ambiguous,
        )
        for one in received
    }
    ordered = sorted(made.keys() | came.keys(), key=lambda t: (-made.get(t, (0, 0))[0], t))
    out: dict[str, _Counted] = {}
    others = (0, 0, 0, 0)
    for tenant in ordered:
        counts = (*made.get(tenant, (0, 0)), *came.get(tenant, (0, 0)))
        if max(counts[0], counts[2]) >= _LEAST_ROWS and len(out) < _MOST_CELLS:
            out[tenant] = _Counted(*counts)
        else:
            others = tuple(a + b for a, b in zip(others, counts, strict=True))
    if any(others):
        out[_OTHERS] = _Counted(*others)
    return out


def _readings(one: _Counted, row: LabelRow) -> tuple[ShareReading, ...]:
    out: list[ShareReading] = []
    for kind, (bad, rows) in one.shares().items():
        state = row.faults.get(kind, ShiftState())
        usual = state.level.mean if state.level.blocks else bad
        out.append(ShareReading(kind, bad, rows, bad, usual))
    return tuple(out)


def _of_all(
    tenants: Sequence[str],
    readings: Mapping[str, Sequence[ShareReading]],
    held: Mapping[str, LabelRow],
) -> tuple[ShareReading, ...]:
    """Of those whose level is known, each by how far it is from its own."""
    out: list[ShareReading] = []
    for kind in LabelFault:
        of = [
            one
            for t in tenants
            for one in readings[t]
            if one.kind is kind and one.rows and kind in held[t].faults
            and held[t].faults[kind].level.blocks >= _LEAST_LEVEL
        ]  # fmt: skip
        rows = sum(one.rows for one in of)
        if rows:
            bad = sum(one.bad * one.rows for one in of) / rows
            usual = sum(one.usual * one.rows for one in of) / rows
            out.append(ShareReading(kind, bad, rows, bad - usual, usual))
    return tuple(out)


def _with_levels_of_before(judged: Judged, held: Mapping[str, LabelRow]) -> Judged:
    """A fault of the model is nobody's level."""
    key, after = next(iter(judged.states.items()))
    before = held[tenant_of(key) or _OTHERS].faults
    if not isinstance(after, LabelRow):
        return judged
    faults = {
        kind: replace(state, level=before[kind].level, learned=before[kind].learned)
        if kind in before and before[kind].known
        else state
        for kind, state in after.faults.items()
    }
    return replace(judged, states={key: replace(after, faults=faults)})
