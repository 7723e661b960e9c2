"""Features that no longer go together as they did: rows that are joined wrongly, for one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.alerting import Cause, CauseGroup, CauseKind, Finding, Join, Severity
from windvane.core.drift import (
    FOLDS,
    MOST_TOLD,
    TOLD_APART,
    DependenceFacts,
    DependencePolicy,
    DomainReading,
    PairReading,
    ScoredRows,
    association,
    describe_reading,
    group_bins,
    judge_dependence,
    rank_scores,
    tell_apart,
)
from windvane.core.signature import FeatureType
from windvane.core.sketch import NumericAxis
from windvane.core.verdict import Outcome, ShiftState, Verdict
from windvane.ports.event_log import EventLog, LogTooSlow
from windvane.usecases.closed_window import ClosedWindow, StateRows
from windvane.usecases.count_rows import views_of
from windvane.usecases.gather_evidence import sample_requests
from windvane.usecases.monitors.base import (
    NO_SUBJECT,
    AlarmState,
    Importance,
    Judge,
    Judged,
    Monitor,
    moment,
    read_row,
)
from windvane.usecases.read_model_file import ModelFile

DEPENDENCE = CauseKind(
    "dependence",
    CauseGroup.BROKEN_INPUT,
    "wrong-join.md",
    joins={
        "feed": Join.SAME_ONSET,
        "tenant_feed": Join.SAME_ONSET,
        "segment_feed": Join.SAME_ONSET,
        "input_shift": Join.SAME_ONSET,
        "new_tenant": Join.SAME_ONSET,
    },
)
LOOKS = 7
"""In one ``drift_over``: of its default, every day."""
MOST_PAIRS = 32
_MOST_OF_ONE = 2  # pairs that a feature is in
_MOST_FEATURES = 60
_LEAST_ASSOCIATION = 0.25  # what is less could fall to nothing and not be told
_LEAST_DISTINCT = 40
_PIECES, _ROWS_A_PIECE = 20, 100
_LEAST_ROWS = 400
_WITHIN_S = 2.0  # of a piece
_NAMED = 3
_FITTING = (FeatureType.NUMBER, FeatureType.INTEGER, FeatureType.BOOLEAN, FeatureType.CATEGORY)
Groups = Mapping[str, NDArray[np.int64]]
Values = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Sampled:
    """Rows by feature, and of each the piece of the block's time that it is of (rows,)."""

    values: Values
    pieces: Sequence[int]

    @property
    def rows(self) -> int:
        return len(self.pieces)


@dataclass(frozen=True, slots=True)
class PairsRow:
    """The ``pairs`` that are watched and their detectors; the features by which rows are ``told``
    apart, () where earlier rows no longer count; where the next block begins and until when was
    asked for it (s); since when the incident is open (s), None where none is."""

    pairs: tuple[tuple[str, str], ...] = ()
    told: tuple[str, ...] = ()
    kinds: Mapping[str, ShiftState] = field(default_factory=dict[str, ShiftState])
    next: float = 0.0
    asked: float = 0.0
    since: float | None = None

    @property
    def alarmed(self) -> bool:
        return self.since is not None


