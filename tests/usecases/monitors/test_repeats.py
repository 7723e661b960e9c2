"""Views that serve what they served before, from windows to incidents."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from usecases.harness import FILE, MODEL, START, Harness, Trained
from usecases.timeline import play

from windvane.core.alerting import Cause
from windvane.core.signature import FINGERPRINTS
from windvane.ports.control_store import Deployment
from windvane.usecases.closed_window import ClosedWindow
from windvane.usecases.derived_axes import derived_axes, fingerprint_name
from windvane.usecases.gather_derived import Derived
from windvane.usecases.monitors import watch_policy
from windvane.usecases.monitors.freshness import STALE
from windvane.usecases.monitors.repeats import Repeats
from windvane.usecases.read_model_file import BadModelFile, read_model_file
from windvane.usecases.replay_windows import Replay

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

WATCHED = (
    FILE.replace("  errors: 2%\n", "  errors: 2%\n  repeats: [weather]\n")
    .replace("window: 60s", "window: 20m")
    .replace("drift_over: 20m", "drift_over: 40m")
)
WINDOWS_AN_HOUR = 3
FAULT = 200  # hours


class World:
    """Windows of twenty minutes, of a weather of forty stations that changes each hour."""

    def __init__(self, trained: Trained, text: str = WATCHED) -> None:
        self.trained = trained
        self.monitor = Repeats()
        self.replay = Replay(monitors=(self.monitor,))
        self.use(text)
        self.at = 0

    def use(self, text: str) -> None:
        self.file = read_model_file(text)
        self.policy = watch_policy(self.file, models=1, tenants=2)

    def play(self, hours: int, shown: Callable[[int], int] = lambda hour: hour) -> None:
        for _ in range(hours * WINDOWS_AN_HOUR):
            hour = self.at // WINDOWS_AN_HOUR
            rng = np.random.default_rng(self.at)
            values = np.random.default_rng(10_000 + shown(hour)).integers(0, FINGERPRINTS, 40)
            counts = np.bincount(values[rng.integers(0, 40, 100)] + 1, minlength=FINGERPRINTS + 1)
            layout, baseline = self.trained.layout, self.trained.baseline
            start = START + self.policy.window_s * self.at
            self.replay.judge(
                ClosedWindow(
                    self.file, self.policy, Deployment(MODEL, "1"), layout, baseline, start,
                    (), np.zeros(layout.size, np.int64), START,
                    derived=Derived({}, {fingerprint_name("weather"): counts}),
                )
            )  # fmt: skip
            self.at += 1


def frozen(hour: int) -> int:
    return min(hour, FAULT)


def test_a_source_that_stopped_is_found_and_ends_when_it_goes_on(trained: Trained) -> None:
    world = World(trained)
    world.play(FAULT)
    assert world.replay.left_out == {}
    assert world.replay.alarms == []
    world.play(12, frozen)
    (alarm,) = world.replay.alarms
    assert alarm.cause == "stale_source:weather"
    assert alarm.sources == ("weather",)
    assert alarm.since == START + (FAULT + 1) * 3_600.0
    assert alarm.opened - alarm.since <= 6 * 3_600.0
    assert "what it serves is as 1h before" in alarm.title
    world.play(3)
    assert alarm.closed is not None
    assert world.replay.outcomes.keys() == {"hold", "fail", "pass"}


def test_what_was_accepted_is_learned_anew(trained: Trained) -> None:
    world = World(trained)
    world.play(FAULT)
    world.play(12, frozen)
    rows = world.replay.rows("repeats")
    changed = world.monitor.accept(rows, Cause(STALE, "weather"))
    assert list(changed) == ["weather"]
    world.replay.states["repeats"] = msgspec.to_builtins(changed)
    world.play(100, frozen)
    assert len(world.replay.alarms) == 1
    assert world.replay.last == {}


def test_it_is_over_where_the_file_has_it_watched_no_more(trained: Trained) -> None:
    world = World(trained)
    world.play(FAULT)
    world.play(12, frozen)
    world.use(WATCHED.replace("  repeats: [weather]\n", ""))
    world.play(1, frozen)
    assert world.replay.alarms[0].closed is not None
    assert world.replay.rows("repeats") == {}


def test_each_stream_of_each_view_counts_in_the_budget() -> None:
    watched = read_model_file(WATCHED)
    none = read_model_file(WATCHED.replace("  repeats: [weather]\n", ""))
    assert Repeats().streams(watched, 5) == 4
    assert Repeats().streams(none, 5) == 0
    assert [axis.name for axis in derived_axes(watched)] == ["weather#fingerprint"]
    assert derived_axes(none) == ()


@pytest.mark.parametrize(
    ("given", "message"), [("[wether]", "there is no view 'wether'"), ("[plan, plan]", "2 times")]
)
def test_views_that_cannot_be_watched_are_refused(given: str, message: str) -> None:
    with pytest.raises(BadModelFile, match=message):
        read_model_file(WATCHED.replace("[weather]", given))


def test_windows_of_a_minute_are_gathered_to_hours_and_survive_a_restart(harness: Harness) -> None:
    harness.clock.at += 1
    harness.apply(FILE.replace("  errors: 2%\n", "  errors: 2%\n  repeats: [weather]\n"))
    prints = {"ages": {"AA": [3.0], "UA": [200.0]}}
    play(harness, [prints] * 61)
    row = harness.carried("repeats")["weather"]
    assert row["block"] == round(START / 3_600.0) + 1
    assert sum(row["counts"]) == 60
    assert row["counts"][3] == row["counts"][200] == 30
    with harness.store.read() as tx:
        found = tx.verdicts(MODEL, "repeats", 0.0, 100)
        assert tx.learned_states(MODEL, "repeats", ["weather"])
    assert [(v.subject, v.code, v.detail["rows"]) for v in found] == [("weather", "FRE-211", 3_600)]
