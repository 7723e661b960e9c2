"""Rollouts and what happened to the units that they met: each thing once, the first time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windvane.adapters.sql import SqlControlStore
from windvane.core.rollout import (
    EVERYONE,
    FAILED,
    SLOW,
    ArmCounts,
    FirstEvents,
    Stage,
    StageFacts,
    tenant_slice,
)
from windvane.core.routing import Arm
from windvane.ports.control_store import ModelRecord
from windvane.ports.rollouts import FirstRequest, LeftOut, RolloutRecord, UnitEvent

STAGES = (Stage(0.1, 0.0), Stage(0.5, 100.0), Stage(0.9, 200.0))
CHALLENGER, CHAMPION = Arm.CHALLENGER.value, Arm.CHAMPION.value


def record(name: str, started: float = 9.0, model: str = "delay", **given: Any) -> RolloutRecord:
    stages = (Stage(0.1, started, 250_000.0, 0.25),)
    return RolloutRecord(name, model, "2", "1", started, **{"stages": stages, **given})


def request(
    unit: str, step: int = 0, arm: str = CHALLENGER, *, tenant: str = "AA", at: float = 0.0,
    failed: bool = False, slow: bool = False, rollout: str = "roll",
) -> FirstRequest:  # fmt: skip
    return FirstRequest(rollout, step, tenant, unit, arm, at, failed, slow)


def event(
    unit: str, step: int = 0, arm: str = CHALLENGER, *, what: str = FAILED, of: str = EVERYONE,
    tenant: str = "AA", at: float = 0.0, rollout: str = "roll",
) -> UnitEvent:  # fmt: skip
    return UnitEvent(rollout, what, of, tenant, unit, arm, step, at)


def kept(
    store: SqlControlStore,
    requests: Sequence[FirstRequest] = (),
    events: Sequence[UnitEvent] = (),
    left_out: Sequence[LeftOut] = (),
    rollout: str = "roll",
) -> tuple[StageFacts, ...]:
    """The facts after these records, each sequence added as one."""
    with store.begin([]) as tx:
        tx.add_first_requests(requests)
        tx.add_unit_events(events)
    with store.read() as tx:
        return tx.stage_facts(rollout, STAGES, left_out)


# Rollouts


def test_a_rollout_reads_back_as_it_is_by_now(store: SqlControlStore) -> None:
    ended = record(
        "delay/2/9", stages=(Stage(0.1, 9.0, 250_000.0, 0.25), Stage(0.5, 60.5, 9.5)),
        ended=99.5, end="promoted",
    )  # fmt: skip
    with store.begin() as tx:
        assert tx.rollout("delay/2/9") is None
        tx.put_rollout(record("delay/2/9"))
        assert tx.rollout("delay/2/9") == record("delay/2/9")
        tx.put_rollout(ended)
    with store.read() as tx:
        assert tx.rollout("delay/2/9") == ended
        assert tx.rollouts("delay", 10) == [ended]
        assert tx.rollout("delay/2/90") is None


def test_a_stage_without_a_limit_of_its_latency_reads_back(store: SqlControlStore) -> None:
    """As one that an earlier release began, of which no limit is known."""
    with store.begin() as tx:
        tx.put_rollout(record("old", stages=(Stage(0.1, 9.0),)))
    with store.read() as tx:
        found = tx.rollout("old")
    assert found is not None
    assert found.stages == (Stage(0.1, 9.0),)


def test_rollouts_of_a_model_are_newest_first(store: SqlControlStore) -> None:
    with store.begin() as tx:
        assert tx.rollouts("delay", 10) == []
        for name, started in (("a", 5.0), ("c", 30.0), ("b", 20.0), ("d", 20.0)):
            tx.put_rollout(record(name, started))
        tx.put_rollout(record("x", 99.0, model="churn"))
    with store.read() as tx:
        assert [one.id for one in tx.rollouts("delay", 10)] == ["c", "d", "b", "a"]
        assert [one.id for one in tx.rollouts("delay", 2)] == ["c", "d"]
        assert [one.id for one in tx.rollouts("churn", 10)] == ["x"]
        assert tx.rollouts("other", 10) == []


def test_a_models_rollouts_go_with_it(store: SqlControlStore) -> None:
    with store.begin() as tx:
        for model in ("delay", "churn"):
            tx.put_model(ModelRecord(model, "", 1.0))
            tx.put_rollout(record(f"{model}/2/9", model=model))
        tx.drop_model("delay")
    with store.read() as tx:
        assert tx.rollout("delay/2/9") is None
        assert tx.rollouts("delay", 10) == []
        assert [one.id for one in tx.rollouts("churn", 10)] == ["churn/2/9"]


# First requests


def test_of_nothing_there_are_stages_without_units(store: SqlControlStore) -> None:
    assert kept(store) == tuple(StageFacts(stage) for stage in STAGES)
    with store.read() as tx:
        assert tx.stage_facts("roll", ()) == ()
        assert tx.slices_of("roll") == 0


@pytest.mark.parametrize("at_once", [True, False])
def test_a_unit_counts_once_a_step_as_its_first_request_was(
    store: SqlControlStore, at_once: bool
) -> None:
    requests = [
        request("u1"),
        request("u1", failed=True, slow=True),  # later: a fixed exposure
        request("u2", failed=True),
        request("u2"),  # a later success takes nothing back
        request("u3", slow=True),
        request("u3", arm=CHAMPION),
        request("u4", arm=CHAMPION, failed=True, slow=True),
        request("u1", 1, failed=True),  # a step is an exposure of its own
        request("u1", 1),
        request("u5", 1, arm=CHAMPION),
        request("u1", rollout="another", failed=True),
    ]
    for batch in [requests] if at_once else [[one] for one in requests]:
        kept(store, batch)
    first, second, third = kept(store)
    assert (first.challenger, first.champion) == (ArmCounts(3, 1, 1), ArmCounts(1, 1, 1))
    assert (second.challenger, second.champion) == (ArmCounts(1, 1, 0), ArmCounts(1, 0, 0))
    assert third == StageFacts(STAGES[2])
    assert kept(store, rollout="another")[0].challenger == ArmCounts(1, 1, 0)
    assert kept(store, rollout="none") == tuple(StageFacts(stage) for stage in STAGES)


def test_units_of_two_tenants_are_two_whatever_they_are_called(store: SqlControlStore) -> None:
    requests = [request("u1", tenant=tenant, failed=tenant == "UA") for tenant in ("AA", "UA")]
    events = [event("u1", tenant=tenant) for tenant in ("AA", "UA")]
    (facts, *_) = kept(store, [*requests, *requests], [*events, *events])
    assert facts.challenger == ArmCounts(2, 1, 0)
    assert facts.first_of(FAILED) == FirstEvents(2, 0)
    with store.read() as tx:
        assert tx.slices_of("roll") == 2
        assert tx.slices_of("another") == 0


def test_a_tenants_requests_in_every_step_and_arm_are_one_slice(store: SqlControlStore) -> None:
    kept(store, [request(f"u{i}", i % 3, arm=arm) for i in range(9) for arm in (CHAMPION,)])
    kept(store, [request("u1", 2, tenant="UA"), request("u1", tenant="UA", rollout="another")])
    with store.read() as tx:
        assert tx.slices_of("roll") == 2


# What happened to units


@pytest.mark.parametrize("at_once", [True, False])
def test_what_happens_to_a_unit_counts_once_in_the_whole_rollout(
    store: SqlControlStore, at_once: bool
) -> None:
    """In whichever arm it was first: as the share grows, those who fail whatever answers them
    would else be new to the challenger, and count against it."""
    events = [
        event("always", 0, CHAMPION),
        event("always", 1, CHALLENGER),
        event("mine", 0, CHALLENGER),
        event("mine", 1, CHALLENGER),
        event("late", 1, CHALLENGER),
        event("always", 0, CHALLENGER, rollout="another"),
    ]
    for batch in [events] if at_once else [[one] for one in events]:
        kept(store, events=batch)
    first, second, third = kept(store)
    assert first.first == {FAILED: {EVERYONE: FirstEvents(1, 1)}}
    assert second.first == {FAILED: {EVERYONE: FirstEvents(1, 0)}}
    assert third.first == {}
    assert kept(store, rollout="another")[0].first == {FAILED: {EVERYONE: FirstEvents(1, 0)}}


def test_each_kind_and_each_slice_has_a_first_of_its_own(store: SqlControlStore) -> None:
    dl = "segment:carrier=dl"
    events = [
        event("u1", 0, what=FAILED),
        event("u1", 1, what=SLOW),
        event("u1", 1, what=FAILED),
        event("u1", 1, of=dl),  # it was in none when it failed first
        event("u1", 2, of=dl),
        event("u1", 0, of=tenant_slice("AA")),
        event("u2", 0, CHAMPION, of=tenant_slice("UA"), tenant="UA"),
    ]
    first, second, third = kept(store, events=events)
    assert first.first == {
        FAILED: {
            EVERYONE: FirstEvents(1, 0),
            tenant_slice("AA"): FirstEvents(1, 0),
            tenant_slice("UA"): FirstEvents(0, 1),
        }
    }
    assert second.first == {SLOW: {EVERYONE: FirstEvents(1, 0)}, FAILED: {dl: FirstEvents(1, 0)}}
    assert third.first == {}


ODD_NAMES = ["", "é", "a\x00b", "a'b", "\U0001f600", "x" * 5_000, "x" * 5_001, "\ud800", "-\udfff"]


def test_a_units_name_may_hold_any_character(store: SqlControlStore) -> None:
    """Names come from tenants, in JSON, which allows them all; no two of these are one."""
    for _ in range(2):
        facts = kept(
            store, [request(name) for name in ODD_NAMES], [event(name) for name in ODD_NAMES]
        )
    assert facts[0].challenger == ArmCounts(len(ODD_NAMES), 0, 0)
    assert facts[0].first_of(FAILED) == FirstEvents(len(ODD_NAMES), 0)


# What is left out


def left_out_facts(store: SqlControlStore, *spans: LeftOut) -> tuple[int, int]:
    """Units and first failures of the challenger's that still count."""
    (facts, *_) = kept(store, left_out=spans)
    return facts.challenger.units, facts.first_of(FAILED).challenger


