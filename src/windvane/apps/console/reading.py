"""Load what a page shows, in one snapshot, with a bounded number of queries and rows."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache

import msgspec

from windvane.apps.console.answering import NoSuchName
from windvane.apps.console.memory import Memory
from windvane.apps.console.traffic import Grid, Tally, TrafficSeries, WindowSketches, grid, series
from windvane.core.drift import Baseline, StreamState
from windvane.core.errors import did_you_mean
from windvane.core.health import Health, Tone, Traffic
from windvane.core.journal import Decision
from windvane.core.routing import ModelRoute
from windvane.core.sketch import Layout
from windvane.ports.control_store import (
    Deployment,
    Incident,
    IncidentNote,
    ModelRecord,
    Silence,
    Tx,
    UnknownName,
    VersionRecord,
    WindowVerdict,
)
from windvane.ports.incidents import ActionItem
from windvane.ports.judging import MonitorState
from windvane.usecases.explain_runtime import is_watched
from windvane.usecases.gather_answers import Answers, gather_answers
from windvane.usecases.monitors.base import NO_SUBJECT
from windvane.usecases.monitors.cells import EVERYONE, CellRow
from windvane.usecases.monitors.estimates import Estimates
from windvane.usecases.monitors.labels import Labels
from windvane.usecases.monitors.outcomes import Outcomes
from windvane.usecases.monitors.sudden_shift import SuddenShift
from windvane.usecases.monitors.training_drift import TrainingDrift
from windvane.usecases.observe_health import (
    RECENT_WINDOWS,
    Evidence,
    Observed,
    load_evidence,
    observe_health,
)
from windvane.usecases.project_sketches import as_registered, project_sketches
from windvane.usecases.publish_routing import PUBLISH
from windvane.usecases.read_model_file import (
    BadModelFile,
    ModelFile,
    Owner,
    parse_duration,
    read_model_file,
)
from windvane.usecases.read_objectives import ObjectiveReading, read_objectives
from windvane.usecases.recorded_until import recorded_until
from windvane.usecases.show_incident import show_incident

_log = logging.getLogger(__name__)

GLANCE_WINDOWS = 24
INCIDENTS = 200
MOST_INCIDENTS = 1_000
_DECISIONS = 60
_ROWS = 12_000
_CHUNK = 24
_NAMES = 200
_SLOW_LOOKS = 24
_OF_INCIDENT = 12
_NEAR_S, _NEAR_WINDOWS = 3_600.0, 3
_ITEMS = 100


@lru_cache(maxsize=64)
def baseline_of(packed: bytes) -> Baseline | None:
    """None where another release packed it: the page does without its pictures."""
    try:
        return Baseline.from_bytes(packed)
    except Exception:
        _log.exception("a baseline cannot be read by this release")
        return None


@dataclass(frozen=True, slots=True)
class Glance:
    """A model in the list. ``latest`` holds the newest verdict by monitor and subject."""

    record: ModelRecord
    file: ModelFile
    live: Deployment | None
    line: TrafficSeries
    incidents: tuple[Incident, ...]
    latest: Mapping[tuple[str, str], WindowVerdict]
    health: Health

    @property
    def grid(self) -> Grid:
        return self.line.grid


@dataclass(frozen=True, slots=True)
class ModelPage:
    """Everything on a model's own page; ``asked`` windows, of which ``found`` may hold less.
    ``watched``: the model is served elsewhere. ``watched_since`` (s) is when its judging began,
    ``first_window`` (s) the earliest that the judge of outcomes may look back to."""

    glance: Glance
    asked: int
    found: WindowSketches
    versions: tuple[VersionRecord, ...]
    layout: Layout | None
    baseline: Baseline | None
    features: WindowVerdict | None
    drift: WindowVerdict | None
    outcomes: tuple[WindowVerdict, ...]
    labels: tuple[WindowVerdict, ...]
    estimate: WindowVerdict | None
    sounding: Mapping[str, StreamState]
    objectives: tuple[ObjectiveReading, ...]
    closed: tuple[Incident, ...]
    decisions: tuple[Decision, ...]
    routes: tuple[tuple[Decision, ModelRoute], ...]
    watched: bool
    watched_since: float | None
    first_window: float | None
    silences: tuple[Silence, ...]
    trusted: frozenset[str]
    answers: tuple[Answers, ...] = ()


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """An incident, its notes, and the decisions behind them by id. ``watched``: the model is
    served elsewhere. ``newest``: what became of the requests of the newest window that has some,
    empty where none of the last has or the incident is over. ``near``: other decisions on the model
    shortly before or at its onset, oldest first; None where not all of then are at hand. ``items``
    are to be done after it."""

    incident: Incident
    notes: tuple[IncidentNote, ...]
    decisions: Mapping[str, Decision]
    live: Deployment | None
    watched: bool
    file: ModelFile
    newest: Tally = field(default_factory=Tally)
    near: tuple[Decision, ...] | None = ()
    items: tuple[ActionItem, ...] = ()


def load_model_page(
    tx: Tx, name: str, now: float, windows: int, memory: Memory, wall: float = 0.0
) -> ModelPage:
    """One model over its last ``windows`` windows; raises UnknownName. ``wall``: real time, 0
    where no spool is to be taken for gone."""
    record = find_model(tx, name)
    file, live = read_model_file(record.text), tx.deployment(name)
    incidents = tx.incidents(name, INCIDENTS)
    open_ones = [i for i in incidents if i.closed_at is None]
    asked = grid(
        now, parse_duration(file.watch.window), windows, read_recorded_until(tx, wall, memory)
    )
    given, found = _newest(tx, name, asked)
    seen = memory.observe(tx, wall)
    evidence = load_evidence(tx, {name: live})[name]
    glance = make_glance(record, live, series(found, given), open_ones, seen, evidence, now)
    versions = tuple(tx.versions(name))
    champion = next((v for v in versions if live and v.version == live.champion), None)
    layout = tx.layout(champion.layout_id) if champion else None
    layouts = {layout.id: layout} if layout is not None else {}

    def layout_of(name: str) -> Layout:
        return _layout(tx, name, layouts)

    answers = gather_answers(as_registered(found, layout_of), layout_of)
    if layout is not None:
        found = project_sketches(tx, layout, found)
    decisions = tuple(tx.decisions(name, _DECISIONS))
    states = tx.monitor_states([name])
    return ModelPage(
        glance=glance,
        asked=len(asked.starts),
        found=found,
        versions=versions,
        layout=layout,
        baseline=baseline_of(champion.baseline) if champion else None,
        features=_with_readings(tx, name),
        drift=_first(tx.verdicts(name, TrainingDrift.name, 0.0, 1)),
        outcomes=tuple(tx.verdicts(name, Outcomes.name, 0.0, _SLOW_LOOKS)),
        labels=tuple(tx.verdicts(name, Labels.name, 0.0, _SLOW_LOOKS, subject=NO_SUBJECT)),
        estimate=_first(tx.verdicts(name, Estimates.name, 0.0, 1)),
        sounding=_sounding(states),
        objectives=read_objectives(file, states),
        closed=tuple(i for i in incidents if i.closed_at is not None)[:10],
        decisions=decisions,
        routes=_routes(tx, name, decisions, memory),
        watched=champion is not None and is_watched(champion),
        watched_since=_watched_since(tx, name),
        first_window=_first_window(tx, name, asked.starts[0], now, file),
        silences=tuple(tx.silences(wall, name)),
        trusted=seen.trusted,
        answers=answers,
    )


def _layout(tx: Tx, name: str, held: dict[str, Layout]) -> Layout:
    if name not in held:
        held[name] = tx.layout(name)
    return held[name]


def _watched_since(tx: Tx, model: str) -> float | None:
    progress = tx.progress([model]).get(model)
    return None if progress is None else progress.began


def _first_window(tx: Tx, model: str, shown: float, now: float, file: ModelFile) -> float | None:
    since = max(0.0, min(shown, now - parse_duration(file.watch.drift_over)))
    return tx.first_windows({model: since}).get(model)


def _sounding(states: Sequence[MonitorState]) -> dict[str, StreamState]:
    """The streams whose alarm is open."""
    return {
        stream: held
        for state in states
        if state.monitor == SuddenShift.name and state.subject == EVERYONE and state.alarmed
        for stream, held in msgspec.convert(state.body, CellRow).streams.items()
        if held.alarmed
    }


def load_model_record(tx: Tx, name: str) -> tuple[ModelRecord, Deployment | None]:
    """Raises UnknownName."""
    return find_model(tx, name), tx.deployment(name)


def load_incidents(tx: Tx, model: str) -> tuple[list[Incident], Mapping[str, ModelFile]]:
    """Of one model, or of all for "", newest first: ``MOST_INCIDENTS``, and with them all that are
    open; and the models' files."""
    if model:
        find_model(tx, model)
    found = tx.incidents(model, MOST_INCIDENTS)
    known = {i.id for i in found}
    older = [i for i in tx.open_incidents(model) if i.id not in known]
    files = {m.name: shown_file(m) for m in tx.models()}
    return [*found, *sorted(older, key=lambda i: -i.opened_at)], files


