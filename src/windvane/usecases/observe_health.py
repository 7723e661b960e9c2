"""How each model is, from what the store knows of it and of what watches it.

The command line, the console, the API and the metrics say the same, for they all ask here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from windvane.core.alerting import CANARY, Severity
from windvane.core.drift import block_seconds
from windvane.core.health import (
    SILENT_AFTER_S,
    Health,
    HealthFacts,
    Traffic,
    Trouble,
    Watching,
    judge_health,
)
from windvane.core.outcomes import OutcomePolicy
from windvane.core.sketch import Sketch
from windvane.core.slo import BUDGET_SPENT
from windvane.core.verdict import Outcome
from windvane.ports.control_store import (
    Checkpoint,
    Deployment,
    Incident,
    Tx,
    VersionRecord,
    WindowVerdict,
)
from windvane.ports.judging import Progress
from windvane.usecases.advance_rollout import ROLLOUT
from windvane.usecases.explain_runtime import is_watched, recorded_choice
from windvane.usecases.leases import lease_of
from windvane.usecases.monitors import MONITORS, monitor_named
from windvane.usecases.monitors.base import moment
from windvane.usecases.monitors.outcomes import Outcomes
from windvane.usecases.monitors.spans import BLOCKS
from windvane.usecases.monitors.sudden_shift import FEED, SuddenShift
from windvane.usecases.monitors.training_drift import TrainingDrift
from windvane.usecases.read_model_file import ModelFile, parse_duration
from windvane.usecases.recorded_until import MISSED_S, seen_ages, shown_until

# Newest verdicts by monitor and subject.
Latest = Mapping[tuple[str, str], WindowVerdict]
RECENT_WINDOWS = 3
_STATE_WORDS = {
    "joined": "are of predictions from before it",
    "late": "came too late",
    "unknown": "name no prediction",
    "ambiguous": "name several predictions",
    "out_of_range": "are no label that the task can have",
}
_LEAST_LATE_S = 60.0


@dataclass(frozen=True, slots=True)
class Observed:
    """What bears on every model, read once: how far every spool was read (business time, s), the
    leases that are held, the manifests that are trusted; for how long no recorder gave a sign
    (s), and which spool nobody has seen for a while; the models' versions that a gateway cannot
    load; whether a recorder was ever seen (``begun``)."""

    recorded: float | None
    leases: frozenset[str]
    trusted: frozenset[str]
    silent_for: float = 0.0
    missing: str = ""
    broken: frozenset[tuple[str, str]] = frozenset()
    begun: bool = False


def observe(
    tx: Tx,
    wall: float,
    expire_after_s: float,
    broken: frozenset[tuple[str, str]] = frozenset(),
) -> Observed:
    """At ``wall`` (s); a spool that nobody saw for ``expire_after_s`` is left out. ``broken``: see
    `broken_versions`."""
    checkpoints = tx.checkpoints()
    return Observed(
        shown_until(checkpoints, wall, expire_after_s),
        frozenset(lease.name for lease in tx.leases("steward/") if lease.alive),
        frozenset(trust.manifest for trust in tx.trusted()),
        *_signs(checkpoints, wall),
        broken,
        bool(checkpoints),
    )


def _signs(checkpoints: Sequence[Checkpoint], wall: float) -> tuple[float, str]:
    """For how long no recorder gave a sign, and what is said of the spool that was missed last: a
    machine that was replaced for good is nobody's worry after a day."""
    ages = sorted((age, spool) for spool, age in seen_ages(checkpoints, wall).items())
    if not ages:
        return 0.0, ""
    missed = next(((age, name) for age, name in ages if SILENT_AFTER_S < age < MISSED_S), None)
    if missed is None:
        return ages[0][0], ""
    return ages[0][0], (
        f"nobody has seen spool {missed[1]} for {missed[0] / 60.0:,.0f} min: what its gateway "
        "answers is not watched; `windvane spools drop` if it is gone for good"
    )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is read of one model: its newest verdicts, its versions, how far its windows are
    judged, whether there ever was traffic, and when its file was applied (business time, s)."""

    latest: Latest
    versions: Mapping[str, VersionRecord]
    judged: Progress | None
    had_traffic: bool
    applied_at: float


@dataclass(slots=True)
class Totals:
    """Rows that were answered, not answered or answered by a fallback, and refused requests; and
    those of the ``newest`` window that has rows, by its start (s)."""

    answered: int = 0
    unanswered: int = 0
    fell_back: int = 0
    refused: int = 0
    newest: float = -math.inf
    newest_answered: int = 0
    newest_unanswered: int = 0

    def add(self, start: float, sketch: Sketch) -> None:
        """Of a window that began at ``start`` (s)."""
        answered, unanswered = sketch.total("rows"), sketch.total("unanswered")
        if start > self.newest and answered + unanswered:
            self.newest, self.newest_answered, self.newest_unanswered = start, 0, 0
        if start == self.newest:
            self.newest_answered += answered
            self.newest_unanswered += unanswered
        self.answered += sketch.total("rows")
        self.unanswered += sketch.total("unanswered")
        self.fell_back += sketch.total("fell_back")
        self.refused += sketch.total("refused")


def load_evidence(tx: Tx, models: Mapping[str, Deployment | None]) -> Mapping[str, Evidence]:
    """Of each model, by what is live of it; as many queries for one as for two hundred."""
    names = list(models)
    rolling = {name for name, live in models.items() if live is not None and live.challenger}
    rows = tx.newest_verdicts(sorted(rolling), [ROLLOUT], 1)
    rows += tx.newest_verdicts(names, [m.name for m in MONITORS if m.slow], 1)
    rows += tx.verdict_heads(names, 50)  # after those that have their details
    latest: dict[str, dict[tuple[str, str], WindowVerdict]] = {name: {} for name in names}
    for row in sorted(rows, key=lambda r: -r.start):
        if row.monitor != ROLLOUT or row.model in rolling:
            latest[row.model].setdefault((row.monitor, row.subject), row)
    versions = tx.version_summaries_of(names)
    judged = tx.progress(names)
    first = tx.first_windows(dict.fromkeys(names, 0.0))
    applied_at = tx.applied_at()
    return {
        name: Evidence(
            latest[name],
            {version.version: version for version in versions.get(name, ())},
            judged.get(name),
            name in first,
            applied_at.get(name, 0.0),
        )
        for name in names
    }


def load_totals(
    tx: Tx, files: Iterable[ModelFile], now: float
) -> Mapping[str, Mapping[str, Totals]]:
    """Of each model by tenant: the window that is under way at ``now`` (s), and RECENT_WINDOWS
    before it."""
    since: dict[str, float] = {}
    for file in files:
        window_s = parse_duration(file.watch.window)
        since[file.model] = now // window_s * window_s - RECENT_WINDOWS * window_s
    out: dict[str, dict[str, Totals]] = {name: {} for name in since}
    for key, sketch in tx.sketches_since(since):
        out[key.model].setdefault(key.tenant, Totals()).add(key.start, sketch)
    return out


def traffic_of(tenants: Iterable[Totals]) -> Traffic:
    """All tenants' together."""
    held = list(tenants)
    newest = max((one.newest for one in held), default=-math.inf)
    last = [one for one in held if one.newest == newest]
    return Traffic(
        sum(one.answered for one in held), sum(one.unanswered for one in held),
        sum(one.fell_back for one in held), False, RECENT_WINDOWS,
        sum(one.refused for one in held), sum(one.newest_answered for one in last),
        sum(one.newest_unanswered for one in last),
    )  # fmt: skip


