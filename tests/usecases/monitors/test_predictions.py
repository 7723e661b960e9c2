"""Answers are compared with the version's own past, and told of the version and arm they are of."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from usecases.harness import FILE, MODEL, START, WINDOW_S, Harness, columns
from usecases.recording import RecorderHarness, predicted
from usecases.timeline import QUIET, only, play, verdicts

from windvane.adapters.sql import SqlControlStore
from windvane.core.drift import build_baseline
from windvane.core.sketch import TRAFFIC, CategoryAxis, Layout, NumericAxis, Sketch
from windvane.core.task import make_task
from windvane.ports.control_store import Deployment, WindowKey
from windvane.usecases.actions import About
from windvane.usecases.closed_window import ClosedWindow
from windvane.usecases.gather_answers import TrainedAnswers, answer_figures, gather_answers
from windvane.usecases.monitors import watch_policy
from windvane.usecases.monitors.predictions import Predictions
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.replay_decision import replay_decision
from windvane.usecases.replay_windows import Replay

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

LEARNED = 120
"""Windows of both arms that are known: twenty looks of a past, and healthy ones to compare with."""
HIGHER: dict[str, Any] = {"higher": 0.1}
STUCK: dict[str, Any] = {"one_answer": True}


def causes(harness: Harness) -> list[str]:
    return sorted(i.cause for i in harness.incidents() if i.closed_at is None)


def both_arms(
    harness: Harness, windows: int, champion: dict[str, Any], challenger: dict[str, Any],
    first: int = LEARNED,
) -> None:  # fmt: skip
    """Version 1 is the champion and version 2 its challenger."""
    for i in range(first, first + windows):
        harness.traffic(
            i, version="2", arm="challenger", checkpoint=False, seed=90_000, **challenger
        )
        harness.traffic(i, **champion)
        assert harness.judge()


@pytest.fixture(scope="module")
def learned_home(
    harness_of: Callable[[], AbstractContextManager[Harness]],
) -> Iterator[Harness]:
    """Two hours of a champion and its challenger, of which nothing is to be said."""
    with harness_of() as harness:
        harness.put("1", challenger="2", share=0.5)
        both_arms(harness, LEARNED, QUIET, QUIET, first=0)
        assert harness.incidents() == []
        harness.store.close()
        yield harness


@pytest.fixture
def learned(learned_home: Harness, tmp_path: Path) -> Iterator[Harness]:
    shutil.copy(learned_home.folder / "control.db", tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    harness = Harness(tmp_path, store, learned_home.trained)
    harness.clock.at = START + WINDOW_S * LEARNED
    yield harness
    store.close()


def test_one_answer_for_everyone_is_found_in_the_first_windows(harness: Harness) -> None:
    play(harness, [STUCK] * 3)
    incident = only(harness, "stuck_predictions:1")
    assert incident.severity == "high"
    assert "100.0% of the answers are 0.25 to 0.3, usually 1" in incident.title
    assert incident.since == START
    assert incident.evidence["suspects"][0]["feature"] == "output"
    assert sum(1 for n in incident.evidence["histograms"][0]["after"] if n) == 1
    decided = [d for d in harness.decisions() if "stuck_predictions" in d.id]
    assert decided
    assert all(replay_decision(d).same for d in decided)


def test_it_is_over_once_answers_differ_again(harness: Harness) -> None:
    play(harness, [STUCK] * 3)
    play(harness, [QUIET] * 12, first=3)
    assert causes(harness) == []
    assert harness.timeline(only(harness, "stuck_predictions:1"))[-1] == (
        "version 1 answers as before again"
    )


def test_answers_that_are_alike_because_the_rows_are_blame_no_model(harness: Harness) -> None:
    layout = harness.layout
    row = {k: np.repeat(v[:1], 60) for k, v in columns(1, 5, one_answer=True).items()}
    for i in range(6):
        start = START + WINDOW_S * i
        traffic = np.array([60 if n in ("rows", "requests") else 0 for n in TRAFFIC], np.int64)
        found = Sketch(layout.id, layout.count(row)[0], traffic, Sketch.empty("", 0).latency)
        with harness.store.begin() as tx:
            tx.add_sketches({WindowKey(MODEL, start, "1", "champion", "AA", "r1"): found})
        harness.traffic(i, rows=2, one_answer=True)
        assert harness.judge()
    assert not [c for c in causes(harness) if "stuck_predictions" in c]


def test_a_calibration_shift_of_one_arm_is_that_arms(learned: Harness) -> None:
    both_arms(learned, 12, QUIET, HIGHER)
    incident = only(learned, "prediction_shift:2 as challenger")
    assert causes(learned) == [incident.cause]
    assert incident.severity == "medium"
    assert abs(incident.since - (START + WINDOW_S * LEARNED)) <= WINDOW_S
    assert incident.opened_at - incident.since <= 10 * WINDOW_S
    assert "the answers of version 2 as challenger moved by PSI" in incident.title
    decided = [d for d in learned.decisions() if "prediction_shift" in d.id]
    assert decided
    assert all(replay_decision(d).same for d in decided)
    newest = verdicts(learned, "predictions")[-2:]
    shown = {v.detail["arm"]: v.detail for v in newest}
    assert shown["challenger"]["mean"] - shown["champion"]["mean"] == pytest.approx(0.1, abs=0.03)
    assert shown["challenger"]["usual_mean"] == pytest.approx(0.25, abs=0.03)
    assert 0.5 < shown["champion"]["confidence"] < 0.9


def test_what_a_broken_source_does_to_answers_is_one_incident(learned: Harness) -> None:
    both_arms(learned, 14, {**HIGHER, "celsius": True}, {**HIGHER, "celsius": True})
    assert [i.cause for i in learned.incidents()] == ["feed:weather"]
    told = " ".join(learned.timeline(only(learned, "feed:weather")))
    assert "the answers of version 1 moved by PSI" in told


def test_both_arms_that_shift_at_one_time_are_one_incident(learned: Harness) -> None:
    both_arms(learned, 14, HIGHER, HIGHER)
    (incident,) = learned.incidents()
    told = " ".join(learned.timeline(incident))
    assert "the answers of version 1 moved by PSI" in told
    assert "the answers of version 2 as challenger moved by PSI" in told


def test_a_new_champion_is_compared_with_itself(learned: Harness) -> None:
    learned.add_version("3")
    learned.put("3", previous="1")
    play(learned, [{"version": "3", "higher": 0.3}] * LEARNED, first=LEARNED)
    assert learned.incidents() == []
    assert list(learned.carried("predictions")) == ["version/3/champion"], "the others' are gone"
    play(learned, [{"version": "3", "higher": 0.2}] * 12, first=2 * LEARNED)
    assert causes(learned) == ["prediction_shift:3"]


def test_a_promoted_challenger_keeps_what_is_known_of_it(learned: Harness) -> None:
    learned.put("2", previous="1")
    play(learned, [{"version": "2"}] + [{"version": "2", **HIGHER}] * 12, first=LEARNED)
    assert causes(learned) == ["prediction_shift:2"]
    assert list(learned.carried("predictions")) == ["version/2/champion"]


def test_a_change_that_a_person_accepts_is_the_past_from_then_on(learned: Harness) -> None:
    both_arms(learned, 12, HIGHER, QUIET)
    (incident,) = learned.incidents()
    learned.act("accept", About.INCIDENT, incident=incident.id, reason="the new threshold")
    both_arms(learned, 15, HIGHER, QUIET, first=LEARNED + 12)
    assert len(learned.incidents()) == 1
    assert causes(learned) == []


def test_closing_accepts_nothing_and_what_goes_on_is_told_again(learned: Harness) -> None:
    both_arms(learned, 12, HIGHER, QUIET)
    (first,) = learned.incidents()
    learned.act("close", About.INCIDENT, incident=first.id)
    assert causes(learned) == []
    both_arms(learned, 3, HIGHER, QUIET, first=LEARNED + 12)
    second = next(i for i in learned.incidents() if i.closed_at is None)
    assert (second.cause, second.since) == (first.cause, first.since)
    both_arms(learned, 15, QUIET, QUIET, first=LEARNED + 15)
    assert causes(learned) == [], "what was usual is usual still"
    both_arms(learned, 12, HIGHER, QUIET, first=LEARNED + 30)
    assert causes(learned) == [first.cause], "and the change is one still"


def test_what_is_over_when_it_is_closed_is_not_told_again(learned: Harness) -> None:
    both_arms(learned, 12, HIGHER, QUIET)
    (incident,) = learned.incidents()
    both_arms(learned, 1, QUIET, QUIET, first=LEARNED + 12)
    assert causes(learned) == [incident.cause], "one calm window is no end"
    learned.act("close", About.INCIDENT, incident=incident.id)
    both_arms(learned, 15, QUIET, QUIET, first=LEARNED + 13)
    assert len(learned.incidents()) == 1


def test_what_was_found_of_a_version_ends_when_it_answers_no_more(harness: Harness) -> None:
    play(harness, [STUCK] * 3)
    assert causes(harness) == ["stuck_predictions:1"]
    harness.put("2", previous="1")
    play(harness, [{"version": "2"}] * 2, first=3)
    assert causes(harness) == []
    assert harness.timeline(harness.incidents()[0])[-1] == "version 1 answers no more"


class World:
    """One version's windows of ten minutes, judged by the monitor alone: weeks in seconds."""

    WINDOW_S = 600.0
    ROWS = 120

    def __init__(self) -> None:
        text = FILE.replace("window: 60s", "window: 10m").replace("recent: 30m", "recent: 2d")
        self.file = read_model_file(text.replace("1 per day", "1 per week"))
        rng = np.random.default_rng(1)
        self.layout = Layout(
            (
                NumericAxis("distance", (1.0, 2.0)),
                CategoryAxis("carrier", ("a", "b")),
                NumericAxis("temp", (1.0, 2.0)),
                NumericAxis.fit("output", rng.beta(2.0, 6.0, 5_000)),
            )
        )
        self.policy = watch_policy(self.file, models=1, tenants=2)
        self.replay = Replay((Predictions(),))
        counts = {  # a week of days without nights
            START - 600.0 * i: self.counted(rng.beta(2.0, 6.0, 90), i) for i in range(1, 1_000)
        }
        self.baseline = build_baseline(self.layout, counts, 600.0, self.policy.recent_s, 20)
        self.trained = TrainedAnswers.of(self.layout, self.baseline)

    def counted(self, output: Any, seed: int) -> Any:
        rng = np.random.default_rng(seed)
        n = len(output)
        rows = {
            "distance": rng.uniform(0.0, 3.0, n), "temp": rng.uniform(0.0, 3.0, n),
            "carrier": ["a" if x else "b" for x in rng.random(n) < 0.5], "output": output,
        }  # fmt: skip
        return self.layout.count(rows)[0]

    def judge(self, index: int, output: Any) -> None:
        start = START + self.WINDOW_S * index
        counts = self.counted(output, index)
        n = len(output)
        traffic = np.array([n if name == "rows" else 0 for name in TRAFFIC], np.int64)
        key = WindowKey(MODEL, start, "1", "champion", "AA", "r1")
        sketch = Sketch(self.layout.id, counts, traffic, Sketch.empty("", 0).latency)
        answers = gather_answers([(key, sketch)], lambda _: self.layout, lambda _: self.trained)
        self.replay.judge(
            ClosedWindow(
                self.file, self.policy, Deployment(MODEL, "1"), self.layout, self.baseline, start,
                ((key, sketch),), counts, START, answers=answers,
            )
        )  # fmt: skip


