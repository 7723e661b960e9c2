"""What `profile` and `optimize` say of a command line before anything slow is started."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from windvane.adapters.sql import SqlControlStore
from windvane.apps.cli import jobs
from windvane.apps.cli.main import app
from windvane.core.execution import Optimization
from windvane.core.sketch import Layout, NumericAxis
from windvane.ports.control_store import ModelRecord, UnknownName, VersionRecord
from windvane.usecases.optimization_options import OptimizeOrder, ProfileOrder
from windvane.usecases.read_settings import HOME_VARIABLE

TABLE = ["--data", "rows.csv", "--label", "late", "--time", "at"]


@pytest.fixture
def home(tmp_path: Path, migrated_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with a model `delay` of one version."""
    monkeypatch.setenv("COLUMNS", "200")
    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copy(migrated_file, folder / "control.db")
    store = SqlControlStore(f"sqlite:///{folder / 'control.db'}")
    layout = Layout((NumericAxis("output", (0.5,)),))
    with store.begin() as tx:
        tx.put_model(
            ModelRecord("delay", "model: delay\nfeatures: {v: {f: {type: number}}}\n", 0.0)
        )
        tx.put_layout(layout)
        tx.add_version(VersionRecord("delay", "1", "", "", layout.id, (), {}, {}, b"", 0.0))
    store.close()
    return folder


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """(module, order, home) of each process that would have been started."""
    found: list[Any] = []

    def run(words: list[str], order: Any, environment: dict[str, str]) -> int:
        found.append((" ".join(words), msgspec.json.encode(order), environment[HOME_VARIABLE]))
        return 7

    monkeypatch.setattr(jobs, "run_module", run)
    return found


def call(home: Path, *words: str) -> Any:
    return CliRunner().invoke(app, [*words, "--home", str(home)])


def test_an_order_to_optimize_has_all_that_was_said(home: Path, started: list[Any]) -> None:
    done = call(
        home, "optimize", "delay:1", "--int8", *TABLE, "--loss", "2", "--accept", "cheaper",
        "--without", "weather, plan", "--holdout-from", "5", "--json",
    )  # fmt: skip
    assert done.exit_code == 7, "the process's own"
    [(module, body, folder)] = started
    assert (module, folder) == ("windvane.apps.trainer optimize", str(home))
    order = msgspec.json.decode(body, type=OptimizeOrder)
    assert (order.model, order.version, order.data) == ("delay", "1", "rows.csv")
    assert (order.label, order.time, order.without) == ("late", "at", ("weather", "plan"))
    message = order.options
    assert (message.how, message.allowed, message.accept) == (Optimization.INT8, 0.02, "cheaper")
    assert message.by
    assert message.holdout_from == 5.0
    assert order.as_json


def test_an_order_to_profile_needs_a_model_only(home: Path, started: list[Any]) -> None:
    assert call(home, "profile", "delay").exit_code == 7
    assert call(home, "profile", "delay:1", *TABLE, "--seconds", "3", "--with", "1").exit_code == 7
    first, second = [msgspec.json.decode(body, type=ProfileOrder) for _, body, _ in started]
    assert (first.model, first.version, first.data) == ("delay", "", "")
    assert (first.options.seconds, first.options.allowed) == (20.0, 0.005)
    assert (second.version, second.data, second.options.seconds) == ("1", "rows.csv", 3.0)
    assert (first.options.beside, second.options.beside) == ((), ("1",))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optimize", "delay:1", *TABLE], "exactly one of --fp32, --fp16, --int8, --prune"),
        (["optimize", "delay:1", *TABLE, "--int8", "--prune"], "got --int8, --prune"),
        (["optimize", "delay", *TABLE, "--int8"], "'delay' names no version"),
        (["optimize", "delay:1", "--int8", "--data", "rows.csv"], "--label"),
        (["profile", "delay", "--data", "rows.csv"], "--data needs --label and --time"),
        (["profile", "delay", "--label", "late"], "need --data"),
        (["profile", "delay", "--seconds", "0"], "--seconds"),
    ],
)
def test_what_cannot_be_meant_names_the_option(
    home: Path, started: list[Any], words: list[str], said: str
) -> None:
    done = call(home, *words)
    assert done.exit_code == 2
    assert said in done.output
    assert started == []


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["profile", "dleay"], "did you mean 'delay'?"),
        (["profile", "delay:2"], "known: 1"),
        (["profile", "delay:1", "--with", "11"], "did you mean '1'?"),
        (["optimize", "delay:11", "--int8", *TABLE], "did you mean '1'?"),
    ],
)
def test_an_unknown_name_is_answered_with_the_closest(
    home: Path, started: list[Any], words: list[str], hint: str
) -> None:
    done = call(home, *words)
    assert isinstance(done.exception, UnknownName)
    assert done.exception.advice == hint
    assert started == []
