"""The command line, from a requirements file to an environment that is rebuilt and pruned."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from contracts.environments.wheels import make_wheel
from usecases.registration import FILE, table
from usecases.test_register_environment import PICKLE, TARIFF

HOME = "home"


def windvane(folder: Path, *words: str, fails: bool = False) -> str:
    """What it prints; errors too where it fails."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("windvane")), *words, "--home", HOME],
        cwd=folder, capture_output=True, text=True, timeout=240.0, check=False,
        env={**os.environ, "COLUMNS": "400"},
    )  # fmt: skip
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr if fails else done.stdout


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp_path = tmp_path_factory.mktemp("work")
    (tmp_path / "delay.yaml").write_text(FILE)
    (tmp_path / "model.pkl").write_bytes(PICKLE)
    (tmp_path / "requirements.txt").write_text("Tariff == 1.0  # as it was trained\n")
    make_wheel(tmp_path / "wheels", "tariff", "1.0", {"tariff.py": TARIFF.format(scale=1.0)})
    data = table()
    frame = pd.DataFrame({**data.columns, "late": data.labels.astype(int), "at": data.times})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    windvane(tmp_path, "apply", "delay.yaml")
    return tmp_path


GIVEN = ("--data", "rows.csv", "--label", "late", "--time", "at", "--inputs", "distance,temp",
         "--trust")  # fmt: skip


def test_from_a_requirements_file_to_an_environment_that_is_looked_after(work: Path) -> None:
    own = ("--requirements", "requirements.txt", "--wheels", "wheels")
    told: Any = json.loads(windvane(work, "register", "delay", "model.pkl", *GIVEN, *own, "--json"))
    version = told["version"]
    [held] = json.loads(windvane(work, "environments", "--json"))
    assert held["versions"] == [f"delay:{version}"]
    assert held["environment"]["requirements"] == ["tariff==1.0"]
    said = windvane(work, "explain-runtime", "delay", version)
    assert f"packages of its own, in {held['id'][:12]}: tariff 1.0" in said
    assert f"{held['id'][:12]}" in windvane(work, "environments")

    lies = work / HOME / "environments" / held["id"]
    shutil.rmtree(lies)
    [gone] = json.loads(windvane(work, "environments", "--json"))
    assert gone["damage"] == "not on this machine"
    rebuilt = windvane(work, "environments", "--rebuild", f"delay:{version}", "--wheels", "wheels")
    assert "1 packages are in place again" in rebuilt
    assert (lies / "packages" / "tariff.py").is_file()
    assert "Nothing to remove" in windvane(work, "environments", "--prune")


@pytest.mark.takes_turns
@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--own-environment",), "REG-105 model.pkl records no requirements"),
        (("--requirements", "bad.txt"), "REG-104 line 1: '-r other.txt' is an option of pip"),
        (("--requirements", "none.txt"), "REG-104 none.txt cannot be read"),
        (("--requirements", "bad.txt", "--own-environment"), "one of them"),
        (("--wheels", "wheels"), "--wheels needs --requirements or --own-environment"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(work: Path, more: tuple[str, ...], says: str) -> None:
    (work / "bad.txt").write_text("-r other.txt\n")
    assert says in windvane(work, "register", "delay", "model.pkl", *GIVEN, *more, fails=True)
