"""What the command line shows of a model."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from windvane.apps.cli import show
from windvane.ports.control_store import VersionRecord


@pytest.mark.parametrize(
    ("task", "metrics", "shown"),
    [
        ("binary", {"auc": 0.7431, "brier": 0.2}, ["AUC", "0.743"]),
        ("regression", {"mae": 4.25, "r2": 0.5}, ["MAE", "4.250"]),
        ("multiclass", {"accuracy": 0.9}, ["accuracy", "0.900"]),
        ("tensor", {}, ["MAE"]),  # nothing was measured, and nothing is shown
    ],
)
def test_versions_are_shown_with_the_metric_of_their_task(
    task: str, metrics: dict[str, float], shown: list[str]
) -> None:
    fields: Any = {"layout_id": "l", "lineage": {}, "baseline": b"", "created_at": 0.0}
    record = VersionRecord("m", "1", "a", "f", views=("v",), metrics=metrics, task=task, **fields)
    console = Console(width=100)
    with console.capture() as captured:
        console.print(show.versions_table([record], None))
    text = captured.get()
    assert all(word in text for word in shown)
    assert "nan" not in text


def test_one_is_no_plural() -> None:
    assert [show.counted(n, "version") for n in (0, 1, 2_000)] == [
        "0 versions", "1 version", "2,000 versions",
    ]  # fmt: skip
