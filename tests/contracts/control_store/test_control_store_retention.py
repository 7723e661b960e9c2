"""What is old is rolled up exactly, or removed, a bounded step at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from windvane.adapters.sql import SqlControlStore
from windvane.core.journal import Decision, Effect
from windvane.core.rollout import EVERYONE, FAILED, Stage
from windvane.core.sketch import TRAFFIC, Layout, NumericAxis, Sketch, merge
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.control_store import (
    Access,
    Deployment,
    Incident,
    IncidentNote,
    ModelRecord,
    WindowKey,
    WindowVerdict,
)
from windvane.ports.quarantine import Counted, CountName
from windvane.ports.retention import AgedRows
from windvane.ports.rollouts import FirstRequest, RolloutRecord, UnitEvent

LAYOUT = Layout((NumericAxis("x", (0.0, 1.5)),))
HOUR = 3_600.0


def sketch(n: int) -> Sketch:
    empty = Sketch.empty(LAYOUT.id, LAYOUT.size)
    traffic = np.arange(len(TRAFFIC), dtype=np.int64) * n
    return Sketch(LAYOUT.id, empty.features + n, traffic, empty.latency + n)


def fill(store: SqlControlStore, minutes: int = 150, model: str = "delay") -> None:
    with store.begin() as tx:
        for tenant in ("AA", "UA"):
            key = WindowKey(model, 0.0, "1", "champion", tenant, "r1")
            tx.add_sketches({replace(key, start=60.0 * i): sketch(i + 1) for i in range(minutes)})


def total(store: SqlControlStore, model: str = "delay") -> Sketch | None:
    with store.read() as tx:
        return merge(s for _, s in tx.sketches(model, 0.0, float("inf")))


def roll_up(store: SqlControlStore, before: float, span_s: float, limit: int = 7) -> int:
    steps = 0
    while True:
        with store.begin(["delay"]) as tx:
            done = tx.roll_up_sketches("delay", before, span_s, limit)
        assert done <= limit
        if not done:
            return steps
        steps += 1


def test_windows_become_hours_and_hours_days_with_the_same_sums(store: SqlControlStore) -> None:
    fill(store)
    fill(store, 3, model="other")
    before = total(store)
    assert roll_up(store, 2 * HOUR, HOUR) > 1
    with store.read() as tx:
        found = tx.sketches("delay", 0.0, float("inf"))
        assert len(tx.sketches("other", 0.0, float("inf"))) == 6
    starts = sorted({key.start for key, _ in found})
    assert starts == [0.0, HOUR, *(2 * HOUR + 60.0 * i for i in range(30))]
    assert total(store) == before
    hour = [s for key, s in found if key.start == HOUR and key.tenant == "AA"]
    assert hour == [merge(sketch(i + 1) for i in range(60, 120))]
    roll_up(store, 24 * HOUR, HOUR)
    roll_up(store, 24 * HOUR, 24 * HOUR)
    with store.read() as tx:
        days = tx.sketches("delay", 0.0, float("inf"))
    assert [(key.start, key.tenant) for key, _ in days] == [(0.0, "AA"), (0.0, "UA")]
    assert total(store) == before


def test_what_comes_late_is_added_once(store: SqlControlStore) -> None:
    fill(store, 60)
    roll_up(store, HOUR, HOUR)
    late = WindowKey("delay", 120.0, "1", "champion", "AA", "r1")
    with store.begin([]) as tx:
        tx.add_sketches({late: sketch(1_000)})
    roll_up(store, HOUR, HOUR)
    both = merge([*(sketch(i + 1) for i in range(60)), sketch(1_000)])
    with store.read() as tx:
        assert [s for k, s in tx.sketches("delay", 0.0, HOUR) if k.tenant == "AA"] == [both]


def drop(store: SqlControlStore, kind: AgedRows, before: float, model: str = "delay") -> list[int]:
    steps: list[int] = []
    while not steps or steps[-1]:
        with store.begin() as tx:
            steps.append(tx.drop_aged(kind, model, before, 4))
    return steps[:-1]


def test_verdicts_lose_their_details_and_then_go(store: SqlControlStore) -> None:
    rows = [
        WindowVerdict("delay", 60.0 * i, "m", "", "pass", "C-1", "said", {"rows": i})
        for i in range(10)
    ]
    with store.begin() as tx:
        tx.add_verdicts([*rows, replace(rows[0], model="other")])
    assert drop(store, AgedRows.VERDICT_DETAILS, 300.0) == [4, 1]
    with store.read() as tx:
        kept = tx.verdicts("delay", "", 0.0, 100)
    assert [v.detail for v in reversed(kept)] == [{}] * 5 + [r.detail for r in rows[5:]]
    assert drop(store, AgedRows.VERDICTS, 300.0) == [4, 1]
    with store.read() as tx:
        assert len(tx.verdicts("delay", "", 0.0, 100)) == 5
        assert len(tx.verdicts("other", "", 0.0, 100)) == 1


@pytest.mark.parametrize("kind", [AgedRows.VERDICT_DETAILS, AgedRows.VERDICTS])
def test_the_newest_word_of_a_monitor_that_seldom_looks_stays(
    store: SqlControlStore, kind: AgedRows
) -> None:
    """Those of the rest go, and so do the tenants', of whom there may be any number."""
    said = [("slow", ""), ("slow", "AA"), ("quick", "")]
    with store.begin() as tx:
        rows = [
            WindowVerdict("delay", at, monitor, subject, "hold", "C-1", "said", {"rows": 1})
            for at in (60.0, 120.0)
            for monitor, subject in said
        ]
        tx.add_verdicts(rows)
    for limit in (1, 100):
        with store.begin() as tx:
            while tx.drop_aged(kind, "delay", 1e6, limit, ["slow", "never"]):
                pass
    with store.read() as tx:
        left = [v for v in tx.verdicts("delay", "", 0.0, 100) if v.detail]
    assert [(v.start, v.monitor, v.subject) for v in left] == [(120.0, "slow", "")]
    with store.begin() as tx:
        later = WindowVerdict("delay", 180.0, "slow", "", "hold", "C-1", "said", {"rows": 1})
        tx.add_verdicts([later])
        assert tx.drop_aged(kind, "delay", 180.0, 100, ["slow"]) == 1


