"""Evidence: drawn from counts, shared out to tenants, and plain JSON."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from usecases.harness import START, Harness, columns

from windvane.core.sketch import CategoryAxis, Layout, NumericAxis
from windvane.usecases.gather_evidence import (
    histogram,
    output_histograms,
    sample_requests,
    tenant_shares,
)

LAYOUT = Layout((NumericAxis("x", (0.0, 1.0)), CategoryAxis("c", ("a", "b"))))


def count(x: list[float], c: list[str | None]) -> Any:
    return LAYOUT.count({"x": x, "c": c})[0]


def test_a_histogram_has_a_label_for_each_bin() -> None:
    before, after = count([0.5, 2.0], ["a", None]), count([float("nan")], ["?"])
    assert histogram(LAYOUT, "x", before, after) == {
        "feature": "x",
        "labels": ["null", "up to 0", "0 to 1", "over 1"],
        "before": [0, 0, 1, 1],
        "after": [1, 0, 0, 0],
    }
    assert histogram(LAYOUT, "c", before, after)["labels"] == ["null", "a", "b", "unseen"]
    assert histogram(LAYOUT, "c", before, after)["after"] == [0, 0, 0, 1]


def test_tenants_come_by_their_nulls() -> None:
    nan = float("nan")
    found = tenant_shares(
        LAYOUT,
        "x",
        [
            ("UA", count([1.0, 1.0], ["a", "a"])),
            ("AA", count([nan, 1.0], ["a", "a"])),
            ("UA", count([nan], ["a"])),
            ("BB", count([nan, nan], ["a", "a"])),
            ("none", np.zeros(LAYOUT.size, np.int64)),
        ],
    )
    assert found == [
        {"tenant": "BB", "rows": 2, "nulls": 2},
        {"tenant": "UA", "rows": 3, "nulls": 1},
        {"tenant": "AA", "rows": 2, "nulls": 1},
    ]


@given(
    st.lists(st.tuples(st.sampled_from("ABC"), st.lists(st.none() | st.floats(0, 2), max_size=5)))
)
def test_no_tenants_rows_are_counted_for_another(parts: list[tuple[str, list[Any]]]) -> None:
    given_rows = [
        (tenant, count([np.nan if v is None else v for v in values], [None] * len(values)))
        for tenant, values in parts
    ]
    for row in tenant_shares(LAYOUT, "x", given_rows):
        mine = [v for tenant, values in parts if tenant == row["tenant"] for v in values]
        assert (row["rows"], row["nulls"]) == (len(mine), sum(v is None for v in mine))


def test_the_arms_outputs_lie_side_by_side(harness: Harness) -> None:
    harness.traffic(0, rows=40)
    harness.traffic(0, rows=10, arm="challenger", version="2")
    harness.traffic(50, rows=30)  # after the end
    with harness.store.read() as tx:
        (found,) = output_histograms(tx, harness.live, START, START + 60.0)
    assert found["feature"] == "output"
    assert (sum(found["before"]), sum(found["after"])) == (40, 10)
    counts = harness.layout.count(columns(40, 1_000))[0]
    assert found["before"] == harness.layout.part(counts, "output").tolist()


def test_no_traffic_draws_nothing(harness: Harness) -> None:
    with harness.store.read() as tx:
        assert output_histograms(tx, harness.live, START, START + 60.0) == []


def test_samples_are_plain_json() -> None:
    row = {"ts": 1.5, "unit": None, "flags": ["failed"], "n": 3, "features": {"x": None},
           "day": dt.date(2026, 1, 2)}  # fmt: skip
    (found,) = sample_requests([row])
    assert json.loads(json.dumps(found)) == {**row, "day": "2026-01-02"}