def healthy_answers(index: int, wander: float, rng: np.random.Generator) -> Any:
    """More by day than by night, and a mean that wanders."""
    day = 0.08 * np.sin(2.0 * np.pi * index / 144.0)
    mean = float(np.clip(0.3 + day + wander, 0.05, 0.8))
    rows = int(World.ROWS * (0.6 + 0.4 * np.sin(2.0 * np.pi * index / 144.0)))
    return rng.beta(8.0 * mean, 8.0 * (1.0 - mean), rows)


def wandering(rng: np.random.Generator) -> Callable[[], float]:
    """An autoregression of .9, with a standard deviation of .02."""
    held = [0.0]

    def step() -> float:
        held[0] = 0.9 * held[0] + rng.normal(0.0, 0.02 * np.sqrt(1.0 - 0.81))
        return held[0]

    return step


@pytest.mark.parametrize("seed", [1, 9])
def test_days_nights_and_slow_waves_are_no_alarm_and_a_shift_after_them_is(seed: int) -> None:
    world, rng = World(), np.random.default_rng(seed)
    step, weeks = wandering(rng), 3 * 7 * 144
    for i in range(weeks):
        world.judge(i, healthy_answers(i, step(), rng))
    assert world.replay.alarms == []
    assert world.replay.left_out == {}
    for i in range(weeks, weeks + 48):
        world.judge(i, np.clip(healthy_answers(i, step(), rng) + 0.12, 0.0, 1.0))
    assert [a.kind for a in world.replay.alarms] == ["prediction_shift"]