@pytest.mark.parametrize("kind", [AgedRows.SKETCHES, AgedRows.DECISIONS])
def test_rows_of_a_model_go_by_their_age(store: SqlControlStore, kind: AgedRows) -> None:
    fill(store, 10)
    verdict = Verdict(Outcome.PASS, "C-1", "said")
    with store.begin() as tx:
        for i in range(10):
            tx.decide(Decision(f"d{i}", "delay", "", "s", "a", 60.0 * i, {}, {}, verdict))
    gone = sum(drop(store, kind, 300.0))
    with store.read() as tx:
        left = (len(tx.sketches("delay", 0.0, 1e9)), len(tx.decisions("delay", 100)))
    assert (gone, left) == ((10, (10, 10)) if kind is AgedRows.SKETCHES else (5, (20, 5)))


def test_incidents_go_once_they_are_closed_for_long(store: SqlControlStore) -> None:
    with store.begin() as tx:
        for i in range(6):
            one = Incident(f"i{i}", "delay", f"c{i}", "k", "low", "t", 60.0 * i, 0.0, None, "", "")
            tx.put_incident(one if i == 0 else replace(one, closed_at=60.0 * i + 1.0))
            tx.add_note(one.id, IncidentNote(60.0 * i, "said", ""))
        tx.put_incident(replace(one, id="x", model="other", closed_at=0.0))
    assert drop(store, AgedRows.INCIDENTS, 200.0) == [3]
    with store.read() as tx:
        assert sorted(i.id for i in tx.incidents("delay", 100)) == ["i0", "i4", "i5"]
        assert [len(tx.notes(f"i{i}")) for i in range(6)] == [1, 0, 0, 0, 1, 1]
        assert len(tx.incidents("other", 100)) == 1


def test_effects_that_are_done_and_calls_go(store: SqlControlStore) -> None:
    verdict = Verdict(Outcome.PASS, "C-1", "said")
    effects = tuple(Effect("notify", {"n": i}) for i in range(3))
    with store.begin() as tx:
        tx.decide(Decision("d", "delay", "", "s", "a", 0.0, {}, {}, verdict, effects))
        tx.effect_done("d#0", 10.0)
        tx.effect_done("d#1", 90.0)
        tx.add_access([Access("AA", "k", "delay", "predict", h, 1, h, h) for h in (0.0, 90.0)])
    assert drop(store, AgedRows.EFFECTS, 50.0, "") == [1]
    assert drop(store, AgedRows.ACCESS, 50.0, "") == [1]
    with store.read() as tx:
        assert [item.key for item in tx.due_effects(1e9, 10)] == ["d#2"], "what is due stays"
        assert [a.hour for a in tx.access("", 0.0, 10)] == [90.0]