@contextmanager
def naming_closest(tx: Tx, incident: str) -> Iterator[None]:
    """Who asks for an incident that there is none of is told the closest: raises UnknownName."""
    try:
        yield
    except UnknownName as error:
        known = {i.id: f"/incidents/{i.id}" for i in tx.incidents("", _NAMES)}
        raise _closest(error, incident, known) from error


def load_incident(tx: Tx, incident: str, now: float, *, values: bool) -> IncidentPage:
    """As it is at ``now`` (s since the epoch), with raw values of requests only for ``values``.
    Raises UnknownName, naming the closest incident."""
    with naming_closest(tx, incident):
        found = show_incident(tx, incident, values=values)
    notes = tuple(tx.notes(incident))
    names = list(dict.fromkeys(note.decision for note in notes if note.decision))
    decisions: dict[str, Decision] = {}
    for name in names[:_OF_INCIDENT]:
        try:
            decisions[name] = tx.decision(name)
        except UnknownName:
            continue
    live = tx.deployment(found.model)
    watched = live is not None and is_watched(tx.version(found.model, live.champion))
    file = read_model_file(tx.model(found.model).text)
    newest = Tally()
    if live is not None and found.closed_at is None:
        recent = grid(now, parse_duration(file.watch.window), RECENT_WINDOWS, None)
        sketches = tx.sketches(found.model, recent.read_from, float("inf"))
        newest = series(sketches, recent).newest(RECENT_WINDOWS)
    near = _near_onset(tx, found, parse_duration(file.watch.window), frozenset(names))
    items = tuple(tx.action_items(_ITEMS, incident=found.id))
    return IncidentPage(found, notes, decisions, live, watched, file, newest, near, items)


