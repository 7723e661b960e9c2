"""Gather the weekly digest: what nobody was woken for, and what still waits for somebody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from windvane.core.alerting import Severity
from windvane.core.alerting.digest import Digest, DigestLine, DigestSection, make_section
from windvane.core.health import Health, Tone
from windvane.core.verdict import Outcome
from windvane.ports.control_store import Deployment, Incident, Tx
from windvane.ports.incidents import ItemState
from windvane.ports.judging import MonitorState
from windvane.usecases.monitors.base import moment
from windvane.usecases.monitors.labels import Labels
from windvane.usecases.monitors.training_drift import TrainingDrift, TrainingDriftState
from windvane.usecases.observe_health import (
    Evidence,
    load_evidence,
    load_totals,
    observe,
    observe_health,
    traffic_of,
)
from windvane.usecases.read_model_file import (
    BadModelFile,
    ModelFile,
    read_model_file,
)
from windvane.usecases.read_objectives import read_objectives

WEEK_S = 7 * 86_400.0
STALE_S = 90 * 86_400.0
_MOST_INCIDENTS = 1_000
_MOST_ITEMS = 1_000


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What is on record of the models that the digest is about."""

    now: float
    files: Mapping[str, ModelFile]
    unread: Sequence[str]
    live: Mapping[str, Deployment]
    evidence: Mapping[str, Evidence]
    states: Sequence[MonitorState]
    opened: Sequence[Incident]


def write_digest(
    tx: Tx,
    now: float,
    wall: float,
    expire_after_s: float,
    *,
    team: str = "",
    visible: Callable[[ModelFile], bool] = lambda _: True,
) -> Digest:
    """Of the week before ``now`` (s), about models that are ``visible`` and of ``team``."""
    files, unread = _files(tx, team, visible)
    names = list(files)
    live = {one.model: one for one in (tx.deployments(names) if names else ())}
    opened = [i for i in tx.open_incidents() if i.model in files]
    evidence = load_evidence(tx, {name: live.get(name) for name in names}) if names else {}
    states = tx.monitor_states(names) if names else []
    held = _Loaded(now, files, unread, live, evidence, states, opened)
    recent = [
        one for one in tx.incident_summaries(now - WEEK_S, _MOST_INCIDENTS) if one.model in files
    ]
    week = [
        DigestLine(
            f"{one.model}: {one.title} ({one.severity}, "
            f"{'open' if one.closed_at is None else one.grade or 'closed, not graded'})",
            _incident(one.id),
            one.closed_at is None and one.severity == Severity.HIGH,
        )
        for one in recent
    ]
    sections = (
        _health(tx, held, wall, expire_after_s),
        _drift(held),
        _labels(held),
        _objectives(held),
        make_section("Incidents of the week", week, "None."),
        _unanswered(held),
        _overdue(tx, held),
        _stale(held),
    )
    return Digest(now - WEEK_S, now, len(files), team, sections)


def _files(
    tx: Tx, team: str, visible: Callable[[ModelFile], bool]
) -> tuple[dict[str, ModelFile], list[str]]:
    """Those whose file cannot be read are nobody's: they are said to who gets everything."""
    files: dict[str, ModelFile] = {}
    unread: list[str] = []
    for record in tx.models():
        try:
            file = read_model_file(record.text)
        except BadModelFile:
            unread += [] if team else [record.name]
            continue
        if team in ("", file.owner.team) and visible(file):
            files[record.name] = file
    return files, unread


def _health(tx: Tx, held: _Loaded, wall: float, expire_after_s: float) -> DigestSection:
    seen = observe(tx, wall, expire_after_s)
    totals = load_totals(tx, held.files.values(), held.now)
    found: list[tuple[str, Health]] = []
    for name, file in held.files.items():
        mine = [i for i in held.opened if i.model == name]
        health = observe_health(
            seen, held.evidence[name], file, held.live.get(name), mine,
            traffic_of(totals[name].values()), held.now,
        )  # fmt: skip
        found.append((name, health))
    ill = [
        DigestLine(f"{name}: {h.word}: {h.why}", _model(name), h.tone is Tone.BAD)
        for name, h in found
        if h.tone in (Tone.BAD, Tone.WARN)
    ]
    ill += [
        DigestLine(f"{name}: its file cannot be read", _model(name), True) for name in held.unread
    ]
    ill.sort(key=lambda line: not line.grave)
    return make_section("Health", ill, f"All {len(found)} models are as they should be.")