def meet(store: SqlControlStore, rollout: str) -> None:
    """Three units, each of which fails and is in two slices."""
    units = [f"u{i}" for i in range(3)]
    with store.begin() as tx:
        tx.put_rollout(RolloutRecord(rollout, "delay", "2", "1", 0.0, ()))
        tx.add_first_requests(
            [FirstRequest(rollout, 0, "AA", u, "challenger", 0.0, True, False) for u in units]
        )
        tx.add_unit_events(
            [
                UnitEvent(rollout, FAILED, of, "AA", u, "challenger", 0, 0.0)
                for u in units
                for of in (EVERYONE, "tenant:AA")
            ]
        )


def met(store: SqlControlStore, rollout: str) -> tuple[int, int, int]:
    with store.read() as tx:
        (facts,) = tx.stage_facts(rollout, [Stage(0.1, 0.0)])
    everyone, tenant = (facts.first_of(FAILED, name).challenger for name in (EVERYONE, "tenant:AA"))
    return facts.challenger.units, everyone, tenant


@pytest.mark.parametrize("live", [("now",), ("now", "too"), ()])
def test_units_of_rollouts_that_are_over_go_and_their_records_stay(
    store: SqlControlStore, live: tuple[str, ...]
) -> None:
    for rollout in ("now", "old", "too"):
        meet(store, rollout)
    with store.begin() as tx:
        tx.put_deployment(Deployment("plain", "1"))
        for rollout in live:
            tx.put_deployment(Deployment(rollout, "1", challenger="2", rollout=rollout))
    dropped = drop(store, AgedRows.UNITS, 0.0, "")
    assert sum(dropped) == 9 * (3 - len(live))
    assert max(dropped) == 4, "a step is bounded, whatever the table"
    for rollout in ("now", "old", "too"):
        assert met(store, rollout) == ((3, 3, 3) if rollout in live else (0, 0, 0))
    with store.read() as tx:
        assert {one.id for one in tx.rollouts("delay", 10)} == {"now", "old", "too"}


def test_the_oldest_row_of_each_kind_is_known(store: SqlControlStore) -> None:
    verdict = Verdict(Outcome.PASS, "C-1", "said")
    with store.read() as tx:
        assert tx.oldest_kept() == {}
    fill(store, 3)
    fill(store, 2, model="other")
    with store.begin() as tx:
        for name in ("delay", "other", "without"):
            tx.put_model(ModelRecord(name, "", 1.0))
        tx.add_verdicts([WindowVerdict("other", 60.0, "m", "", "pass", "C-1", "s", {})])
        tx.decide(Decision("d", "delay", "", "s", "a", 7.0, {}, {}, verdict, (Effect("n", {}),)))
        tx.add_access([Access("t", "k", "delay", "predict", 0.0, 1, 5.0, 9.0)])
    with store.read() as tx:
        assert tx.oldest_kept() == {
            AgedRows.SKETCHES: 0.0,
            AgedRows.VERDICTS: 60.0,
            AgedRows.DECISIONS: 7.0,
            AgedRows.ACCESS: 9.0,
        }, "an effect that still waits is not old"
        (effect,) = tx.due_effects(float("inf"), 1)
    with store.begin() as tx:
        tx.effect_done(effect.key, 11.0)
        assert tx.oldest_kept()[AgedRows.EFFECTS] == 11.0


def test_a_decision_is_counted_once_and_stays_counted(store: SqlControlStore) -> None:
    decision = Decision("d", "delay", "", "s", "deploy", 7.0, {}, {},
                        Verdict(Outcome.PASS, "C-1", "said"))  # fmt: skip
    for _ in range(2):
        with store.begin() as tx:
            tx.decide(decision)
    with store.begin() as tx:
        tx.drop_aged(AgedRows.DECISIONS, "delay", 8.0, 10)
        assert tx.counts() == {Counted(CountName.DECISIONS, "delay", "deploy"): 1}
