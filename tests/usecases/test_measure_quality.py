"""How good answers were is told of what the outcome counts call joined, and of who answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from event_rows import predicted_event

from windvane.adapters.delta import DeltaEventLog
from windvane.core.outcomes import OutcomeFacts, OutcomePolicy, judge_outcomes
from windvane.core.sketch import MOST_SEGMENTS, Layout
from windvane.core.task import make_task
from windvane.ports.event_log import LogEntry, ScoredRows
from windvane.ports.events import Event, OutcomeSeen
from windvane.usecases.calibrate_answers import calibrate
from windvane.usecases.measure_quality import (
    ALPHA,
    QualityReport,
    measure_quality,
    quality_of,
    quality_of_newest,
)
from windvane.usecases.monitors.spans import BLOCKS
from windvane.usecases.outcome_metric import holdout_metric, measure_of, task_floor
from windvane.usecases.read_model_file import BadModelFile, ModelFile, read_model_file

FILE = read_model_file(
    """
model: late
owner: {team: ops}
features: {schedule: {distance: {type: number}}}
watch: {window: 1h, outcomes: {floor: 0.62, arrive_within: 10m}}
"""
)
HOUR = 3_600.0
START = 1_700_006_400.0
END = START + 12 * HOUR
ROWS = 200


class Log:
    """The log of model ``late``."""

    def __init__(self, folder: Path) -> None:
        self.adapter = DeltaEventLog(str(folder))
        self._events: list[Event] = []

    def predict(
        self, name: str, at: float, output: float, *, request_id: str = "", unit: str = "",
        answered: str = "1", distance: float | None = 1.0, tenant: str = "acme",
    ) -> None:  # fmt: skip
        self._events.append(
            predicted_event(
                name, at, "late", tenant, FILE.contract.id, values=[distance], outputs=[output],
                request_id=request_id, unit=unit, routed="1", answered=answered,
            )
        )  # fmt: skip

    def tell(self, name: str, at: float, value: float, tenant: str = "acme") -> None:
        named = f"{name} {at}"
        self._events.append(
            OutcomeSeen(named, at, "late", tenant, FILE.contract.id, name, 0, value)
        )

    def measure(
        self, start: float = START, end: float = END, file: ModelFile = FILE
    ) -> QualityReport:
        entries = [LogEntry("w0", i, event) for i, event in enumerate(self._events)]
        self.adapter.append("w0", len(entries), entries, {FILE.contract.id: FILE.contract})
        return measure_quality(self.adapter, file, start, end)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


def right(truth: float) -> float:
    return 0.9 if truth else 0.1


def test_an_outcome_that_names_several_predictions_is_used_for_none(log: Log) -> None:
    """Though each lies in a span of its own."""
    rng = np.random.default_rng(1)
    for i in range(ROWS):
        truth = float(i % 2)
        log.predict(f"a{i}", START + i, right(truth), request_id=f"order{i}")
        log.predict(f"b{i}", START + 5 * HOUR + i, rng.random(), request_id=f"order{i}")
        log.tell(f"order{i}", START + 60 + i, truth)
    found = log.measure()
    assert [(one.joined, one.ambiguous) for one in found.counts] == [(0, ROWS)]
    assert (found.whole, found.spans) == ((), ())


def test_what_came_too_late_or_cannot_be_is_not_measured(log: Log) -> None:
    for i in range(ROWS):
        truth = float(i % 2)
        for name in ("fine", "late", "odd"):
            log.predict(f"{name}{i}", START + i, right(truth))
        log.tell(f"fine{i}", START + i + 60, truth)
        log.tell(f"late{i}", START + i + 1_800, 1 - truth)
        log.tell(f"odd{i}", START + i + 60, 7.0)
    found = log.measure()
    assert [(o.joined, o.late, o.out_of_range) for o in found.counts] == [(ROWS, ROWS, ROWS)]
    (whole,) = found.whole
    assert (whole.quality.value, whole.quality.rows) == (1.0, ROWS)


def test_an_answer_belongs_to_who_answered(log: Log) -> None:
    """Version 1 was to answer, and never did."""
    for i in range(3 * ROWS):
        truth, name = float(i // 3 % 2), f"p{i}"
        answered, output = (("2", right(truth)), ("2", right(truth)), ("", 0.5))[i % 3]
        log.predict(name, START + i, output, answered=answered)
        log.tell(name, START + i + 60, truth)
    found = log.measure()
    assert [(one.answerer, one.quality.value) for one in found.whole] == [
        ("a rule or a constant", 0.5), ("version 2", 1.0),
    ]  # fmt: skip


def test_spans_add_up_to_the_whole(log: Log) -> None:
    rng = np.random.default_rng(2)
    for i in range(1_200):
        truth = float(i % 3 == 0)
        log.predict(f"p{i}", START + 36.0 * i, float(rng.random()), answered=str(1 + i % 2))
        log.tell(f"p{i}", START + 36.0 * i + 5, truth)
    found = log.measure()
    assert {one.version: one.quality.rows for one in found.whole} == {"1": 600, "2": 600}
    assert [one.quality.rows for one in found.spans] == [50] * 24
    assert sorted({one.start for one in found.spans}) == [START + HOUR * i for i in range(12)]


def test_rows_of_one_unit_are_no_evidence_of_their_own(tmp_path: Path) -> None:
    """The same rows, of many units, of few, of next to none, and of nobody knows which."""
    found = {}
    for name, units in (("many", 600), ("few", 30), ("too few", 3), ("unknown", 0)):
        rng, log = np.random.default_rng(3), Log(tmp_path / name.replace(" ", "-"))
        truths = (rng.random(30) < 0.5).repeat(20).astype(float)
        shared = rng.normal(size=30).repeat(20)
        for i in range(600):
            truth = float(truths[i])
            output = float(1 / (1 + np.exp(-(truth + shared[i] + rng.normal()))))
            unit = f"u{i * units // 600}" if units else ""
            at = START + 37 * i % 600  # a unit's rows lie all over the time
            log.predict(f"p{i}", at, output, unit=unit)
            log.tell(f"p{i}", at + 60, truth)
        (found[name],) = log.measure().whole
    width = {name: one.quality.upper - one.quality.lower for name, one in found.items()}
    assert found["too few"].short_of == "2 more units"
    assert [found[name].independent for name in ("many", "few", "unknown")] == [
        "units", "units", "rows",
    ]  # fmt: skip
    assert width["few"] > 1.05 * width["unknown"]
    assert width["many"] == pytest.approx(width["unknown"])
    assert found["few"].quality.value == found["unknown"].quality.value
    assert 0.0 <= found["few"].quality.lower < found["few"].quality.upper <= 1.0


def test_the_page_and_the_judge_have_one_interval(log: Log) -> None:
    """Four days, each with a luck of its own, and no units: the page told an interval by rows."""
    rng, rows = np.random.default_rng(8), 1_600
    start = START // 86_400.0 * 86_400.0
    for i in range(rows):
        luck = (0.9, 1.2, 0.9, 1.2)[4 * i // rows]
        truth = float(rng.random() < 0.5)
        log.predict(
            f"p{i}", start + i * 216.0, float(1 / (1 + np.exp(-luck * truth - rng.normal())))
        )
        log.tell(f"p{i}", start + i * 216.0 + 60, truth)
    (told,) = log.measure(start, start + 4 * 86_400.0).whole
    scored = log.adapter.scored("late", FILE.contract, start, start + 4 * 86_400.0)
    judged, _, _ = quality_of(make_task(FILE.contract.task), scored, ALPHA)
    assert told.quality.upper < 1.0
    assert told.quality.lower == pytest.approx(judged.lower)
    assert told.quality.upper == pytest.approx(judged.upper)
    by_rows = make_task(FILE.contract.task).quality(scored[0].outputs, scored[0].labels, ALPHA)
    assert told.quality.upper - told.quality.lower > 1.5 * (by_rows.upper - by_rows.lower)


def test_a_span_with_a_midnight_in_it_is_not_two_days(log: Log) -> None:
    """Student's t of two uneven parts of two days told nothing but 0 to 1."""
    rng = np.random.default_rng(4)
    start = START // 86_400.0 * 86_400.0 + 6 * HOUR
    for i in range(2_400):
        truth = float(rng.random() < 0.5)
        log.predict(f"p{i}", start + i * 54.0, float(1 / (1 + np.exp(-truth - rng.normal()))))
        log.tell(f"p{i}", start + i * 54.0 + 60, truth)
    spans = log.measure(start, start + 36 * HOUR).spans
    width = [one.quality.upper - one.quality.lower for one in spans]
    assert max(width) < 2.5 * min(width)


