"""Silence: of the model, of one tenant, and what is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest
from usecases.harness import FILE, MODEL, START, Harness
from usecases.timeline import only, verdicts
from usecases.worlds import Worlds

from windvane.core.sketch import TRAFFIC, Sketch
from windvane.ports.control_store import Checkpoint, WindowKey
from windvane.usecases.actions import About
from windvane.usecases.monitors.traffic import Traffic
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.replay_decision import replay_decision

HOUR = 3_600.0
HOURLY = FILE.replace("window: 60s", "window: 1h").replace("recent: 30m", "recent: 12h").replace(
    "drift_over: 20m", "drift_over: 30d"
)  # fmt: skip
Plan = Callable[[int], Mapping[str, int]]


def office(hour: int) -> bool:
    """From eight to eight on working days; START was a Wednesday."""
    return 8 <= hour % 24 < 20 and (hour // 24 + 2) % 7 < 5


def usual(hour: int) -> Mapping[str, int]:
    """AA always, UA and the small one in office hours only."""
    at_work = {"UA": 300, "small": 40} if office(hour) else {}
    return {"AA": 500, **at_work}


class Days:
    """Hourly windows of requests by tenant, judged one by one."""

    def __init__(self, harness: Harness, hour: int = 0) -> None:
        self.harness = harness
        self.hour = hour

    def play(self, hours: int, plan: Plan = usual) -> None:
        for _ in range(hours):
            start = START + HOUR * self.hour
            rng = np.random.default_rng((11, self.hour))
            made: dict[WindowKey, Sketch] = {}
            empty = Sketch.empty(self.harness.layout.id, self.harness.layout.size)
            for tenant, mean in plan(self.hour).items():
                n = int(rng.poisson(mean))
                told = {"rows": n, "requests": n}
                traffic = np.array([told.get(name, 0) for name in TRAFFIC], np.int64)
                key = WindowKey(MODEL, start, "1", "champion", tenant, "r1")
                made[key] = Sketch(self.harness.layout.id, empty.features, traffic, empty.latency)
            with self.harness.store.begin() as tx:
                tx.add_sketches(made)
                tx.set_checkpoint(Checkpoint("m/w0", 0, start + HOUR))
            self.harness.clock.at = start + HOUR
            assert self.harness.judge()
            self.hour += 1

    def causes(self) -> list[str]:
        return sorted(i.cause for i in self.harness.incidents() if i.closed_at is None)


LEARNED = 9 * 24 + 10


def watch_hours(harness: Harness) -> None:
    harness.apply(HOURLY)


def play_usual(harness: Harness) -> None:
    Days(harness).play(LEARNED)
    assert harness.incidents() == []


@pytest.fixture
def days(worlds: Worlds) -> Iterator[Days]:
    """A week and two days of usual traffic, to a Friday at ten."""
    with worlds.after(watch_hours, play_usual) as found:
        yield Days(found, LEARNED)


@pytest.fixture
def hourly(worlds: Worlds) -> Iterator[Harness]:
    with worlds.after(watch_hours) as found:
        yield found


def test_nights_and_weekends_of_a_tenant_are_no_silence(days: Days) -> None:
    days.play(7 * 24)
    assert days.harness.incidents() == []


def test_a_model_of_which_nothing_is_recorded_is_found_in_the_first_window(days: Days) -> None:
    began = START + HOUR * days.hour
    days.play(1, lambda _: {})
    incident = only(days.harness, f"traffic:{MODEL}")
    assert incident.since == began
    assert (incident.severity, days.causes()) == ("medium", [incident.cause])
    assert incident.title.startswith("traffic: 0 requests where ")
    days.play(3, lambda _: {})
    assert days.causes() == [incident.cause]  # its tenants are no news of their own
    days.play(2)
    assert days.causes() == []
    for decision in (*days.harness.decisions("notify"), *days.harness.decisions("close")):
        assert replay_decision(decision).same


def test_a_trickle_is_no_traffic(days: Days) -> None:
    days.play(1, lambda _: {"AA": 1})
    assert days.causes() == [f"traffic:{MODEL}"]
    days.play(3, lambda _: {"AA": 3})
    assert days.causes() == [f"traffic:{MODEL}"]


@pytest.mark.parametrize(("tenant", "within"), [("AA", 1), ("UA", 1), ("small", 6)])
def test_a_tenant_who_is_gone_is_named_and_nobody_else(
    days: Days, tenant: str, within: int
) -> None:
    days.play(within, lambda hour: {t: n for t, n in usual(hour).items() if t != tenant})
    assert days.causes() == [f"tenant_silent:{tenant}"]
    assert only(days.harness, f"tenant_silent:{tenant}").severity == "medium"
    days.play(3)
    assert days.causes() == []


def test_a_tenant_whose_keys_were_revoked_is_not_gone(days: Days) -> None:
    days.harness.add_keys(["AA", "UA", "small"])
    with days.harness.store.begin() as tx:
        for record in tx.key_records():
            if record.entry.tenant == "AA":
                tx.put_key(replace(record, revoked_at=days.harness.clock.now()))
    days.play(48, lambda hour: {t: n for t, n in usual(hour).items() if t != "AA"})
    assert days.harness.incidents() == []


def test_a_model_that_was_turned_off_is_not_gone(days: Days) -> None:
    days.harness.put("1", off=True)
    days.play(5, lambda _: {})
    days.harness.put("1")
    days.play(24)
    assert days.harness.incidents() == []


def test_a_spool_that_nobody_reads_is_no_silence(days: Days) -> None:
    """Its machine answers, and its recorder is down."""
    wall = days.harness.clock.wall()
    with days.harness.store.begin() as tx:
        at = days.harness.clock.now()
        tx.set_checkpoint(Checkpoint("other/w0", 0, at, seen_at=wall - 3_600.0))
    days.play(3, lambda _: {})
    assert days.harness.incidents() == []
    assert verdicts(days.harness, "traffic")[-1].code == "ABS-204"
    with days.harness.store.begin() as tx:
        (held,) = [c for c in tx.checkpoints() if c.spool == "other/w0"]
        tx.set_checkpoint(replace(held, dropped=True))
    days.play(1, lambda _: {})
    assert days.causes() == [f"traffic:{MODEL}"]


def test_a_new_tenant_is_named_once_and_wakes_nobody(days: Days) -> None:
    days.play(30, lambda hour: {**usual(hour), "newcomer": 20})
    assert days.harness.incidents() == []
    found = [d for d in days.harness.decisions() if d.subject == "newcomer" or "newcomer" in d.id]
    assert sorted((d.id.rpartition("/")[2], d.action) for d in found) == [
        ("began", "digest"),
        ("ended", "close"),
    ]


def test_what_a_person_closed_is_found_again(days: Days) -> None:
    days.play(1, lambda _: {})
    held = only(days.harness, f"traffic:{MODEL}")
    days.harness.act("close", About.INCIDENT, incident=held.id)
    days.play(1, lambda _: {})
    assert len(days.harness.incidents()) == 2


def test_a_tenant_who_left_for_good_is_forgotten(days: Days) -> None:
    days.play(6 * 7 * 24, lambda hour: {t: n for t, n in usual(hour).items() if t != "small"})
    assert days.causes() == []
    assert not any("small" in key for key in days.harness.carried("traffic"))


def test_a_nightly_batch_that_stops_is_found_the_next_morning_and_ends(hourly: Harness) -> None:
    def nightly(hour: int) -> Mapping[str, int]:
        return {"AA": 10_000} if hour % 24 == 3 else {}

    days = Days(hourly, 3)  # nothing is judged before the first request
    days.play(21, nightly)
    assert "not watched for silence" in verdicts(hourly, "traffic")[-1].sentence
    days.play(34 * 24, nightly)
    assert hourly.incidents() == []
    days.play(5, lambda _: {})  # it was due at three
    assert hourly.incidents() == []
    days.play(2, lambda _: {})
    assert days.causes() == [f"traffic:{MODEL}"]
    title = only(hourly, f"traffic:{MODEL}").title
    assert title.startswith("traffic: 0 requests in a day where at least ")
    days.play(20, lambda _: {})
    assert days.causes() == [f"traffic:{MODEL}"]
    days.play(2, nightly)
    assert days.causes() == []
    for decision in (*hourly.decisions("notify"), *hourly.decisions("close")):
        assert replay_decision(decision).same


def test_a_tenant_whose_nightly_batch_stops_is_named(hourly: Harness) -> None:
    def mixed(hour: int) -> Mapping[str, int]:
        return {"AA": 500, **({"UA": 10_000} if hour % 24 == 3 else {})}

    days = Days(hourly)
    days.play(35 * 24, mixed)
    assert hourly.incidents() == []
    days.play(8, lambda _: {"AA": 500})
    assert days.causes() == ["tenant_silent:UA"]


def test_each_tenant_takes_part_in_the_budget() -> None:
    assert Traffic().streams(read_model_file(FILE), 7) == 8
