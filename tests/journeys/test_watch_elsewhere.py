"""A team that begins with watching alone: nothing of the model is here, only what it answered."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from journeys.gateway_load import ask, up
from journeys.installation import FILE, MODEL, Installation, free_port, wait_until, write_table


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Installation]:
    folder = tmp_path / "home"
    folder.mkdir()
    made = Installation(folder, free_port(), free_port())
    (folder / "windvane.yaml").write_text(
        f"port: {made.port}\nconsole_port: {made.console_port}\n"
        "recorder_every_s: 0.1\nlog_commit_every_s: 0.1\nsteward_every_s: 0.1\nlease_s: 2.0\n"
    )
    text = FILE.replace(", auc_floor: 0.55", "").replace(", {constant: 0.3}", "")
    (folder / "model.yaml").write_text(text)
    yield made
    made.stop()


def past(home: Installation) -> Path:
    """The table with what a service answered."""
    write_table(home.home / "orders.csv")
    with (home.home / "orders.csv").open() as file:
        rows = list(csv.DictReader(file))
    path = home.home / "past.csv"
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, [*rows[0], "score"])
        out.writeheader()
        for row in rows:
            score = min(0.99, float(row["distance"]) / 60 + float(row["rain"]) / 40)
            out.writerow({**row, "score": f"{score:.4f}"})
    return path


def test_past_answers_and_events_are_all_that_is_needed(fresh: Installation) -> None:
    home = fresh
    table = past(home)
    home.cli("apply", str(home.home / "model.yaml"))
    message = home.cli("watch", MODEL, "--data", str(table), "--label", "late", "--time", "placed",
                    "--output", "score")  # fmt: skip
    assert "it is served elsewhere, and watched here by the events that are told" in message
    deployed = home.cli("deploy", MODEL, "1")
    assert "late: version 1 is watched; it is served elsewhere" in deployed
    scopes = ["--scope", "events", "--scope", "read", "--scope", "predict", "--scope", "outcomes"]
    home.key = home.cli("key", "issue", "acme", *scopes).strip()
    up(home)
    wait_until("the key is known", lambda: ask(home).status == 409)
    answer = ask(home)
    assert (answer.status, answer.code) == (409, "GAT-124")
    assert "late is served elsewhere" in answer.json["error"]["message"]
    page = home.page(f"/models/{MODEL}").text
    assert "Watched, served elsewhere" in page
    assert "Who answers" not in page
    assert "/events" in page
    assert "/predict" not in page
    live = home.home / "live.csv"
    lines = [f"order-{i},{i % 50},van,0.0,0.4" for i in range(40)]
    live.write_text("\n".join(["id,distance,kind,rain,score", *lines]) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "windvane.apps.cli.main", "import-events", MODEL, str(live),
         "--output", "score"],
        env={**home.environment, "WINDVANE_API_KEY": home.key}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert "40 predictions sent, 0 refused" in done.stdout, done.stderr
    wait_until("the windows count them", lambda: home.counted() == 40)
    with home.store() as store, store.read() as tx:
        baseline = tx.version(MODEL, "1").baseline
    assert baseline


@pytest.mark.takes_turns
def test_what_is_wrong_with_the_table_is_said(fresh: Installation) -> None:
    home = fresh
    table = past(home)
    home.cli("apply", str(home.home / "model.yaml"))
    rest = ["--data", str(table), "--label", "late", "--time", "placed", "--output"]
    with pytest.raises(AssertionError, match=r"no column 'scores'.*\n.*score"):
        home.cli("watch", MODEL, *rest, "scores")
    with pytest.raises(AssertionError, match="has no output 'odds'"):
        home.cli("watch", MODEL, *rest, "odds=score")