def test_spans_that_are_left_out_count_for_nobody_or_for_a_tenant(store: SqlControlStore) -> None:
    times = [(f"{tenant}{at}", tenant, float(at)) for tenant in ("AA", "UA") for at in range(5)]
    kept(
        store,
        [request(unit, tenant=tenant, at=at) for unit, tenant, at in times],
        [event(unit, tenant=tenant, at=at) for unit, tenant, at in times],
    )
    assert left_out_facts(store) == (10, 10)
    assert left_out_facts(store, LeftOut(1.0, 3.0)) == (6, 6), "1 and 2 of both; 3 is outside"
    assert left_out_facts(store, LeftOut(1.0, 3.0, "UA")) == (8, 8)
    assert left_out_facts(store, LeftOut(1.0, 3.0, "DL")) == (10, 10)
    assert left_out_facts(store, LeftOut(0.0, 1.0), LeftOut(3.0, math.inf, "AA")) == (6, 6)
    assert left_out_facts(store, LeftOut(-math.inf, math.inf)) == (0, 0)
    with store.read() as tx:
        assert tx.slices_of("roll") == 2


def test_a_unit_whose_first_was_left_out_is_not_counted_by_a_later_one(
    store: SqlControlStore,
) -> None:
    """Else those who always fail would count against whoever has them after the span."""
    broken = LeftOut(10.0, 20.0)
    requests = [request("u1", at=15.0, failed=True), request("u1", at=25.0, failed=True)]
    events = [
        event("u1", 0, CHAMPION, at=15.0),
        event("u1", 1, CHALLENGER, at=125.0),
        event("u2", 1, CHALLENGER, at=130.0),
    ]
    first, second, _ = kept(store, requests, events, [broken])
    assert first == StageFacts(STAGES[0])
    assert second.first == {FAILED: {EVERYONE: FirstEvents(1, 0)}}, "u2 alone"
    assert kept(store)[0].first == {FAILED: {EVERYONE: FirstEvents(0, 1)}}, "the span aside"


