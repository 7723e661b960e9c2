"""A bad row costs no more than a good one, and is told of in bounded words."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from inference.harness import CONTRACT, Harness, features, route, run

from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract, TaskSpec
from windvane.inference.errors import BadBody, BodyTooLarge, SchemaViolation
from windvane.inference.validation import MAX_VIOLATIONS, by_name, check_count, validate_rows

KNOWN = tuple(f"station-{i:04d}" for i in range(1_000))
MANY = Contract(
    (FeatureSpec("station", "v", FeatureType.CATEGORY, known=KNOWN),), TaskSpec("regression")
)


@dataclass
class Work:
    compared: int = 0
    calls: int = 0


@contextmanager
def counted() -> Iterator[Work]:
    """How often names were compared for likeness, and all calls of functions, also of C's."""
    work = Work()
    real = difflib.SequenceMatcher.real_quick_ratio

    def ratio(matcher: Any) -> float:
        work.compared += 1
        return real(matcher)

    def profile(_frame: Any, event: str, _arg: Any) -> None:
        work.calls += event in ("call", "c_call")

    before = sys.getprofile()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(difflib.SequenceMatcher, "real_quick_ratio", ratio)
        sys.setprofile(profile)
        try:
            yield work
        finally:
            sys.setprofile(before)


def violations(contract: Contract, rows: list[dict[str, Any]]) -> tuple[SchemaViolation, Work]:
    with counted() as work, pytest.raises(SchemaViolation) as found:
        validate_rows(contract, rows)
    return found.value, work


def test_near_misses_of_a_thousand_known_names_cost_a_bounded_number_of_comparisons() -> None:
    """Ten of them held a worker for half a second once."""
    rows = [{"station": f"statoin-{i:04d}"} for i in range(10)]
    error, work = violations(MANY, rows)
    assert len(error.violations) == 10
    assert work.compared <= 10 * 8
    assert work.calls <= 20_000
    assert "did you mean 'station-" in error.violations[0][1].message
    near, _ = violations(MANY, [{"station": "station-0500x"}])
    assert "did you mean 'station-0500'?" in near.violations[0][1].message


def test_no_more_is_looked_at_than_is_told() -> None:
    one, few = violations(MANY, [{"station": f"statoin-{i:04d}"} for i in range(MAX_VIOLATIONS)])
    more, many = violations(MANY, [{"station": f"statoin-{i:04d}"} for i in range(10_000)])
    assert len(one.violations) == len(more.violations) == MAX_VIOLATIONS
    assert many.calls <= 1.05 * few.calls
    assert "(and 19 more at least)" in more.message


def test_tens_of_thousands_of_unknown_names_cost_as_much_as_twenty() -> None:
    def row(names: int) -> dict[str, Any]:
        return {**features(), **{f"unknown-{i}": 1.0 for i in range(names)}}

    _, few = violations(CONTRACT, [row(MAX_VIOLATIONS)])
    error, many = violations(CONTRACT, [row(40_000)])
    assert len(error.violations) == MAX_VIOLATIONS
    assert many.calls <= 1.05 * few.calls
    assert many.compared <= 64 * MAX_VIOLATIONS


@pytest.mark.parametrize("size", [1_000, 1_000_000])
def test_a_long_name_is_compared_with_none_and_not_echoed(size: int) -> None:
    error, work = violations(CONTRACT, [{**features(), "n" * size: 1.0}])
    ((_, found),) = error.violations
    assert work.compared == 0
    assert len(found.field) <= 80
    assert len(error.message) + len(found.message) < 1_000


@pytest.mark.parametrize(
    "value", ["v" * 1_000_000, ["v" * 1_000_000], {"v" * 1_000_000: 1}, 10**4_000, [0] * 100_000]
)
def test_a_large_value_is_not_echoed(value: Any) -> None:
    for name in ("x", "n", "kind"):
        error, work = violations(CONTRACT, [{**features(), name: value}])
        assert len(error.message) < 1_000
        assert work.calls < 10_000


SENT: dict[str, Callable[[], bytes]] = {
    "a name of 1 MB": lambda: _sent({**features(), "n" * 1_000_000: 1.0}),
    "40,000 unknown names": lambda: _sent(
        {**features(), **{f"unknown-{i}": 1.0 for i in range(40_000)}}
    ),
    "a value of 1 MB": lambda: _sent(features(kind="k" * 1_000_000)),
    "a field of 1 MB": lambda: b'{"' + b"f" * 1_000_000 + b'": 1, "instances": []}',
    "a field of a row of 1 MB": lambda: (
        b'{"instances": [{"features": {}, "' + b"f" * 1_000_000 + b'": 1}]}'
    ),
    "a unit of 1 MB": lambda: json.dumps(
        {"instances": [{"features": features(), "unit": "u" * 1_000_000}]}
    ).encode(),
    "a huge number": lambda: b'{"instances": [{"features": {"x": ' + b"9" * 1_000_000 + b"}}]}",
}


def _sent(row: dict[str, Any]) -> bytes:
    return json.dumps({"instances": [{"features": row}]}).encode()


@pytest.mark.parametrize("name", SENT)
def test_answers_and_events_of_bad_bodies_are_small(name: str) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route())
        answer = await harness.call("POST", "/v1/models/late/predict", SENT[name]())
        assert answer.status in (400, 422), answer.body[:200]
        assert len(answer.body) < 10_000
        (event,) = harness.spool.payloads
        assert len(event) < 5_000

    run(story)


def test_rows_are_counted_before_they_are_looked_at() -> None:
    with pytest.raises(BadBody):
        check_count(0, 10)
    with pytest.raises(BodyTooLarge, match="11 rows, 10 allowed"):
        check_count(11, 10)
    check_count(10, 10)


def test_values_come_in_the_contracts_order_as_later_steps_expect_them() -> None:
    rows = validate_rows(CONTRACT, [{"kind": "van", "n": 3.0, "x": 2}, {"x": 1.5, "kind": "bike"}])
    assert rows == [(2.0, 3, "van"), (1.5, None, "bike")]
    assert [[type(v) for v in row] for row in rows] == [
        [float, int, str], [float, type(None), str],
    ]  # fmt: skip


def test_columns_by_name_are_the_same_rows() -> None:
    assert by_name(CONTRACT, ["kind", "x", "n"], [("van", 1.0, 2)]) == [(1.0, 2, "van")]
    with pytest.raises(BadBody, match="'x' is there twice"):
        by_name(CONTRACT, ["x", "n", "x"], [(1.0, 2, 3.0)])
    with pytest.raises(BadBody, match="row 1 has 2 values for 3 columns"):
        by_name(CONTRACT, ["kind", "x", "n"], [("van", 1.0, 2), ("van", 1.0)])
    with pytest.raises(SchemaViolation, match="unknown feature 'y'"):
        by_name(CONTRACT, ["kind", "x", "n", "y"], [("van", 1.0, 2, 1)])


def test_two_features_that_differ_in_case_are_two() -> None:
    both = Contract(
        tuple(FeatureSpec(name, "v", FeatureType.NUMBER) for name in ("X", "x")),
        TaskSpec("regression"),
    )
    assert validate_rows(both, [{"x": 1, "X": 2}]) == [(2.0, 1.0)]
