"""Rows that are joined wrongly leave every feature as it was; what goes together tells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec
import numpy as np
import pytest
import scipy.signal
from event_rows import predicted_event
from usecases.harness import CARRIERS, FILE, MODEL, START, WINDOW_S, Harness
from usecases.timeline import only
from usecases.worlds import Worlds

from windvane.core.alerting import Cause
from windvane.core.drift import TOLD_APART, build_baseline
from windvane.core.sketch import CategoryAxis, Layout, NumericAxis
from windvane.ports.control_store import Deployment, WindowVerdict
from windvane.ports.event_log import LogEntry, LogTooSlow
from windvane.usecases.actions import About
from windvane.usecases.closed_window import ClosedWindow
from windvane.usecases.monitors import Judged, watch_policy
from windvane.usecases.monitors.dependence import LOOKS, Dependence, PairsRow, choose_told
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.replay_decision import replay_decision

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

TEXT = FILE.replace("drift_over: 20m", f"drift_over: {LOOKS}m")  # a block is a window
ROWS = 1_000
LEARNED = 18


def watch(harness: Harness) -> None:
    harness.clock.at += 1
    harness.apply(TEXT)


def learn_pairs(harness: Harness) -> None:
    serve(harness, LEARNED, first=0)


def join_wrongly(harness: Harness) -> None:
    serve(harness, 3, first=LEARNED, joined=False)


@pytest.fixture
def watched(worlds: Worlds) -> Iterator[Harness]:
    with worlds.after(watch) as found:
        yield found


@pytest.fixture
def learned(worlds: Worlds) -> Iterator[Harness]:
    """Windows of which nothing is to be said, and whose pairs are known."""
    with worlds.after(watch, learn_pairs) as found:
        yield found


@pytest.fixture
def joined_wrongly(worlds: Worlds) -> Iterator[Harness]:
    """Temperatures are those of others since three windows."""
    with worlds.after(watch, learn_pairs, join_wrongly) as found:
        yield found


def serve(
    harness: Harness, windows: int, *, first: int, joined: bool = True, rows: int = ROWS
) -> None:
    """Far flights are warm, or their temperatures are those of others."""
    contract = read_model_file(TEXT).contract
    for window in range(first, first + windows):
        rng = np.random.default_rng(9_000 + window)
        z = rng.standard_normal((rows, 2))
        temp = 60.0 + 10.0 * (0.8 * z[:, 0] + 0.6 * z[:, 1])
        if not joined:
            temp = rng.permutation(temp)
        distance = np.clip(900.0 + 500.0 * z[:, 0], 1.0, 4_900.0)
        events: list[Any] = [
            predicted_event(
                f"{window}-{i}", START + WINDOW_S * (window + i / rows), MODEL, "AA", contract.id,
                values=[float(distance[i]), CARRIERS[i % 4], float(temp[i])], outputs=[0.3],
                routed="1", answered="1",
            )
            for i in range(rows)
        ]  # fmt: skip
        start = 100_000 * window
        entries = [LogEntry("m/w9", start + i, event) for i, event in enumerate(events)]
        harness.log.append("m/w9", start + len(events), entries, {contract.id: contract})
        harness.traffic(window)
        harness.judge()


def looks(harness: Harness) -> list[WindowVerdict]:
    """Oldest first."""
    with harness.store.read() as tx:
        return tx.verdicts(MODEL, Dependence.name, 0.0, 1_000)[::-1]


def test_what_goes_together_is_learned(learned: Harness) -> None:
    assert learned.incidents() == []
    last = looks(learned)[-1]
    assert (last.outcome, last.code) == ("pass", "DRI-220")
    (pair,) = last.detail["pairs"]
    assert {pair["first"], pair["second"]} == {"distance", "temp"}
    assert last.detail["not_watched"] == ["carrier"]


def test_a_wrong_join_is_found_told_and_ends(joined_wrongly: Harness) -> None:
    incident = only(joined_wrongly, f"dependence:{MODEL}")
    assert incident.title.startswith("features no longer go together as before: association of")
    assert incident.since == START + WINDOW_S * LEARNED
    assert {s["feature"] for s in incident.evidence["suspects"]} == {"distance", "temp"}
    assert incident.runbook.endswith("wrong-join.md")
    decided = [d for d in joined_wrongly.decisions() if d.judge == "dependence"]
    assert decided
    assert all(replay_decision(d).same for d in decided)
    serve(joined_wrongly, 8, first=LEARNED + 3)
    assert [i.closed_at is None for i in joined_wrongly.incidents()] == [False]


def test_blocks_of_few_rows_are_judged_together(watched: Harness) -> None:
    serve(watched, 4, first=0, rows=150)
    found = looks(watched)
    assert [v.code for v in found] == ["DRI-221"] * len(found)
    assert [v.detail["rows"] for v in found][:3] == [150, 300, 450]


def test_a_log_that_is_too_slow_is_asked_again_with_the_next_look(
    watched: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def slow(*given: Any, **named: Any) -> Any:
        asked.append(given[3])
        raise LogTooSlow("the log did not answer")

    monkeypatch.setattr(watched.log, "rows", slow)
    hours = TEXT.replace(f"drift_over: {LOOKS}m", f"drift_over: {LOOKS * 5}m")
    watched.clock.at += 1
    watched.apply(hours)
    for i in range(16):
        watched.traffic(i)
        watched.judge()
    assert len(asked) == 3, "once a block of five windows"
    assert {v.code for v in looks(watched)} == {"LOG-103"}


def test_what_is_accepted_is_learned_anew(joined_wrongly: Harness) -> None:
    incident = only(joined_wrongly, f"dependence:{MODEL}")
    joined_wrongly.act("accept", About.INCIDENT, incident=incident.id)
    serve(joined_wrongly, 8, first=LEARNED + 3, joined=False)
    assert [i for i in joined_wrongly.incidents() if i.closed_at is None] == []


WIDE = (
    FILE.replace("{without: weather}, ", "")
    .replace(
        """  plan:
    distance: {type: number, range: [0, 5000]}
    carrier: {type: category}
  weather:
    temp: {type: number, nullable: true}