FLOOR = 0.7602
"""The long-run AUC of the rows of `rolling`."""


def rolling(days: int, flip_at: int = 10**9, alike: float = 0.0) -> Iterator[list[ScoredRows]]:
    """The last seven days, as each ends; how good a day is goes up and down, ``alike`` from one to
    the next, and from a day on labels are the other way round."""
    rng, held, luck = np.random.default_rng(3), list[ScoredRows](), 0.0
    for day in range(days + 6):
        luck = alike * luck + (1.0 - alike**2) ** 0.5 * float(rng.normal(0.0, 0.3))
        n = 150
        labels = (rng.random(n) < 0.4).astype(float)
        said = 1 / (1 + np.exp(-((1.0 + luck) * labels + rng.normal(size=n))))
        labels = 1.0 - labels if day >= flip_at else labels
        at = 86_400.0 * (20_000 + day + np.sort(rng.random(n)))
        none, tenants = np.zeros(n, np.uint64), np.full(n, "acme")
        rows = ScoredRows("1", "1", "champion", "", at, none, tenants, [said], labels)
        held = [*held[-6:], rows]
        if len(held) == 7:
            yield held


def pages(alpha: float, weeks: int, floor: float, alike: float = 0.0) -> int:
    """How many are opened, where one is closed once the metric is at the floor again."""
    told, is_open = 0, False
    for days in rolling(7 * weeks, alike=alike):
        facts = facts_of(days, alpha)
        failed = judge_outcomes(facts, OutcomePolicy(floor, alpha=alpha), 0.0).failed
        told += failed and not is_open
        is_open = failed or (is_open and facts.quality.value < floor)
    return told


