"""What lies in the folder that a command is run in is no code of ours."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from contracts.runtime.worlds import CONTRACT

from windvane.adapters.trial import TrialProcess
from windvane.apps.cli import child, jobs
from windvane.ports.trial import TrialOrder
from windvane.usecases.read_settings import HOME_VARIABLE, find_settings

SOURCE = Path(__file__).parents[3] / "src"
NAMES = ("dis", "queue", "random", "windvane", "sitecustomize")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current one, with files that have names of modules and say that they were run."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'run')!r}, 'a').write('x')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    return tmp_path


def not_run(folder: Path) -> bool:
    return not (folder / "run").exists()


def test_a_process_of_the_supervisor_runs_none_of_it(folder: Path) -> None:
    settings = find_settings({}, folder / "home")
    inherited = child.Inherited(child.listen("127.0.0.1", 0), -1)
    try:
        started = child.spawn("trainer", 0, settings, inherited)
        assert started.process.wait(60) == 2, "it was given no job"
    finally:
        inherited.listener.close()
    assert not_run(folder)


def test_a_job_runs_none_of_it(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    home = {HOME_VARIABLE: str(folder / "home")}
    assert jobs.run_module(["windvane.apps.trainer", "nonsense"], {}, home) != 0
    assert "one job is needed" in capfd.readouterr().err, "it is our trainer that refused"
    assert not_run(folder)


def test_a_trial_runs_none_of_it(folder: Path) -> None:
    process = TrialProcess((HOME_VARIABLE, folder / "home"))
    process.attempt(TrialOrder(str(folder / "v"), "0" * 64, CONTRACT))
    assert not_run(folder)


def starts() -> list[tuple[str, ast.List]]:
    """Each command of the source that begins with this Python."""
    return [
        (f"{file.relative_to(SOURCE)}:{node.lineno}", node)
        for file in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.List) and node.elts
        if ast.unparse(node.elts[0]) == "sys.executable"
    ]


def test_every_process_that_is_started_leaves_the_current_folder_out() -> None:
    found = starts()
    assert len(found) > 5, sys.executable
    for where, node in found:
        option = node.elts[1]
        assert isinstance(option, ast.Constant), where
        assert option.value in ("-P", "-I"), f"{where}: Python would look there for modules"