# Any history

WHO = st.tuples(st.sampled_from(["AA", "UA"]), st.sampled_from("abcd"))
STEP = st.integers(0, len(STAGES) - 1)
ARM = st.sampled_from([CHALLENGER, CHAMPION])
AT = st.integers(0, 9).map(float)
REQUESTS = st.lists(
    st.builds(
        lambda who, *rest: FirstRequest("", rest[0], *who, *rest[1:]),
        WHO, STEP, ARM, AT, st.booleans(), st.booleans(),
    ),
    max_size=25,
)  # fmt: skip
EVENTS = st.lists(
    st.builds(
        lambda what, of, who, *rest: UnitEvent("", what, of, *who, *rest),
        st.sampled_from([FAILED, SLOW]), st.sampled_from([EVERYONE, "segment:x=1"]), WHO, ARM,
        STEP, AT,
    ),
    max_size=25,
)  # fmt: skip
FRESH = count()
SPANS = st.lists(st.builds(LeftOut, AT, AT, st.sampled_from(["", "AA", "UA"])), max_size=2)


def folded(
    requests: Iterable[FirstRequest], events: Iterable[UnitEvent], left_out: Sequence[LeftOut]
) -> tuple[StageFacts, ...]:
    """The same from every record ever added, one by one."""
    seen: dict[tuple[int, str, str], FirstRequest] = {}
    happened: dict[tuple[str, str, str, str], UnitEvent] = {}
    for one in requests:
        seen.setdefault((one.step, one.tenant, one.unit), one)
    for one in events:
        happened.setdefault((one.what, one.slice, one.tenant, one.unit), one)

    def counts(one: FirstRequest | UnitEvent) -> bool:
        return not any(
            span.since <= one.at < span.until and span.tenant in ("", one.tenant)
            for span in left_out
        )

    out: list[StageFacts] = []
    for step, stage in enumerate(STAGES):
        arms: dict[str, ArmCounts] = {}
        for arm in (CHALLENGER, CHAMPION):
            mine = [r for r in seen.values() if (r.step, r.arm) == (step, arm) and counts(r)]
            arms[arm] = ArmCounts(len(mine), sum(r.failed for r in mine), sum(r.slow for r in mine))
        first: dict[str, dict[str, FirstEvents]] = {}
        for one in happened.values():
            if one.step == step and counts(one):
                of_kind = first.setdefault(one.what, {})
                held = of_kind.get(one.slice, FirstEvents())
                of_kind[one.slice] = (
                    replace(held, challenger=held.challenger + 1)
                    if one.arm == CHALLENGER
                    else replace(held, champion=held.champion + 1)
                )
        out.append(StageFacts(stage, arms[CHALLENGER], arms[CHAMPION], first))
    return tuple(out)


@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # every example writes to a rollout of its own
@given(requests=REQUESTS, events=EVENTS, spans=SPANS, cut=st.integers(0, 25))
def test_facts_are_those_of_every_record_however_they_are_cut(
    store: SqlControlStore,
    requests: list[FirstRequest],
    events: list[UnitEvent],
    spans: list[LeftOut],
    cut: int,
) -> None:
    rollout = f"roll-{next(FRESH)}"
    mine = [replace(one, rollout=rollout) for one in requests]
    theirs = [replace(one, rollout=rollout) for one in events]
    kept(store, mine[:cut], theirs[:cut])
    found = kept(store, mine[cut:], theirs[cut:], spans, rollout)
    assert found == folded(requests, events, spans)
    again = kept(store, mine[::-1], theirs[::-1], spans, rollout)
    assert again == found, "who records what was recorded changes nothing"
