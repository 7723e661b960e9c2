"""kill -9, a database that is gone, a spool that is full: what was acknowledged stays."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from journeys.installation import MODEL, Installation, Load, loaded, wait_until

from windvane.usecases.replay_decision import JUDGES

CHILDREN = ("gateway", "recorder", "steward", "console")


def kept(home: Installation, load: Load) -> None:
    """Everything acknowledged is in the log exactly once, and the windows count the log."""
    wait_until(
        "the log has everything that was acknowledged",
        lambda: load.acknowledged <= set(home.logged()),
    )
    logged = home.logged()
    repeated = [name for name, n in Counter(logged).items() if n > 1]
    assert repeated == []
    wait_until("the windows count what the log has", lambda: home.counted() == len(home.logged()))


def up(home: Installation) -> None:
    home.start("up")
    wait_until("all children run", (home.home / "pids").is_file)
    home.wait_ready()


def gather(home: Installation) -> None:
    """From the next start on rows wait for the log until their window closes."""
    file = home.home / "windvane.yaml"
    text = file.read_text()
    assert "log_commit_every_s: 0.1\n" in text
    file.write_text(text.replace("log_commit_every_s: 0.1\n", "log_commit_every_s: 3600\n"))


def kill_the_recorder(home: Installation) -> None:
    before = home.pid("recorder")
    os.kill(before, signal.SIGKILL)
    wait_until("a recorder is started again", lambda: home.pid("recorder") != before)


def test_what_waits_for_the_log_survives_the_recorder(home: Installation) -> None:
    gather(home)
    up(home)
    with loaded(home) as load:
        for _ in range(2):
            load.wait_for(100)
            wait_until(
                "rows are counted and wait", lambda: home.counted() > len(home.logged()) + 20
            )
            kill_the_recorder(home)
        load.wait_for(100)
    assert load.refused == []
    wait_until("all is counted", lambda: home.counted() >= len(load.acknowledged))
    kill_the_recorder(home)
    kept(home, load)


@pytest.mark.parametrize("victim", CHILDREN)
def test_a_killed_process_loses_nothing(home: Installation, victim: str) -> None:
    up(home)
    before = home.pid(victim)
    with loaded(home) as load:
        load.wait_for(200)
        os.kill(before, signal.SIGKILL)
        load.wait_for(200)
        wait_until(f"{victim} is started again", lambda: home.pid(victim) != before)
        load.wait_for(200)
    assert load.refused == []
    if victim != "gateway":
        assert load.unanswered == 0
    kept(home, load)


@pytest.mark.takes_turns
def test_the_gateway_dies_again_and_again(home: Installation) -> None:
    up(home)
    with loaded(home) as load:
        for _ in range(3):
            load.wait_for(100)
            before = home.pid("gateway")
            os.kill(before, signal.SIGKILL)
            wait_until("a gateway is started again", lambda was=before: home.pid("gateway") != was)
            home.wait_ready()
        load.wait_for(100)
    assert load.unanswered > 0
    assert load.refused == []
    kept(home, load)


@pytest.mark.takes_turns
def test_a_killed_supervisor_leaves_no_orphans(home: Installation) -> None:
    up(home)
    pids = [home.pid(name) for name in CHILDREN]
    with loaded(home) as load:
        load.wait_for(100)
        home.kill("up")
        wait_until("the children end with it", lambda: not any(map(_alive, pids)))
        (home.home / "pids").unlink()
        up(home)
        load.wait_for(100)
    kept(home, load)


@pytest.mark.takes_turns
def test_the_gateway_goes_on_alone(home: Installation) -> None:
    """Recorder, steward, console and the database are gone; then even it is started anew."""
    for name in CHILDREN:
        home.start(name)
    home.wait_ready()
    away = home.home / "away"
    away.mkdir()
    with loaded(home) as load:
        load.wait_for(100)
        for name in ("recorder", "steward", "console"):
            home.kill(name)
        for path in home.home.glob("control.db*"):
            path.rename(away / path.name)
        load.wait_for(300)
        assert load.unanswered == 0
        home.kill("gateway")
        home.start("gateway")
        home.wait_ready()
        load.wait_for(100)
    assert load.refused == []
    assert not (home.home / "control.db").exists()
    for path in away.iterdir():
        path.rename(home.home / path.name)
    home.start("recorder")
    home.start("steward")
    kept(home, load)


@pytest.mark.takes_turns
def test_a_database_that_comes_back(home: Installation) -> None:
    """It vanishes under running processes: none makes an empty one, all go on afterwards."""
    up(home)
    assert home.page("/").status_code == 200
    away = home.home / "away"
    away.mkdir()
    with loaded(home) as load:
        load.wait_for(100)
        for path in home.home.glob("control.db*"):
            path.rename(away / path.name)
        load.wait_for(200)
        message = home.home / "logs" / "recorder.log"
        wait_until("the recorder says what is wrong", lambda: "STO-101" in message.read_text())
        assert not (home.home / "control.db").exists()
        assert home.page("/").status_code == 503
        for path in away.iterdir():
            path.rename(home.home / path.name)
        load.wait_for(100)
    assert load.refused == []
    assert load.unanswered == 0
    kept(home, load)


@pytest.mark.takes_turns
def test_a_canary_is_taken_back_without_the_database(home: Installation) -> None:
    """The gateway follows at once; once the database is back it is on record, and stays so."""
    up(home)
    home.cli("deploy", MODEL, "2", "--force")
    away = home.home / "away"
    away.mkdir()
    for path in home.home.glob("control.db*"):
        path.rename(away / path.name)
    said = home.cli("rollback", MODEL, "--reason", "nonsense", "--json")
    assert json.loads(said)["pending"]
    table = json.loads((home.home / "routing.json").read_text())
    assert table["models"][MODEL]["challenger"] is None
    with loaded(home) as load:
        load.wait_for(50)
        for path in away.iterdir():
            path.rename(home.home / path.name)
        wait_until("the database has it", lambda: _challenger(home) is None)
        load.wait_for(50)
    assert (load.refused, load.unanswered) == ([], 0)
    wait_until("nothing is pending", lambda: not list((home.home / "pending").iterdir()))
    with home.store() as store, store.read() as tx:
        done = [d for d in tx.decisions(MODEL, 100) if d.action == "rollback"]
    assert [one.reason.split(" (")[0] for one in done] == ["nonsense"]
    kept(home, load)
    assert {row["routed"] for row in home.rows()} == {"1"}


@pytest.mark.takes_turns
def test_a_gone_database_is_not_begun_anew(home: Installation) -> None:
    up(home)
    home.stop()
    for path in home.home.glob("control.db*"):
        path.unlink()
    with pytest.raises(AssertionError, match="STO-101"):
        home.cli("status")
    assert not (home.home / "control.db").exists()


@pytest.mark.takes_turns
def test_a_rollback_happens_once_however_often_the_steward_dies(home: Installation) -> None:
    up(home)
    home.cli("deploy", MODEL, "2", "--force")
    with loaded(home) as load:
        for wanted in (40, 80, 120):
            wait_until("more answers", lambda n=wanted: len(load.acknowledged) >= n)
            before = home.pid("steward")
            os.kill(before, signal.SIGKILL)
            wait_until("a steward is started again", lambda was=before: home.pid("steward") != was)
        wait_until("the canary is rolled back", lambda: _challenger(home) is None)
        load.wait_for(50)
    assert load.refused == []
    wait_until("people are told", lambda: len(_told(home)) > 0)
    kept(home, load)
    with home.store() as store, store.read() as tx:
        decisions = tx.decisions(MODEL, 1_000)
        incidents = tx.incidents(MODEL, 100)
    assert [d.action for d in decisions if d.judge in JUDGES and "rollout" in d.judge] == [
        "rollback"
    ]
    assert [i.kind for i in incidents] == ["canary"]
    assert max(Counter(_told(home)).values()) == 1
    status = json.loads(home.cli("status", "--json"))
    assert status["models"][0]["deployment"]["champion"] == "1"


@pytest.mark.takes_turns
def test_a_full_spool_refuses_and_recovers(home: Installation) -> None:
    """What cannot be recorded is not acknowledged; room comes back with the recorder."""
    with (home.home / "windvane.yaml").open("a") as file:
        file.write("spool_max_bytes: 40000\n")
    for name in ("gateway", "recorder", "steward"):
        home.start(name)
    home.wait_ready()
    home.kill("recorder")
    with loaded(home) as load:
        wait_until("the spool is full", lambda: len(load.refused) > 20)
        assert {status for status, _ in load.refused} == {503}
        assert "GAT-107" in load.refused[0][1]
        held = len(load.acknowledged)
        home.start("recorder")
        wait_until("there is room again", lambda: len(load.acknowledged) > held + 100)
    kept(home, load)


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _challenger(home: Installation) -> str | None:
    with home.store() as store, store.read() as tx:
        live = tx.deployment(MODEL)
    assert live is not None
    return live.challenger


def _told(home: Installation) -> list[str]:
    journal = home.home / "notifications.jsonl"
    lines = journal.read_text().splitlines() if journal.is_file() else []
    return [json.loads(line)["key"] for line in lines]


@pytest.mark.takes_turns
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_log_in_a_bucket_loses_nothing(
    home: Installation, object_store: Any, database: str, request: pytest.FixtureRequest
) -> None:
    """The recorder dies, and so does the supervisor: what starts anew finds the tables again."""
    settings = {"log": f"{object_store.bucket()}/log", "log_storage": object_store.storage}
    if database == "postgresql":
        postgres = request.getfixturevalue("postgres")
        settings["store"] = postgres.url(postgres.database())
    with (home.home / "windvane.yaml").open("a") as file:
        file.write(yaml.safe_dump(settings))
    gather(home)
    if database == "postgresql":
        home.settings.routing_file.unlink()  # of the database that was here before
        home.cli("apply", str(home.home / "model.yaml"))
        table = str(home.home / "orders.csv")
        home.cli("train", MODEL, table, "--label", "late", "--time", "placed")
        home.cli("deploy", MODEL, "3")  # after the two that the registry has already
        home.key = home.cli("key", "issue", "acme").strip()
    up(home)
    with loaded(home) as load:
        for victim in ("recorder", "steward", "recorder"):
            load.wait_for(50)
            before = home.pid(victim)
            os.kill(before, signal.SIGKILL)
            wait_until(f"{victim} is new", lambda was=before, name=victim: home.pid(name) != was)
        load.wait_for(50)
        pids = [home.pid(name) for name in CHILDREN]
        home.kill("up")
        wait_until("the children end with it", lambda: not any(map(_alive, pids)))
        (home.home / "pids").unlink()
        up(home)
        load.wait_for(50)
    assert load.refused == []
    wait_until("all is counted", lambda: home.counted() >= len(load.acknowledged))
    kill_the_recorder(home)
    kept(home, load)
    status = json.loads(home.cli("status", MODEL, "--json"))
    assert status["models"][0]["outcomes"] == []
