"""What an option costs and buys."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from windvane.core.execution import (
    Latency,
    Option,
    Score,
    best_option,
    latency_of,
    pareto,
    relative_loss,
    smallest_that_holds,
    trade,
)


def auc(value: float) -> Score:
    return Score("auc", value, True, 500)


def mae(value: float) -> Score:
    return Score("mae", value, False, 500)


def option(
    name: str, micro: float, *, noise: float = 0.0, score: Score | None = None,
    loss: float | None = None,
) -> Option:  # fmt: skip
    seconds = micro * 1e-6
    low, high = seconds * (1 - noise), seconds * (1 + noise)
    return Option(
        name, 1, 1, Latency(seconds, None, seconds, low, high, 10), 0, score=score, loss=loss
    )


BASE = option("as served", 50, noise=0.05, score=auc(0.912))


def test_percentiles_are_those_of_all_executions_and_the_noise_is_that_of_rounds() -> None:
    rounds = [[1.0] * 50, [2.0] * 49 + [9.0]]
    found = latency_of(rounds)
    assert (found.executions, found.low_s, found.high_s) == (100, 1.0, 2.0)
    assert found.p99_s == pytest.approx(np.quantile([*rounds[0], *rounds[1]], 0.99))
    assert (found.median_s, found.mean_s) == (1.5, pytest.approx(1.57))


def test_few_executions_have_no_99th_percentile() -> None:
    assert latency_of([[1.0] * 99]).p99_s is None


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        (auc(0.8), auc(0.76), 0.05),
        (auc(0.8), auc(0.84), -0.05),
        (mae(10.0), mae(11.0), 0.1),
        (mae(10.0), mae(9.0), -0.1),
        (Score("r2", -2.0, True, 9), Score("r2", -3.0, True, 9), 0.5),
        (mae(0.0), mae(0.0), 0.0),
        (mae(0.0), mae(0.1), math.inf),
        (Score("r2", 0.0, True, 9), Score("r2", 0.1, True, 9), -math.inf),
    ],
)
def test_a_loss_is_a_part_of_what_there_was(before: Score, after: Score, lost: float) -> None:
    assert relative_loss(before, after) == pytest.approx(lost)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            option("int8", 30, noise=0.05, score=auc(0.907), loss=0.0055),
            "int8: 0.55% AUC (0.912 to 0.907, n=500) for 40% less latency (50 µs to 30 µs)",
        ),
        (
            option("fp16", 60, noise=0.02, score=auc(0.912), loss=0.0),
            "fp16: 0.00% AUC (0.912 to 0.912, n=500) for 20% more latency (50 µs to 60 µs)",
        ),
        (
            option("fp16", 48, noise=0.05, score=auc(0.913), loss=-0.001),
            (
                "fp16: 0.10% better AUC (0.912 to 0.913, n=500) and no other latency beyond the "
                "noise (50 µs to 48 µs)"
            ),
        ),
        (
            option("int8", 25_000),
            (
                "int8: 49900% more latency (50 µs to 25.0 ms); what it costs is not known "
                "without labels"
            ),
        ),
    ],
)
def test_a_trade_names_both_sides(other: Option, said: str) -> None:
    assert trade(BASE, other) == said


def test_only_what_nothing_beats_in_both_numbers_is_kept() -> None:
    points = [(1.0, 3.0), (2.0, 2.0), (2.0, 3.0), (3.0, 1.0), (3.0, 1.0), (4.0, 4.0)]
    assert pareto(points) == [0, 1, 3, 4]
    assert pareto([(1.0, 1.0, 1.0), (1.0, 1.0, 0.0)]) == [1]


def test_the_fastest_that_loses_little_enough_is_best() -> None:
    dear = option("int8", 20, score=auc(0.8), loss=0.12)
    cheap = option("fp16", 35, score=auc(0.911), loss=0.001)
    cheaper = option("fp32", 38, score=auc(0.912), loss=0.0)
    assert best_option(BASE, [cheaper, cheap, dear], 0.005) is cheap
    assert best_option(BASE, [cheaper, cheap, dear], 0.2) is dear
    assert best_option(BASE, [cheaper, cheap, dear], 0.0) is cheaper


def test_of_those_that_are_as_fast_the_one_that_differs_least_is_best() -> None:
    int8 = replace(option("int8", 40, noise=0.1, score=auc(0.912), loss=0.0), difference=0.06)
    fp32 = replace(option("fp32", 44, noise=0.1, score=auc(0.912), loss=0.0), difference=1e-7)
    slow = replace(option("fp16", 46, noise=0.01, score=auc(0.912), loss=0.0), difference=1e-8)
    base = option("as served", 90, noise=0.05, score=auc(0.912))
    assert best_option(base, [int8, slow, fp32], 0.005) is fp32


def test_what_is_no_faster_beyond_the_noise_or_has_no_known_cost_is_not_taken() -> None:
    slower = option("fp16", 49, noise=0.05, score=auc(0.912), loss=0.0)
    unknown = replace(option("int8", 10), loss=None)
    assert best_option(BASE, [slower, unknown], 0.005) is BASE


@pytest.mark.parametrize("total", [1, 2, 3, 31, 32, 33, 100, 1_000])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.999, 1.0])
def test_the_smallest_number_from_which_on_it_holds(total: int, part: float) -> None:
    wanted = max(1, math.ceil(total * part))
    tried: list[int] = []

    def holds(k: int) -> bool:
        tried.append(k)
        return k >= wanted

    assert smallest_that_holds(total, holds) == wanted
    assert total not in tried
    assert len(tried) <= 32 + 10


def test_it_stops_at_the_first_number_where_it_does_not_hold() -> None:
    """A lucky small number below a gap is no answer: more would be worse."""
    assert smallest_that_holds(64, lambda k: k >= 40 or k <= 8) == 40
