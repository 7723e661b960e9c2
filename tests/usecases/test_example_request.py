"""A request to be copied: it keeps the contract, and has no personal value."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from windvane.core.drift import Baseline, build_baseline
from windvane.core.signature import kind_of
from windvane.core.sketch import CategoryAxis, Layout, NumericAxis
from windvane.usecases.example_request import example_events, example_features, example_request
from windvane.usecases.read_model_file import read_model_file

FILE = read_model_file("""
model: late
unit: customer
predicts: {kind: binary, outcome: late}
features:
  order:
    x: {type: number}
    n: {type: integer}
    kind: {type: category}
    email: {type: category, tags: [pii]}
    income: {type: number, tags: [pii]}
    flag: {type: boolean}
    at: {type: datetime}
    words: {type: text}
    point: {type: vector, length: 3}
""")
LAYOUT = Layout(
    (NumericAxis("x", (1.0, 41.2578, 90.0)), NumericAxis("n", (1.0, 7.0, 9.0)),
     CategoryAxis("kind", ("van", "bike")), CategoryAxis("email", ("ada@example.org",)),
     NumericAxis("income", (52_000.0, 53_000.0)))
)  # fmt: skip


def baseline() -> Baseline:
    counts = np.zeros(LAYOUT.size, np.int64)
    offset = 0
    for axis in LAYOUT.axes:
        counts[offset + 2] = 100  # of a category its second; of a number what is above its first
        offset += axis.bins
    return build_baseline(LAYOUT, {0.0: counts}, 60.0, 3_600.0, 50)


def test_values_are_common_ones_of_the_training_data() -> None:
    row = example_features(FILE, LAYOUT, baseline())
    assert (row["x"], row["n"], row["kind"]) == (41.2578, 7, "bike")
    assert list(row) == [spec.name for spec in FILE.schema]


def test_no_value_of_a_personal_feature_is_in_it() -> None:
    text = json.dumps(example_request(FILE, LAYOUT, baseline()))
    assert "ada@example.org" not in text
    assert "52000" not in text
    assert "53000" not in text


@pytest.mark.parametrize("known", [True, False], ids=["trained", "no training data"])
def test_it_keeps_the_contract(known: bool) -> None:
    body: dict[str, Any] = example_request(
        FILE, LAYOUT if known else None, baseline() if known else None
    )
    (instance,) = json.loads(json.dumps(body))["instances"]
    assert instance["unit"]
    for spec in FILE.schema:
        if spec.name != "at":
            assert kind_of(spec).check(spec, instance["features"][spec.name]) is None, spec.name
    assert instance["features"]["at"].endswith("+00:00")


def test_a_model_that_is_served_elsewhere_is_told_of_an_answer() -> None:
    (event,) = example_events(FILE, None, None)["events"]
    assert set(event) == {"id", "unit", "features", "outputs"}
    assert list(event["outputs"]) == ["probability"]
