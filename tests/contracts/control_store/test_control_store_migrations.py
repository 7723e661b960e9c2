"""The schema: migrated once however often and by however many, and equal to the metadata."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import alembic.command
import alembic.config
import msgspec
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import windvane.adapters.sql as adapter
from windvane.adapters.sql import SqlControlStore
from windvane.adapters.sql.schema import metadata
from windvane.adapters.sql.store import schema_revisions
from windvane.core.journal import Decision
from windvane.core.routing import KeyEntry
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.control_store import (
    HomeOfEarlierRelease,
    Incident,
    KeyRecord,
    ModelRecord,
    StoreUnavailable,
)
from windvane.usecases.publish_routing import routing_effects

RACERS = 2
MIGRATIONS = Path(adapter.__file__).parent / "migrations"


def sync_engine(url: str) -> sa.Engine:
    return sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


def migrate_to(url: str, revision: str) -> sa.Engine:
    """The database as a release of that revision left it."""
    engine = sync_engine(url)
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, revision)
    return engine


def test_the_newest_revision_is_known_without_alembic() -> None:
    """A store that is at the newest one is opened without importing what migrates."""
    chain = ScriptDirectory(str(MIGRATIONS)).walk_revisions()
    assert schema_revisions() == [script.revision for script in chain][::-1]


def test_a_database_of_a_later_release_is_refused_and_left_alone(empty_url: str) -> None:
    store = SqlControlStore(empty_url)
    store.migrate()
    engine = sync_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreUnavailable, match="9999, which a later release made") as raised:
        store.migrate()
    assert "install that release" in raised.value.advice
    with engine.begin() as connection:
        found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    assert found == "9999"
    store.close()
    engine.dispose()


def test_keys_from_before_scopes_go_on_working(empty_url: str) -> None:
    """0001 knew a key's hash, tenant and name; 0002 gives it the scopes of what it could do."""
    engine = migrate_to(empty_url, "0001")
    old = [("a" * 64, "acme", "first", 1.25), ("b" * 64, "é 'x'", "cli", 2.0)]
    with engine.begin() as connection:
        for row in old:
            values = dict(zip(("d", "t", "n", "c"), row, strict=True))
            connection.execute(sa.text("INSERT INTO api_keys VALUES (:d, :t, :n, :c)"), values)
    engine.dispose()
    store = SqlControlStore(empty_url)
    store.migrate()
    store.migrate()
    with store.begin() as tx:
        found = tx.key_records()
        routing_effects(tx)
        table = tx.routing()
    assert [(k.entry.digest, k.entry.tenant, k.name, k.created_at) for k in found] == old
    for record in found:
        assert record.entry.scopes == ("predict", "outcomes")
        assert (record.entry.expires_at, record.entry.api_version) == (None, "")
        assert (record.revoked_at, record.successor) == (None, "")
    ids = {record.entry.id for record in found}
    assert len(ids) == 2
    assert all(len(name) >= 8 and name.isalnum() for name in ids), "an id to rotate or revoke by"
    assert not any(name in digest for name in ids for digest, *_ in old), "no part of the hash"
    assert table is not None
    assert [entry.digest for entry in table.keys] == ["a" * 64, "b" * 64]
    fresh = KeyRecord(KeyEntry("c" * 64, "acme", "id"), "new", 3.0)
    with store.begin() as tx:
        tx.put_key(fresh)
        assert tx.key_records() == [*found, fresh]
    store.close()


