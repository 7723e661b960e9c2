"""Two tables once: dependent rows are no change, real changes are, and sizes are without chance."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import lfilter

from windvane.core.drift.two_samples import (
    Sizes,
    chunk_count,
    compare_samples,
    holm,
    wasserstein,
    wasserstein_chance,
)
from windvane.core.sketch import CategoryAxis, Layout, NumericAxis

Floats = NDArray[np.float64]


def dependent(rng: np.random.Generator, rows: int, rho: float) -> Floats:
    noise = rng.normal(size=rows) * np.sqrt(1.0 - rho**2)
    noise[0] = rng.normal()
    return np.asarray(lfilter([1.0], [1.0, -rho], noise))


def look(reference: Floats, current: Floats) -> Sizes:
    layout = Layout((NumericAxis.fit("x", reference),))
    count = chunk_count(len(reference))
    groups = np.arange(len(reference)) * count // len(reference)
    chunks = layout.count({"x": reference}, groups, count)
    return compare_samples(layout, chunks, layout.count({"x": current})[0])[0]


@pytest.mark.parametrize("rho", [0.0, 0.9, 0.98])
def test_rows_that_depend_on_each_other_alarm_no_more_often_than_allowed(rho: float) -> None:
    hits = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        rows = (500, 5_000, 20_000)[seed % 3]
        series = dependent(rng, 20_000 + rows, rho)
        hits += look(series[:20_000], series[20_000:]).p < 0.05
    assert hits <= scipy.stats.binom.ppf(0.999, 150, 0.05)


def test_a_naive_test_would_alarm_all_the_time() -> None:
    """That the streams above are hard: chi-squared of independent rows fails on them."""
    hits = 0
    for seed in range(40):
        series = dependent(np.random.default_rng(seed), 25_000, 0.98)
        hits += scipy.stats.ks_2samp(series[:20_000], series[20_000:]).pvalue < 0.05
    assert hits > 20


@pytest.mark.parametrize(
    "change",
    [
        lambda x, rng: x + 0.5,
        lambda x, rng: x * 1.6,
        lambda x, rng: np.where(rng.random(len(x)) < 0.1, np.nan, x),
        lambda x, rng: np.full(len(x), x[0]),
        lambda x, rng: np.full(len(x), np.nan),
    ],
    ids=["shift", "spread", "nulls", "constant", "no value"],
)
def test_what_changed_is_found(change: object) -> None:
    rng = np.random.default_rng(1)
    now = change(rng.normal(size=800), rng)  # type: ignore[operator]
    found = look(rng.normal(size=20_000), now)
    assert found.p < 1e-3
    assert max(found.psi, abs(found.nulls)) >= 0.08


def test_a_renamed_category_is_found_with_its_share() -> None:
    rng = np.random.default_rng(2)
    axis = CategoryAxis("c", ("a", "b", "c"))
    layout = Layout((axis,))
    past = rng.choice(["a", "b", "c"], 6_400)
    now = np.where(rng.random(1_000) < 0.1, "A", rng.choice(["a", "b", "c"], 1_000))
    chunks = layout.count({"c": past}, np.arange(6_400) // 200, 32)
    (found,) = compare_samples(layout, chunks, layout.count({"c": now})[0])
    assert found.unseen == pytest.approx(0.1, abs=0.03)
    assert found.p < 1e-6
    assert found.ks is None


def test_chance_is_taken_off_the_sizes() -> None:
    """PSI of 200 rows on 22 bins is 0.1 by chance alone; none of it is left."""
    left: list[Sizes] = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        left.append(look(rng.normal(size=5_000), rng.normal(size=200)))
    assert np.mean([one.psi for one in left]) < 0.03
    for name in ("js", "kl", "ks", "tv"):
        assert np.mean([getattr(one, name) for one in left]) < 0.03, name


@pytest.mark.parametrize(("rows", "rho"), [(150, 0.0), (1_000, 0.0), (4_000, 0.9)])
def test_a_shift_of_the_size_said_to_be_detectable_is_seen_mostly(rows: int, rho: float) -> None:
    """Of normal values a shift of d sd is a stability index of d squared."""
    hits, said = 0, []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        series = dependent(rng, 20_000 + rows, rho)
        past, now = series[:20_000], series[20_000:]
        said.append(look(past, now).values.size)
        hits += look(past, now + said[-1] ** 0.5).p < 0.05
    assert 30 <= hits <= 58, (hits, np.mean(said))


def test_what_is_detectable_shrinks_with_rows_and_grows_with_their_dependence() -> None:
    rng = np.random.default_rng(1)
    past, now = rng.normal(size=20_000), rng.normal(size=4_000)
    few, many, walk = (
        look(past, now[:100]),
        look(past, now),
        look(dependent(rng, 20_000, 0.98), now),
    )
    assert many.values.size < 0.03
    assert few.values.at_best > 0.1
    assert walk.values.size > 10 * many.values.size
    assert look(np.sort(past), now).values.size > 1.0


def test_the_rows_said_to_be_missing_make_the_limit_detectable() -> None:
    rng = np.random.default_rng(2)
    past = rng.normal(size=20_000)
    found = look(past, rng.normal(size=60)).values
    more, of_both = found.more_rows(0.1, 60, 20_000)
    assert not of_both
    assert found.at_best > 0.1 >= look(past, rng.normal(size=60 + more + 5)).values.at_best
    short = look(np.sort(past), rng.normal(size=60)).values
    each, of_both = short.more_rows(0.1, 60, 20_000)
    assert of_both
    assert short.one_row * 2.0 / each == pytest.approx(0.1, rel=0.02)


def test_wasserstein_is_scipys_and_its_chance_is_what_samples_show() -> None:
    rng = np.random.default_rng(3)
    one, other = np.sort(rng.gamma(2.0, 5.0, 700)), np.sort(rng.gamma(2.0, 6.0, 400))
    assert wasserstein(one, other) == pytest.approx(scipy.stats.wasserstein_distance(one, other))
    assert wasserstein(one, one[:0]) == 0.0
    seen = [
        wasserstein(np.sort(rng.normal(size=400)), np.sort(rng.normal(size=600)))
        for _ in range(200)
    ]
    law = np.sort(rng.normal(size=20_000))
    assert wasserstein_chance(law, 1 / 400 + 1 / 600) == pytest.approx(np.mean(seen), rel=0.1)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30))
def test_holm_is_between_the_p_values_and_bonferroni(given_p: list[float]) -> None:
    p = np.array(given_p)
    found = holm(p)
    assert (found >= p - 1e-12).all()
    assert (found <= np.minimum(p * len(p), 1.0) + 1e-12).all()
    assert (np.diff(found[np.argsort(p, kind="stable")]) >= 0.0).all()


def test_few_rows_make_no_chunks() -> None:
    assert [chunk_count(n) for n in (0, 199, 200, 400, 800, 10**7)] == [0, 0, 8, 16, 32, 32]
