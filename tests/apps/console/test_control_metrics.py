"""What the control database says, as metrics: the word for each model, lags, what is open."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apps.prometheus import read

from windvane.adapters.sql import SqlControlStore
from windvane.apps.console.control_metrics import (
    CONTROL,
    FEATURES,
    QUARANTINED_MODELS,
    SPOOLS,
    TENANTS,
    control_names,
    control_series,
)
from windvane.apps.console.metrics import RECORDERS, recorder_series, render
from windvane.core.journal import Decision, Effect
from windvane.core.sketch import TRAFFIC, Sketch
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.control_store import (
    Checkpoint,
    Deployment,
    Incident,
    ModelRecord,
    WindowKey,
    WindowVerdict,
)
from windvane.ports.judging import Progress
from windvane.ports.metrics import OTHER
from windvane.ports.quarantine import Counted, CountName, Quarantined
from windvane.usecases.leases import hold_shards
from windvane.usecases.read_settings import Retention

NOW = 10_000.0
FILE = "model: late\nfeatures: {v: {f: {type: number}}}\n"


@pytest.fixture
def store(migrated_file: Path, tmp_path: Path) -> Iterator[SqlControlStore]:
    shutil.copy(migrated_file, tmp_path / "control.db")
    opened = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    with opened.begin() as tx:
        tx.put_model(ModelRecord("late", FILE, 1.0))
        tx.put_model(ModelRecord("bad", "model: [", 1.0))
    yield opened
    opened.close()


def text(store: SqlControlStore) -> str:
    with store.read() as tx:
        counted = recorder_series(tx.counts())
        return render({CONTROL: control_series(tx, NOW, NOW, 600.0), RECORDERS: counted})


def sketch(rows: int = 0, refused: int = 0, unanswered: int = 0) -> Sketch:
    empty = Sketch.empty("l" * 16, 0)
    empty.traffic[TRAFFIC.index("rows")] = rows
    empty.traffic[TRAFFIC.index("refused")] = refused
    empty.traffic[TRAFFIC.index("unanswered")] = unanswered
    return empty


def test_an_empty_home_has_no_steward(store: SqlControlStore) -> None:
    said = text(store)
    assert 'windvane_steward_shards_held{worker="control"} 0' in said
    assert 'windvane_model_health{model="late",word="not live",code="HLT-101"' in said
    assert 'windvane_model_health{model="bad",word="not measured",code="HLT-202"' in said
    assert "windvane_recorded_lag_seconds{" not in said, "nobody knows"


def test_lags_incidents_and_shifts(store: SqlControlStore) -> None:
    hold_shards(store, "one", 1_000.0)
    readings = [
        {"feature": f"f{i}", "view": "v", "kind": "values", "p": 0.5, "size": i / 10}
        for i in range(14)
    ]
    verdict = Verdict(Outcome.PASS, "C-1", "said")
    with store.begin() as tx:
        tx.set_checkpoint(Checkpoint("m-w0", 70, NOW - 30.0, logged=50))
        tx.put_deployment(Deployment("late", "9"))
        tx.put_progress([Progress("late", 0.0, NOW - 90.0, 0.0)])
        tx.put_incident(
            Incident("i", "late", "feed:v", "feed", "high", "t", 1.0, 1.0, None, "o", "r")
        )
        tx.add_verdicts(
            [
                WindowVerdict("late", 1.0, "sudden_shift", "", "pass", "DRI-200", "s",
                              {"rows": 9, "readings": readings}),
                WindowVerdict("late", 1.0, "outcomes", "", "pass", "OUT-400", "s",
                              {"metric": "auc", "auc": 0.71, "floor": 0.62,
                               "outcomes": {"joined": 90, "unknown": 3}}),
                WindowVerdict("late", 1.0, "training_drift", "", "pass", "DRI-200", "s",
                              {"rows": 9, "readings": readings}),
            ]
        )  # fmt: skip
        tx.decide(
            Decision("d", "late", "", "s", "a", 1.0, {}, {}, verdict, (Effect("notify", {}),))
        )
    said = text(store)
    assert 'windvane_steward_shards_held{worker="control"} 16' in said
    assert 'windvane_recorded_lag_seconds{worker="control"} 30' in said
    assert 'windvane_recorder_silent_seconds{worker="control"}' in said
    assert 'windvane_judged_lag_seconds{model="late",worker="control"} 90' in said
    assert 'windvane_open_incidents{model="late",kind="feed",severity="high"' in said
    assert 'windvane_outcome_quality{model="late",metric="auc",worker="control"} 0.71' in said
    assert 'windvane_effects_waiting{kind="notify",worker="control"} 1' in said
    assert said.count("windvane_feature_shift{") == FEATURES, "the largest few"
    assert said.count("windvane_feature_drift{") == FEATURES, "the largest few"
    assert 'windvane_feature_drift{model="late",feature="f13",worker="control"} 1.3' in said
    assert 'feature="f3"' not in said
    assert 'windvane_outcome_floor{model="late",metric="auc",worker="control"} 0.62' in said
    assert 'windvane_outcome_rows{model="late",state="unknown",worker="control"} 3' in said
    assert 'windvane_spool_lag_seconds{spool="m-w0",worker="control"} 30' in said
    assert 'windvane_spool_unlogged_bytes{spool="m-w0",worker="control"} 20' in said
    assert 'windvane_oldest_kept_seconds{kind="decisions",worker="control"} 9999' in said
    assert 'windvane_kept_for_seconds{kind="sketches",worker="control"} 69120000' in said
    assert 'windvane_kept_for_seconds{kind="effects",worker="control"} 604800' in said
    assert 'windvane_decisions_total{model="late",action="a"} 1' in said


def test_an_effect_whose_time_has_not_come_is_not_waiting(store: SqlControlStore) -> None:
    """An escalation waits for an answer; what failed and is tried again does wait."""
    verdict = Verdict(Outcome.PASS, "C-1", "said")
    effects = (Effect("notify", {}), Effect("notify", {}), Effect("alias", {}))
    with store.begin() as tx:
        tx.decide(Decision("d", "late", "", "s", "a", 1.0, {}, {}, verdict, effects))
        tx.postpone_effect("d#0", {}, NOW + 300.0)
        tx.effect_failed("d#1", "no answer", NOW + 300.0)
    said = text(store)
    assert 'windvane_effects_waiting{kind="notify",worker="control"} 1' in said
    assert 'windvane_effects_waiting{kind="alias",worker="control"} 1' in said


def test_budgets_and_their_burn_rates_are_those_of_the_last_window(
    store: SqlControlStore,
) -> None:
    """An objective that the file has no more is gone with the next window."""

    def said_of(subject: str, start: float, left: float) -> WindowVerdict:
        burn = [{"rule": "fast", "long": 3.5, "short": 20.25}]
        detail = {"budget_left": left, "burn": burn}
        return WindowVerdict("late", start, "slo", subject, "pass", "SLO-210", "s", detail)

    with store.begin() as tx:
        tx.add_verdicts(
            [
                said_of("availability", 1.0, 0.9), said_of("latency p50", 1.0, 0.5),
                said_of("availability", 2.0, -0.25), said_of("latency p99", 2.0, 0.75),
            ]
        )  # fmt: skip
    said = text(store)
    left = 'windvane_slo_budget_left{model="late",objective='
    assert f'{left}"availability",worker="control"}} -0.25' in said
    assert f'{left}"latency p99",worker="control"}} 0.75' in said
    assert said.count("windvane_slo_budget_left{") == 2
    rate = 'windvane_slo_burn_rate{model="late",objective="availability",rule="fast",span='
    assert f'{rate}"long",worker="control"}} 3.5' in said
    assert f'{rate}"short",worker="control"}} 20.25' in said


def test_every_series_has_its_name(store: SqlControlStore) -> None:
    with store.read() as tx:
        made = {series.name for series in control_series(tx, NOW, NOW, 600.0)}
    assert made == set(control_names())


def by_tenant(found: dict[Any, float]) -> dict[str, float]:
    return {dict(labels)["tenant"]: value for labels, value in found.items()}


def test_tenants_with_the_most_traffic_are_named_and_the_rest_is_one(
    store: SqlControlStore,
) -> None:
    start = NOW // 60.0 * 60.0 - 60.0
    with store.begin() as tx:
        for i in range(TENANTS + 30):
            key = WindowKey("late", start, "9", "champion", f"t{i:03}", "r")
            tx.add_sketches({key: sketch(rows=1_000 - i, unanswered=2, refused=3)})
            long_ago = WindowKey("late", start - 6_000.0, "9", "champion", f"t{i:03}", "r")
            tx.add_sketches({long_ago: sketch(rows=5)})
    found = read(text(store))
    rows = by_tenant(found["windvane_tenant_rows"])
    assert len(rows) == TENANTS + 1
    assert rows["t000"] == 1_000
    assert f"t{TENANTS:03}" not in rows
    assert rows[OTHER] == sum(1_000 - i for i in range(TENANTS, TENANTS + 30))
    assert by_tenant(found["windvane_tenant_refused_requests"])[OTHER] == 90
    assert by_tenant(found["windvane_tenant_unanswered_rows"])[OTHER] == 60


def test_a_tenant_may_be_called_as_the_rest_is(store: SqlControlStore) -> None:
    start = NOW // 60.0 * 60.0 - 60.0
    with store.begin() as tx:
        for i, tenant in enumerate([OTHER, *(f"t{i}" for i in range(TENANTS))]):
            key = WindowKey("late", start, "9", "champion", tenant, "r")
            tx.add_sketches({key: sketch(rows=1_000 - i)})
    rows = by_tenant(read(text(store))["windvane_tenant_rows"])
    assert rows[OTHER] == 1_000 + 1_000 - TENANTS


def test_spools_and_quarantined_models_are_bounded(store: SqlControlStore) -> None:
    with store.begin() as tx:
        for i in range(SPOOLS + 5):
            tx.set_checkpoint(Checkpoint(f"s{i}", 0, NOW - i))
        tx.set_checkpoint(Checkpoint("gone", 0, 1.0, seen_at=NOW - 700.0))
        tx.add_quarantined(
            [
                Quarantined(f"{i}-{j}", "event", f"m{i:02}", "t", 1.0, "REC-106", "", b"x", 1)
                for i in range(QUARANTINED_MODELS + 3)
                for j in range(2)
            ]
        )
    found = read(text(store))
    spools = {dict(k)["spool"] for k in found["windvane_spool_lag_seconds"]}
    assert len(spools) == SPOOLS
    assert f"s{SPOOLS + 4}" in spools, "the furthest behind"
    assert "gone" not in spools, "it is left out: it expired"
    held = {dict(k)["model"]: n for k, n in found["windvane_quarantine_items"].items()}
    assert len(held) == QUARANTINED_MODELS + 1
    assert held[OTHER] == 6


def test_of_models_beyond_the_bound_no_incident_is_lost(store: SqlControlStore) -> None:
    with store.begin() as tx:
        for i, model in enumerate(["bad", "late", "late"]):
            tx.put_incident(
                Incident(f"i{i}", model, f"c{i}", "feed", "high", "t", 1.0, 1.0, None, "o", "r")
            )
    with store.read() as tx:
        series = control_series(tx, NOW, NOW, 600.0, most_models=1)
    found = read(render({CONTROL: series}))
    opened = {dict(k)["model"]: n for k, n in found["windvane_open_incidents"].items()}
    assert opened == {"bad": 1, OTHER: 2}
    assert {dict(k)["model"] for k in found["windvane_model_health"]} == {"bad"}
    assert list(found["windvane_models_left_out"].values()) == [1]


def test_what_recorders_count_is_bounded() -> None:
    counts = {Counted(CountName.LATE_EVENTS, f"m{i}"): i for i in range(9)}
    (late,) = [one for one in recorder_series(counts, 4) if one.name == "late_events_total"]
    assert [labels for labels, _ in late.values] == [(f"m{i}",) for i in range(4)]


def test_the_limit_that_is_told_is_the_one_that_is_set(store: SqlControlStore) -> None:
    with store.read() as tx:
        found = control_series(tx, NOW, NOW, 600.0, retention=Retention(sketches=2.0))
    (kept,) = (series for series in found if series.name == "kept_for_seconds")
    assert dict(kept.values)["sketches",] == [172_800.0]