def _drift(held: _Loaded) -> DigestSection:
    """Each feature whose alarm of training drift is open, largest size first."""
    sizes: list[tuple[float, str, str, float]] = []
    for state in held.states:
        if state.monitor != TrainingDrift.name or not state.alarmed:
            continue
        for stream, held_by in msgspec.convert(state.body, TrainingDriftState).streams.items():
            if held_by.alarmed:
                since = held_by.since or state.at
                sizes.append((held_by.size, state.model, stream, since))
    lines = [
        DigestLine(
            f"{model}: {stream.replace('/', ', ')}: size {size:.2f} since {moment(since)}",
            _model(model),
        )
        for size, model, stream, since in sorted(sizes, key=lambda s: (-s[0], s[1], s[2]))
    ]
    return make_section("Drift worth a look", lines, "No feature drifts from its training data.")


def _labels(held: _Loaded) -> DigestSection:
    lines = [
        DigestLine(f"{name}: {verdict.sentence}", _model(name), verdict.outcome == Outcome.FAIL)
        for name in held.files
        for (monitor, _), verdict in sorted(held.evidence[name].latest.items())
        if monitor == Labels.name and verdict.outcome in (Outcome.FAIL, Outcome.ERROR)
    ]
    return make_section("Labels", lines, "None are late or missing as far as is known.")


def _objectives(held: _Loaded) -> DigestSection:
    lines: list[tuple[float, DigestLine]] = []
    for name, file in held.files.items():
        if name not in held.live:
            continue
        mine = [state for state in held.states if state.model == name]
        for one in read_objectives(file, mine):
            if one.until is not None and one.seen.total:
                text = f"{name}: {one.objective.title}: {one.left:.0%} of the budget left"
                lines.append((one.left, DigestLine(text, _model(name), one.left < 0.0)))
    ordered = [line for _, line in sorted(lines, key=lambda pair: pair[0])]
    return make_section("Service levels", ordered, "No objective was judged.")


def _unanswered(held: _Loaded) -> DigestSection:
    lines = [
        DigestLine(
            f"{i.model}: {i.title} ({i.severity}), open since {moment(i.opened_at)}",
            _incident(i.id),
            i.severity != Severity.LOW,
        )
        for i in held.opened
        if not i.acknowledged_by
    ]
    return make_section("Alerts that nobody answered", lines, "None.")


def _overdue(tx: Tx, held: _Loaded) -> DigestSection:
    lines = [
        DigestLine(
            f"{item.owner}: {item.what} ({item.model}), due {moment(item.due - 1.0)[:10]}",
            _incident(item.incident),
            True,
        )
        for item in tx.action_items(_MOST_ITEMS, state=ItemState.OPEN.value)
        if item.model in held.files and item.overdue(held.now)
    ]
    return make_section("Action items overdue", lines, "None.")


def _stale(held: _Loaded) -> DigestSection:
    """Models whose champion was made long ago, the oldest first."""
    ages: list[tuple[float, str, str]] = []
    for name, live in held.live.items():
        version = held.evidence[name].versions.get(live.champion)
        if version is not None and held.now - version.created_at >= STALE_S:
            ages.append((held.now - version.created_at, name, live.champion))
    lines = [
        DigestLine(
            f"{name}: version {version} was made {age / 86_400.0:.0f} days ago", _model(name)
        )
        for age, name, version in sorted(ages, reverse=True)
    ]
    return make_section("Stale models", lines, "No champion is older than 90 days.")


def _model(name: str) -> str:
    return f"/models/{quote(name, safe='')}"


def _incident(name: str) -> str:
    return f"/incidents/{quote(name, safe='')}"
