"""However many models there are, how they are is read by the same number of queries."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from windvane.adapters.sql import SqlControlStore
from windvane.apps.cli.main import app
from windvane.apps.console.control_metrics import control_series
from windvane.apps.console.memory import Memory
from windvane.apps.console.overview import load_overview
from windvane.core.sketch import NO_AXES, TRAFFIC, Sketch
from windvane.ports.control_store import (
    Checkpoint,
    Deployment,
    Incident,
    Tx,
    VersionRecord,
    WindowKey,
    WindowVerdict,
)
from windvane.ports.judging import Progress
from windvane.usecases.apply_model import apply_model

NOW = 1_700_000_000.0
FILE = "model: {name}\nowner: {{team: ops}}\nfeatures: {{v: {{f: {{type: number}}}}}}\n"


class Clock:
    def now(self) -> float:
        return NOW

    def wall(self) -> float:
        return NOW


def fill(store: SqlControlStore, first: int, last: int) -> None:
    """Models that answer, roll out, and have been judged, each with an incident."""
    for i in range(first, last):
        apply_model(store, Clock(), FILE.format(name=f"m{i:03}"))
    sketch = Sketch.empty(NO_AXES.id, 0)
    sketch.traffic[TRAFFIC.index("rows")] = 10
    with store.begin() as tx:
        tx.put_layout(NO_AXES)
        tx.set_checkpoint(Checkpoint("s", 1, NOW, NOW))
        for i in range(first, last):
            name = f"m{i:03}"
            for version in ("1", "2"):
                tx.add_version(
                    VersionRecord(name, version, "a", f"{i}{version}", NO_AXES.id, (), {}, {}, b"",
                                  NOW)
                )  # fmt: skip
            tx.put_deployment(Deployment(name, "1", challenger="2", share=0.1))
            tx.put_progress([Progress(name, NOW - 6e3, NOW, NOW)])
            tx.put_incident(
                Incident(f"{name}-1", name, "errors", "errors", "medium", "ill", NOW, NOW, None,
                         "ops", "r", {})
            )  # fmt: skip
            for monitor in ("sudden_shift", "rollout", "outcomes"):
                tx.add_verdicts(
                    [WindowVerdict(name, NOW - 60.0, monitor, "", "pass", "DRI-200", "ok", {})]
                )
            key = WindowKey(name, NOW // 60 * 60 - 60.0, "1", "champion", "acme", "r")
            tx.add_sketches({key: sketch})


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that are sent meanwhile."""
    sent: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


def models_page(tx: Tx) -> int:
    overview = load_overview(tx, NOW, NOW, Memory(), per_page=200)
    assert all(glance.line.all.rows == 10 for glance in overview.glances)
    return len(overview.glances)


def metrics(tx: Tx) -> int:
    found = {series.name: series for series in control_series(tx, NOW, NOW, 60.0)}
    assert all(value == [10.0] for _, value in found["tenant_rows"].values)
    return len(found["model_health"].values)


@pytest.mark.parametrize("read", [models_page, metrics])
def test_reading_many_models_takes_as_many_queries_as_reading_few(
    migrated_file: Path, tmp_path: Path, read: Callable[[Tx], int]
) -> None:
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    sent: dict[int, int] = {}
    for first, last in ((0, 2), (2, 60)):
        fill(store, first, last)
        with store.read() as tx, counted() as statements:
            assert read(tx) == last
        sent[last] = len(statements)
    store.close()
    assert sent[2] == sent[60] <= 31, sent


def test_status_of_many_models_takes_as_many_queries_as_of_few(
    migrated_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(migrated_file, tmp_path / "control.db")
    (tmp_path / "windvane.yaml").touch()
    monkeypatch.setenv("WINDVANE_HOME", str(tmp_path))
    sent: dict[int, int] = {}
    for first, last in ((0, 2), (2, 60)):
        store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
        fill(store, first, last)
        store.close()
        with counted() as statements:
            shown = CliRunner().invoke(app, ["status", "--json"], catch_exceptions=False)
        assert len(json.loads(shown.stdout)["models"]) == last
        sent[last] = len(statements)
    assert sent[2] == sent[60] <= 32, sent
