"""What the control database says of models and of what watches them, as metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from windvane.core.health import Health, Tone
from windvane.ports.control_store import Tx
from windvane.ports.metrics import Series
from windvane.usecases.leases import SHARD
from windvane.usecases.monitors.outcomes import Outcomes
from windvane.usecases.monitors.sudden_shift import SuddenShift
from windvane.usecases.observe_health import observe, observe_health
from windvane.usecases.read_model_file import BadModelFile, read_model_file

CONTROL = "control"  # the name under which these are beside those of workers
_MODELS = 1_000
_FEATURES = 5  # of a model, those that moved furthest
_TEXTS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "model_health": (("model", "word", "code"), "1 for the word that a model's health has now"),
    "open_incidents": (("model", "kind", "severity"), "Incidents that are open"),
    "judged_lag_seconds": (("model",), "How far behind now the model's windows are judged"),
    "recorded_lag_seconds": ((), "How far behind now every spool is recorded"),
    "feature_shift": (
        ("model", "feature", "kind"),
        "Effect in the last window, largest few",
    ),
    "outcome_quality": (("model", "metric"), "The task's metric in the last look at outcomes"),
    "steward_shards_held": ((), "Shards whose lease a steward holds"),
    "effects_waiting": (("kind",), "Effects of decisions that are not carried out yet"),
}


def control_series(tx: Tx, now: float, wall: float, expire_after_s: float) -> list[Series]:
    """Of the first ``_MODELS`` models by name."""
    found: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in _TEXTS}
    seen = observe(tx, wall, expire_after_s)
    if seen.recorded is not None:
        found["recorded_lag_seconds"][()] = max(0.0, now - seen.recorded)
    held = [name for name in seen.leases if name.startswith(SHARD)]
    found["steward_shards_held"][()] = float(len(held))
    opened = tx.open_incidents()
    for one, n in Counter((i.model, i.kind, i.severity) for i in opened).items():
        found["open_incidents"][one] = float(n)
    for kind, n in Counter(e.kind for e in tx.due_effects(float("inf"), 10_000)).items():
        found["effects_waiting"][kind,] = float(n)
    records = tx.models()[:_MODELS]
    progress = tx.progress([record.name for record in records])
    for record in records:
        name = record.name
        live = tx.deployment(name)
        if name in progress:
            found["judged_lag_seconds"][name,] = max(0.0, now - progress[name].until)
        try:
            mine = [i for i in opened if i.model == name]
            health = observe_health(tx, seen, read_model_file(record.text), live, mine, now)
        except BadModelFile:
            health = Health("not measured", Tone.WARN, "HLT-202", "")
        found["model_health"][name, health.word, health.code] = 1.0
        for detail in (v.detail for v in tx.verdicts(name, SuddenShift.name, 0.0, 1)):
            for feature, kind, size in _largest(detail):
                found["feature_shift"][name, feature, kind] = size
        for detail in (v.detail for v in tx.verdicts(name, Outcomes.name, 0.0, 1)):
            metric = str(detail.get("metric", ""))
            if isinstance(value := detail.get(metric), int | float):
                found["outcome_quality"][name, metric] = float(value)
    return [
        Series(name, "gauge", text, labels, [(key, [v]) for key, v in found[name].items()])
        for name, (labels, text) in _TEXTS.items()
    ]


def control_names() -> dict[str, Series]:
    """Every metric by its name, without values."""
    return {n: Series(n, "gauge", text, labels, []) for n, (labels, text) in _TEXTS.items()}


def _largest(detail: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    sizes = [
        (str(r["feature"]), str(r["kind"]), float(r["size"])) for r in detail.get("readings", ())
    ]
    return sorted(sizes, key=lambda one: (-one[2], one[0], one[1]))[:_FEATURES]