def test_states_and_incidents_from_before_training_drift_go_on(empty_url: str) -> None:
    """0002 spoke of seasons and breaks; an open incident of a season can still be closed."""
    engine = migrate_to(empty_url, "0002")
    sounding = {"alarmed": True, "since": 5.0}
    state = {
        "judged_until": 60.0, "seasons_from": 7.5, "breaks": {"x/nulls": sounding},
        "seasons": {"y/drift": {}}, "refusals": {"AA": {"bad": 1}},
        "excluded": {"plan": [[1.0, 2.0]]},
    }  # fmt: skip
    incidents = [
        Incident(
            id=f"delay-{kind}-1", model="delay", cause=f"{kind}:{subject}", kind=kind,
            severity="low", title="é 'x'", opened_at=1.0, since=0.5, closed_at=closed,
            owner="ops", runbook="drift.md", evidence={"suspects": []},
        )
        for kind, subject, closed in (("season", "delay", None), ("feed", "season:", 9.0))
    ]  # fmt: skip
    with engine.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO steward_states (model, body) VALUES ('delay', :b)"),
            {"b": json.dumps(state)},
        )
        for one in incidents:
            row = msgspec.to_builtins(one)
            connection.execute(
                sa.text(
                    "INSERT INTO incidents (id, model, cause, opened_at, closed_at, body) "
                    "VALUES (:id, :model, :cause, :opened_at, :closed_at, :body)"
                ),
                {**row, "body": json.dumps(row)},
            )
    engine.dispose()
    engine = migrate_to(empty_url, "0004")
    with engine.begin() as connection:
        contract = {"features": [{"name": "x", "view": "weather"}]}
        connection.execute(
            sa.text("INSERT INTO contracts (id, model, body) VALUES ('c', 'delay', :b)"),
            {"b": json.dumps(contract)},
        )
        for subject in ("features", "drift", "tenant AA x", "outcomes"):
            outcome = "fail" if "tenant" in subject else "pass"
            connection.execute(
                sa.text(
                    "INSERT INTO window_verdicts VALUES ('delay', 0.0, :s, :o, 'X-1', 'said', '{}')"
                ),
                {"s": subject, "o": outcome},
            )
    engine.dispose()
    store = SqlControlStore(empty_url)
    store.migrate()
    with store.read() as tx:
        carried = {(s.monitor, s.subject): s for s in tx.monitor_states(["delay"])}
        judged = tx.progress(["delay"])["delay"]
        found = tx.open_incident("delay", "training_drift:delay")
        other = tx.incident("delay-feed-1")
        told = tx.verdicts("delay", "", 0.0, 10)
    store.close()
    assert (judged.began, judged.until, judged.due_at) == (7.5, 60.0, 0.0)
    weather = carried["sudden_shift", "weather"]
    assert weather.alarmed
    assert weather.body == {"streams": {"x/nulls": sounding}, "excluded": [], "since": 5.0}
    plan = {"streams": {}, "excluded": [[1.0, 2.0]], "since": None}
    assert carried["sudden_shift", "plan"].body == plan
    assert carried["refusals", "AA"].body == {"bad": 1}
    assert carried["training_drift", ""].body == {"streams": {"y/drift": {}}, "since": 7.5}
    assert carried["outcomes", ""].body == {"since": 7.5, "below_since": None}
    assert [(v.monitor, v.subject, v.outcome) for v in told] == [
        ("outcomes", "", "pass"), ("refusals", "AA x", "fail"),
        ("sudden_shift", "", "pass"), ("training_drift", "", "pass"),
    ]  # fmt: skip
    assert found == replace(
        incidents[0], cause="training_drift:delay", kind="training_drift",
        members=("training_drift/training_drift:delay",),
    )  # fmt: skip
    assert other == incidents[1]


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_a_home_of_the_release_before_with_versions_is_refused(
    empty_url: str, revision: str
) -> None:
    """Its events and baselines know one float of a binary classifier: served and judged by this
    release they would be silently wrong. Nothing is changed, and the way out is named."""
    engine = migrate_to(empty_url, revision)
    with engine.begin() as connection:
        row = {"m": "delay", "v": "1", "b": "{}", "l": b"", "c": 1.0}
        connection.execute(
            sa.text(
                "INSERT INTO versions (model, version, body, baseline, created_at) "
                "VALUES (:m, :v, :b, :l, :c)"
            ),
            row,
        )
    store = SqlControlStore(empty_url)
    with pytest.raises(HomeOfEarlierRelease, match="1 versions of an earlier release") as raised:
        store.migrate()
    store.close()
    assert "new home" in raised.value.advice
    with engine.connect() as connection:
        held = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one()
    engine.dispose()
    assert held == revision


def test_an_upgraded_schema_is_the_metadata(empty_url: str) -> None:
    migrate_to(empty_url, "0001").dispose()
    store = SqlControlStore(empty_url)
    store.migrate()
    store.close()
    test_the_migrated_schema_is_the_metadata(empty_url)


def test_migrating_twice_keeps_what_is_there(empty_url: str) -> None:
    store = SqlControlStore(empty_url)
    store.migrate()
    with store.begin() as tx:
        tx.put_model(ModelRecord("kept", "model: kept", 1.0))
    store.migrate()
    with store.read() as tx:
        assert tx.model("kept").text == "model: kept"
    store.close()


def test_processes_may_race_to_migrate(empty_url: str) -> None:
    child = Path(__file__).with_name("migrate_child.py")
    racers = [
        subprocess.Popen(
            [sys.executable, str(child), empty_url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(RACERS)
    ]  # fmt: skip
    try:
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        done = [racer.communicate("go\n", timeout=60) for racer in racers]
    finally:
        for racer in racers:
            racer.kill()
            racer.wait(timeout=20)
    assert [
        (racer.returncode, message) for racer, (_, message) in zip(racers, done, strict=True)
    ] == [(0, "")] * RACERS
    store = SqlControlStore(empty_url)
    with store.read() as tx:
        assert tx.models() == []
    store.close()


def test_the_migrated_schema_is_the_metadata(url: str) -> None:
    engine = sync_engine(url)
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, metadata)
    engine.dispose()
    assert differences == []


def test_an_unmigrated_database_says_so(empty_url: str) -> None:
    store = SqlControlStore(empty_url)
    with pytest.raises(StoreUnavailable, match="STO-101") as raised, store.read() as tx:
        tx.models()
    assert "windvane up" in str(raised.value)
    store.close()


@pytest.mark.parametrize(
    "bad",
    [
        "postgresql://windvane:s3cret-word@127.0.0.1:1/control",
    ],
)
def test_a_database_that_is_down_shows_no_password(bad: str) -> None:
    store = SqlControlStore(bad)
    with pytest.raises(StoreUnavailable) as raised, store.begin():
        pass
    assert "s3cret-word" not in str(raised.value)
    assert "windvane:***@" in str(raised.value)
    store.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    path.write_bytes(b"these bytes are not a database at all" * 100)
    store = SqlControlStore(f"sqlite:///{path}")
    with pytest.raises(StoreUnavailable) as raised, store.read() as tx:
        tx.models()
    assert "backup" in raised.value.advice
    assert "migrates" not in raised.value.advice
    store.close()


@pytest.mark.parametrize("bad", ["not a url", "oracle9://host/db"])
def test_a_malformed_url_is_our_error(bad: str) -> None:
    with pytest.raises(StoreUnavailable):
        SqlControlStore(bad)


def test_a_bad_row_is_not_a_missing_database(store: SqlControlStore) -> None:
    verdict = Verdict(Outcome.PASS, "X-1", "said")
    nameless = Decision("d", None, "", "s", "a", 0.0, {}, {}, verdict)  # type: ignore[arg-type]
    with pytest.raises(Exception) as raised, store.begin() as tx:
        tx.decide(nameless)
    assert not isinstance(raised.value, StoreUnavailable)
