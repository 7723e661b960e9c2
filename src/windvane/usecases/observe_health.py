"""How each model is, from what the store knows of it and of what watches it.

The command line, the console, the API and the metrics say the same, for they all ask here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from windvane.core.alerting import CANARY, Severity
from windvane.core.health import (
    Health,
    HealthFacts,
    Traffic,
    Trouble,
    Watching,
    judge_health,
)
from windvane.core.sketch import Sketch
from windvane.core.verdict import Outcome
from windvane.ports.control_store import (
    Deployment,
    Incident,
    Progress,
    Tx,
    VersionRecord,
    WindowKey,
    WindowVerdict,
)
from windvane.usecases.advance_rollout import ROLLOUT
from windvane.usecases.explain_runtime import is_watched, recorded_choice
from windvane.usecases.leases import lease_of
from windvane.usecases.monitors import MONITORS
from windvane.usecases.monitors.sudden_shift import FEED, SuddenShift
from windvane.usecases.monitors.training_drift import TrainingDrift
from windvane.usecases.read_model_file import ModelFile, parse_duration
from windvane.usecases.recorded_until import recorded_until

# Newest verdicts by monitor and subject.
Latest = Mapping[tuple[str, str], WindowVerdict]
RECENT_WINDOWS = 3
_LEAST_LATE_S = 60.0


@dataclass(frozen=True, slots=True)
class Observed:
    """What bears on every model, read once: how far every spool was read (business time, s), the
    leases that are held, the manifests that are trusted."""

    recorded: float | None
    leases: frozenset[str]
    trusted: frozenset[str]


def observe(tx: Tx, wall: float, expire_after_s: float) -> Observed:
    """At ``wall`` (s); a spool that nobody saw for ``expire_after_s`` is left out."""
    checkpoints = tx.checkpoints()
    recorded = recorded_until(checkpoints, wall, expire_after_s)
    if recorded is None:  # every recorder is down: how far the furthest came
        recorded = max((c.watermark for c in checkpoints), default=None)
    return Observed(
        recorded,
        frozenset(lease.name for lease in tx.leases("steward/") if lease.alive),
        frozenset(trust.manifest for trust in tx.trusted()),
    )


def observe_health(
    tx: Tx,
    seen: Observed,
    file: ModelFile,
    live: Deployment | None,
    incidents: Sequence[Incident],
    now: float,
    *,
    latest: Latest | None = None,
    traffic: Traffic | None = None,
) -> Health:
    """The word for one model. ``latest`` and ``traffic`` where the caller has read them already."""
    if latest is None:
        latest = latest_verdicts(tx, file.model, bool(live and live.challenger))
    if traffic is None:
        window_s = parse_duration(file.watch.window)
        since = now // window_s * window_s - RECENT_WINDOWS * window_s
        traffic = traffic_of(tx.sketches(file.model, since, float("inf")), since)
    if not traffic.before:
        first = tx.first_windows({file.model: 0.0}).get(file.model)
        traffic = replace(traffic, before=first is not None)
    return judge_health(_facts(tx, seen, file, live, incidents, latest, traffic, now))


def traffic_of(found: Iterable[tuple[WindowKey, Sketch]], since: float) -> Traffic:
    """Traffic of the windows from ``since`` (s) on."""
    answered = unanswered = fell_back = refused = 0
    before = False
    for key, sketch in found:
        if key.start < since:
            before = True
            continue
        answered += sketch.total("rows")
        unanswered += sketch.total("unanswered")
        fell_back += sketch.total("fell_back")
        refused += sketch.total("refused")
    return Traffic(answered, unanswered, fell_back, before, RECENT_WINDOWS, refused)


def latest_verdicts(tx: Tx, model: str, rolling_out: bool) -> Latest:
    """The newest verdict of each monitor and subject; of a rollout only while there is one."""
    out: dict[tuple[str, str], WindowVerdict] = {}
    rows = tx.verdicts(model, "", 0.0, 50)
    slow = [m.name for m in MONITORS if m.slow]
    for monitor in (*slow, *((ROLLOUT,) if rolling_out else ())):
        rows += tx.verdicts(model, monitor, 0.0, 1)
    for row in sorted(rows, key=lambda r: -r.start):
        if rolling_out or row.monitor != ROLLOUT:
            out.setdefault((row.monitor, row.subject), row)
    return out


def is_urgent(incident: Incident) -> bool:
    """A canary that was rolled back harms nobody any more."""
    return incident.severity == Severity.HIGH and incident.kind != CANARY.name


def _facts(
    tx: Tx,
    seen: Observed,
    file: ModelFile,
    live: Deployment | None,
    incidents: Sequence[Incident],
    latest: Latest,
    traffic: Traffic,
    now: float,
) -> HealthFacts:
    watching = _watching(tx, seen, file, now)
    if live is None:
        return HealthFacts(False, watching, traffic)
    versions = {v.version: v for v in tx.version_summaries(live.model)}
    champion = versions.get(live.champion)
    stand_in = versions.get(live.standing_in) if live.standing_in else None
    shift = latest.get((SuddenShift.name, ""))
    drift = latest.get((TrainingDrift.name, ""))
    failed = [v for v in latest.values() if v.outcome == Outcome.FAIL]
    harmless = (TrainingDrift.name, ROLLOUT)
    window_s = parse_duration(file.watch.window)
    judged = tx.progress([file.model]).get(file.model)
    newest = sorted(incidents, key=lambda i: -i.opened_at)
    troubles = [
        # A broken source that another version stands in for harms nobody just now.
        *(Trouble(i.title, is_urgent(i) and not _stood_in_for(i, stand_in)) for i in newest),
        *(Trouble(v.sentence, False) for v in failed if v.monitor not in harmless),
    ]
    errors = [v.sentence for v in latest.values() if _still_fails(v, judged, window_s)]
    thin = shift is not None and shift.code == "DRI-202"
    held = shift is not None and shift.outcome == Outcome.HOLD
    return HealthFacts(
        live=True,
        off=live.off,
        watching=watching,
        traffic=traffic,
        troubles=troubles,
        unservable=_unservable(champion, live, seen),
        standing_in=_standing_in(live),
        not_measured=errors[0] if errors else "",
        hold=shift.sentence if shift is not None and thin else "",
        learning=shift.sentence if shift is not None and held and not thin else "",
        drifting=_drifting(drift),
        rolling_out=(
            f"version {live.challenger} answers {live.share:.0%} of the units"
            if live.challenger
            else ""
        ),
        passed=shift.sentence if shift is not None and not held else "",
    )


def _stood_in_for(incident: Incident, stand_in: VersionRecord | None) -> bool:
    """Whether the version that stands in needs nothing of what is broken."""
    if stand_in is None or incident.kind != FEED.name:
        return False
    return not set(incident.sources) & set(stand_in.views)


def _still_fails(verdict: WindowVerdict, judged: Progress | None, window_s: float) -> bool:
    """Whether the last window that was judged, or the one that is due, could not be measured: one
    that failed long ago says nothing of now."""
    if verdict.outcome != Outcome.ERROR:
        return False
    return judged is None or verdict.start + window_s >= judged.until


def _watching(tx: Tx, seen: Observed, file: ModelFile, now: float) -> Watching:
    window_s, grace_s = parse_duration(file.watch.window), parse_duration(file.watch.grace)
    held = tx.progress([file.model]).get(file.model)
    return Watching(
        recorded_ago=None if seen.recorded is None else max(0.0, now - seen.recorded),
        judged_ago=None if held is None else max(0.0, now - held.until),
        late_after=max(_LEAST_LATE_S, 3.0 * window_s + grace_s),
        steward=lease_of(file.model) in seen.leases,
    )


def _unservable(champion: VersionRecord | None, live: Deployment, seen: Observed) -> str:
    if champion is None:
        return f"version {live.champion} is deployed, and is not registered any more"
    if is_watched(champion):
        return ""
    if recorded_choice(champion).needs_trust and champion.manifest not in seen.trusted:
        return f"version {live.champion} can run code as it is loaded, and nobody trusts its files"
    return ""


def _standing_in(live: Deployment) -> str:
    if not live.standing_in:
        return ""
    why = f"version {live.standing_in} stands in for version {live.champion}"
    broken = ", ".join(live.broken_views)
    return f"{why}; broken: {broken}" if broken else why


def _drifting(drift: WindowVerdict | None) -> str:
    if drift is None or drift.outcome != Outcome.FAIL:
        return ""
    return f"the inputs differ from the training data: {drift.sentence}"