def test_windows_with_few_rows_gather(harness: Harness) -> None:
    play(harness, [{"rows": 4, **STUCK}] * 4)
    assert causes(harness) == [], "sixteen answers of one caller are one accident"
    play(harness, [{"rows": 4, **STUCK}] * 36, first=4)
    assert causes(harness) == ["stuck_predictions:1"]


def test_what_a_fallback_answered_is_not_the_versions(recording: RecorderHarness) -> None:
    """Eight of ten rows were answered by the constant."""
    recording.write(
        [predicted(f"a{i}", output=0.7) for i in range(2)]
        + [predicted(f"b{i}", output=0.2, answered="", flags=["failed"]) for i in range(8)]
    )
    recording.start().step()
    with recording.store.read() as tx:
        found = [(k, s) for k, s in tx.sketches(MODEL, 0.0, 1e12) if k.version]
        (answers,) = gather_answers(found, tx.layout)
    assert (answers.rows, answers.fell_back, answers.fallback_share) == (10, 8, 0.8)
    assert int(answers.counts.sum()) == 2
    figures = answer_figures(make_task(read_model_file(FILE).contract.task), answers)
    assert figures.mean == pytest.approx(0.7, abs=0.03)
    assert figures.confidence == pytest.approx(0.7, abs=0.03)
    assert figures.top_share == 1.0