def facts_of(days: list[ScoredRows], alpha: float) -> OutcomeFacts:
    task = make_task(FILE.contract.task)
    quality, _, _ = quality_of(task, days, alpha)
    _, newest = quality_of_newest(task, [[one] for one in days], alpha) or (0, None)
    return OutcomeFacts("1", quality, newest=newest)


def test_looks_at_a_rolling_span_keep_to_the_budget_of_one() -> None:
    """At a floor that is the model's own long-run AUC, the worst that a good model may have: two
    streams, of the span and of its newest day."""
    weeks, allowed = 40, 0.05
    assert pages(allowed / BLOCKS, weeks, FLOOR) <= 2 * allowed * weeks
    assert pages(allowed, weeks, FLOOR) > 2 * allowed * weeks, "what the correction is for"


@pytest.mark.slow
def test_days_that_resemble_the_day_before_keep_to_the_budget_too() -> None:
    weeks, allowed = 500, 0.05
    assert pages(allowed / BLOCKS, weeks, FLOOR) <= 2 * allowed * weeks
    assert pages(allowed / BLOCKS, weeks, FLOOR - 0.03, alike=0.5) <= 2 * allowed * weeks


def test_a_flip_fails_with_its_first_whole_day() -> None:
    """By the whole span alone it was no sooner than the sixth: a change widens its own bounds."""
    looks = list(rolling(20, flip_at=10))
    policy = OutcomePolicy(0.62, alpha=0.005)

    def failed(use_newest: bool) -> list[int]:
        facts = [facts_of(days, policy.alpha) for days in looks]
        held = facts if use_newest else [replace(one, newest=None) for one in facts]
        return [6 + i for i, f in enumerate(held) if judge_outcomes(f, policy, 0.0).failed]

    assert failed(use_newest=True)[0] == 10
    assert failed(use_newest=False)[0] >= 15


def test_labels_that_are_still_to_come_make_no_newest_day() -> None:
    task, (days, *_) = make_task(FILE.contract.task), rolling(1)
    few = days[-1].taken(np.arange(150) < 60)
    place, quality = quality_of_newest(task, [[one] for one in [*days[:-1], few]], 0.01) or (
        0,
        None,
    )
    assert place == 5
    assert quality is not None
    assert quality.rows == 150
    assert quality_of_newest(task, [[one] for one in days[:5]], 0.01) is None, "three are too few"


ACTED_ON = read_model_file(
    """
model: late
owner: {team: ops}
features: {schedule: {distance: {type: number}}}
watch: {window: 1h, outcomes: {metric: precision_at, at: 20 per day, floor: 0.4}}
"""
)


def test_precision_of_the_rows_that_are_acted_on(log: Log) -> None:
    """Of 100 rows a day the 20 highest of three whole days, not of the two halves beside them."""
    rng = np.random.default_rng(2)
    start = START // 86_400.0 * 86_400.0 + 12 * HOUR
    for day in range(4):
        said = rng.permutation(np.linspace(0.01, 0.99, 100))
        for i in range(100):
            truth = float(rng.random() < said[i] ** 2)
            at = start + 86_400.0 * day + 864.0 * i
            log.predict(f"d{day}-{i}", at, float(said[i]))
            log.tell(f"d{day}-{i}", at + 60, truth)
    report = log.measure(start, start + 4 * 86_400.0, ACTED_ON)
    (whole,) = report.whole
    scored = log.adapter.scored("late", FILE.contract, start, start + 4 * 86_400.0)
    said = np.concatenate([one.outputs[0] for one in scored])
    truth = np.concatenate([one.labels for one in scored])
    days = np.floor(np.concatenate([one.times for one in scored]) / 86_400.0)
    first = START // 86_400.0 + 1
    wanted = [
        truth[days == first + d][np.argsort(-said[days == first + d])[:20]].mean() for d in range(3)
    ]
    assert report.metric == whole.quality.metric == "precision_at_20"
    assert whole.quality.rows == 60
    assert whole.quality.value == pytest.approx(np.mean(wanted))
    assert whole.quality.lower < whole.quality.value < whole.quality.upper


