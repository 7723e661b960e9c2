"""What the control database says of models and of what watches them, as metrics.

Every metric has a bound on its series, so that no number of models, tenants, features or spools
makes what Prometheus keeps grow without one.
"""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from windvane.core.health import Health, Tone
from windvane.ports.control_store import Incident, ModelRecord, Tx, WindowVerdict
from windvane.ports.metrics import OTHER, Series
from windvane.ports.retention import AgedRows
from windvane.usecases.check_slo import MOST_OBJECTIVES
from windvane.usecases.keep_bounded import kept_for
from windvane.usecases.leases import SHARD
from windvane.usecases.monitors.outcomes import OUTCOME_STATES, Outcomes
from windvane.usecases.monitors.slo import Slo
from windvane.usecases.monitors.sudden_shift import SuddenShift
from windvane.usecases.monitors.training_drift import TrainingDrift
from windvane.usecases.observe_health import (
    Latest,
    Observed,
    Totals,
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
from windvane.usecases.read_settings import Retention
from windvane.usecases.recorded_until import spool_states

CONTROL = "control"  # the name under which these are beside those of workers
MODELS = 1_000  # the first by name; the incidents of the others are under OTHER
FEATURES = 10  # of a model, those that moved furthest
TENANTS = 50  # of a model, those with the most rows and refusals; then OTHER
SPOOLS = 50  # those that are furthest behind
QUARANTINED_MODELS = 50  # those with the most items; then OTHER
_BY_WALL = (AgedRows.EFFECTS, AgedRows.ACCESS)
_TEXTS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "models_left_out": ((), "Models beyond the bound, whose health and lags are not here"),
    "model_health": (("model", "word", "code"), "1 for the word that a model's health has now"),
    "open_incidents": (("model", "kind", "severity"), "Incidents that are open"),
    "judged_lag_seconds": (("model",), "How far behind now the model's windows are judged"),
    "recorder_silent_seconds": ((), "How long no recorder gave a sign"),
    "recorded_lag_seconds": ((), "How far behind now every spool is recorded"),
    "spool_lag_seconds": (("spool",), "How far behind now a spool is recorded, the furthest few"),
    "spool_unlogged_bytes": (
        ("spool",),
        "Bytes that are counted, and that the log does not have yet",
    ),
    "feature_shift": (
        ("model", "feature", "kind"),
        "Effect in the last window against the recent past, largest few",
    ),
    "feature_drift": (
        ("model", "feature"),
        "PSI against the training data in the last look, largest few",
    ),
    "outcome_quality": (("model", "metric"), "The task's metric in the last look at outcomes"),
    "outcome_floor": (("model", "metric"), "The floor of the task's metric in the model's file"),
    "outcome_rows": (
        ("model", "state"),
        "What became of the outcomes of the last look's span",
    ),
    "slo_budget_left": (
        ("model", "objective"),
        "Share of the error budget that is left, negative where more was spent",
    ),
    "slo_burn_rate": (
        ("model", "objective", "rule", "span"),
        "How many times as fast as it lasts the budget burns",
    ),
    "tenant_rows": (("model", "tenant"), "Rows answered in the last three windows"),
    "tenant_refused_requests": (("model", "tenant"), "Requests refused in the last three windows"),
    "tenant_unanswered_rows": (
        ("model", "tenant"),
        "Rows owed and not answered in the last three windows",
    ),
    "steward_shards_held": ((), "Shards whose lease a steward holds"),
    "effects_waiting": (("kind",), "Effects of decisions that are due and not carried out yet"),
    "log_damaged_files": ((), "Files of the log, of its newest, that are missing or cut off"),
    "quarantine_items": (("model",), "Items that are set aside now"),
    "kept_for_seconds": (("kind",), "For how long rows are kept by settings and models' files"),
    "oldest_kept_seconds": (("kind",), "Age of the oldest row that is kept"),
}
Found = dict[str, dict[tuple[str, ...], float]]