def _near_onset(
    tx: Tx, incident: Incident, window_s: float, own: Collection[str]
) -> tuple[Decision, ...] | None:
    """From an hour or three windows before the onset's interval until the window after it."""
    earliest = incident.evidence.get("earliest")
    began = min(incident.since, earliest) if isinstance(earliest, int | float) else incident.since
    begin, end = began - max(_NEAR_S, _NEAR_WINDOWS * window_s), incident.since + window_s
    found = tx.decisions(incident.model, _DECISIONS)
    near = [d for d in reversed(found) if begin <= d.at < end and d.id not in own]
    if len(found) == _DECISIONS and found[-1].at > begin:
        return None
    return tuple(near[-_OF_INCIDENT:])


def load_decision(tx: Tx, decision: str) -> tuple[Decision, list[Incident]]:
    """The decision, and the incidents whose timeline names it; raises UnknownName."""
    try:
        found = tx.decision(decision)
    except UnknownName as error:
        known = {d.id: f"/decisions/{d.id}" for d in tx.decisions("", _NAMES)}
        raise _closest(error, decision, known) from error
    near = [
        i
        for i in tx.incidents(found.model, INCIDENTS)
        if i.opened_at <= found.at <= (i.closed_at or found.at)
    ]
    incidents = [
        i for i in near[:_OF_INCIDENT] if any(n.decision == found.id for n in tx.notes(i.id))
    ]
    return found, incidents


