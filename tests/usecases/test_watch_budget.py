"""Who waits when watching costs more than it may, and that it is counted and said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from usecases.harness import FILE, MODEL, Harness

from windvane.ports.event_log import EventLog
from windvane.ports.quarantine import Counted, CountName
from windvane.usecases.closed_window import ClosedWindow, StateRows
from windvane.usecases.judge_windows import judge_windows
from windvane.usecases.monitors import MONITORS, Importance, Judged, Monitor, monitor_named
from windvane.usecases.monitors.predictions import Predictions
from windvane.usecases.read_model_file import BadModelFile, ModelFile, read_model_file
from windvane.usecases.watch_budget import WatchBudget


@dataclass
class Machine:
    """Time that passes, and CPU that is used, as the test says."""

    now: float = 0.0
    used: float = 0.0

    def budget(self, allowed_s: float | None) -> WatchBudget:
        return WatchBudget(allowed_s, lambda: self.now, lambda: self.used)


def of_tier(tier: str) -> ModelFile:
    return read_model_file(FILE.replace("model: delay\n", f"model: delay\ntier: {tier}\n"))


def named(name: str) -> Monitor:
    found = monitor_named(name)
    assert found is not None
    return found


def use(machine: Machine, budget: WatchBudget, seconds: float) -> None:
    with budget.looking(named("sudden_shift")):
        machine.used += seconds


def waiting(budget: WatchBudget) -> dict[str, set[str]]:
    return {
        tier: {m.name for m in MONITORS if budget.waits(m, of_tier(tier))}
        for tier in ("low", "standard", "critical")
    }


def test_the_least_important_waits_first_and_who_is_always_needed_never() -> None:
    machine = Machine()
    budget = machine.budget(100.0)
    assert not any(waiting(budget).values())
    machine.now = 1_440.0  # with what may be used ahead, half of the allowance
    use(machine, budget, 41.0)
    assert waiting(budget) == {
        "low": {"dependence", "disagreement", "estimates"}, "standard": set(), "critical": set(),
    }  # fmt: skip
    use(machine, budget, 24.0)
    found = waiting(budget)
    assert found["critical"] == {"dependence", "disagreement", "estimates"}
    assert "sudden_shift" in found["low"]
    assert "sudden_shift" not in found["critical"]
    use(machine, budget, 1_000.0)
    always = {m.name for m in MONITORS if m.importance is Importance.ALWAYS}
    assert always == {"refusals", "errors", "traffic", "slo", "freshness"}
    assert not always & set.union(*waiting(budget).values())
    assert "sudden_shift" in waiting(budget)["critical"]


def test_an_hour_begins_anew_and_no_limit_is_none() -> None:
    machine = Machine()
    budget = machine.budget(100.0)
    use(machine, budget, 500.0)
    assert waiting(budget)["critical"]
    machine.now = 3_600.0
    assert not any(waiting(budget).values())
    free = machine.budget(None)
    use(machine, free, 1e6)
    assert not any(waiting(free).values())


def test_why_it_waits_has_both_sides() -> None:
    machine = Machine()
    budget = machine.budget(100.0)
    machine.now = 1_800.0
    use(machine, budget, 250.0)
    why = budget.waits(named("dependence"), of_tier("low"))
    assert why == "watching used 250 s of CPU in 30 minutes, 100 s an hour allowed"


def test_what_was_used_is_counted_by_monitor_to_the_millisecond(harness: Harness) -> None:
    machine = Machine()
    budget = machine.budget(None)
    use(machine, budget, 1.2345)
    assert budget.take_spent() == {"sudden_shift": 1_234}
    use(machine, budget, 0.0006)
    assert budget.take_spent() == {"sudden_shift": 1}
    use(machine, budget, 0.25)
    harness.traffic(0)
    judge(harness, budget)
    with harness.store.read() as tx:
        counts = tx.counts()
    assert counts[Counted(CountName.WATCHING, "sudden_shift")] == 250


def judge(harness: Harness, budget: WatchBudget) -> None:
    assert judge_windows(
        harness.store, harness.log, harness.clock, harness.shards, [MODEL], harness.cache,
        budget=budget,
    )  # fmt: skip


def test_who_waits_says_so_keeps_what_it_knew_and_looks_again(harness: Harness) -> None:
    machine = Machine()
    budget = machine.budget(10.0)
    for i in range(3):
        harness.traffic(i)
        judge(harness, budget)
    before = harness.carried("sudden_shift")
    use(machine, budget, 100.0)
    harness.traffic(3)
    judge(harness, budget)
    assert harness.carried("sudden_shift") == before
    with harness.store.read() as tx:
        said = {v.monitor: v for v in tx.verdicts(MODEL, "", 0.0, 100) if v.code == "WIN-104"}
        others = {v.monitor for v in tx.verdicts(MODEL, "errors", 0.0, 1)}
    assert "sudden_shift" in said
    assert said["sudden_shift"].outcome == "hold"
    assert said["sudden_shift"].sentence.startswith("not looked at: watching used 100 s")
    assert others == {"errors"}
    machine.now = 3_600.0
    harness.traffic(4)
    judge(harness, budget)
    assert harness.carried("sudden_shift") != before


def test_what_is_open_ends_whatever_that_costs(harness: Harness) -> None:
    machine = Machine()
    budget = machine.budget(10.0)
    for i in range(74):
        harness.traffic(i, nulls=1.0 if 60 <= i < 63 else 0.0)
        if i == 62:
            use(machine, budget, 100.0)
        judge(harness, budget)
    assert [i.closed_at is None for i in harness.incidents()] == [False]


def test_a_monitor_that_is_switched_off_does_not_look_and_forgets(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(2):
        harness.traffic(i)
        harness.judge()
    assert harness.carried("sudden_shift")

    def asked(
        self: Monitor, window: ClosedWindow, rows: StateRows, log: EventLog
    ) -> Sequence[Judged]:
        raise AssertionError

    monkeypatch.setattr(Predictions, "look", asked)
    off = FILE.replace("  min_rows: 20\n", "  min_rows: 20\n  off: [predictions, sudden_shift]\n")
    harness.clock.at += 1
    harness.apply(off)
    harness.traffic(2)
    harness.judge()
    assert harness.carried("sudden_shift") == {}
    with harness.store.read() as tx:
        newest = max(v.start for v in tx.verdicts(MODEL, "errors", 0.0, 10))
        assert tx.verdicts(MODEL, "predictions", newest, 10) == []


def test_what_still_finds_something_is_not_switched_off(harness: Harness) -> None:
    for i in range(60):
        harness.traffic(i)
        harness.judge()
    for i in range(60, 63):
        harness.traffic(i, nulls=1.0)
        harness.judge()
    (incident,) = harness.incidents()
    harness.clock.at += 1
    with pytest.raises(
        BadModelFile, match=f"sudden_shift would look no more, and {incident.id} of it is open"
    ):
        harness.apply(FILE.replace("  min_rows: 20\n", "  min_rows: 20\n  off: [sudden_shift]\n"))


@pytest.mark.parametrize(
    ("off", "said"),
    [("[sudden_shft]", "watch.off[0]: 'sudden_shft' is no monitor"), ("[slo, slo]", "twice")],
)
def test_names_that_are_no_monitors_are_refused(off: str, said: str) -> None:
    with pytest.raises(BadModelFile) as error:
        read_model_file(FILE.replace("  min_rows: 20\n", f"  min_rows: 20\n  off: {off}\n"))
    assert said in error.value.message
