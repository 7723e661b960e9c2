"""What a version answers as one feature moves, against scikit-learn's own figures."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.inspection import partial_dependence
from sklearn.linear_model import LinearRegression

from windvane.core.explanation import MOST_FEATURES, MOST_ROWS, PartialDependence, Point, Where
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Outputs, TaskSpec, make_task
from windvane.ports.learner import Columns, TrainingData
from windvane.usecases.measure_partial_dependence import (
    measure_partial_dependence,
    pack_partial_dependence,
    unpack_partial_dependence,
)

NAMES = ["x", "y", "z"]
SPECS = [FeatureSpec(name, "plan", FeatureType.NUMBER) for name in NAMES]
TASK = make_task(TaskSpec("regression"))


def frozen() -> float:
    return 0.0


def data_of(rows: int, columns: dict[str, Any] | None = None) -> TrainingData:
    rng = np.random.default_rng(1)
    given = columns or {name: rng.normal(size=rows).tolist() for name in NAMES}
    return TrainingData(given, np.zeros(rows), np.arange(float(rows)))


def matrix(columns: Columns) -> Any:
    return np.array([columns[name] for name in NAMES], np.float64).T


def served(model: Any) -> Callable[[Columns], Outputs]:
    return lambda columns: [model.predict(matrix(columns))]


def measured(
    predict: Callable[[Columns], Outputs], data: TrainingData, task: Any = TASK,
    specs: Sequence[FeatureSpec] = SPECS, **given: Any,
) -> PartialDependence:  # fmt: skip
    given = {"private": (), "now": frozen, **given}
    return measure_partial_dependence(predict, task, specs, data=data, **given)


def test_it_is_what_scikit_learn_computes() -> None:
    data = data_of(MOST_ROWS)
    rows = matrix(data.columns)
    model = GradientBoostingRegressor(n_estimators=30).fit(
        rows, rows[:, 0] ** 2 + rows[:, 0] * rows[:, 1] + 0.1 * rows[:, 2]
    )
    found = measured(served(model), data)
    assert found.rows == MOST_ROWS
    assert {curve.feature for curve in found.curves} == set(NAMES)
    for curve in found.curves:
        grid = [point.value for point in curve.points]
        assert len(grid) > 10
        theirs = partial_dependence(
            model, rows, [NAMES.index(curve.feature)], method="brute",
            custom_values={NAMES.index(curve.feature): np.array(grid)},
        )  # fmt: skip
        ours = [point.answer for point in curve.points]
        assert ours == pytest.approx(theirs["average"][0].tolist(), abs=1e-9)


def test_a_linear_model_gives_a_line_and_the_largest_weight_leads() -> None:
    data = data_of(500)
    rows = matrix(data.columns)
    model = LinearRegression().fit(rows, 3.0 * rows[:, 0] - 2.0 * rows[:, 1] + 7.0)
    found = measured(served(model), data)
    slopes: dict[str, float] = {}
    for curve in found.curves:
        asked = np.array([(point.value, point.answer) for point in curve.points], np.float64)
        slopes[curve.feature], _ = np.polyfit(asked[:, 0], asked[:, 1], 1)
        assert np.ptp(np.diff(asked[:, 1]) / np.diff(asked[:, 0])) < 1e-9, "a line"
    assert slopes == pytest.approx({"x": 3.0, "y": -2.0, "z": 0.0}, abs=1e-9)
    assert [curve.feature for curve in found.curves] == NAMES
    assert found.rows <= MOST_ROWS


def test_it_is_bounded_and_the_same_each_time() -> None:
    names = [f"f{i:02}" for i in range(MOST_FEATURES + 8)]
    rng = np.random.default_rng(2)
    data = data_of(999, {name: rng.normal(size=999).tolist() for name in names})
    specs = [FeatureSpec(name, "plan", FeatureType.NUMBER) for name in names]
    asked: list[int] = []

    def predict(columns: Columns) -> Outputs:
        asked.append(len(columns[names[0]]))
        weighed = [i * np.array(columns[name]) for i, name in enumerate(names)]
        return [np.sum(weighed, axis=0)]

    found = measured(predict, data, specs=specs)
    assert max(asked) == MOST_ROWS
    assert len(asked) <= 1 + len(names) + 16 * MOST_FEATURES
    assert len(found.curves) == MOST_FEATURES
    assert found.features == len(names)
    kept = {curve.feature for curve in found.curves}
    assert not kept & set(names[:6]), "those that move answers least are left out"
    assert found == measured(predict, data, specs=specs)
    assert len(pack_partial_dependence(found)) < 40_000


def test_what_is_not_done_in_time_is_left_out_least_important_first() -> None:
    ticks = iter(np.arange(1_000.0))

    def predict(columns: Columns) -> Outputs:
        return [matrix(columns) @ np.array([1.0, 5.0, 2.0])]

    found = measured(predict, data_of(50), now=lambda: float(next(ticks)), within_s=25.0)
    assert [curve.feature for curve in found.curves] == ["y"]
    assert found.missing == "there was no time for more within 25 s"


def test_a_model_that_fails_on_values_it_never_saw_is_registered_all_the_same() -> None:
    def predict(columns: Columns) -> Outputs:
        given = matrix(columns)
        if np.abs(given).max() > np.abs(matrix(data_of(50).columns)).max():
            raise ValueError("never seen")
        return [given.sum(axis=1)]

    found = measured(predict, data_of(50))
    assert len(found.curves) == 3
    answers = [(point.where, point.answer) for curve in found.curves for point in curve.points]
    assert (Where.OUTSIDE, None) in answers
    assert all(answer is not None for where, answer in answers if where is Where.TRAINING)

    def broken(columns: Columns) -> Outputs:
        raise ValueError("a model's own code may raise anything")

    assert measured(broken, data_of(50)) == PartialDependence(
        "", 50, 0, (), "the version failed: ValueError"
    )
    endless = measured(lambda columns: [np.full(50, np.inf)], data_of(50))
    assert endless.curves == (), "there is no mean of what is not finite"
    unfinished: Iterator[Outputs] = iter([[np.zeros(50)]])
    assert measured(lambda _: next(unfinished), data_of(50)).curves == ()


def test_private_features_and_those_without_a_range_are_not_asked_about() -> None:
    data = data_of(50)
    specs = [*SPECS[:2], FeatureSpec("z", "plan", FeatureType.DATETIME)]
    found = measured(lambda columns: [matrix(columns).sum(axis=1)], data, specs=specs,
                     private={"y"})  # fmt: skip
    assert [curve.feature for curve in found.curves] == ["x"]


def test_nulls_and_names_are_asked_as_a_client_sends_them() -> None:
    carrier = FeatureSpec("carrier", "plan", FeatureType.CATEGORY)
    temp = FeatureSpec("temp", "weather", FeatureType.NUMBER, nullable=True)
    columns = {"carrier": ["UA", "UA", "AA", "UA"], "temp": [1.0, None, 3.0, 4.0]}
    worth = {"UA": 0.1, "AA": 0.5}

    def predict(columns: Columns) -> Outputs:
        pairs = zip(columns["carrier"], columns["temp"], strict=True)
        return [np.array([worth.get(c, 0.9) - (0.05 if t is None else 0.0) for c, t in pairs])]

    found = measured(
        predict, data_of(4, columns), make_task(TaskSpec(positive="late")), [carrier, temp]
    )
    assert found.output == "late"
    by_name = {curve.feature: curve for curve in found.curves}
    assert [(p.value, p.where) for p in by_name["carrier"].points] == [
        ("UA", Where.TRAINING), ("AA", Where.TRAINING), ("unseen in training", Where.UNSEEN),
    ]  # fmt: skip
    answers = [point.answer for point in by_name["carrier"].points]
    assert answers == pytest.approx([0.1 - 0.0125, 0.5 - 0.0125, 0.9 - 0.0125])
    last = by_name["temp"].points[-1]
    assert (last.value, last.where) == (None, Where.NULL)
    assert last.answer == pytest.approx(0.2 - 0.05)


def test_of_several_classes_one_is_followed_over_all_rows() -> None:
    task = make_task(TaskSpec("multiclass", classes=("a", "b", "c")))

    def predict(columns: Columns) -> Outputs:
        high = 0.5 + 0.1 * np.tanh(np.array(columns["x"]))
        return [np.stack([0.1 * np.ones_like(high), high, 0.9 - high], axis=1)]

    found = measured(predict, data_of(80), task)
    assert found.output == "b"
    assert max(p.answer or 0.0 for p in found.curves[0].points) == pytest.approx(0.6, abs=0.02)


def test_without_a_single_number_it_says_so() -> None:
    task = make_task(TaskSpec("tensor", outputs={"image": (2, 2)}))
    found = measured(lambda columns: [np.zeros((20, 2, 2))], data_of(20), task)
    assert found.curves == ()
    assert found.missing


def test_a_record_keeps_it_and_says_what_it_cannot_read() -> None:
    found = measured(lambda columns: [matrix(columns).sum(axis=1)], data_of(50))
    assert unpack_partial_dependence(pack_partial_dependence(found)) == found
    assert unpack_partial_dependence("") is None, "of a version from before"
    whole = replace(found.curves[0], points=(Point(3.0, Where.TRAINING, 1.0),))
    kept = replace(found, curves=(whole,))
    assert unpack_partial_dependence(pack_partial_dependence(kept)) == kept
    for text in ("no such", base64.b64encode(b"[]").decode(),
                 base64.b64encode(zlib.compress(b"[]")).decode(),
                 base64.b64encode(zlib.compress(b" " * (1 << 22))).decode()):  # fmt: skip
        with pytest.raises(ValueError):
            unpack_partial_dependence(text)