def shown_file(record: ModelRecord) -> ModelFile:
    """The applied file; one of defaults where it cannot be read any more: the others are shown."""
    try:
        return read_model_file(record.text)
    except BadModelFile:
        _log.exception("the file of model %s cannot be read", record.name)
        return ModelFile(record.name, {}, Owner("file cannot be read"))


def read_recorded_until(tx: Tx, wall: float, memory: Memory) -> float | None:
    """Up to when all is recorded that will be soon; where every recorder is down, how far the
    furthest came. None where none ever ran."""
    checkpoints = tx.checkpoints()
    found = recorded_until(checkpoints, wall, memory.expire_after_s)
    return found if found is not None else max((c.watermark for c in checkpoints), default=None)


def find_model(tx: Tx, name: str) -> ModelRecord:
    """Raises NoSuchName, which names the closest."""
    try:
        return tx.model(name)
    except UnknownName as error:
        raise _closest(error, name, {m.name: f"/models/{m.name}" for m in tx.models()}) from error


def _closest(error: UnknownName, asked: str, known: Mapping[str, str]) -> NoSuchName:
    """The store's error with the closest known name, and the page of it."""
    hint = did_you_mean(asked, known)
    near = next((name for name in known if f"did you mean {name!r}?" == hint), "")
    hint = hint if near or len(known) <= 12 else error.advice
    return NoSuchName(error.message, hint=hint, path=known.get(near, ""))


def _newest(tx: Tx, model: str, asked: Grid) -> tuple[Grid, WindowSketches]:
    """The sketches of as many of the newest windows as one page may read."""
    chunks: list[WindowSketches] = []
    rows, reached, end = 0, len(asked.starts), float("inf")
    while reached and rows < _ROWS:
        reached = max(0, reached - _CHUNK)
        chunk = tx.sketches(model, asked.starts[reached] if reached else asked.read_from, end)
        end = asked.starts[reached]
        rows += len(chunk)
        chunks.append(chunk)
    found = [pair for chunk in reversed(chunks) for pair in chunk]
    return replace(asked, starts=asked.starts[reached:]), found


def make_glance(
    record: ModelRecord,
    live: Deployment | None,
    line: TrafficSeries,
    incidents: Sequence[Incident],
    seen: Observed,
    evidence: Evidence,
    now: float,
) -> Glance:
    """From what was read of many models at once."""
    file = shown_file(record)
    health = observe_health(seen, evidence, file, live, incidents, _traffic(line), now)
    if not file.features:  # the stand-in of one that cannot be read
        health = Health("not measured", Tone.WARN, "HLT-202", "its file cannot be read")
    return Glance(record, file, live, line, tuple(incidents), evidence.latest, health)


def _traffic(line: TrafficSeries) -> Traffic:
    """Of the last windows and the open one, and of those before."""
    recent = (*line.windows[-RECENT_WINDOWS:], line.open)
    before = line.windows[:-RECENT_WINDOWS]

    def total(tallies: Sequence[Tally], *names: str) -> int:
        return sum(tally.total(name) for tally in tallies for name in names)

    newest = line.newest(RECENT_WINDOWS)
    return Traffic(
        total(recent, "rows"), total(recent, "unanswered"), total(recent, "fell_back"),
        total(before, "rows", "unanswered", "refused") > 0, RECENT_WINDOWS,
        total(recent, "refused"), newest.rows, newest.total("unanswered"),
    )  # fmt: skip


def _with_readings(tx: Tx, model: str) -> WindowVerdict | None:
    """The newest window that could be read; thin ones have no readings."""
    rows = tx.verdicts(model, SuddenShift.name, 0.0, 12)
    return next((row for row in rows if row.detail.get("readings")), None)


def _first(rows: Sequence[WindowVerdict]) -> WindowVerdict | None:
    return rows[0] if rows else None


def _routes(
    tx: Tx, model: str, decisions: Sequence[Decision], memory: Memory
) -> tuple[tuple[Decision, ModelRoute], ...]:
    """What each publishing decision made of the model's route, oldest first."""
    published = (
        (decision, memory.route(tx, effect.body, model))
        for decision in reversed(decisions)
        for effect in decision.effects
        if effect.kind == PUBLISH
    )
    return tuple((decision, route) for decision, route in published if route)
