"""Load what a page shows, in one snapshot, with a bounded number of queries."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec

from windvane.apps.console.traffic import Found, Grid, grid
from windvane.core.drift import Baseline, StreamState
from windvane.core.journal import Decision
from windvane.core.routing import ModelRoute
from windvane.core.sketch import Layout
from windvane.ports.control_store import (
    Deployment,
    Incident,
    ModelRecord,
    Tx,
    VersionRecord,
    WindowVerdict,
)
from windvane.usecases.load_window import StewardState
from windvane.usecases.publish_routing import PUBLISH
from windvane.usecases.read_model_file import ModelFile, parse_duration, read_model_file

GLANCE_WINDOWS = 24
RECENT_WINDOWS = 8
_INCIDENTS = 200
_DECISIONS = 60
_ROUTES = 500


@lru_cache(maxsize=256)
def file_of(text: str) -> ModelFile:
    return read_model_file(text)


@lru_cache(maxsize=64)
def baseline_of(packed: bytes) -> Baseline:
    return Baseline.from_bytes(packed)


@dataclass
class RouteMemory:
    """Routes of published tables, which never change once stored; oldest forgotten first."""

    _held: OrderedDict[tuple[int, str], ModelRoute | None] = field(
        default_factory=OrderedDict[tuple[int, str], ModelRoute | None]
    )

    def route(self, tx: Tx, seq: int, model: str) -> ModelRoute | None:
        key = (seq, model)
        if key not in self._held:
            table = tx.routing(seq)
            self._held[key] = table.models.get(model) if table else None
            if len(self._held) > _ROUTES:
                self._held.popitem(last=False)
        return self._held[key]


@dataclass(frozen=True, slots=True)
class Glance:
    """A model in the list. ``latest`` holds the newest verdict of each subject."""

    record: ModelRecord
    file: ModelFile
    live: Deployment | None
    grid: Grid
    found: Found
    incidents: tuple[Incident, ...]
    latest: Mapping[str, WindowVerdict]


@dataclass(frozen=True, slots=True)
class Whole:
    """Everything on a model's own page."""

    glance: Glance
    versions: tuple[VersionRecord, ...]
    layout: Layout | None
    baseline: Baseline | None
    features: WindowVerdict | None
    drift: WindowVerdict | None
    outcomes: tuple[WindowVerdict, ...]
    sounding: Mapping[str, StreamState]
    closed: tuple[Incident, ...]
    decisions: tuple[Decision, ...]
    routes: tuple[tuple[Decision, ModelRoute], ...]


def load_glances(tx: Tx, now: float) -> list[Glance]:
    """Every model, a few queries each."""
    told = [i for i in tx.incidents("", _INCIDENTS) if i.closed_at is None]
    recorded = recorded_until(tx)
    return [
        _glance(tx, m, now, GLANCE_WINDOWS, recorded, [i for i in told if i.model == m.name])
        for m in tx.models()
    ]


def load_whole(tx: Tx, name: str, now: float, windows: int, memory: RouteMemory) -> Whole:
    """One model over its last ``windows`` windows; raises UnknownName."""
    record = tx.model(name)
    incidents = tx.incidents(name, _INCIDENTS)
    open_ones = [i for i in incidents if i.closed_at is None]
    glance = _glance(tx, record, now, windows, recorded_until(tx), open_ones)
    versions = tuple(tx.versions(name))
    champion = next(
        (v for v in versions if glance.live and v.version == glance.live.champion), None
    )
    decisions = tuple(tx.decisions(name, _DECISIONS))
    state = msgspec.convert(tx.steward_state(name), StewardState)
    outcomes = tuple(tx.verdicts(name, "outcomes", 0.0, 24))
    return Whole(
        glance=glance,
        versions=versions,
        layout=tx.layout(champion.layout_id) if champion else None,
        baseline=baseline_of(champion.baseline) if champion else None,
        features=_with_readings(tx, name),
        drift=_first(tx.verdicts(name, "drift", 0.0, 1)),
        outcomes=outcomes,
        sounding={stream: held for stream, held in state.breaks.items() if held.alarmed},
        closed=tuple(i for i in incidents if i.closed_at is not None)[:10],
        decisions=decisions,
        routes=_routes(tx, name, decisions, memory),
    )


def recorded_until(tx: Tx) -> float | None:
    """How far the furthest recorder has read; None where none ever ran."""
    return max((mark.watermark for mark in tx.marks()), default=None)


def _glance(
    tx: Tx,
    record: ModelRecord,
    now: float,
    windows: int,
    recorded: float | None,
    incidents: Sequence[Incident],
) -> Glance:
    file = file_of(record.text)
    live = tx.deployment(record.name)
    given = grid(now, parse_duration(file.watch.window), windows, recorded)
    return Glance(
        record=record,
        file=file,
        live=live,
        grid=given,
        found=tx.sketches(record.name, given.starts[0], float("inf")),
        incidents=tuple(incidents),
        latest=_latest(tx, record.name, given, bool(live and live.challenger)),
    )


def _latest(tx: Tx, model: str, given: Grid, rolling_out: bool) -> dict[str, WindowVerdict]:
    """The newest verdict of each subject; weekly ones and a rollout's may lie further back."""
    out: dict[str, WindowVerdict] = {}
    since = given.starts[-min(len(given.starts), GLANCE_WINDOWS)]
    rows = tx.verdicts(model, "", since, 100)
    rows = [row for row in rows if row.subject != "rollout"]
    for subject in ("drift", "outcomes", *(("rollout",) if rolling_out else ())):
        rows += tx.verdicts(model, subject, 0.0, 1)
    for row in sorted(rows, key=lambda r: -r.start):
        out.setdefault(row.subject, row)
    return out


def _with_readings(tx: Tx, model: str) -> WindowVerdict | None:
    """The newest window that could be read; thin ones have no readings."""
    rows = tx.verdicts(model, "features", 0.0, 12)
    return next((row for row in rows if row.detail.get("readings")), None)


def _first(rows: Sequence[WindowVerdict]) -> WindowVerdict | None:
    return rows[0] if rows else None


def _routes(
    tx: Tx, model: str, decisions: Sequence[Decision], memory: RouteMemory
) -> tuple[tuple[Decision, ModelRoute], ...]:
    """What each publishing decision made of the model's route, oldest first."""
    out: list[tuple[Decision, ModelRoute]] = []
    for decision in reversed(decisions):
        for effect in decision.effects:
            if effect.kind == PUBLISH and (
                route := memory.route(tx, int(effect.body.get("seq", 0)), model)
            ):
                out.append((decision, route))
    return tuple(out)
