"""A prediction's explanation, from the client to the log."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from journeys.installation import MODEL, Installation, wait_until

from windvane.client import Client

pytestmark = pytest.mark.takes_turns

ROWS = [
    {"distance": 48.0, "kind": "van", "rain": 12.0},
    {"distance": 3.0, "kind": "bike", "rain": 0.0},
]


@pytest.mark.timeout(240)
def test_trees_and_graphs_explain_themselves_and_the_log_keeps_it(
    home: Installation, tmp_path: Path
) -> None:
    """Version 1 is a graph that `windvane train` made, version 3 a booster of one's own."""
    home.start("up")
    home.wait_ready()
    with Client(home.url, home.key, deadline=20.0) as client:
        sampled = client.predict(MODEL, ROWS, explain=True, deadline=15.0)
        for row in sampled:
            explained = row.explanation
            assert explained is not None, row.unexplained
            assert (explained.method, explained.scale) == ("permutation", "output")
            total = explained.base + sum(explained.contributions.values())
            assert total == pytest.approx(row.value, abs=1e-9)
            assert explained.standard_error is not None
            assert explained.standard_error < 0.1
        far, near = (row.explanation.contributions for row in sampled if row.explanation)
        assert far["distance"] > 0.1 > -0.1 > near["distance"]

        register(home, tmp_path)
        home.cli("deploy", MODEL, "3")
        wait_until("version 3 answers some", lambda: "3" in answered_by(client))
        exact = client.predict(MODEL, ROWS * 15, explain=True, deadline=15.0)
        by_trees = [row for row in exact if row.version == "3"]
        assert by_trees  # of 30 rows, at a canary's share
        for row in by_trees:
            explained = row.explanation
            assert explained is not None, row.unexplained
            assert (explained.method, explained.scale) == ("tree_shap", "log_odds")
            total = explained.base + sum(explained.contributions.values())
            assert 1.0 / (1.0 + np.exp(-total)) == pytest.approx(row.value, abs=1e-5)
    asked = {name: row for found in (sampled, exact) for name, row in zip(
        [f"{r}/{p}" for r, p in zip(found.request_ids, found.places, strict=True)], found,
        strict=True)}  # fmt: skip
    wait_until("all are logged", lambda: asked.keys() <= logged(home).keys())
    kept = logged(home)
    for name, row in asked.items():
        assert row.explanation is not None
        assert json.loads(kept[name])["contributions"] == row.explanation.contributions
    assert None in kept.values()  # of those that nobody asked to be explained


def register(home: Installation, folder: Path) -> None:
    with (home.home / "orders.csv").open() as file:
        table = list(csv.DictReader(file))
    codes = {"van": 0, "bike": 1}
    x = np.array([[float(r["distance"]), codes[r["kind"]], float(r["rain"])] for r in table])
    y = np.array([int(r["late"]) for r in table])
    model = xgboost.XGBClassifier(n_estimators=40, max_depth=3).fit(x[:1_200], y[:1_200])
    model.get_booster().feature_names = ["distance", "kind", "rain"]
    path, names = folder / "late.ubj", folder / "names.json"
    names.write_text(json.dumps({"kind": ["van", "bike"]}))
    model.save_model(path)
    home.cli(
        "register", MODEL, str(path), "--data", str(home.home / "orders.csv"),
        "--label", "late", "--time", "placed", "--vocabulary", str(names),
    )  # fmt: skip


def answered_by(client: Client) -> set[str]:
    return {row.version for row in client.predict(MODEL, ROWS * 50)}


def logged(home: Installation) -> dict[str, Any]:
    return {f"{row['prediction_id']}/{row['row']}": row["explanation"] for row in home.rows()}
