"""What the control database says, as metrics: the word for each model, lags, what is open."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from windvane.adapters.sql import SqlControlStore
from windvane.apps.console.control_metrics import CONTROL, control_names, control_series
from windvane.apps.console.metrics import render
from windvane.core.journal import Decision, Effect
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.control_store import (
    Checkpoint,
    Deployment,
    Incident,
    ModelRecord,
    Progress,
    WindowVerdict,
)
from windvane.usecases.leases import hold_shards

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
        return render({CONTROL: control_series(tx, NOW, NOW, 600.0)})


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
        for i in range(9)
    ]
    verdict = Verdict(Outcome.PASS, "C-1", "said")
    with store.begin() as tx:
        tx.set_checkpoint(Checkpoint("m-w0", 0, NOW - 30.0))
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
                              {"metric": "auc", "auc": 0.71}),
            ]
        )  # fmt: skip
        tx.decide(
            Decision("d", "late", "", "s", "a", 1.0, {}, {}, verdict, (Effect("notify", {}),))
        )
    said = text(store)
    assert 'windvane_steward_shards_held{worker="control"} 16' in said
    assert 'windvane_recorded_lag_seconds{worker="control"} 30' in said
    assert 'windvane_judged_lag_seconds{model="late",worker="control"} 90' in said
    assert 'windvane_open_incidents{model="late",kind="feed",severity="high"' in said
    assert 'windvane_outcome_quality{model="late",metric="auc",worker="control"} 0.71' in said
    assert 'windvane_effects_waiting{kind="notify",worker="control"} 1' in said
    assert said.count("windvane_feature_shift{") == 5, "the largest few"
    assert 'feature="f8"' in said
    assert 'feature="f3"' not in said


def test_every_series_has_its_name(store: SqlControlStore) -> None:
    with store.read() as tx:
        made = {series.name for series in control_series(tx, NOW, NOW, 600.0)}
    assert made == set(control_names())
