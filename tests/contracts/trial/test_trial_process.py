"""A version is tried in a process of its own, whatever it does there."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from contracts.runtime.hostile import Calls
from contracts.runtime.hostile import version as write_version
from contracts.runtime.worlds import CONTRACT, onnx_ours

from windvane.adapters.files import FileArtifacts
from windvane.adapters.trial import TrialProcess
from windvane.ports.trial import TooManyTrials, TrialOrder
from windvane.usecases.read_settings import HOME_VARIABLE


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir()
    (made / "windvane.yaml").touch(0o600)
    return made


def test_a_version_that_answers_has_nothing_wrong(home: Path, tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    world = onnx_ours(tmp_path / "v")
    order = TrialOrder(str(world.folder), world.manifest, CONTRACT)
    assert TrialProcess((HOME_VARIABLE, home)).attempt(order) == ""
    graph = world.folder / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"?")
    assert "model.onnx" in TrialProcess((HOME_VARIABLE, home)).attempt(order)
    FileArtifacts().remove(str(world.folder), world.manifest)
    assert TrialProcess((HOME_VARIABLE, home)).attempt(order) != "", "its files are gone"


def test_one_that_hangs_is_ended_and_holds_up_few(home: Path, tmp_path: Path) -> None:
    """One runs, one waits; whoever else comes is told so at once."""
    manifest = write_version(tmp_path / "v", Calls(time.sleep, 60.0))
    order = TrialOrder(str(tmp_path / "v"), manifest, CONTRACT, trusted=True)
    trials = TrialProcess((HOME_VARIABLE, home), within_s=4.0, at_once=1)

    def attempt() -> str:
        try:
            return trials.attempt(order)
        except TooManyTrials as error:
            return error.code

    with ThreadPoolExecutor(6) as pool:
        said = sorted(pool.map(lambda _: attempt(), range(6)))
    assert said == ["ROL-108"] * 4 + ["neither loaded nor answered within 4 s"] * 2
