"""Versions change under load: no request fails, none is answered by nobody, and a version whose
files were touched never answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest
from journeys.gateway_load import crowd, up
from journeys.installation import FILE, MODEL, Installation, wait_until

PLAIN = {(), ("cached",)}


@pytest.fixture
def running(home: Installation) -> Iterator[Installation]:
    up(home, workers=2)
    yield home
    home.stop()


def champion(home: Installation) -> str:
    with home.store() as store, store.read() as tx:
        live = tx.deployment(MODEL)
    assert live is not None
    return live.champion


def actions(home: Installation) -> list[str]:
    with home.store() as store, store.read() as tx:
        return [d.action for d in tx.decisions(MODEL, 1_000)]


def history(home: Installation) -> list[str]:
    with home.store() as store, store.read() as tx:
        found = tx.decisions(MODEL, 20)
    return [f"{d.action}: {d.verdict.outcome} {d.verdict.sentence}" for d in found]


def test_a_new_version_under_load_fails_no_request(running: Installation) -> None:
    """From the canary's first request to its promotion, with another table for each step."""
    (running.home / "model.yaml").write_text(
        FILE.replace(", outcome: late", "")
    )  # none to wait for
    running.cli("apply", str(running.home / "model.yaml"))
    table = running.home / "orders.csv"
    words = (str(table), "--label", "late", "--time", "placed", "--seed", "3")
    running.cli("train", MODEL, *words)
    with crowd(running, clients=3, pause_s=0.01) as load:
        load.wait_for(300)
        running.cli("deploy", MODEL, "3")
        try:
            wait_until("version 3 is promoted", lambda: champion(running) == "3", 60.0)
        except AssertionError:
            raise AssertionError(f"not promoted: {history(running)}") from None
        load.wait_for(300)
    assert load.lost == []
    assert load.refused == []
    seen = Counter(row["version"] for a in load.answers for row in a.rows)
    assert set(seen) == {"1", "3"}, "an answer of no version"
    assert {tuple(row["flags"]) for a in load.answers for row in a.rows} <= PLAIN
    arms = Counter((row["version"], row["arm"]) for a in load.answers for row in a.rows)
    assert set(arms) <= {("1", "champion"), ("3", "challenger"), ("3", "champion")}
    assert load.answers[-1].rows[0]["version"] == "3"
    slowest = max(a.took_s for a in load.answers)
    print(f"\n{len(load.answers)} answers over the swap, slowest {slowest * 1e3:.0f} ms: {arms}")
    wait_until("each is in the log", lambda: len(running.logged()) == len(load.answers))


@pytest.mark.takes_turns
def test_a_version_whose_files_were_touched_never_answers(running: Installation) -> None:
    """Its units are answered by the champion, and told so, until the gate rolls it back."""
    with crowd(running, clients=3) as load:
        load.wait_for(100)
        running.cli("deploy", MODEL, "2", "--force")
        wait_until("it is rolled back", lambda: "rollback" in actions(running), 60.0)
        load.wait_for(100)
    assert load.lost == []
    assert load.refused == []
    rows = [row for a in load.answers for row in a.rows]
    assert {row["version"] for row in rows} == {"1"}
    hurt = [row for row in rows if row["arm"] == "challenger"]
    assert hurt
    assert {tuple(row["flags"]) for row in hurt} == {("failed", "RUN-101", "fallback")}
    assert {row["why"] for row in hurt} == {"version 2 failed (RUN-101); version 1 answered"}
    assert {tuple(row["flags"]) for row in rows if row["arm"] == "champion"} <= PLAIN
    with running.store() as store, store.read() as tx:
        live = tx.deployment(MODEL)
    assert live is not None
    assert (live.champion, live.challenger) == ("1", None)
    explained = json.loads(running.cli("status", MODEL, "--json"))
    assert explained["models"][0]["deployment"]["champion"] == "1"
