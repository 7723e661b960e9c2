"""Load what the monitors of closed windows need: many models in a few queries."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar

import numpy as np

from windvane.core.drift import Baseline, unpack_text
from windvane.core.outcomes import Calibration
from windvane.core.routing import NO_SAMPLE
from windvane.core.sketch import Layout, Sketch, segmented_by
from windvane.ports.control_store import ControlStore, Deployment, KeyRecord, Tx, WindowKey
from windvane.ports.judging import MonitorState, Progress
from windvane.ports.segments import SegmentKey
from windvane.usecases.closed_window import (
    ClosedWindow,
    Counts,
    Learned,
    StateRows,
    tenant_of,
    tenant_subject,
)
from windvane.usecases.gather_answers import TrainedAnswers, gather_answers
from windvane.usecases.gather_derived import gather_derived
from windvane.usecases.monitors import MONITORS, watch_policy
from windvane.usecases.monitors.sudden_shift import SuddenShift
from windvane.usecases.monitors.whose_shift import OF_ONE
from windvane.usecases.project_sketches import as_registered, project_sketches
from windvane.usecases.read_model_file import ModelFile, read_model_file
from windvane.usecases.window_policy import WindowPolicy

_log = logging.getLogger(__name__)
K = TypeVar("K", WindowKey, SegmentKey)
_NO_ROWS: StateRows = {}
_MOST_LAYOUTS = 1_000
_MOST_TRAINED = 1_000
# What monitors carry of a model, by monitor and subject.
States: TypeAlias = Mapping[str, StateRows]
# Of a model.
LearnedFrom: TypeAlias = Callable[[str], Learned]


@dataclass(frozen=True, slots=True)
class _Champion:
    """What windows are counted and compared by: the champion's layout, training data, and metrics
    and calibration on its holdout."""

    layout: Layout
    baseline: Baseline
    holdout: Mapping[str, float]
    calibration: Calibration | None


@dataclass
class WindowCache:
    """Model files, champions and layouts, as they were read last; and by model and version what its
    training data was answered.

    A cache only: losing it costs reading, never a verdict.
    """

    files: dict[str, tuple[float, ModelFile]] = field(
        default_factory=dict[str, tuple[float, ModelFile]]
    )
    champions: dict[str, tuple[str, _Champion]] = field(
        default_factory=dict[str, tuple[str, _Champion]]
    )
    layouts: dict[str, Layout] = field(default_factory=dict[str, Layout])
    trained: dict[tuple[str, str], TrainedAnswers] = field(
        default_factory=dict[tuple[str, str], TrainedAnswers]
    )

    def forget_all_but(self, models: Iterable[str]) -> None:
        """Models that are no more."""
        kept = set(models)
        for held in (self.files, self.champions):
            for model in held.keys() - kept:
                del held[model]


@dataclass(frozen=True, slots=True, eq=False)
class DueWindow:
    """A window to judge, what monitors carry of its model, and how far the model was judged;
    ``sounding`` are the monitors that have something open."""

    window: ClosedWindow
    states: States
    progress: Progress
    sounding: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Loaded:
    """Windows to judge; models with none yet, as they will be due; and why others failed."""

    windows: tuple[DueWindow, ...]
    waiting: tuple[Progress, ...]
    failed: Mapping[str, str]


def model_files(tx: Tx, models: Sequence[str], cache: WindowCache) -> Mapping[str, ModelFile]:
    """The models' files, each parsed once after it was applied. One that cannot be read is left
    out, and said in the log."""
    applied = tx.applied_at()
    stale = [m for m in models if m in applied and cache.files.get(m, (-1.0,))[0] != applied[m]]
    for record in tx.model_records(stale) if stale else ():
        try:
            cache.files[record.name] = (record.applied_at, read_model_file(record.text))
        except Exception:
            _log.exception("the file of model %s cannot be read", record.name)
            cache.files.pop(record.name, None)
    return {m: cache.files[m][1] for m in models if m in cache.files}


def load_windows(
    tx: Tx,
    models: Sequence[str],
    cache: WindowCache,
    recorded: float | None,
    known: Mapping[str, Progress] | None = None,
    *,
    complete: bool = True,
    learned: LearnedFrom,
) -> Loaded:
    """The next window of each of ``models`` that is closed but not judged.

    A window is closed once every spool was read past its end: up to ``recorded`` (business time,
    s), None where nobody knows. ``known`` is how far the models are judged, by default as it is
    recorded, ``complete`` whether no spool is missing that may come back, ``learned`` what was
    learned of each. One model that cannot be loaded keeps no other waiting.
    """
    if recorded is None:
        return Loaded((), (), {})
    live = {d.model: d for d in tx.deployments(models)}
    files = model_files(tx, list(live), cache)
    failed = {m: "its file cannot be read" for m in live if m not in files}
    keys = tx.key_records()
    tenants = len({record.entry.tenant for record in keys})
    applied = len(tx.applied_at())
    policies = watch_policies(files, models=applied, tenants=tenants)
    known = dict(tx.progress(list(files)) if known is None else known)
    fresh = [model for model in files if model not in known]
    since = {m: live[m].changed_at - policies[m].recent_s for m in fresh}
    for newest in tx.verdict_heads(fresh, 1):  # of a model that was taken out of service meanwhile
        judged_until = newest.start + policies[newest.model].window_s
        since[newest.model] = max(since[newest.model], judged_until)
    for model, first in tx.first_windows(since).items():
        known[model] = Progress(model, first, first, 0.0)
    waiting: list[Progress] = []
    spans: dict[tuple[float, float], list[str]] = {}
    for model, progress in known.items():
        policy = policies[model]
        due_at = progress.until + policy.window_s + policy.grace_s
        if recorded < due_at:
            if progress.due_at != due_at:
                waiting.append(
                    Progress(model, progress.began, progress.until, due_at, progress.revision)
                )
            continue
        spans.setdefault((progress.until, progress.until + policy.window_s), []).append(model)
    ready = [model for models_of in spans.values() for model in models_of]
    carried = list(tx.monitor_states(ready)) if ready else []
    states = _states(carried)
    sounding: dict[str, set[str]] = {}
    for state in carried:
        if state.alarmed:
            sounding.setdefault(state.model, set()).add(state.monitor)
    windows: list[DueWindow] = []
    for (start, end), models_of in spans.items():
        found = _by_model(tx.sketches_of(models_of, start, end))
        segmented = [model for model in models_of if files[model].segments]
        segments = _by_model(tx.segments_of(segmented, start, end) if segmented else [])
        for model in models_of:
            held = states.get(model, {})
            # Tenants that sign in by a token have no key, and are watched all the same.
            came = sum(tenant_of(s) is not None for s in held.get(SuddenShift.name, ()))
            if came > tenants:
                policies[model] = watch_policy(files[model], models=applied, tenants=came)
            try:
                window = load_window(
                    tx, files[model], policies[model], live[model], known[model],
                    found.get(model, []), held, cache, keys, complete,
                    segments.get(model, []),
                )  # fmt: skip
            except Exception as error:
                _log.exception("a window of model %s cannot be loaded", model)
                failed[model] = f"{type(error).__name__}: {error}"
            else:
                window = replace(window, learned=learned(model))
                mine = frozenset(sounding.get(model, ()))
                windows.append(DueWindow(window, held, known[model], mine))
    return Loaded(tuple(windows), tuple(waiting), failed)


def learned_from(store: ControlStore) -> LearnedFrom:
    """Read when a monitor asks for it, in a transaction of its own: whether another steward judged
    the window meanwhile shows when it is recorded."""

    def of_model(model: str) -> Learned:
        def read(monitor: str, subjects: Sequence[str]) -> Mapping[str, bytes]:
            with store.read() as tx:
                return tx.learned_states(model, monitor, subjects)

        return read

    return of_model


def watch_policies(
    files: Mapping[str, ModelFile], *, models: int, tenants: int
) -> dict[str, WindowPolicy]:
    """Of the models whose files these are, each with its share of the budget of an installation
    with so many ``models`` and ``tenants``."""
    return {m: watch_policy(f, models=models, tenants=tenants) for m, f in files.items()}


def _keyless(keys: Sequence[KeyRecord], at: float) -> frozenset[str]:
    """Tenants that had keys, none of which is good any more ``at`` that time (s)."""
    good = {
        k.entry.tenant
        for k in keys
        if not k.entry.expired(at) and (k.revoked_at is None or k.revoked_at > at)
    }
    return frozenset(k.entry.tenant for k in keys) - good


def load_window(
    tx: Tx,
    file: ModelFile,
    policy: WindowPolicy,
    live: Deployment,
    progress: Progress,
    found: list[tuple[WindowKey, Sketch]],
    states: States,
    cache: WindowCache,
    keys: Sequence[KeyRecord],
    complete: bool,
    segments: Sequence[tuple[SegmentKey, Sketch]] = (),
) -> ClosedWindow:
    """The window that begins where ``progress`` ends, of its sketches ``found`` and those of
    ``segments``, by what is live now; ``states`` say which layouts are needed beside the
    champion's."""
    champion = _champion(tx, live, cache)
    layout, start = champion.layout, progress.until
    layouts = {layout.id: layout} | {
        name: _layout(tx, name, cache)
        for m in MONITORS
        for name in m.layouts(states.get(m.name, _NO_ROWS))
        if name != layout.id
    }
    sketches = tuple(project_sketches(tx, layout, found))
    counts = _merge(layout, [sketch for key, sketch in sketches if key.arm not in NO_SAMPLE])

    def layout_of(name: str) -> Layout:
        return _layout(tx, name, cache)

    answers = gather_answers(
        as_registered(found, layout_of),
        layout_of,
        lambda version: _trained(tx, live.model, version, cache),
    )
    return ClosedWindow(
        file, policy, live, layout, champion.baseline, start, sketches, counts,
        progress.began, complete, _keyless(keys, start), layouts, champion.holdout,
        champion.calibration, answers, _by_segment(tx, file, layout, segments),
        gather_derived(found, layout_of), broken_parts=_broken_parts(live, states),
    )  # fmt: skip


