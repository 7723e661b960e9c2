"""Transactions: all or nothing, snapshots, and the fencing of a deposed steward."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from random import Random

import pytest

from windvane.adapters.sql import SqlControlStore
from windvane.core.journal import Decision, Effect
from windvane.core.rollout import EVERYONE, FAILED, Stage
from windvane.core.routing import KeyEntry
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.control_store import (
    Deployment,
    KeyRecord,
    ModelRecord,
    StoreUnavailable,
)
from windvane.ports.judging import Progress
from windvane.ports.leases import LeaseLost
from windvane.ports.rollouts import FirstRequest, UnitEvent
from windvane.usecases.leases import SHARDS, give_up, hold_shards
from windvane.usecases.publish_routing import routing_effects

Opener = Callable[[], SqlControlStore]
DEADLINE_S = 20.0


def decision(name: str) -> Decision:
    verdict = Verdict(Outcome.PASS, "ROL-300", "said")
    effect = Effect("notify", {"title": name})
    return Decision(name, "delay", "", "s", "a", 1.0, {}, {}, verdict, (effect,))


def test_an_error_takes_everything_back(store: SqlControlStore) -> None:
    with pytest.raises(ZeroDivisionError), store.begin() as tx:
        tx.put_model(ModelRecord("delay", "", 1.0))
        tx.decide(decision("d1"))
        tx.put_progress([Progress("delay", 0.0, 1.0, 2.0)])
        raise ZeroDivisionError
    with store.read() as tx:
        assert tx.models() == []
        assert tx.decisions("", 10) == []
        assert tx.due_effects(1e12, 10) == []
        assert tx.progress(["delay"]) == {}


def test_a_read_is_a_snapshot(open_store: Opener) -> None:
    reader, writer = open_store(), open_store()
    with writer.begin() as tx:
        tx.put_model(ModelRecord("delay", "old", 1.0))
    with reader.read() as before:
        assert before.model("delay").text == "old"
        with writer.begin() as tx:  # and the writer does not wait for the reader
            tx.put_model(ModelRecord("delay", "new", 2.0))
            tx.put_model(ModelRecord("churn", "", 2.0))
        assert before.model("delay").text == "old"
        assert len(before.models()) == 1
    with reader.read() as after:
        assert after.model("delay").text == "new"


def test_a_read_does_not_wait_for_a_writer(open_store: Opener) -> None:
    reader, writer = open_store(), open_store()
    with writer.begin() as tx:
        tx.put_model(ModelRecord("delay", "", 1.0))
        with reader.read() as snapshot:
            assert snapshot.models() == []


def test_a_read_cannot_write(store: SqlControlStore) -> None:
    with pytest.raises(StoreUnavailable), store.read() as tx:
        tx.put_model(ModelRecord("smuggled", "", 1.0))
    with store.read() as tx:
        assert tx.models() == []


def together(work: Callable[[int], None], threads: int = 4) -> list[BaseException]:
    """What went wrong where each of some threads does its work at the same time."""
    start = threading.Barrier(threads)
    errors: list[BaseException] = []

    def run(name: int) -> None:
        try:
            start.wait(DEADLINE_S)
            work(name)
        except BaseException as error:
            errors.append(error)

    running = [threading.Thread(target=run, args=(n,)) for n in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(DEADLINE_S)
    assert not any(thread.is_alive() for thread in running)
    return errors


def first_request(unit: str, rollout: str = "roll") -> FirstRequest:
    return FirstRequest(rollout, 0, "AA", unit, "challenger", 0.0, True, False)


def failure(unit: str, rollout: str = "roll") -> UnitEvent:
    return UnitEvent(rollout, FAILED, EVERYONE, "AA", unit, "challenger", 0, 0.0)


def units_of(store: SqlControlStore, rollout: str = "roll") -> tuple[int, int, int]:
    """Units, those whose first request failed, and first failures."""
    with store.read() as tx:
        (facts,) = tx.stage_facts(rollout, [Stage(0.1, 0.0)])
    return facts.challenger.units, facts.challenger.failed, facts.first_of(FAILED).challenger


def test_concurrent_writers_lose_nothing(open_store: Opener) -> None:
    """Threads that each add units and decide; every one of their writes is there after."""
    stores = [open_store() for _ in range(4)]

    def work(name: int) -> None:
        for i in range(5):
            with stores[name].begin() as tx:
                tx.add_first_requests([first_request(f"{name}-{i}")])
                tx.add_unit_events([failure(f"{name}-{i}")])
                tx.decide(decision(f"shared-{i}"))

    assert together(work) == []
    assert units_of(stores[0]) == (20, 20, 20)
    with stores[0].read() as tx:
        assert len(tx.decisions("", 100)) == 5
        assert len(tx.due_effects(1e9, 100)) == 5


def test_recorders_that_meet_the_same_units_never_wait_for_each_other(open_store: Opener) -> None:
    """Whatever order their events come in: each transaction takes its rows in one order, or two
    would each hold what the other wants."""
    stores = [open_store() for _ in range(4)]
    rounds, units = 3, 2_000

    def work(name: int) -> None:
        for at in range(rounds):
            names = [f"u{i}" for i in range(units)]
            Random(f"{name} {at}").shuffle(names)
            with stores[name].begin([]) as tx:
                tx.add_first_requests([first_request(unit, f"roll-{at}") for unit in names])
                tx.add_unit_events([failure(unit, f"roll-{at}") for unit in names])

    assert together(work) == []
    for at in range(rounds):
        assert units_of(stores[0], f"roll-{at}") == (units, units, units)


# Leases


def test_a_lease_is_held_renewed_and_taken_over(open_store: Opener) -> None:
    first, second = open_store(), open_store()
    with first.begin() as tx:
        token = tx.acquire("steward", "one", ttl=1_000.0)
    assert token is not None
    with second.begin() as tx:
        assert tx.acquire("steward", "two", ttl=10.0) is None
        assert tx.acquire("other", "two", ttl=10.0) is not None
    with first.begin() as tx:
        assert tx.acquire("steward", "one", ttl=1_000.0) == token
    with second.begin() as tx:
        assert tx.acquire("steward", "two", ttl=10.0) is None
    with first.begin() as tx:
        assert tx.acquire("steward", "one", ttl=0.0) == token  # it ends now
    with second.begin() as tx:
        taken = tx.acquire("steward", "two", ttl=1_000.0)
    assert taken is not None
    assert taken > token
    with first.begin() as tx:
        assert tx.acquire("steward", "one", ttl=10.0) is None


def test_ones_own_expired_lease_has_a_new_token(store: SqlControlStore) -> None:
    with store.begin() as tx:
        old = tx.acquire("steward", "one", ttl=-1.0)
        new = tx.acquire("steward", "one", ttl=1_000.0)
    assert old is not None
    assert new is not None
    assert new > old


def test_a_lease_that_is_released_is_anyones(store: SqlControlStore) -> None:
    with store.begin() as tx:
        token = tx.acquire("steward", "one", ttl=1_000.0)
        assert token is not None
        tx.release("steward", token - 1)  # of somebody who was deposed
        assert [lease.alive for lease in tx.leases("stew")] == [True]
        tx.release("steward", token)
        assert [(x.name, x.holder, x.alive) for x in tx.leases("")] == [("steward", "one", False)]
        assert tx.acquire("steward", "two", ttl=1_000.0) == token + 1
        tx.forget_leases("steward", 10.0)
        assert len(tx.leases("")) == 1
        tx.release("steward", token + 1)
        tx.forget_leases("steward", 10.0)
        assert tx.leases("") == []


def test_a_deposed_steward_commits_nothing(open_store: Opener) -> None:
    first, second = open_store(), open_store()
    with first.begin() as tx:
        stale = tx.acquire("steward", "one", ttl=-1.0)
    with second.begin() as tx:
        current = tx.acquire("steward", "two", ttl=1_000.0)
    assert stale is not None
    assert current is not None
    with pytest.raises(LeaseLost, match="STO-102"), first.begin() as tx:
        tx.put_deployment(Deployment("delay", "evil"))
        tx.decide(decision("d1"))
        tx.require("steward", stale)
    with second.begin() as tx:
        tx.require("steward", current)
        assert tx.deployment("delay") is None
        assert tx.due_effects(1e9, 10) == []


def test_no_lease_at_all_is_a_lost_one(store: SqlControlStore) -> None:
    with pytest.raises(LeaseLost), store.begin() as tx:
        tx.require("never-taken", 1)


def test_only_one_of_many_gets_the_lease(open_store: Opener) -> None:
    start = threading.Barrier(4)
    got: list[tuple[str, int | None]] = []

    def work(holder: str) -> None:
        mine = open_store()
        start.wait(DEADLINE_S)
        with mine.begin() as tx:
            got.append((holder, tx.acquire("steward", holder, ttl=1_000.0)))

    threads = [threading.Thread(target=work, args=(f"s{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert len(got) == 4
    assert sum(token is not None for _, token in got) == 1


# Who judges what


def test_stewards_share_the_shards_and_take_over_from_the_dead(open_store: Opener) -> None:
    first, second = open_store(), open_store()
    alone = hold_shards(first, "one", 1_000.0)
    assert len(alone.tokens) == SHARDS
    assert hold_shards(second, "two", 1_000.0).tokens == {}  # until the first makes room
    one = hold_shards(first, "one", 1_000.0)
    two = hold_shards(second, "two", 1_000.0)
    assert len(one.tokens) == len(two.tokens) == SHARDS / 2
    assert not one.tokens.keys() & two.tokens.keys()
    models = [f"model-{i}" for i in range(100)]
    assert all(one.holds(m) != two.holds(m) for m in models)
    assert {one.leads, two.leads} == {True, False}
    one = hold_shards(first, "one", -1.0)  # it renews no more
    two = hold_shards(second, "two", 1_000.0)
    assert all(two.holds(m) for m in models)
    with pytest.raises(LeaseLost), first.begin(models) as tx:
        one.require(tx, models)
    with second.begin(models) as tx:
        two.require(tx, models)


def test_a_steward_that_stops_is_not_waited_for(open_store: Opener) -> None:
    first, second = open_store(), open_store()
    give_up(first, "one", hold_shards(first, "one", 1_000.0))
    assert len(hold_shards(second, "two", 1_000.0).tokens) == SHARDS


# What only a database with concurrent writers can do wrong


def test_models_are_locked_one_by_one(postgres_url: str) -> None:
    """Who writes to one model waits for nobody who writes to another; who names none waits for
    no model, and who wants everything waits for all."""
    one, two = SqlControlStore(postgres_url), SqlControlStore(postgres_url)
    order: list[str] = []

    def write(what: str, models: list[str] | None) -> threading.Thread:
        def run() -> None:
            with two.begin(models) as tx:
                tx.put_deployment(Deployment(what, "1"))
                order.append(what)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    with one.begin(["delay"]) as tx:
        tx.put_deployment(Deployment("delay", "1"))
        for free in (write("churn", ["churn"]), write("none", [])):
            free.join(DEADLINE_S)
        same = write("again", ["churn", "delay"])
        same.join(0.5)
        whole = write("whole", None)
        whole.join(0.5)
        assert sorted(order) == ["churn", "none"]
    same.join(DEADLINE_S)
    whole.join(DEADLINE_S)
    assert sorted(order[2:]) == ["again", "whole"]
    one.close()
    two.close()


def test_the_newest_table_has_every_committed_change(postgres_url: str) -> None:
    one, two = SqlControlStore(postgres_url), SqlControlStore(postgres_url)
    done = threading.Event()

    def other() -> None:
        with two.begin() as tx:
            tx.put_key(KeyRecord(KeyEntry("b" * 64, "UA"), "two", 1.0))
            routing_effects(tx)
        done.set()

    thread = threading.Thread(target=other)
    with one.begin() as tx:
        tx.put_key(KeyRecord(KeyEntry("a" * 64, "AA"), "one", 1.0))
        routing_effects(tx)
        thread.start()
        done.wait(1.0)  # a store that serialises its writers lets it wait until we are done
    thread.join(DEADLINE_S)
    with one.read() as tx:
        table = tx.routing()
    one.close()
    two.close()
    assert table is not None
    assert {key.tenant for key in table.keys} == {"AA", "UA"}


def test_a_deployment_is_never_overwritten_unseen(postgres_url: str) -> None:
    one, two = SqlControlStore(postgres_url), SqlControlStore(postgres_url)
    with one.begin() as tx:
        tx.put_deployment(Deployment("delay", "1"))
    done = threading.Event()

    def deploy() -> None:
        with two.begin() as tx:
            held = tx.deployment("delay")
            assert held is not None
            tx.put_deployment(Deployment("delay", held.champion, challenger="2", share=0.05,
                                         broken_views=held.broken_views))  # fmt: skip
        done.set()

    thread = threading.Thread(target=deploy)
    with one.begin() as tx:
        held = tx.deployment("delay")
        assert held is not None
        thread.start()
        done.wait(1.0)
        tx.put_deployment(Deployment("delay", held.champion, challenger=held.challenger,
                                     share=held.share, broken_views=("weather",)))  # fmt: skip
    thread.join(DEADLINE_S)
    with one.read() as tx:
        found = tx.deployment("delay")
    one.close()
    two.close()
    assert found is not None
    assert (found.challenger, found.broken_views) == ("2", ("weather",))


COUNT_MODELS = """
import sqlite3, sys
opened = sqlite3.connect(sys.argv[1])
print(*opened.execute("SELECT count(*) FROM models").fetchone())
opened.close()
"""


def test_what_is_written_after_a_sync_is_seen_by_all(store: SqlControlStore, url: str) -> None:
    """Another process that comes and goes takes nothing along, though this one looked at the
    file beside SQLite."""
    if store.kind != "sqlite":
        pytest.skip("PostgreSQL's server is who looks at its files")

    def others_see() -> str:
        words = [sys.executable, "-c", COUNT_MODELS, url.removeprefix("sqlite:///")]
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout

    with store.begin() as tx:
        tx.put_model(ModelRecord("first", "", 1.0))
    store.sync()
    assert others_see() == "1\n"
    with store.begin() as tx:
        tx.put_model(ModelRecord("second", "", 1.0))
    assert others_see() == "2\n"