def test_a_holdout_has_the_precision_of_as_large_a_share() -> None:
    task, rng = make_task(FILE.contract.task), np.random.default_rng(4)
    said = rng.random(20_000)
    labels = (rng.random(20_000) < said).astype(float)
    layout = Layout(task.axes([said]))
    known = calibrate(task, layout, [said], labels, np.arange(20_000.0))
    measure = measure_of(ACTED_ON)
    for share in (0.03, 0.2, 1.0):
        top = labels[np.argsort(-said)[: int(share * len(said))]].mean()
        found = holdout_metric(ACTED_ON, measure, {"auc": 0.7}, known, share)
        assert found == pytest.approx(top, abs=0.03)
    assert holdout_metric(ACTED_ON, measure, {"auc": 0.7}, None, 0.2) is None
    assert holdout_metric(FILE, measure_of(FILE), {"auc": 0.7}, known, 0.2) == 0.7
    assert (task_floor(FILE), task_floor(ACTED_ON)) == (0.62, None), "no floor of the AUC"


@pytest.mark.parametrize(
    ("outcomes", "says"),
    [
        ("metric: precision_at, floor: 0.4", "watch.outcomes.at: '' is no number of rows"),
        ("metric: precision_at, at: 20", "is no number of rows in a time"),
        ("metric: precision_at, at: 2.5 per day", "2.5 is no number of rows"),
        ("metric: precision_at, at: 20 per week", "need not have a whole one of its time"),
        ("at: 20 per day", "nothing asks for the rows that are acted on"),
    ],
)
def test_rows_that_nobody_can_choose_are_refused(outcomes: str, says: str) -> None:
    text = "model: m\nfeatures: {v: {x: {type: number}}}\nwatch: {outcomes: {%s}}\n"
    with pytest.raises(BadModelFile, match="MOD-101") as raised:
        read_model_file(text % outcomes)
    assert says in f"{raised.value.message}; {raised.value.advice}"
    with pytest.raises(BadModelFile, match="answers of a regression rank no rows"):
        read_model_file(
            "predicts: {kind: regression}\n" + text % "metric: precision_at, at: 2 per day"
        )


def test_each_tenant_and_each_value_of_a_declared_feature_has_its_own(log: Log) -> None:
    """Answers on 2 are the other way round, and a few rows have no value."""
    file = replace_segments("distance")
    for i in range(ROWS):
        truth, tenant = float(i % 3 == 0), ("acme", "other")[i // 2 % 2]
        distance = 1.0 + i % 2 if i < ROWS - 6 else None
        said = right(1.0 - truth if distance == 2.0 else truth)
        log.predict(str(i), START + i * 90, said, distance=distance, tenant=tenant)
        log.tell(str(i), START + i * 90 + 60, truth, tenant)
    report = log.measure(file=file)
    parts = {one.of: one for one in report.parts}
    assert set(parts) == {
        "tenant acme", "tenant other", "segment distance=1", "segment distance=2",
        "segment distance=null",
    }  # fmt: skip
    one, two = parts["segment distance=1"], parts["segment distance=2"]
    assert (one.quality.value, two.quality.value) == (1.0, 0.0)
    assert two.quality.upper < one.quality.lower
    assert parts["segment distance=null"].short_of, "six rows tell nothing"
    assert sum(p.quality.rows for of, p in parts.items() if "segment" in of) == ROWS
    assert sum(p.quality.rows for of, p in parts.items() if "tenant" in of) == ROWS
    assert {p.version for p in report.parts} == {"1"}


def test_of_many_values_those_with_most_rows_are_told(log: Log) -> None:
    file = replace_segments("distance")
    for i in range(MOST_SEGMENTS + 20):
        for k in range(3 if i < 4 else 1):
            log.predict(f"{i}/{k}", START + i, right(1.0), distance=float(i))
            log.tell(f"{i}/{k}", START + i + 60, 1.0)
    parts = {one.of: one.quality.rows for one in log.measure(file=file).parts}
    segments = {of: rows for of, rows in parts.items() if "segment" in of}
    assert len(segments) == MOST_SEGMENTS + 1
    assert segments["segment distance=other"] == 20
    assert all(segments[f"segment distance={i}"] == 3 for i in range(4))


def replace_segments(feature: str) -> ModelFile:
    watch = msgspec.structs.replace(FILE.watch, segments=(feature,))
    return msgspec.structs.replace(FILE, watch=watch)
