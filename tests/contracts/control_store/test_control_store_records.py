"""Every method of the store gives back what it was given, on every dialect."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from contracts.control_store.test_control_store_migrations import sync_engine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windvane.adapters.sql import SqlControlStore
from windvane.adapters.sql import schema as t
from windvane.core.journal import Decision, Effect
from windvane.core.routing import KeyEntry, ModelRoute, RoutingTable, VersionEntry
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.sketch import TRAFFIC, CategoryAxis, Layout, NumericAxis, Sketch, merge
from windvane.core.task import Contract, TaskSpec
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.control_store import (
    Checkpoint,
    Deployment,
    Incident,
    IncidentNote,
    ModelRecord,
    UnknownName,
    VersionRecord,
    WindowKey,
    WindowVerdict,
)
from windvane.ports.judging import LearnedState, MonitorState, Progress

LAYOUT = Layout((NumericAxis("x", (0.0, 1.5)), CategoryAxis("c", ("a", "bé", "''"))))


def sketch(seed: int, layout: Layout = LAYOUT) -> Sketch:
    rng = np.random.default_rng(seed)
    empty = Sketch.empty(layout.id, layout.size)
    return Sketch(
        layout.id,
        rng.integers(0, 2**40, layout.size),
        rng.integers(0, 2**40, len(TRAFFIC)),
        rng.integers(0, 2**40, len(empty.latency)),
    )


def version(number: str, at: float, views: tuple[str, ...] = ("plan",)) -> VersionRecord:
    return VersionRecord(
        "delay", number, f"artifacts/{number}", "f" * 64, LAYOUT.id, views,
        {"auc": 0.7}, {"git": "abc", "rows": 3, "nested": {"a": [1, None]}}, b"\x00\xff packed", at,
        calibration="packed", partial_dependence="packed as well",
    )  # fmt: skip


def decision(name: str, at: float = 5.0, model: str = "delay", effects: int = 1) -> Decision:
    return Decision(
        id=name,
        model=model,
        judge="rollout.gate",
        subject="version 2",
        action="promote",
        at=at,
        policy={"alpha": 0.05},
        facts={"n": 3, "list": [1, 2.5, None]},
        verdict=Verdict(Outcome.PASS, "ROL-300", "3 < 5", "nothing"),
        effects=tuple(Effect("notify", {"title": f"{name} {i}"}) for i in range(effects)),
    )


def incident(name: str, at: float, closed: float | None = None, cause: str = "feed:w") -> Incident:
    return Incident(
        name, "delay", cause, "feed", "high", "nulls rose", at, at - 60, closed,
        "ops #ops", "runbooks/feed.md", {"suspects": [{"feature": "x", "size": 0.5}]},
    )  # fmt: skip


def test_models_layouts_and_versions(store: SqlControlStore) -> None:
    with store.begin() as tx:
        tx.put_model(ModelRecord("delay", "model: delay", 1.0))
        tx.put_model(ModelRecord("delay", "model: delay # again é", 2.5))
        tx.put_model(ModelRecord("churn", "model: churn", 2.0))
        tx.put_layout(LAYOUT)
        tx.put_layout(LAYOUT)
        tx.add_version(version("2", 20.0))
        tx.add_version(version("1", 10.0))
    with store.read() as tx:
        assert tx.model("delay") == ModelRecord("delay", "model: delay # again é", 2.5)
        assert [m.name for m in tx.models()] == ["churn", "delay"]
        assert tx.layout(LAYOUT.id) == LAYOUT
        assert tx.version("delay", "2") == version("2", 20.0)
        assert [v.version for v in tx.versions("delay")] == ["1", "2"]
        assert tx.versions("churn") == []


def test_a_version_that_an_earlier_release_registered_is_read(
    store: SqlControlStore, url: str
) -> None:
    with store.begin() as tx:
        tx.add_version(version("1", 10.0))
    engine = sync_engine(url)
    body = t.versions.c.body
    with engine.begin() as connection:
        held = json.loads(connection.execute(sa.select(body)).scalar_one())
        assert held.pop("partial_dependence") == "packed as well"
        connection.execute(sa.update(t.versions).values(body=json.dumps(held)))
    engine.dispose()
    with store.read() as tx:
        assert tx.version("delay", "1") == replace(version("1", 10.0), partial_dependence="")


@pytest.mark.parametrize(
    ("ask", "hint"),
    [
        (lambda tx: tx.model("delya"), "did you mean 'delay'?"),
        (lambda tx: tx.model("zzz"), "known: delay"),
        (lambda tx: tx.version("delay", "10"), "did you mean '1'?"),
        (lambda tx: tx.version("delay", "x"), "known: 1"),
        (lambda tx: tx.version("other", "1"), "none is known yet"),
        (lambda tx: tx.incident("nope"), "windvane incidents"),
        (lambda tx: tx.decision("nope"), "windvane status"),
        (lambda tx: tx.layout("0" * 16), "STO-103"),
    ],
)
def test_an_unknown_name_says_what_is_known(store: SqlControlStore, ask: Any, hint: str) -> None:
    with store.begin() as tx:
        tx.put_model(ModelRecord("delay", "", 1.0))
        tx.add_version(version("1", 10.0))
    with store.read() as tx, pytest.raises(UnknownName) as raised:
        ask(tx)
    assert hint in str(raised.value)


def test_deployments(store: SqlControlStore) -> None:
    live = Deployment(
        "delay", "1", "0", "2", 0.05, 1, "delay/2/9", 9.0, 9.5, "0", ("weather",), 11.0
    )
    with store.begin() as tx:
        assert tx.deployment("delay") is None
        tx.put_deployment(Deployment("delay", "1"))
        tx.put_deployment(live)
    with store.read() as tx:
        assert tx.deployment("delay") == live
        assert tx.deployment("other") is None


def test_routing_tables_are_numbered_upwards(store: SqlControlStore) -> None:
    spec = FeatureSpec("x", "plan", FeatureType.INTEGER, True, 0.0, 2.0)
    route = ModelRoute(
        "delay", Contract((spec,)), "late", 0.5, (VersionEntry("1", "a", "m"),), "1",
        chain=("1",), constant=(0.2,), rollout="r#0",
    )  # fmt: skip
    table = RoutingTable(0, {"delay": route}, (KeyEntry("a" * 64, "AA"),))
    with store.begin() as tx:
        assert tx.routing() is None
        first = tx.add_routing(table)
    with store.begin() as tx:
        second = tx.add_routing(RoutingTable(0, {}, ()))
    assert second > first > 0
    with store.read() as tx:
        assert tx.routing(first) == replace(table, seq=first)
        assert tx.routing() == RoutingTable(second, {}, ())
        assert tx.routing(second + 100) is None


def test_contracts_are_kept_under_their_id(store: SqlControlStore) -> None:
    spec = FeatureSpec("größe [cm]", "plan", FeatureType.VECTOR, length=3, optional=True)
    task = TaskSpec("tensor", outputs={"map": (2, -1), "s": ()}, score="s")
    contract = Contract((spec,), task)
    with store.begin() as tx:
        tx.put_contract("delay", contract)
        tx.put_contract("delay", contract)
    with store.read() as tx:
        assert tx.contract(contract.id) == contract
        with pytest.raises(UnknownName):
            tx.contract("0" * 16)


def test_layouts_of_versions_are_read_without_baselines(store: SqlControlStore) -> None:
    with store.begin() as tx:
        for version in ("1", "2"):
            tx.add_version(
                VersionRecord(
                    "delay", version, "a", "m", f"layout-{version}", (), {}, {}, b"x", 1.0
                )
            )
    with store.read() as tx:
        assert tx.version_layouts("delay") == {"1": "layout-1", "2": "layout-2"}
        assert tx.version_layouts("other") == {}


def test_marks(store: SqlControlStore) -> None:
    with store.begin() as tx:
        tx.set_checkpoint(Checkpoint("b", 2**40, 1.25))
        tx.set_checkpoint(Checkpoint("a", 0, 0.0))
        tx.set_checkpoint(Checkpoint("b", 2**41, 2.25))
    with store.read() as tx:
        assert tx.checkpoints() == [Checkpoint("a", 0, 0.0), Checkpoint("b", 2**41, 2.25)]


def test_verdicts_are_newest_first_and_replaced_by_window(store: SqlControlStore) -> None:
    def row(start: float, monitor: str, said: str = "said", subject: str = "") -> WindowVerdict:
        return WindowVerdict("delay", start, monitor, subject, "pass", "DRI-200", said, {"rows": 3})

    with store.begin() as tx:
        tx.add_verdicts([])
        tx.add_verdicts([row(60.0, "features"), row(60.0, "errors"), row(120.0, "features")])
        tx.add_verdicts([row(60.0, "errors", "again"), row(60.0, "features", subject="AA")])
    with store.read() as tx:
        assert tx.verdicts("delay", "", 0.0, 10) == [
            row(120.0, "features"), row(60.0, "errors", "again"), row(60.0, "features"),
            row(60.0, "features", subject="AA"),
        ]  # fmt: skip
        assert tx.verdicts("delay", "errors", 0.0, 10) == [row(60.0, "errors", "again")]
        assert tx.verdicts("delay", "", 61.0, 10) == [row(120.0, "features")]
        assert tx.verdicts("delay", "", 0.0, 1) == [row(120.0, "features")]
        assert tx.verdicts("other", "", 0.0, 10) == []
        of_all = tx.verdicts("delay", "features", 0.0, 1, until=120.0, subject="")
        assert of_all == [row(60.0, "features")], "the limit counts those of the subject alone"
        assert [v.subject for v in tx.verdicts("delay", "", 0.0, 9, subject="AA")] == ["AA"]
        assert tx.verdicts("delay", "", 0.0, 9, subject="BB") == []
        assert tx.verdicts("delay", "features", 0.0, 10, until=120.0) == [
            row(60.0, "features"), row(60.0, "features", subject="AA"),
        ]  # fmt: skip


def test_heads_of_verdicts_have_the_models_own_first(store: SqlControlStore) -> None:
    rows = [
        WindowVerdict("delay", start, monitor, subject, "pass", "DRI-200", "s", {"at": start})
        for start in (60.0, 120.0)
        for monitor, subject in (("features", ""), ("errors", ""), ("early", "AA"), ("early", "BB"))
    ]
    with store.begin() as tx:
        tx.add_verdicts([*rows, replace(rows[0], model="seats")])
    with store.read() as tx:
        found = tx.verdict_heads(["delay", "seats"], 3)
        assert tx.verdict_heads([], 3) == []
    mine = [(v.start, v.monitor, v.subject) for v in found if v.model == "delay"]
    assert mine == [(120.0, "errors", ""), (120.0, "features", ""), (120.0, "early", "AA")]
    assert [v.model for v in found].count("seats") == 1
    assert all(v.detail == {} for v in found)


def test_the_newest_verdicts_of_many_models_are_those_of_each(store: SqlControlStore) -> None:
    rows = [
        WindowVerdict(model, start, monitor, subject, "pass", "DRI-200", model, {"at": start})
        for model in ("delay", "seats")
        for start in (60.0, 120.0, 180.0)
        for monitor, subject in (("features", ""), ("refusals", "AA"), ("refusals", "BB"))
    ]
    with store.begin() as tx:
        tx.add_verdicts(rows)
    with store.read() as tx:
        for monitors in (["features"], ["refusals", "errors"], ["refusals", "features"]):
            for limit in (1, 4, 50):
                found = tx.newest_verdicts(["seats", "delay", "other"], monitors, limit)
                for model in ("delay", "seats", "other"):
                    for by in monitors:
                        of_one = tx.verdicts(model, by, 0.0, limit)
                        assert [v for v in found if (v.model, v.monitor) == (model, by)] == of_one
                assert {v.monitor for v in found} <= set(monitors)
                assert [v.start for v in found] == sorted((v.start for v in found), reverse=True)
        assert tx.newest_verdicts([], ["features"], 50) == []
        assert tx.newest_verdicts(["seats"], [], 50) == []
        many = [f"none-{i}" for i in range(450)]
        assert len(tx.newest_verdicts([*many, "seats"], ["features", "refusals"], 50)) == 9


def test_summaries_of_many_models_are_those_of_each(store: SqlControlStore) -> None:
    with store.begin() as tx:
        for model, versions in (("delay", "12"), ("seats", "1")):
            for at, version in enumerate(versions):
                tx.add_version(
                    VersionRecord(model, version, "a", "m", "l", (), {}, {}, b"x", float(at))
                )
    with store.read() as tx:
        found = tx.version_summaries_of(["seats", "delay", "other"])
        assert found == {model: tx.version_summaries(model) for model in ("delay", "seats")}
        assert [v.version for v in found["delay"]] == ["1", "2"]
        assert tx.version_summaries_of([]) == {}


def test_sketches_since_each_models_own_time(store: SqlControlStore) -> None:
    held = sketch(1)
    keys = [
        WindowKey(model, start, "1", "champion", tenant, "r")
        for model in ("delay", "seats")
        for start in (60.0, 120.0, 180.0)
        for tenant in ("a", "b")
    ]
    with store.begin() as tx:
        tx.add_sketches(dict.fromkeys(keys, held))
    with store.read() as tx:
        since = {"delay": 120.0, "seats": 181.0, "other": 0.0}
        found = [key for key, _ in tx.sketches_since(since)]
        assert len(found) == len(set(found)) == 4
        assert {(key.model, key.start) for key in found} == {("delay", 120.0), ("delay", 180.0)}
        assert list(tx.sketches_since({})) == []
        first = tx.first_windows({"delay": 61.0, "seats": 181.0, "other": 0.0})
        assert first == {"delay": 120.0}
        since = {**since, "seats": 0.0}
        for key, _ in tx.sketches_since(since):  # others are asked meanwhile
            assert tx.first_windows({key.model: 0.0}) == {key.model: 60.0}


def state(monitor: str, subject: str, at: float = 60.0, alarmed: bool = False) -> MonitorState:
    return MonitorState("delay", monitor, subject, at, alarmed, {"value": 1e300, "of": [subject]})


def test_what_monitors_carry_is_a_row_a_subject(store: SqlControlStore) -> None:
    with store.begin() as tx:
        assert tx.monitor_states(["delay"]) == []
        tx.put_monitor_states([state("refusals", "AA"), state("refusals", "UA", alarmed=True)])
        tx.put_monitor_states([state("refusals", "AA", 120.0), state("errors", "")])
        tx.put_monitor_states([])
    with store.read() as tx:
        assert tx.monitor_states(["delay", "other"]) == [
            state("errors", ""), state("refusals", "AA", 120.0),
            state("refusals", "UA", alarmed=True),
        ]  # fmt: skip
        assert tx.monitor_states(["other"]) == tx.monitor_states([]) == []
    with store.begin() as tx:
        tx.drop_monitor_states([("delay", "errors", ""), ("delay", "errors", "none")])
        assert [s.subject for s in tx.monitor_states(["delay"])] == ["AA", "UA"]


def test_what_was_learned_goes_with_its_state(store: SqlControlStore) -> None:
    learned = [LearnedState("delay", "refusals", f"t{i}", bytes([i, 0, 255])) for i in range(4)]
    other = LearnedState("other", "refusals", "t1", b"theirs")
    subjects = [f"t{i}" for i in range(5)]
    with store.begin() as tx:
        assert tx.learned_states("delay", "refusals", subjects) == {}
        tx.put_monitor_states([state("refusals", f"t{i}", 10.0 * i) for i in range(4)])
        tx.put_learned_states([*learned, other])
        tx.put_learned_states([LearnedState("delay", "refusals", "t3", b"later")])
        tx.put_learned_states([])
    with store.read() as tx:
        found = tx.learned_states("delay", "refusals", subjects[1:])
        assert found == {"t1": b"\x01\x00\xff", "t2": b"\x02\x00\xff", "t3": b"later"}
        assert tx.learned_states("delay", "errors", subjects) == {}
        assert tx.learned_states("delay", "refusals", []) == {}
    with store.begin() as tx:
        tx.drop_monitor_states([("delay", "refusals", "t1")])
        assert tx.prune_monitor_states(5.0, 10) == 1
        assert set(tx.learned_states("delay", "refusals", subjects)) == {"t2", "t3"}
        tx.forget_judging("delay")
        assert tx.learned_states("delay", "refusals", subjects) == {}
        assert tx.learned_states("other", "refusals", ["t1"]) == {"t1": b"theirs"}


def test_old_states_are_forgotten_unless_they_sound(store: SqlControlStore) -> None:
    with store.begin() as tx:
        tx.put_monitor_states([state("refusals", f"t{i}", 10.0 * i) for i in range(6)])
        tx.put_monitor_states([state("refusals", "loud", 0.0, alarmed=True)])
        assert tx.prune_monitor_states(40.0, 3) == 3
        assert tx.prune_monitor_states(40.0, 3) == 1
        assert tx.prune_monitor_states(40.0, 3) == 0
        assert [s.subject for s in tx.monitor_states(["delay"])] == ["loud", "t4", "t5"]


def test_which_models_are_due(store: SqlControlStore) -> None:
    with store.begin() as tx:
        for name in ("late", "soon", "new"):
            tx.put_deployment(Deployment(name, "1"))
        tx.put_progress([Progress("late", 0.0, 0.0, 60.0), Progress("soon", 0.0, 60.0, 120.0, 7)])
        tx.put_progress([Progress("undeployed", 0.0, 0.0, 0.0)])
    with store.read() as tx:
        assert tx.due_models(119.9) == ["late", "new"]  # one that was never judged may be due
        assert tx.due_models(120.0) == ["late", "new", "soon"]
        assert tx.progress(["soon", "none"]) == {"soon": Progress("soon", 0.0, 60.0, 120.0, 7)}


def test_incidents_and_their_notes(store: SqlControlStore) -> None:
    with store.begin() as tx:
        tx.put_incident(incident("i1", 10.0, closed=20.0))
        tx.put_incident(incident("i2", 30.0))
        tx.add_note("i2", IncidentNote(31.0, "second"))
        tx.add_note("i2", IncidentNote(30.0, "first", "d1"))
        tx.add_note("i2", IncidentNote(31.0, "third"))
    with store.read() as tx:
        assert tx.open_incident("delay", "feed:w") == incident("i2", 30.0)
        assert tx.open_incident("delay", "feed:other") is None
        assert tx.open_incident("other", "feed:w") is None
        assert [i.id for i in tx.incidents("", 10)] == ["i2", "i1"]
        assert [i.id for i in tx.incidents("delay", 1)] == ["i2"]
        assert tx.incidents("other", 10) == []
        assert [n.what for n in tx.notes("i2")] == ["first", "second", "third"]
        assert tx.notes("i1") == []
        assert tx.incident("i1").closed_at == 20.0
    with store.begin() as tx:
        tx.put_incident(incident("i2", 30.0, closed=40.0))
    with store.read() as tx:
        assert tx.open_incident("delay", "feed:w") is None


# Decisions and the outbox


def test_a_decision_reads_back_whole(store: SqlControlStore) -> None:
    with store.begin() as tx:
        assert tx.decide(decision("d1", effects=2))
    with store.read() as tx:
        assert tx.decision("d1") == decision("d1", effects=2)


def test_decisions_are_newest_first(store: SqlControlStore) -> None:
    with store.begin() as tx:
        for name, at, model in (("a", 1.0, "delay"), ("b", 3.0, "churn"), ("c", 2.0, "delay")):
            tx.decide(decision(name, at, model))
    with store.read() as tx:
        assert [d.id for d in tx.decisions("", 10)] == ["b", "c", "a"]
        assert [d.id for d in tx.decisions("delay", 10)] == ["c", "a"]
        assert [d.id for d in tx.decisions("", 2)] == ["b", "c"]


def test_the_same_decision_twice_says_so(store: SqlControlStore) -> None:
    with store.begin() as tx:
        assert tx.decide(decision("d1"))
        assert not tx.decide(decision("d1"))


def test_the_same_decision_twice_acts_once(store: SqlControlStore) -> None:
    for again in (decision("d1"), decision("d1"), replace(decision("d1"), action="other", at=99.0)):
        with store.begin() as tx:
            tx.decide(again)
            tx.decide(again)
    with store.read() as tx:
        assert [item.key for item in tx.due_effects(1e9, 10)] == ["d1#0"]
        assert tx.decision("d1").action == "promote"


def test_the_outbox_waits_retries_and_forgets(store: SqlControlStore) -> None:
    with store.begin() as tx:
        tx.decide(decision("d1", effects=2))
    with store.begin() as tx:
        items = tx.due_effects(0.0, 10)
        assert [(i.key, i.kind, i.body, i.attempts) for i in items] == [
            ("d1#0", "notify", {"title": "d1 0"}, 0),
            ("d1#1", "notify", {"title": "d1 1"}, 0),
        ]
        tx.effect_failed("d1#0", "no route " * 200, retry_at=50.0)
        tx.effect_done("d1#1", 1.0)
    with store.begin() as tx:
        assert tx.due_effects(49.9, 10) == []
        (item,) = tx.due_effects(50.0, 10)
        assert (item.key, item.attempts) == ("d1#0", 1)
        tx.effect_failed("d1#0", "again", retry_at=60.0)
        (item,) = tx.due_effects(60.0, 10)
        assert item.attempts == 2
        tx.effect_done("d1#0", 61.0)
    with store.read() as tx:
        assert tx.due_effects(1e12, 10) == []


def test_what_failed_comes_after_what_never_ran(store: SqlControlStore) -> None:
    with store.begin() as tx:
        tx.decide(decision("a"))
        tx.decide(decision("b"))
        tx.effect_failed("a#0", "no", retry_at=10.0)
        assert [i.key for i in tx.due_effects(20.0, 10)] == ["b#0", "a#0"]
        assert [i.key for i in tx.due_effects(20.0, 1)] == ["b#0"]


def test_a_decisions_effects_leave_in_their_order(store: SqlControlStore) -> None:
    with store.begin() as tx:
        tx.decide(decision("d", effects=12))
        keys = [i.key for i in tx.due_effects(0.0, 50)]
    assert keys == [f"d#{i}" for i in range(12)]


def test_effects_leave_in_the_order_of_their_decisions(store: SqlControlStore) -> None:
    with store.begin() as tx:
        tx.decide(decision("zeta", at=1.0))
        tx.decide(decision("alpha", at=2.0))
        keys = [i.key for i in tx.due_effects(0.0, 50)]
    assert keys == ["zeta#0", "alpha#0"]


# Sketches merge exactly


def key(start: float = 60.0, tenant: str = "AA", recorder: str = "r1") -> WindowKey:
    return WindowKey("delay", start, "1", "champion", tenant, recorder)


def test_sketches_read_back_in_order(store: SqlControlStore) -> None:
    keys = [key(120.0), key(60.0, "UA"), key(60.0), key(60.0, "AA", "r0")]
    with store.begin() as tx:
        tx.add_sketches({})
        tx.add_sketches({k: sketch(i) for i, k in enumerate(keys)})
    with store.read() as tx:
        found = tx.sketches("delay", 60.0, 120.0)
        assert found == [(keys[3], sketch(3)), (keys[2], sketch(2)), (keys[1], sketch(1))]
        assert tx.sketches("delay", 0.0, 60.0) == []
        assert tx.sketches("other", 0.0, 1e9) == []


@settings(
    max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # every example writes to a model of its own
@given(data=st.data())
def test_any_cut_of_the_additions_gives_the_same_sketch(
    store: SqlControlStore, data: st.DataObject
) -> None:
    parts = data.draw(st.lists(st.integers(0, 1000), min_size=1, max_size=6))
    cuts = data.draw(st.lists(st.integers(0, len(parts)), max_size=3))
    edges = sorted({0, *cuts, len(parts)})
    model = f"m{abs(hash((tuple(parts), tuple(edges))))}"
    where = WindowKey(model, 60.0, "1", "champion", "AA", "r1")
    with store.begin() as tx:
        already = merge(s for _, s in tx.sketches(model, 0.0, 1e9))
        for low, high in pairwise(edges):
            for seed in parts[low:high]:
                tx.add_sketches({where: sketch(seed)})
    with store.read() as tx:
        ((found, total),) = tx.sketches(model, 0.0, 1e9)
    whole = merge(sketch(seed) for seed in parts)
    assert whole is not None
    assert found == where
    assert total == (whole if already is None else already + whole)


def test_two_layouts_of_one_window_are_kept_apart(store: SqlControlStore) -> None:
    other = Layout((NumericAxis("y", (0.0,)),))
    with store.begin() as tx:
        assert tx.first_windows({key().model: 0.0}) == {}
        tx.add_sketches({key(): sketch(1)})
        first = {key().model: key().start}
        assert tx.first_windows({key().model: 0.0, "another": 0.0}) == first
        assert tx.first_windows(first) == first
        assert tx.first_windows({key().model: key().start + 1.0}) == {}
        tx.add_sketches({key(): sketch(2, other)})
        tx.add_sketches({key(): sketch(3)})
    with store.read() as tx:
        found = {s.layout_id: s for _, s in tx.sketches("delay", 0.0, 1e9)}
    assert found == {LAYOUT.id: sketch(1) + sketch(3), other.id: sketch(2, other)}


def test_the_number_of_the_latest_table_is_known_without_it(store: SqlControlStore) -> None:
    with store.begin() as tx:
        assert tx.routing_seq() is None
        seq = tx.add_routes([], [])
        assert tx.routing_seq() == seq