def _broken_parts(live: Deployment, states: States) -> Mapping[str, frozenset[str]]:
    """As they were told, and where a version stands in for one tenant."""
    out = {tenant_subject(t): frozenset(views) for t, views in live.tenant_broken.items()}
    for subject, row in states.get(SuddenShift.name, _NO_ROWS).items():
        views = {view for view, kind in row.get("told", {}).items() if kind in OF_ONE}
        if views:
            out[subject] = out.get(subject, frozenset()) | views
    return out


def _by_segment(
    tx: Tx, file: ModelFile, layout: Layout, found: Sequence[tuple[SegmentKey, Sketch]]
) -> Mapping[str, Counts]:
    """Of the segments that the file declares now, merged over recorders."""
    out: dict[str, Counts] = {}
    declared = [(k, s) for k, s in found if segmented_by(k.segment, file.segments)]
    for key, sketch in project_sketches(tx, layout, declared):
        before = out.get(key.segment)
        out[key.segment] = sketch.features if before is None else before + sketch.features
    return out


def _champion(tx: Tx, live: Deployment, cache: WindowCache) -> _Champion:
    held = cache.champions.get(live.model)
    if held is None or held[0] != live.champion:
        record = tx.version(live.model, live.champion)
        layout = tx.layout(record.layout_id)
        baseline = Baseline.from_bytes(record.baseline)
        packed = record.calibration
        calibration = Calibration.of_arrays(unpack_text(packed)) if packed else None
        held = (live.champion, _Champion(layout, baseline, record.metrics, calibration))
        cache.champions[live.model] = held
    return held[1]