def control_series(
    tx: Tx,
    now: float,
    wall: float,
    expire_after_s: float,
    *,
    most_models: int = MODELS,
    damaged_files: int | None = None,
    broken: frozenset[tuple[str, str]] = frozenset(),
    retention: Retention | None = None,
) -> list[Series]:
    """Gauges, bounded as the constants above say. ``damaged_files`` of the log: None where nobody
    could look. ``broken``: models' versions that a gateway cannot load. ``retention``: as it is
    set, None for the default."""
    found: Found = {name: {} for name in _TEXTS}
    if damaged_files is not None:
        found["log_damaged_files"][()] = float(damaged_files)
    seen = observe(tx, wall, expire_after_s, broken)
    if seen.recorded is not None:
        found["recorded_lag_seconds"][()] = max(0.0, now - seen.recorded)
    found["recorder_silent_seconds"][()] = seen.silent_for
    held = [name for name in seen.leases if name.startswith(SHARD)]
    found["steward_shards_held"][()] = float(len(held))
    opened, records = tx.open_incidents(), tx.models()
    _add_incidents(found, opened, {record.name for record in records}, most_models)
    due = {e.key for e in tx.due_effects(wall, 10_000)}
    late = [e for e in tx.due_effects(float("inf"), 10_000) if e.attempts > 0 or e.key in due]
    # Without those whose time has not come: an escalation waits for an answer.
    for kind, n in Counter(e.kind for e in late).items():
        found["effects_waiting"][kind,] = float(n)
    _add_storage(found, tx, now, wall, expire_after_s)
    found["models_left_out"][()] = float(max(0, len(records) - most_models))
    records = sorted(records, key=lambda record: record.name)[:most_models]
    files = _add_models(found, tx, seen, records, opened, now)
    for kind, kept_s in kept_for(files, retention or Retention()).items():
        found["kept_for_seconds"][kind.value,] = kept_s
    return [
        Series(name, "gauge", text, labels, [(key, [v]) for key, v in found[name].items()])
        for name, (labels, text) in _TEXTS.items()
    ]


def control_names() -> dict[str, Series]:
    """Every metric by its name, without values."""
    return {n: Series(n, "gauge", text, labels, []) for n, (labels, text) in _TEXTS.items()}


def _add_incidents(
    found: Found, opened: Sequence[Incident], models: Collection[str], most: int
) -> None:
    """None is left out, or an alert on high incidents would not be whole."""
    named = set(sorted({*models, *(i.model for i in opened)})[:most])
    labels = ((i.model if i.model in named else OTHER, i.kind, i.severity) for i in opened)
    for one, n in Counter(labels).items():
        found["open_incidents"][one] = float(n)


def _add_storage(found: Found, tx: Tx, now: float, wall: float, expire_after_s: float) -> None:
    """What spools, the quarantine and retention hold."""
    spools = [
        one
        for one in spool_states(tx.checkpoints(), now, wall, expire_after_s)
        if not one.expired
    ]  # fmt: skip
    for spool in sorted(spools, key=lambda one: (-(one.lag_s or 0.0), one.spool))[:SPOOLS]:
        if spool.lag_s is not None:
            found["spool_lag_seconds"][spool.spool,] = spool.lag_s
        found["spool_unlogged_bytes"][spool.spool,] = float(spool.position - spool.logged)
    sizes = {model: (float(n),) for model, n in tx.quarantine_sizes().items()}
    for model, (n,) in _largest(sizes, QUARANTINED_MODELS).items():
        found["quarantine_items"][model,] = n
    for kind, at in tx.oldest_kept().items():
        age = (wall if kind in _BY_WALL else now) - at
        found["oldest_kept_seconds"][kind.value,] = max(0.0, age)


