"""All workers' counts as one text that Prometheus can read."""

from __future__ import annotations

from typing import Any

import pytest
from apps.prometheus import read
from hypothesis import given
from hypothesis import strategies as st

from windvane.apps.console.metrics import render
from windvane.ports.metrics import Series

EDGES = (0.001, 0.005, 1.0, 5.0)


def counter(values: dict[tuple[str, ...], float], labels: tuple[str, ...] = ("model",)) -> Series:
    return Series(
        "things_total", "counter", "Things.", labels, [(k, [float(v)]) for k, v in values.items()]
    )


def gauge(value: float) -> Series:
    return Series("depth", "gauge", "Depth.", (), [((), [float(value)])])


def histogram(counts: list[float], total: float, edges: tuple[float, ...] = EDGES) -> Series:
    values = [float(c) for c in (*counts, total)]
    return Series("wait_seconds", "histogram", "Wait.", ("m",), [(("a",), values)], edges)


def test_counters_are_summed_and_gauges_are_told_apart() -> None:
    text = render(
        {
            "gateway-0": [counter({("a",): 2, ("b",): 1}), gauge(3)],
            "gateway-1": [counter({("a",): 5}), gauge(4.5)],
            "gateway-2": [],
        }
    )
    assert read(text) == {
        "windvane_things_total": {(("model", "a"),): 7, (("model", "b"),): 1},
        "windvane_depth": {(("worker", "gateway-0"),): 3, (("worker", "gateway-1"),): 4.5},
    }


def test_histograms_are_summed_by_bucket_and_cumulative() -> None:
    text = render(
        {
            "gateway-0": [histogram([1, 2, 0, 0, 1], 6.5)],
            "gateway-1": [histogram([1, 0, 0, 3, 0], 9.25)],
        }
    )
    found = read(text)
    by_edge = {dict(k)["le"]: v for k, v in found["windvane_wait_seconds_bucket"].items()}
    assert by_edge == {"0.001": 2, "0.005": 4, "1": 4, "5": 7, "+Inf": 8}
    assert found["windvane_wait_seconds_sum"] == {(("m", "a"),): 15.75}
    assert found["windvane_wait_seconds_count"] == {(("m", "a"),): 8}


def test_nothing_is_an_empty_text() -> None:
    assert render({}) == ""
    assert read("") == {}


@pytest.mark.parametrize("edges", [(0.001, 0.005), (0.002, 0.005, 1.0, 5.0)])
def test_a_worker_of_another_release_spoils_nothing(edges: Any) -> None:
    """During an upgrade the buckets differ: they cannot be added, and the rest still can."""
    other = histogram([1.0] * (len(edges) + 1), 1.0, edges)
    text = render(
        {"gateway-0": [counter({("a",): 2}), histogram([1, 2, 0, 0, 1], 6.5)],
         "gateway-1": [counter({("a",): 5}), other]}
    )  # fmt: skip
    found = read(text)
    assert found["windvane_things_total"] == {(("model", "a"),): 7}
    assert found["windvane_wait_seconds_count"] == {(("m", "a"),): 4}


ODD = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"),
    max_size=8,
)


@given(st.dictionaries(st.tuples(ODD, ODD), st.integers(0, 10**15), max_size=6), st.data())
def test_any_label_and_count_survives_the_text(values: Any, data: st.DataObject) -> None:
    """A tenant may be called anything, and no name may forge another line."""
    split = {k: data.draw(st.integers(0, v)) for k, v in values.items()}
    names = ("tenant", "code")
    text = render(
        {
            "gateway-0": [counter({k: float(split[k]) for k in values}, names)],
            "gateway-1": [counter({k: float(v - split[k]) for k, v in values.items()}, names)],
        }
    )
    found = read(text).get("windvane_things_total", {})
    assert {(dict(k)["tenant"], dict(k)["code"]): v for k, v in found.items()} == values
