"""`windvane check` in a shell: its exit status, its tables, its JSON and its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from windvane.apps.cli.main import app


def table(path: Path, rows: int, seed: int, **changed: Any) -> str:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"temp": rng.normal(size=rows), "dist": rng.gamma(2.0, 2.0, rows)})
    for name, value in changed.items():
        frame[name] = value(frame) if callable(value) else value
    frame.to_parquet(path)
    return str(path)


def check(*words: str) -> Any:
    return CliRunner().invoke(app, ["check", *words])


@pytest.fixture
def past(tmp_path: Path) -> str:
    return table(tmp_path / "past.parquet", 5_000, 1)


def test_the_status_says_fine_found_or_not_known(tmp_path: Path, past: str) -> None:
    fine = table(tmp_path / "fine.parquet", 2_000, 2)
    broken = table(tmp_path / "broken.parquet", 2_000, 2, temp=lambda f: f["temp"] + 1.0)
    few = table(tmp_path / "few.parquet", 20, 2)
    for path, status, word in ((fine, 0, "pass"), (broken, 1, "fail"), (few, 2, "hold")):
        done = check("--reference", past, "--current", path)
        assert done.exit_code == status, done.output
        assert done.stdout.splitlines()[-1 if status < 2 else -2].startswith(f"{word} CHK-20")
        body = json.loads(check("--reference", past, "--current", path, "--json").stdout)
        assert (body["status"], body["verdict"]["outcome"]) == (status, word)


def test_a_reference_in_an_order_that_says_nothing_ends_with_2(tmp_path: Path, past: str) -> None:
    ordered = tmp_path / "ordered.parquet"
    pd.DataFrame({"temp": np.sort(pd.read_parquet(past)["temp"])}).to_parquet(ordered, index=False)
    broken = table(tmp_path / "broken.parquet", 2_000, 2, temp=lambda f: f["temp"] + 3.0)
    pd.read_parquet(broken)[["temp"]].to_parquet(broken)
    done = check("--reference", str(ordered), "--current", broken)
    assert done.exit_code == 2, done.output
    assert "hold CHK-204" in done.stdout
    assert "missing: about" in done.stdout


def test_a_segment_that_is_not_judged_has_a_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    paths: list[str] = []
    for rows, begins, days in ((20_000, 0.0, 20.0), (5_000, 20.0, 5.0)):
        seconds = 1_700_006_400.0 + 86_400.0 * (begins + np.sort(rng.random(rows)) * days)
        city = rng.choice(["LGA", "JFK", "SBY"], rows, p=[0.6, 0.397, 0.003])
        frame = pd.DataFrame({"ts": seconds, "city": city, "temp": rng.normal(size=rows)})
        paths.append(str(tmp_path / f"{rows}.parquet"))
        frame.to_parquet(paths[-1])
    done = check("--reference", paths[0], "--current", paths[1], "--time", "ts",
                 "--segment", "city")  # fmt: skip
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("SBY ")]
    assert row.split()[1] == "hold"
    assert "note: segment SBY is not judged: " in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--current", "nowhere.csv"], "CHK-101 there is no file nowhere.csv"),
        (["--time", "tmp"], "did you mean 'temp'?"),
        (["--config", "nowhere.yaml"], "CHK-101 --config: nowhere.yaml cannot be read"),
        (["--html", "/nowhere/page.html"], "CHK-101 --html: /nowhere/page.html cannot be written"),
    ],
)
def test_what_cannot_be_checked_ends_with_2_and_a_sentence(
    words: list[str], said: str, past: str
) -> None:
    current = [] if "--current" in words else ["--current", past]
    done = check("--reference", past, *current, *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.output


def test_a_bad_model_file_ends_with_2(tmp_path: Path, past: str) -> None:
    (tmp_path / "model.yaml").write_text("model: [\n")
    done = check("--reference", past, "--current", past, "--config", str(tmp_path / "model.yaml"))
    assert done.exit_code == 2
    assert "MOD-101" in done.stderr


def test_what_nobody_thought_of_is_no_finding(past: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cron job that reads 1 as a finding must not be told of one by a defect."""
    from windvane.usecases import check_frames

    def fails(*given: Any) -> None:
        raise RuntimeError("oh")

    monkeypatch.setattr(check_frames, "count_frames", fails)
    done = check("--reference", past, "--current", past)
    assert done.exit_code == 2
    assert "could not be checked: RuntimeError: oh" in done.stderr


def test_the_page_is_written_whatever_is_found(tmp_path: Path, past: str) -> None:
    page = tmp_path / "page.html"
    done = check("--reference", past, "--current", past, "--html", str(page), "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["features"]
    assert "<svg" in page.read_text()