class Dependence(Monitor):
    """The association of pairs of features, in rows sampled from the log, against its own earlier
    level. The pairs are those that went together most in the first block, those of two sources
    first: rows that are joined wrongly leave each source as it was. And how well rows are told
    apart from earlier ones by how all features go together, for what no pair has by itself."""

    name = "dependence"
    title = "Features together"
    importance = Importance.FIRST_TO_WAIT
    cause = DEPENDENCE
    judge = Judge(
        "dependence",
        DependenceFacts,
        DependencePolicy,
        lambda f, p, now: judge_dependence(f, p, now)[0],
    )
    slow = True
    acceptable = True

    def streams(self, file: ModelFile, tenants: int) -> int:
        del tenants
        fitting = min(len(_features(file)), _MOST_FEATURES)
        return min(MOST_PAIRS, fitting * (fitting - 1) // 2) + (fitting > 1)

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        block_s = window.policy.drift_over_s / LOOKS
        until = math.floor(window.end / block_s) * block_s
        held = read_row(rows, PairsRow)
        start = held.next or math.ceil(window.watched_since / block_s) * block_s
        if until <= max(start, held.asked) or len(_features(window.file)) < 2:
            return []
        start = max(start, until - LOOKS * block_s)
        try:
            sampled = _sample(window, log, start, until)
        except LogTooSlow as error:
            return [_too_slow(window, replace(held, asked=until), error)]
        values, found = sampled.values, sampled.rows
        groups = _groups(window, values)
        policy = DependencePolicy(window.policy.slow_alarm_at * LOOKS, _LEAST_ROWS)
        pairs = held.pairs
        if not pairs and found >= policy.least_rows:
            pairs = choose_pairs(window.file, groups, values)
        readings = _readings(pairs, groups, values)
        enough = found >= policy.least_rows and bool(readings or not pairs)
        row = replace(held, pairs=pairs, next=until if enough else start, asked=until)
        now, past, domain = ScoredRows.none(0), ScoredRows.none(0), None
        if enough:
            told = held.told or choose_told(window.file, values)
            row = replace(row, told=told)
            kept = window.learned(self.name, [NO_SUBJECT]) if held.told else {}
            past = ScoredRows.unpack(kept.get(NO_SUBJECT), len(told))
            now = _scored(window.file, sampled, told)
            domain = tell_apart(now, past, told)
        facts = DependenceFacts(start, found, readings, held.kinds, domain)
        verdict, after = judge_dependence(facts, policy, window.end)
        row, findings = self._findings(window, facts, replace(row, kinds=after))
        # While something is wrong its rows are no example of how they should be.
        fit = enough and row.since is None
        return [
            Judged(
                NO_SUBJECT, facts, policy, verdict, findings, {NO_SUBJECT: row},
                _detail(window.file, facts, row),
                learned={NO_SUBJECT: past.with_block(now).pack()} if fit else {},
            )
        ]  # fmt: skip

    def _findings(
        self, window: ClosedWindow, facts: DependenceFacts, row: PairsRow
    ) -> tuple[PairsRow, tuple[Finding, ...]]:
        cause = Cause(DEPENDENCE, window.model)
        sounding = {name: state for name, state in row.kinds.items() if state.alarmed}
        if sounding and row.since is None:
            since = min(state.since for state in sounding.values())
            worst = sorted(
                facts.by_detector.keys() & sounding.keys(),
                key=lambda name: (name == TOLD_APART, -abs(sounding[name].fault), name),
            )
            said = "; ".join(
                describe_reading(facts.by_detector[name], facts.before[name])
                for name in worst[:_NAMED]
            )
            more = f"; and {len(worst) - _NAMED} more" if len(worst) > _NAMED else ""
            line = f"features no longer go together as before: {said}{more}, since {moment(since)}"
            suspects = _suspects([facts.by_detector[name] for name in worst], sounding)
            sources = set(views_of(window.file.schema, [name for name, _ in suspects]).values())
            finding = Finding(
                self.name, cause, True, since, line, suspects, tuple(sorted(sources)),
                Severity.MEDIUM,
            )  # fmt: skip
            return replace(row, since=since), (finding,)
        if not sounding and row.since is not None:
            line = "features go together as before again"
            finding = Finding(self.name, cause, False, row.since, line)
            return replace(row, since=None), (finding,)
        return row, ()

    def evidence(
        self, window: ClosedWindow, found: Judged, finding: Finding, log: EventLog
    ) -> Mapping[str, Any]:
        samples = log.samples(window.model, window.file.contract, finding.since, window.end, {}, 5)
        return {
            "first_window": finding.since,
            "suspects": [{"feature": n, "size": round(size, 4)} for n, size in finding.suspects],
            "samples": sample_requests(samples),
            **found.detail,
        }

    def begin_anew(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        del cause
        row = read_row(rows, PairsRow)
        kinds = {pair: state.anew() for pair, state in row.kinds.items()}
        return {NO_SUBJECT: replace(row, kinds=kinds, since=None)}

    def accept(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        """What goes together, and how, is learned anew."""
        del cause
        row = read_row(rows, PairsRow)
        return {NO_SUBJECT: replace(row, pairs=(), told=(), kinds={}, since=None)}


def _fitting(file: ModelFile) -> list[str]:
    return [spec.name for spec in file.schema if spec.type in _FITTING]


def _features(file: ModelFile) -> list[str]:
    return _fitting(file)[:_MOST_FEATURES]


def _too_slow(window: ClosedWindow, row: PairsRow, error: LogTooSlow) -> Judged:
    """It is asked again with the next look, and not in each window."""
    facts = DependenceFacts(row.next, 0, (), row.kinds)
    policy = DependencePolicy(window.policy.slow_alarm_at * LOOKS, _LEAST_ROWS)
    verdict = Verdict(Outcome.ERROR, error.code, error.message)
    return Judged(NO_SUBJECT, facts, policy, verdict, states={NO_SUBJECT: row})


def _sample(window: ClosedWindow, log: EventLog, start: float, end: float) -> Sampled:
    """The first rows of each of some equal pieces of the time [start, end) (s), by feature."""
    names = _features(window.file)
    values: dict[str, list[Any]] = {name: [] for name in names}
    pieces: list[int] = []
    piece_s = (end - start) / _PIECES
    for i in range(_PIECES):
        found = log.rows(
            "predictions", window.model, window.file.contract,
            start + i * piece_s, start + (i + 1) * piece_s,
            tenant="", after=None, limit=_ROWS_A_PIECE, within_s=_WITHIN_S,
        )  # fmt: skip
        for _, row in found:
            pieces.append(i)
            for name in names:
                values[name].append(row["features"].get(name))
    return Sampled(values, pieces)


def choose_told(file: ModelFile, values: Values) -> tuple[str, ...]:
    """The features by which rows are told apart: those that vary, of each source in turn."""
    views = views_of(file.schema, values)
    by_view: dict[str, list[str]] = {}
    for name, column in values.items():
        if len({value for value in column if value is not None}) > 1:
            by_view.setdefault(views[name], []).append(name)
    in_turn = [name for turn in zip_longest(*by_view.values()) for name in turn if name is not None]
    return tuple(in_turn[:MOST_TOLD])


def _scored(file: ModelFile, sampled: Sampled, told: Sequence[str]) -> ScoredRows:
    kinds = {spec.name: spec.type for spec in file.schema}
    nothing = [None] * sampled.rows  # of a feature that the contract no longer has
    scores = [
        rank_scores(
            sampled.values.get(name, nothing), names=kinds.get(name) == FeatureType.CATEGORY
        )
        for name in told
    ]
    folds = np.array(sampled.pieces, np.int8) // np.int8(_PIECES // FOLDS)
    table = np.array(scores, np.int8).reshape(len(told), sampled.rows).T
    return ScoredRows(table, folds, np.zeros_like(folds))


def _groups(window: ClosedWindow, values: Values) -> Groups:
    """Each row's group (rows,) by feature; of those that have an axis."""
    layout, counts = window.layout, window.baseline.counts
    out: dict[str, NDArray[np.int64]] = {}
    for name, column in values.items():
        if name not in layout.names:
            continue
        axis = layout.axes[layout.names.index(name)]
        numeric = isinstance(axis, NumericAxis)
        of_bin = group_bins(layout.part(counts, name), ordered=numeric)
        out[name] = of_bin[axis.codes(column)]
    return out


def choose_pairs(file: ModelFile, groups: Groups, values: Values) -> tuple[tuple[str, str], ...]:
    """The pairs that go together most, those of two sources before all others, no feature in more
    than a few."""
    views = views_of(file.schema, groups)
    found: list[tuple[bool, float, str, str]] = []
    for a, b in combinations(groups, 2):
        value = association(groups[a], groups[b])
        known = value is not None and value >= _LEAST_ASSOCIATION
        if known and _distinct(values, a, b) >= _LEAST_DISTINCT:
            found.append((views[a] == views[b], -(value or 0.0), a, b))
    used: dict[str, int] = {}
    out: list[tuple[str, str]] = []
    for _, _, a, b in sorted(found):
        if max(used.get(a, 0), used.get(b, 0)) < _MOST_OF_ONE and len(out) < MOST_PAIRS:
            out.append((a, b))
            used |= {name: used.get(name, 0) + 1 for name in (a, b)}
    return tuple(out)


def _readings(
    pairs: Sequence[tuple[str, str]], groups: Groups, values: Values
) -> tuple[PairReading, ...]:
    out: list[PairReading] = []
    for a, b in pairs:
        if a not in groups or b not in groups:
            continue
        value = association(groups[a], groups[b])
        if value is not None:
            # Rows of one weather report, or of one client, are one.
            rows = _distinct(values, a, b)
            if rows >= _LEAST_DISTINCT:
                out.append(PairReading(a, b, round(value, 6), round(1.0 / math.sqrt(rows), 6)))
    return tuple(out)


def _distinct(values: Values, a: str, b: str) -> int:
    """How many pairs of values there are, each counted once."""
    return len(set(zip(values[a], values[b], strict=True)))


def _suspects(
    worst: Sequence[PairReading | DomainReading], states: Mapping[str, ShiftState]
) -> tuple[tuple[str, float], ...]:
    sizes: dict[str, float] = {}
    for r in worst:
        if isinstance(r, DomainReading):
            fault = abs(states[TOLD_APART].fault)
            of = {name: fault * share for name, share in r.features}
        else:
            of = dict.fromkeys((r.first, r.second), abs(states[r.pair].fault))
        for name, size in of.items():
            sizes[name] = max(sizes.get(name, 0.0), size)
    return tuple(sizes.items())


def _detail(file: ModelFile, facts: DependenceFacts, row: PairsRow) -> Mapping[str, Any]:
    watched = {name for pair in row.pairs for name in pair}
    return {
        "rows": facts.rows,
        "block": facts.block,
        "pairs": [
            {
                "first": r.first,
                "second": r.second,
                "association": r.value,
                "usual": round(row.kinds[r.pair].level.mean, 4) if r.pair in row.kinds else None,
                "alarmed": r.pair in row.kinds and row.kinds[r.pair].alarmed,
            }
            for r in facts.readings
        ],
        "told_apart": _told_apart(facts.domain, row),
        "not_watched": [name for name in _fitting(file) if name not in watched],
    }


def _told_apart(reading: DomainReading | None, row: PairsRow) -> Mapping[str, Any] | None:
    if reading is None:
        return None
    state = row.kinds.get(TOLD_APART)
    return {
        "area": reading.value,
        "usual": round(state.level.mean, 4) if state else None,
        "alarmed": state is not None and state.alarmed,
        "past_rows": reading.past_rows,
        "features": [{"feature": name, "share": share} for name, share in reading.features],
    }