def observe_health(
    seen: Observed,
    evidence: Evidence,
    file: ModelFile,
    live: Deployment | None,
    incidents: Sequence[Incident],
    traffic: Traffic,
    now: float,
) -> Health:
    """The word for one model, from what was read of it. Reads nothing."""
    if evidence.had_traffic and not traffic.before:
        traffic = replace(traffic, before=True)
    # What a monitor said before it was switched off says nothing of now.
    wanted = {key: v for key, v in evidence.latest.items() if _is_wanted(v.monitor, file)}
    evidence = replace(evidence, latest=wanted)
    return judge_health(_facts(seen, evidence, file, live, incidents, traffic, now))


def _is_wanted(monitor: str, file: ModelFile) -> bool:
    named = monitor_named(monitor)
    return named is None or named.is_wanted(file)


def is_urgent(incident: Incident) -> bool:
    """A canary that was rolled back harms nobody any more."""
    return incident.severity == Severity.HIGH and incident.kind != CANARY.name


def _facts(
    seen: Observed,
    evidence: Evidence,
    file: ModelFile,
    live: Deployment | None,
    incidents: Sequence[Incident],
    traffic: Traffic,
    now: float,
) -> HealthFacts:
    watching = _watching(seen, evidence.judged, file, now)
    if live is None:
        return HealthFacts(False, watching, traffic)
    versions, latest, judged = evidence.versions, evidence.latest, evidence.judged
    champion = versions.get(live.champion)
    stand_in = versions.get(live.standing_in) if live.standing_in else None
    shift = latest.get((SuddenShift.name, ""))
    drift = latest.get((TrainingDrift.name, ""))
    failed = [v for v in latest.values() if v.outcome == Outcome.FAIL]
    harmless = (TrainingDrift.name, ROLLOUT)
    window_s = parse_duration(file.watch.window)
    newest = sorted(incidents, key=lambda i: -i.opened_at)
    troubles = [
        # A broken source that another version stands in for harms nobody just now.
        *(Trouble(i.title, is_urgent(i) and not _stood_in_for(i, stand_in)) for i in newest),
        # A budget that was spent weeks ago is on the model's page: nothing is wrong just now.
        *(
            Trouble(v.sentence, False)
            for v in failed
            if v.monitor not in harmless and v.code != BUDGET_SPENT
        ),
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
        not_scored=_not_scored(evidence, file),
    )


