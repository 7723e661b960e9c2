"""A worker's own counts stay bounded, however many tenants there are."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from windvane.inference.metrics import TENANTS, Metrics
from windvane.ports.metrics import OTHER, Series


def requests(series: Sequence[Series]) -> dict[tuple[str, ...], int]:
    (found,) = (one for one in series if one.name == "requests_total")
    return {tuple(key): int(value) for key, (value,) in found.values}


@given(st.lists(st.tuples(st.integers(0, TENANTS + 40), st.sampled_from(["200", "LIM-101"]))))
def test_tenants_are_bounded_and_no_request_is_uncounted(asked: list[tuple[int, str]]) -> None:
    metrics = Metrics()
    for i in range(TENANTS + 20):
        metrics.requests["m", f"t{i}", "200"] += 1
    first = requests(metrics.series())
    for tenant, code in asked:
        metrics.requests["m", f"t{tenant}", code] += 1
    found = requests(metrics.series())
    named = {tenant for _, tenant, _ in found} - {OTHER}
    assert named == {f"t{i}" for i in range(TENANTS)}, "the first that were met"
    assert sum(found.values()) == TENANTS + 20 + len(asked)
    assert all(found[key] >= n for key, n in first.items()), "a counter fell"


def test_each_model_has_its_own_bound() -> None:
    metrics = Metrics()
    for i in range(TENANTS):
        metrics.requests["a", f"t{i}", "200"] += 1
        metrics.requests["b", f"u{i}", "200"] += 1
    assert OTHER not in {tenant for _, tenant, _ in requests(metrics.series())}


def test_a_worker_that_takes_over_names_the_same_tenants() -> None:
    before = Metrics()
    for i in range(TENANTS + 1):
        before.requests["m", f"t{i}", "200"] += 1
    posted = before.series()
    after = Metrics()
    after.go_on_from(posted)
    after.requests["m", f"t{TENANTS}", "200"] += 1
    after.requests["m", "t0", "200"] += 1
    found = requests(after.series())
    assert found["m", OTHER, "200"] == 2
    assert found["m", "t0", "200"] == 2
    assert ("m", f"t{TENANTS}", "200") not in found


def test_what_has_no_labels_is_there_before_it_happens() -> None:
    found = {one.name: one.values for one in Metrics().series() if one.kind == "counter"}
    assert found["traces_dropped_total"] == [((), [0.0])]
    assert "requests_total" not in found