def _add_models(
    found: Found,
    tx: Tx,
    seen: Observed,
    records: Sequence[ModelRecord],
    opened: Sequence[Incident],
    now: float,
) -> Collection[ModelFile]:
    """As many queries for one model as for two hundred; the files that can be read."""
    names = [record.name for record in records]
    live = {one.model: one for one in tx.deployments()}
    evidence = load_evidence(tx, {name: live.get(name) for name in names})
    files: dict[str, ModelFile] = {}
    for record in records:
        with contextlib.suppress(BadModelFile):
            files[record.name] = read_model_file(record.text)
    totals = load_totals(tx, files.values(), now)
    by_model: defaultdict[str, list[Incident]] = defaultdict(list)
    for incident in opened:
        by_model[incident.model].append(incident)
    for name in names:
        judged = evidence[name].judged
        if judged is not None:
            found["judged_lag_seconds"][name,] = max(0.0, now - judged.until)
        health = Health("not measured", Tone.WARN, "HLT-202", "")
        if name in files:
            health = observe_health(
                seen, evidence[name], files[name], live.get(name), by_model[name],
                traffic_of(totals[name].values()), now,
            )  # fmt: skip
            _add_tenants(found, name, totals[name])
        found["model_health"][name, health.word, health.code] = 1.0
    for verdict in tx.newest_verdicts(names, [SuddenShift.name], 1):
        for feature, kind, size in _furthest(verdict.detail):
            found["feature_shift"][verdict.model, feature, kind] = size
    _add_objectives(found, tx.newest_verdicts(names, [Slo.name], MOST_OBJECTIVES))
    for name in names:
        _add_slow(found, name, evidence[name].latest)
    return files.values()


def _add_objectives(found: Found, newest: Sequence[WindowVerdict]) -> None:
    """Of each model's newest judged window, whose objectives are those of its file."""
    last: dict[str, float] = {}
    for verdict in newest:
        if last.setdefault(verdict.model, verdict.start) != verdict.start:
            continue
        left = verdict.detail.get("budget_left")
        if isinstance(left, int | float):
            found["slo_budget_left"][verdict.model, verdict.subject] = float(left)
        for burn in verdict.detail.get("burn", ()):
            for span in ("long", "short"):
                key = (verdict.model, verdict.subject, str(burn["rule"]), span)
                found["slo_burn_rate"][key] = float(burn[span])


def _add_slow(found: Found, name: str, latest: Latest) -> None:
    """What the monitors that look once in a while said last."""
    drift = latest.get((TrainingDrift.name, ""))
    for feature, _, size in _furthest(drift.detail if drift else {}):
        found["feature_drift"][name, feature] = size
    looked = latest.get((Outcomes.name, ""))
    detail: Mapping[str, Any] = looked.detail if looked else {}
    metric = str(detail.get("metric", ""))
    for key, value in (("quality", detail.get(metric)), ("floor", detail.get("floor"))):
        if isinstance(value, int | float):
            found[f"outcome_{key}"][name, metric] = float(value)
    became: Mapping[str, Any] = detail.get("outcomes", {})
    for state in OUTCOME_STATES:
        if state in became:
            found["outcome_rows"][name, state] = float(became[state])


def _add_tenants(found: Found, model: str, totals: Mapping[str, Totals]) -> None:
    counts = {
        tenant: (float(one.answered), float(one.refused), float(one.unanswered))
        for tenant, one in totals.items()
    }
    names = ("tenant_rows", "tenant_refused_requests", "tenant_unanswered_rows")
    for tenant, of_one in _largest(counts, TENANTS).items():
        for name, count in zip(names, of_one, strict=True):
            found[name][model, tenant] = count


def _largest(totals: Mapping[str, Sequence[float]], most: int) -> dict[str, Sequence[float]]:
    """The ``most`` with the largest sums, and the sum of the rest as OTHER."""
    ranked = sorted(totals, key=lambda name: (-sum(totals[name]), name))
    out: dict[str, Sequence[float]] = {name: totals[name] for name in ranked[:most]}
    if rest := [totals[name] for name in ranked[most:]]:
        if OTHER in out:  # a tenant may be called anything
            rest.append(out[OTHER])
        out[OTHER] = [sum(column) for column in zip(*rest, strict=True)]
    return out


def _furthest(detail: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    sizes = [
        (str(r["feature"]), str(r["kind"]), float(r["size"])) for r in detail.get("readings", ())
    ]
    return sorted(sizes, key=lambda one: (-one[2], one[0], one[1]))[:FEATURES]
