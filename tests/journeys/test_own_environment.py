"""The command line, from a requirements file to an environment that is rebuilt and pruned."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from contracts.environments.wheels import make_wheel
from journeys.installation import Installation, free_port, wait_until
from usecases.registration import FILE, table
from usecases.test_register_environment import PICKLE, TARIFF

from windvane.client import Client

HOME = "home"


def begin(home: Path) -> None:
    """As `windvane up` would, which alone begins a home, or whoever writes its settings."""
    home.mkdir()
    (home / "windvane.yaml").touch()


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
    begin(tmp_path / HOME)
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
    message = windvane(work, "explain-runtime", "delay", version)
    assert f"packages of its own, in {held['id'][:12]}: tariff 1.0" in message
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


@pytest.mark.takes_turns
def test_two_environments_answer_through_one_gateway(work: Path, tmp_path: Path) -> None:
    """The champion by one release of the package, the canary by another, each as it says."""
    folder = tmp_path / "own"
    shutil.copytree(work, folder, ignore=shutil.ignore_patterns(HOME))
    begin(folder / HOME)
    windvane(folder, "apply", "delay.yaml")
    for scale, release in ((1.0, "1.0"), (3.0, "2.0")):
        make_wheel(folder / release, "tariff", release, {"tariff.py": TARIFF.format(scale=scale)})
        (folder / "requirements.txt").write_text(f"tariff=={release}\n")
        own = ("--requirements", "requirements.txt", "--wheels", release)
        told: Any = json.loads(
            windvane(folder, "register", "delay", "model.pkl", *GIVEN, *own, "--json")
        )
        windvane(folder, "trust", "delay", told["version"])
        windvane(folder, "deploy", "delay", told["version"])
    home = Installation(folder / HOME, free_port(), free_port())
    home.key = windvane(folder, "key", "issue", "acme").strip()
    (folder / HOME / "windvane.yaml").write_text(
        f"port: {home.port}\nconsole_port: {home.console_port}\n"
    )
    rows = [{"distance": 900.0, "carrier": "AA", "temp": 50.0}] * 200
    home.start("up")
    try:
        home.wait_ready()
        with Client(home.url, home.key, deadline=30.0) as client:
            wait_until("both answer", lambda: len(versions(client, rows)) == 2, within_s=120.0)
            found = client.predict("delay", rows, deadline=20.0)
    finally:
        home.stop()
    z = 900.0 / 900.0 - 50.0 / 20.0 + 2.0
    expected = {v: 1.0 / (1.0 + math.exp(-scale * z)) for v, scale in (("1", 1.0), ("2", 3.0))}
    assert {row.version for row in found} == {"1", "2"}
    for row in found:
        assert row.value == pytest.approx(expected[row.version], abs=1e-9)


def versions(client: Client, rows: list[dict[str, Any]]) -> set[str]:
    return {row.version for row in client.predict("delay", rows, deadline=20.0)}
