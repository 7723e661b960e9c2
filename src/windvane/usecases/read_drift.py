"""What was found of each tenant and feature, and of one feature over time, to be looked at."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

import msgspec

from windvane.core.drift import Kind, StreamState
from windvane.ports.control_store import Tx, WindowVerdict
from windvane.ports.judging import MonitorState
from windvane.usecases.closed_window import segment_of, tenant_of, tenant_subject
from windvane.usecases.monitors.cells import EVERYONE
from windvane.usecases.monitors.sudden_shift import SuddenShift

MOST_TENANTS, MOST_FEATURES = 1_000, 100
_MOST_LOOKS = 2_000
_NEWEST = 12


def part_named(subject: str) -> str | None:
    """What a cell's tenant or segment is called among these: a tenant by its name, a segment by its
    whole subject, as a tenant may have any name; None for everyone."""
    return subject if segment_of(subject) is not None else tenant_of(subject)


def _subject_of(part: str) -> str:
    return part if segment_of(part) is not None else tenant_subject(part)


def streams_of(state: MonitorState) -> Mapping[str, StreamState]:
    """The detectors that a row of a cell carries, by stream; its counts are left packed."""
    return msgspec.convert(state.body.get("streams", {}), dict[str, StreamState])


@dataclass(frozen=True, slots=True)
class CellFinding:
    """The stream of a feature and tenant with most evidence: its log evidence, whether its alarm is
    open, its size where that was kept, and the start of the look that it is of (s)."""

    kind: Kind
    log_evidence: float
    alarmed: bool
    size: float | None
    at: float

    @property
    def rank(self) -> tuple[bool, float]:
        return self.alarmed, self.log_evidence


@dataclass(frozen=True, slots=True, eq=False)
class DriftMap:
    """``cells``: by tenant and feature, those with evidence; ``alarm_at``: the evidence that an
    alarm asks for, None where no look has said. ``tenants`` and ``features`` have the worst first;
    ``left_out`` counts of those that were more than is shown. ``cut``: older looks than are read
    fall into the time asked for."""

    tenants: tuple[str, ...]
    features: tuple[str, ...]
    cells: Mapping[tuple[str, str], CellFinding]
    alarm_at: float | None
    left_out: tuple[int, int] = (0, 0)
    cut: bool = False

    def part(self, found: CellFinding) -> float:
        return part_of_alarm(found.log_evidence, self.alarm_at, alarmed=found.alarmed)

    def worst(
        self, most: int, tenants: Collection[str], features: Collection[str]
    ) -> list[tuple[str, str, CellFinding]]:
        """The ``most`` cells of these, those with an alarm first, then by evidence."""
        mine = (
            (not found.alarmed, -found.log_evidence, tenant, feature)
            for (tenant, feature), found in self.cells.items()
            if tenant in tenants and feature in features
        )
        first = nsmallest(most, mine)
        return [(t, f, self.cells[t, f]) for _, _, t, f in first]


def load_drift_map(tx: Tx, model: str, features: Sequence[str], since: float | None) -> DriftMap:
    """Of the last look at each tenant, or with ``since`` (s) of the most that was found since then.
    One tenant's cell is everyone's where there is only one: then there is none."""
    states = [s for s in tx.monitor_states([model]) if s.monitor == SuddenShift.name]
    newest = tx.verdicts(model, SuddenShift.name, 0.0, _NEWEST, subject="")
    looks = [] if since is None else tx.verdicts(model, SuddenShift.name, since, _MOST_LOOKS)
    return make_drift_map(features, states, looks, _alarm_at(newest))


def make_drift_map(
    features: Sequence[str],
    states: Iterable[MonitorState],
    looks: Sequence[WindowVerdict],
    alarm_at: float | None,
) -> DriftMap:
    """``states`` and ``looks`` of any subjects: those of tenants and segments are taken, these
    among the tenants by their subject."""
    known, cells = dict.fromkeys(features), dict[tuple[str, str], CellFinding]()
    tenants: dict[str, None] = {}

    def add(tenant: str, feature: str, found: CellFinding) -> None:
        held = cells.get((tenant, feature))
        if feature in known and (held is None or found.rank > held.rank):
            cells[tenant, feature] = found

    for state in states:
        tenant = part_named(state.subject)
        if tenant is None:
            continue
        tenants[tenant] = None
        for stream, held in streams_of(state).items():
            feature, _, kind = stream.rpartition("/")
            if held.log_evidence > 0.0 or held.alarmed:
                size = held.size if held.alarmed else None
                found = CellFinding(Kind(kind), held.log_evidence, held.alarmed, size, state.at)
                add(tenant, feature, found)
    for look in looks:
        tenant = part_named(look.subject)
        if tenant is None:
            continue
        tenants[tenant] = None
        for r in readings_of(look):
            if r.log_evidence:
                found = CellFinding(r.kind, r.log_evidence, r.alarmed, r.size, look.start)
                add(tenant, r.feature, found)
    return _sorted(list(tenants), features, cells, alarm_at, len(looks) == _MOST_LOOKS)


def _sorted(
    tenants: Sequence[str],
    features: Sequence[str],
    cells: Mapping[tuple[str, str], CellFinding],
    alarm_at: float | None,
    cut: bool,
) -> DriftMap:
    of_tenant: dict[str, list[float]] = {}
    of_feature: dict[str, list[float]] = {}
    for (tenant, feature), found in cells.items():
        # An open alarm outweighs any evidence without one.
        weight = found.log_evidence + (1e6 if found.alarmed else 0.0)
        of_tenant.setdefault(tenant, []).append(weight)
        of_feature.setdefault(feature, []).append(weight)
    rows = sorted(tenants, key=lambda t: (-sum(of_tenant.get(t, ())), t))
    columns = sorted(features, key=lambda f: -sum(of_feature.get(f, ())))
    shown, over = rows[:MOST_TENANTS], columns[:MOST_FEATURES]
    left = (len(rows) - len(shown), len(columns) - len(over))
    in_rows, in_columns = frozenset(shown), frozenset(over)
    kept = {k: c for k, c in cells.items() if k[0] in in_rows and k[1] in in_columns}
    return DriftMap(tuple(shown), tuple(over), kept, alarm_at, left, cut)


@dataclass(frozen=True, slots=True)
class KeptReading:
    """One stream in one look, as its verdict kept it. ``log_evidence`` is None in looks of a
    release that did not keep it; ``looks``: after about how many a change of ``material`` size is
    told."""

    feature: str
    kind: Kind
    log_evidence: float | None
    alarmed: bool
    size: float
    material: float | None
    looks: int | None
    changed: bool | None


def readings_of(look: WindowVerdict) -> list[KeptReading]:
    """Of a look of either drift monitor; none where its table is kept no more."""
    held: list[Mapping[str, Any]] = look.detail.get("readings", [])
    return [
        KeptReading(
            str(r["feature"]), Kind(r["kind"]), r.get("evidence"), bool(r.get("alarmed")),
            float(r["size"]), r.get("material"), r.get("looks"), r.get("changed"),
        )
        for r in held
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class EvidencePoint:
    """The log evidence of a feature's streams after the look at a window; ``threshold`` is the log
    of what an alarm asks for. ``turned``: an alarm opened or closed in it."""

    start: float
    threshold: float
    streams: Mapping[Kind, KeptReading]
    outcome: str
    sentence: str

    @property
    def turned(self) -> bool:
        return any(one.changed is not None for one in self.streams.values())

    @property
    def height(self) -> float:
        return max((one.log_evidence or 0.0 for one in self.streams.values()), default=0.0)


@dataclass(frozen=True, slots=True, eq=False)
class CellNow:
    """The detectors of everyone's rows, or of a tenant's, after the look that began at ``at`` (s);
    None where there was none yet. ``alarm_at`` as in `DriftMap`."""

    streams: Mapping[str, StreamState]
    at: float | None
    alarm_at: float | None


def load_cell(tx: Tx, model: str, tenant: str) -> CellNow:
    subject = _subject_of(tenant) if tenant else EVERYONE
    newest = tx.verdicts(model, SuddenShift.name, 0.0, _NEWEST, subject="")
    for state in tx.monitor_states([model]):
        if state.monitor == SuddenShift.name and state.subject == subject:
            return CellNow(streams_of(state), state.at, _alarm_at(newest))
    return CellNow({}, None, _alarm_at(newest))


def part_of_alarm(log_evidence: float, alarm_at: float | None, *, alarmed: bool) -> float:
    """Log evidence as a part of what an alarm asks for; 1 where it is open."""
    if alarmed:
        return 1.0
    if alarm_at is None or alarm_at <= 1.0:
        return 0.0
    return min(log_evidence / math.log(alarm_at), 1.0)


def _alarm_at(newest: Sequence[WindowVerdict]) -> float | None:
    return next((v.detail["alarm_at"] for v in newest if "alarm_at" in v.detail), None)


def load_looks(
    tx: Tx, model: str, tenant: str, since: float, limit: int
) -> list[WindowVerdict]:  # fmt: skip
    """Looks at everyone's rows, or at a tenant's, oldest first: the newest ``limit`` since then."""
    subject = _subject_of(tenant) if tenant else ""
    found = tx.verdicts(model, SuddenShift.name, since, limit, subject=subject)
    return found[::-1]


def evidence_points(looks: Sequence[WindowVerdict], feature: str) -> list[EvidencePoint]:
    """Of looks whose evidence was kept."""
    out: list[EvidencePoint] = []
    for look in looks:
        alarm_at = look.detail.get("alarm_at")
        if alarm_at is None:
            continue
        mine = {r.kind: r for r in readings_of(look) if r.feature == feature}
        threshold = math.log(alarm_at) if alarm_at > 1.0 else 0.0
        out.append(EvidencePoint(look.start, threshold, mine, look.outcome, look.sentence))
    return out
