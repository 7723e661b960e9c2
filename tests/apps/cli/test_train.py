"""What `train` says of its command line before anything slow is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from windvane.apps.cli import jobs
from windvane.apps.cli.main import app
from windvane.usecases.training_options import Recipe, TrainingOrder

TABLE = ["delay", "rows.csv", "--label", "late", "--time", "at"]


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What each process would have been started with."""
    orders: list[Any] = []

    def run(words: list[str], order: Any, _: dict[str, str]) -> int:
        orders.append((words, order))
        return 7

    monkeypatch.setattr(jobs, "run_module", run)
    return orders


def call(home: Path, *words: str) -> Any:
    (home / "windvane.yaml").touch()
    return CliRunner().invoke(app, ["train", *words, "--home", str(home)])


def test_an_order_has_all_that_was_said(tmp_path: Path, orders: list[Any]) -> None:
    done = call(
        tmp_path, *TABLE, "--holdout-from", "5", "--without", "weather, plan", "--unknown",
        "error", "--seed", "3", "--accept", "a new season", "--json",
    )  # fmt: skip
    assert done.exit_code == 7, "the process's own"
    [(words, order)] = orders
    assert words == ["windvane.apps.trainer", "train"]
    by = order.recipe.accepted_by
    assert by
    recipe = Recipe(("weather", "plan"), 5.0, 3, "error", "a new season", by)
    assert order == TrainingOrder("delay", "rows.csv", "late", "at", recipe, as_json=True)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["delay", "rows.csv", "--time", "at"], "--label"),
        (["delay", "--label", "late", "--time", "at"], "table"),
        ([*TABLE, "--unknown", "nul"], "neither null nor error"),
        ([*TABLE, "--sed", "3"], "--seed"),
        ([*TABLE, "--seed", "-1"], "--seed"),
    ],
)
def test_a_mistake_is_found_before_anything_is_started(
    tmp_path: Path, orders: list[Any], words: list[str], text: str
) -> None:
    done = call(tmp_path, *words)
    assert done.exit_code == 2
    assert text in done.output
    assert orders == []


def test_a_command_that_is_not_there_names_the_closest() -> None:
    done = CliRunner().invoke(app, ["statsu"])
    assert done.exit_code == 2
    assert "'status'" in done.output
