"""What actions need of the store: silences, who is on an incident, and that things go for good."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import sqlalchemy as sa
from contracts.control_store.test_control_store_migrations import migrate_to, sync_engine
from contracts.control_store.test_control_store_records import decision, version

from windvane.adapters.sql import SqlControlStore
from windvane.adapters.sql.schema import metadata
from windvane.core.routing import ModelRoute, TenantLimit
from windvane.core.task import Contract
from windvane.ports.control_store import Deployment, Incident, ModelRecord, Silence
from windvane.ports.judging import Progress

# What stays of a model that was deleted: what was decided and who called, for the record; and
# contracts, which another model may have as well.
STAYS = {"decisions", "access", "contracts"}
INCIDENT = Incident("i", "delay", "c", "feed", "high", "t", 1.0, 1.0, None, "o", "r")


def silence(name: str, until: float, model: str = "delay", cause: str = "") -> Silence:
    return Silence(name, model, cause, until, "user:ana", "é 'x'")


def test_silences_last_until_they_end(store: SqlControlStore) -> None:
    a, b = silence("a", 10.0), silence("b", 20.0, cause="canary/2")
    other = silence("c", 15.0, model="seats")
    with store.begin() as tx:
        for one in (a, b, other):
            tx.put_silence(one)
    with store.read() as tx:
        assert tx.silences(9.0) == [b, other, a]
        assert tx.silences(9.0, "delay") == [b, a]
        assert tx.silences(10.0, "delay") == [b], "it is over at its end"
        assert tx.silences(20.0) == []
    with store.begin() as tx:
        tx.drop_silence("b")
        tx.drop_silence("none")
        tx.prune_silences(10.0)
    with store.read() as tx:
        assert tx.silences(0.0) == [other]


def test_planned_maintenance_of_all_models_is_each_models(store: SqlControlStore) -> None:
    every = Silence("e", "", "", 30.0, "user:ana", "moves", begins=25.0, tenant="UA", planned=True)
    own = silence("a", 20.0)
    with store.begin() as tx:
        tx.put_silence(every)
        tx.put_silence(own)
    with store.read() as tx:
        assert tx.silences(9.0, "delay") == [every, own], "what is to come is there, too"
        assert tx.silences(9.0, "seats") == [every]
        assert tx.silences(30.0) == []


def test_who_is_on_an_incident_reads_back(store: SqlControlStore) -> None:
    held = replace(INCIDENT, acknowledged_by="user:ana", acknowledged_at=4.5)
    with store.begin() as tx:
        tx.put_incident(held)
        tx.put_incident(replace(held, id="j", closed_at=5.0))
        tx.put_incident(replace(held, id="k", cause="other"))
        assert [tx.count_incidents("delay", c) for c in ("c", "other", "none")] == [2, 1, 0]
    with store.read() as tx:
        assert tx.incident("i") == held


def test_an_effect_that_waits_has_not_failed(store: SqlControlStore) -> None:
    with store.begin() as tx:
        tx.decide(decision("d"))
        (item,) = tx.due_effects(1e9, 10)
        tx.postpone_effect(item.key, {"title": "later", "held": True}, 50.0)
        assert tx.due_effects(49.0, 10) == []
        (again,) = tx.due_effects(50.0, 10)
    assert (again.key, again.attempts) == (item.key, item.attempts)
    assert again.body == {"title": "later", "held": True}


def test_a_version_goes_and_its_files_are_nobodys(store: SqlControlStore) -> None:
    one, two = version("1", 1.0), version("2", 2.0)
    twin = replace(version("7", 3.0), model="seats", artifact=one.artifact)
    with store.begin() as tx:
        for record in (one, two, twin):
            tx.add_version(record)
        assert tx.versions_of("f" * 64) == ["delay", "seats"]
        tx.drop_version("delay", "1")
        assert [v.version for v in tx.version_summaries("delay")] == ["2"]
        assert tx.has_artifact(one.artifact), "another model has its files"
        tx.drop_version("seats", "7")
        assert not tx.has_artifact(one.artifact)
        assert tx.versions_of("f" * 64) == ["delay"]
        assert dict(tx.version_layouts("delay")) == {"2": two.layout_id}


def test_a_model_out_of_service_is_not_judged(store: SqlControlStore) -> None:
    with store.begin() as tx:
        tx.put_deployment(Deployment("delay", "1"))
        tx.put_progress([Progress("delay", 1.0, 2.0, 3.0)])
        tx.drop_deployment("delay")
        tx.forget_judging("delay")
    with store.read() as tx:
        assert tx.deployment("delay") is None
        assert dict(tx.progress(["delay"])) == {}


def test_a_model_that_is_deleted_takes_nothing_of_one_that_is_like_it(
    store: SqlControlStore,
) -> None:
    contract = Contract(())
    with store.begin() as tx:
        for name in ("one", "two"):
            tx.put_model(ModelRecord(name, "", 1.0))
            tx.put_contract(name, contract)
            tx.put_limit(TenantLimit("acme", name, rate=5))
            tx.put_routes([ModelRoute(name, contract, "", 1.0, (), "1")])
        tx.drop_model("one")
    with store.read() as tx:
        assert tx.contract(contract.id) == contract
        assert [limit.model for limit in tx.limits()] == ["two"]
        assert tx.route("one") is None
        route = tx.route("two")
    assert route is not None
    assert route.model == "two"


def test_nothing_of_a_deleted_model_stays_but_the_record(empty_url: str) -> None:
    """A row in every table that names a model, for two models; then one of them is deleted."""
    store = SqlControlStore(empty_url)
    store.migrate()
    engine = sync_engine(empty_url)
    named = [t for t in metadata.sorted_tables if "model" in t.c or t.name == "models"]
    with engine.begin() as connection:
        for table in named:
            for number, model in enumerate(("delay", "seats")):
                connection.execute(sa.insert(table).values(_row(table, model, number)))
    with store.begin() as tx:
        tx.put_incident(INCIDENT)
        tx.drop_model("delay")
    with engine.connect() as connection:
        left = {
            table.name: [
                row[0] for row in connection.execute(sa.select(table.c[_name_of(table)])).all()
            ]
            for table in named
        }
    engine.dispose()
    store.close()
    assert {name for name, models in left.items() if "delay" in models} <= STAYS
    assert all("seats" in models for models in left.values()), "others lose nothing"


def _name_of(table: sa.Table) -> str:
    return "model" if "model" in table.c else "name"


def _row(table: sa.Table, model: str, number: int) -> dict[str, object]:
    made: dict[str, object] = {}
    for column in table.c:
        if column.name == _name_of(table):
            made[column.name] = model
        elif isinstance(column.type, sa.LargeBinary):
            made[column.name] = b""
        elif isinstance(column.type, sa.Integer | sa.BigInteger):
            made[column.name] = number
        elif isinstance(column.type, sa.Double | sa.Float):
            made[column.name] = float(number)
        elif isinstance(column.type, sa.Boolean):
            made[column.name] = False
        else:
            made[column.name] = f"x{number}"
    return made


def test_versions_from_before_are_found_by_their_files(empty_url: str) -> None:
    held = version("1", 1.0)
    body = {k: v for k, v in msgspec.to_builtins(held).items() if k != "baseline"}
    engine = migrate_to(empty_url, "0008")
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO versions (model, version, body, baseline, created_at) "
                "VALUES ('delay', '1', :b, :l, 1.0)"
            ),
            {"b": json.dumps(body), "l": held.baseline},
        )
    engine.dispose()
    store = SqlControlStore(empty_url)
    store.migrate()
    with store.begin() as tx:
        tx.put_model(ModelRecord("delay", "", 0.0))
        assert tx.version("delay", "1") == held
        assert tx.versions_of(held.manifest) == ["delay"]
        assert tx.has_artifact(held.artifact)
        assert dict(tx.version_layouts("delay")) == {"1": held.layout_id}
    store.close()
