"""Do labels come as they used to, and do they name predictions that were made?"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass

from windvane.core.outcomes.shift import (
    UNUSUAL,
    DetectorStep,
    advance,
    log_rise,
    missing_evidence,
)
from windvane.core.verdict import LEAST_BLOCKS, Outcome, ShiftState, Verdict

_CLUSTERED = 10.0  # so many rows share their fate: a batch of labels is late as one


class LabelFault(enum.StrEnum):
    """MISSING: predictions that have no label at the age at which most do. UNJOINED: outcomes that
    name no prediction, or several."""

    MISSING = "missing"
    UNJOINED = "unjoined"


_UNKNOWN = {
    LabelFault.MISSING: "whether labels stopped",
    LabelFault.UNJOINED: "whether outcomes stopped joining",
}
CODES_OF_LABELS = {LabelFault.MISSING: "ABS-211", LabelFault.UNJOINED: "ABS-212"}


@dataclass(frozen=True, slots=True)
class ShareReading:
    """The share of ``rows`` that is ``bad``, as it is compared with its level: a tenant's own, or
    of several how far they are from theirs; it usually is ``usual``."""

    kind: LabelFault
    bad: float
    rows: int
    value: float
    usual: float


@dataclass(frozen=True, slots=True)
class LabelFacts:
    """One block of one cell: the model, or a tenant. Labels are wanted at ``age_s``; ``covered``:
    most others have the same fault."""

    subject: str
    block: float
    age_s: float
    readings: tuple[ShareReading, ...]
    before: Mapping[str, ShiftState]
    covered: bool = False


@dataclass(frozen=True, slots=True)
class LabelPolicy:
    """An alarm asks for evidence of ``alarm_at``, and that ``lost`` of the labels that usually come
    do not, or that ``unjoined`` more of the outcomes join nothing; ``close_at`` ends it. Where
    ``noticed`` of the labels that usually come do not, and healthy blocks show no such share, it is
    no PASS either."""

    alarm_at: float
    lost: float = 0.5
    unjoined: float = 0.1
    noticed: float = 0.1
    close_at: float = 50.0
    least_rows: int = 20
    revision: int = 2


def judge_labels(
    facts: LabelFacts, policy: LabelPolicy, now: float
) -> tuple[Verdict, Mapping[str, ShiftState]]:
    """The verdict on a cell's block, and its detectors after it: Student's t of the share against
    earlier blocks', whose spread knows how labels come in batches. HOLD where rows or earlier
    blocks are too few, and where the share is unusual without the evidence for an alarm."""
    del now
    used = [one for one in facts.readings if one.rows >= policy.least_rows]
    after = dict(facts.before)
    for one in used:
        state = facts.before.get(one.kind, ShiftState())
        after[one.kind] = _after(state, one, facts, policy)
    told = "; ".join(_says(one, facts.age_s) for one in used)
    head = f"{facts.subject}: " if facts.subject else ""
    for kind in LabelFault:
        found = next((one for one in used if one.kind is kind and after[kind].alarmed), None)
        if found is not None:
            sentence = sentence_of(facts, kind)
            return Verdict(Outcome.FAIL, CODES_OF_LABELS[kind], sentence), after
    if not used:
        rows = max((one.rows for one in facts.readings), default=0)
        line = f"{head}{rows:,} predictions or outcomes in the block"
        return Verdict(Outcome.HOLD, "ABS-213", line, f"{policy.least_rows - rows} more"), after
    states = [facts.before.get(one.kind, ShiftState()) for one in used]
    short = max(LEAST_BLOCKS - state.level.blocks for state in states)
    if short > 0.0:
        return Verdict(
            Outcome.HOLD, "ABS-213", f"{head}{told}", f"{math.ceil(short)} more blocks"
        ), after  # fmt: skip
    for one in used:
        if _is_unusual(facts.before.get(one.kind, ShiftState()), one, policy):
            line = f"{head}{told}: it is not known yet {_UNKNOWN[one.kind]}"
            missing = missing_evidence(after[one.kind], policy.alarm_at)
            return Verdict(Outcome.HOLD, "ABS-214", line, missing), after
    return Verdict(Outcome.PASS, "ABS-210", f"{head}{told}"), after


def sentence_of(facts: LabelFacts, kind: LabelFault) -> str:
    """Both sides of one fault, of a cell whose share was read."""
    head = f"{facts.subject}: " if facts.subject else ""
    return head + next(_says(one, facts.age_s) for one in facts.readings if one.kind is kind)


def is_bad(reading: ShareReading, policy: LabelPolicy) -> bool:
    """Whether it is worse than usual by so much that it matters."""
    rise = reading.bad - reading.usual
    if reading.kind is LabelFault.MISSING:
        return rise >= policy.lost * (1.0 - reading.usual) and reading.usual < 1.0
    return rise >= policy.unjoined


def _is_unusual(state: ShiftState, reading: ShareReading, policy: LabelPolicy) -> bool:
    if is_bad(reading, policy):
        return True
    rise = reading.value - state.level.mean
    usual = reading.usual if reading.kind is LabelFault.MISSING else 0.0
    noticed = rise >= policy.noticed * (1.0 - usual) and usual < 1.0
    return noticed and rise > UNUSUAL * _deviation(state, reading)


def _deviation(state: ShiftState, reading: ShareReading) -> float:
    """Of a new block's share about its level: by earlier ones, and at least by its own rows."""
    variance, of_mean, _ = state.level.spread()
    # Where every label always came, one that does not is still less than a certainty.
    least = 1.0 / (reading.rows + 2.0)
    usual = min(max(reading.usual, least), 1.0 - least)
    sampling = usual * (1.0 - usual) * min(_CLUSTERED, reading.rows) / reading.rows
    return math.sqrt(max(variance, sampling) + of_mean)


def _after(
    state: ShiftState, reading: ShareReading, facts: LabelFacts, policy: LabelPolicy
) -> ShiftState:
    deviation, freedom = _deviation(state, reading), state.level.spread()[2]
    log_e = log_rise((reading.value - state.level.mean) / deviation, freedom)
    step = DetectorStep(
        reading.value, log_e, deviation, is_bad(reading, policy), facts.block, facts.covered
    )
    return advance(state, step, policy.alarm_at, policy.close_at)


def _says(one: ShareReading, age_s: float) -> str:
    if one.kind is LabelFault.UNJOINED:
        what = f"{one.bad:.1%} of {one.rows:,} outcomes join no prediction"
        return f"{what}, usually {one.usual:.1%}"
    came = f"{1.0 - one.bad:.1%} of {one.rows:,} predictions have a label"
    return f"{came} after {_duration(age_s)}, usually {1.0 - one.usual:.1%}"


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
