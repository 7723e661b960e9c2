"""An incident in a terminal says what the version makes of its suspect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from windvane.adapters.sql import SqlControlStore
from windvane.apps.cli.main import app
from windvane.ports.control_store import Incident, ModelRecord

FILE = """\
model: delay
features:
  weather:
    wind_speed: {type: number}
    age: {type: number, tags: [pii]}
"""


def evidence(feature: str) -> dict[str, Any]:
    answers = {
        "feature": feature, "version": "1", "output": "late", "rows": 200, "importance": 0.02,
        "rank": 1, "features": 2, "points": [], "quartiles": [6.0, 8.0, 11.0],
        "usual": {"value": 8.0, "where": "training", "answer": 0.2134},
        "now": {"value": 14.4, "where": "training", "answer": 0.34},
    }  # fmt: skip
    return {"suspects": [{"feature": feature, "size": 0.4}], "partial_dependence": answers}


def told(home: Path, *words: str) -> str:
    found = CliRunner().invoke(
        app, ["incidents", *words, "--home", str(home)], env={"COLUMNS": "120"}
    )
    assert found.exit_code == 0, found.output
    return found.output


def test_the_suspects_answers_are_told_unless_its_values_are_hidden(tmp_path: Path) -> None:
    (tmp_path / "windvane.yaml").touch(0o600)
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    store.migrate()
    with store.begin() as tx:
        tx.put_model(ModelRecord("delay", FILE, 0.0))
        for feature in ("wind_speed", "age"):
            tx.put_incident(
                Incident(feature, "delay", "feed:weather", "feed", "high", "t", 0.0, 0.0, None,
                         "o", "r", evidence(feature))
            )  # fmt: skip
    store.close()
    said = (
        "as the model sees it: mean answer (late) 0.213 at wind_speed 8 (usual), 0.34 at 14.4 (now)"
    )
    assert said in told(tmp_path, "wind_speed")
    body = json.loads(told(tmp_path, "wind_speed", "--json"))
    assert body["incident"]["evidence"]["partial_dependence"]["now"]["answer"] == 0.34
    assert "as the model sees it" not in told(tmp_path, "age")
    hidden = json.loads(told(tmp_path, "age", "--json"))["incident"]["evidence"]
    assert hidden["partial_dependence"] == {
        "feature": "age", "version": "1", "missing": "values of age are tagged as pii",
    }  # fmt: skip