def _not_scored(evidence: Evidence, file: ModelFile) -> str:
    """Why the newest look at outcomes could not compare them with the floor, or that none came
    though it is due; "" where one could, or none is due yet."""
    if file.watch.outcomes.get("floor") is None or evidence.judged is None:
        return ""
    watch, judged = file.watch, evidence.judged
    window_s, over_s = parse_duration(watch.window), parse_duration(watch.drift_over)
    look = evidence.latest.get((Outcomes.name, ""))
    last = judged.began if look is None else look.start + window_s
    every_s = over_s / BLOCKS
    # The first look at a new floor comes with the end of a block.
    settled = evidence.applied_at + 2.0 * block_seconds(window_s, parse_duration(watch.recent))
    # The first comes once so much was watched, then one with each block.
    wait_s = over_s + every_s if look is None else 2.0 * every_s
    if judged.until >= max(last + wait_s, settled):
        due = f"one is due each seventh of {watch.drift_over}"
        return f"no look at outcomes since {moment(last)}, {due}"
    if look is None or look.outcome in (Outcome.PASS, Outcome.FAIL):
        return ""
    if look.outcome == Outcome.ERROR:
        return f"the last look at outcomes (until {moment(last)}) failed: {look.sentence}"
    return _of_hold(look, moment(last), OutcomePolicy(0.0).min_rows)


def _of_hold(look: WindowVerdict, until: str, needed: int) -> str:
    """How many outcomes came in a look that could not tell."""
    came: Mapping[str, int] = look.detail.get("outcomes", {})
    scored = look.detail.get("scored")
    if scored is None:
        return f"the last look at outcomes (until {until}) could not tell: {look.sentence}"
    if not scored and not sum(came.values()):
        return f"no outcome came in the last look (until {until}), {needed:,} needed"
    states = {**came, "joined": came.get("joined", 0) - scored}
    others = [f"{states[s]:,} {w}" for s, w in _STATE_WORDS.items() if states.get(s, 0) > 0]
    told = f"{scored:,} outcomes were scored in the last look (until {until})"
    told += f", {needed:,} needed" if scored < needed else f"; missing: {look.detail['missing']}"
    return f"{told}; besides, {', '.join(others)}" if others else told


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


def _watching(seen: Observed, judged: Progress | None, file: ModelFile, now: float) -> Watching:
    window_s, grace_s = parse_duration(file.watch.window), parse_duration(file.watch.grace)
    return Watching(
        recorded_ago=None if seen.recorded is None else max(0.0, now - seen.recorded),
        judged_ago=None if judged is None else max(0.0, now - judged.until),
        late_after=max(_LEAST_LATE_S, 3.0 * window_s + grace_s),
        steward=lease_of(file.model) in seen.leases,
        silent_for=seen.silent_for,
        missing=seen.missing,
        begun=seen.begun,
    )


def _unservable(champion: VersionRecord | None, live: Deployment, seen: Observed) -> str:
    if champion is None:
        return f"version {live.champion} is deployed, and is not registered any more"
    if is_watched(champion):
        return ""
    if recorded_choice(champion).needs_trust and champion.manifest not in seen.trusted:
        return f"version {live.champion} can run code as it is loaded, and nobody trusts its files"
    if (live.model, live.champion) in seen.broken:
        return f"a gateway cannot load version {live.champion}: its files are damaged or missing"
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