""",
        "  left:\n"
        + "".join(f"    a{i}: {{type: number, nullable: true}}\n" for i in range(4))
        + "  right:\n    kind: {type: category}\n"
        + "".join(f"    b{i}: {{type: number, nullable: true}}\n" for i in range(3)),
    )
    .replace("drift_over: 20m", "drift_over: 7d")
)
WIDE = (
    WIDE.replace("window: 60s", "window: 1h")
    .replace("1 per day", "1 per week")
    .replace("recent: 30m", "recent: 2d")
)
NUMBERS = ("a0", "b0", "a1", "b1", "a2", "b2", "a3")
DAY_S, DAY_ROWS = 86_400.0, 2_000


class Days:
    """A log of days of eight features, in the order of their time: each row is like the one before
    it, the hour drives some of them, and the first two go together."""

    def __init__(self, seed: int, *, past: float = 0.9, hour: float = 1.0) -> None:
        self.rng = np.random.default_rng(seed)
        self.past, self.hour = past, hour
        self.monitor = Dependence()
        self.file = read_model_file(WIDE)
        self.policy = watch_policy(self.file, models=1, tenants=2)
        axes = [NumericAxis(name, (-0.7, 0.0, 0.7)) for name in NUMBERS]
        self.layout = Layout((*axes, CategoryAxis("kind", ("x", "y", "z"))))
        counts = np.full(self.layout.size, 100, np.int64)
        spans = {START - 3_600.0 * i: counts for i in range(1, 100)}
        self.baseline = build_baseline(self.layout, spans, 3_600.0, self.policy.recent_s, 20)
        self.rows_held: Any = {}
        self.learned: dict[str, bytes] = {}
        self.day = 0
        self.faulty = False

    def drawn(self) -> Any:
        x = self.rng.standard_normal((DAY_ROWS, 9))
        x[1:] *= np.sqrt(1.0 - self.past**2)
        x = scipy.signal.lfilter([1.0], [1.0, -self.past], x, axis=0)
        x[:, 1] = 0.7 * x[:, 0] + 0.7 * x[:, 1]
        x[:, 2:5] += self.hour * np.sin(2.0 * np.pi * np.arange(DAY_ROWS) / DAY_ROWS)[:, None]
        if self.faulty:
            x[:, 6] = np.abs(x[:, 6]) * np.sign(x[:, 4] * x[:, 5])
        return x

    def rows(self, *given: Any, **named: Any) -> Any:
        piece = round((given[3] - START - DAY_S * self.day) / DAY_S * 20)
        for row in self.today[piece * 100 : (piece + 1) * 100]:
            values: dict[str, Any] = dict(zip(NUMBERS, row.tolist(), strict=False))
            yield None, {"features": {**values, "kind": "xyz"[int(abs(row[7])) % 3]}}

    def play(self, days: int) -> list[Judged]:
        out: list[Judged] = []
        for _ in range(days):
            self.today = self.drawn()
            window = ClosedWindow(
                self.file, self.policy, Deployment(MODEL, "1"), self.layout, self.baseline,
                START + DAY_S * (self.day + 1) - 3_600.0, (), self.baseline.counts, START,
                learned=lambda monitor, subjects: self.learned,
            )  # fmt: skip
            (judged,) = self.monitor.look(window, self.rows_held, cast("Any", self))
            self.rows_held = msgspec.to_builtins(judged.states)
            self.learned.update(judged.learned)
            self.day += 1
            out.append(judged)
        return out


@pytest.mark.parametrize(("past", "hour"), [(0.0, 0.0), (0.9, 1.0)])
def test_healthy_days_in_real_order_raise_no_alarm(past: float, hour: float) -> None:
    for seed in range(4):
        days = Days(seed, past=past, hour=hour)
        said = days.play(42)
        assert not [one for one in said if one.findings]
        assert said[-1].detail["told_apart"]["past_rows"] == 1_400
        judged = [one for one in said if TOLD_APART in one.facts.before]
        assert len(judged) == 42 - 5


def test_what_no_pair_has_is_found_told_by_its_features_and_ends() -> None:
    days = Days(21, past=0.5)
    days.play(20)
    kept = days.learned[""]
    assert len(kept) < 60_000
    days.faulty = True
    said = days.play(3)
    (found,) = [finding for one in said for finding in one.findings]
    assert found.began
    assert found.since == START + DAY_S * 20
    assert "rows told apart from earlier ones with AUC 0." in found.title
    assert {name for name, _ in found.suspects[:3]} == {"a2", "b2", "a3"}
    assert found.sources == ("left", "right")
    assert {one.verdict.code for one in said[1:]} == {"DRI-223"}
    assert not [
        k
        for k, s in cast("PairsRow", said[-1].states[""]).kinds.items()
        if s.alarmed and k != TOLD_APART
    ]
    frozen = days.learned[""]
    days.play(1)
    assert days.learned[""] == frozen, "rows that are wrong are no example"
    facts = msgspec.json.encode(msgspec.to_builtins(said[-1].facts))
    assert len(facts) < 10_000, "the rows lie beside the decision"
    days.faulty = False
    ended = [finding for one in days.play(10) for finding in one.findings]
    assert [finding.began for finding in ended] == [False]


def test_what_is_accepted_is_the_past_from_then_on() -> None:
    days = Days(22, past=0.5)
    days.play(20)
    days.faulty = True
    days.play(3)
    cause = Cause(Dependence.cause, MODEL)
    days.rows_held = msgspec.to_builtins(days.monitor.accept(days.rows_held, cause))
    said = days.play(22)
    assert said[0].detail["told_apart"] is None
    assert said[4].detail["told_apart"]["past_rows"] == 400
    assert not [one for one in said if one.findings]


def test_a_model_of_a_few_features_has_one_stream_more_than_pairs() -> None:
    assert Dependence().streams(read_model_file(TEXT), 2) == 3 + 1
    assert Dependence().streams(read_model_file(WIDE), 2) == 28 + 1


def test_features_are_told_of_each_source_in_turn_and_those_that_stand_still_are_not() -> None:
    values = {"a0": [1.0, 2.0], "a1": [1.0, 2.0], "a2": [3.0, 3.0], "b0": [1.0, 2.0]}
    assert choose_told(read_model_file(WIDE), values) == ("a0", "b0", "a1")