def _trained(tx: Tx, model: str, version: str, cache: WindowCache) -> TrainedAnswers:
    """It never changes."""
    held = cache.trained.get((model, version))
    if held is None:
        record = tx.version(model, version)
        layout = _layout(tx, record.layout_id, cache)
        held = TrainedAnswers.of(layout, Baseline.from_bytes(record.baseline))
        while len(cache.trained) >= _MOST_TRAINED:
            del cache.trained[next(iter(cache.trained))]
        cache.trained[model, version] = held
    return held


def _layout(tx: Tx, name: str, cache: WindowCache) -> Layout:
    """A layout never changes."""
    if name not in cache.layouts:
        while len(cache.layouts) >= _MOST_LAYOUTS:
            del cache.layouts[next(iter(cache.layouts))]
        cache.layouts[name] = tx.layout(name)
    return cache.layouts[name]


def _states(found: Iterable[MonitorState]) -> Mapping[str, States]:
    out: dict[str, dict[str, dict[str, Mapping[str, object]]]] = {}
    for state in found:
        out.setdefault(state.model, {}).setdefault(state.monitor, {})[state.subject] = state.body
    return out


def _by_model(found: Iterable[tuple[K, Sketch]]) -> Mapping[str, list[tuple[K, Sketch]]]:
    out: dict[str, list[tuple[K, Sketch]]] = {}
    for key, sketch in found:
        out.setdefault(key.model, []).append((key, sketch))
    return out


def _merge(layout: Layout, sketches: list[Sketch]) -> Counts:
    parts = [s.features for s in sketches]
    return np.sum(parts, axis=0) if parts else np.zeros(layout.size, np.int64)
