"""Effects that chance does not make, and series of which no alarm is lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.drift import decimate, effect_sizes, psi

BINS = 16
REFERENCE = np.array([0, *[5_000] * BINS], np.int64)


def draw(rng: np.random.Generator, rows: int, weights: np.ndarray | None = None) -> np.ndarray:
    shares = np.full(BINS, 1.0 / BINS) if weights is None else weights / weights.sum()
    return np.array([0, *rng.multinomial(rows, shares)], np.int64)


@pytest.mark.parametrize("rows", [30, 100, 1_000])
def test_rows_of_the_same_law_are_no_effect_however_few(rows: int) -> None:
    rng = np.random.default_rng(1)
    found = [effect_sizes(draw(rng, rows), REFERENCE, ordered=True) for _ in range(300)]
    for name in ("psi", "js", "kl", "ks"):
        mean = float(np.mean([getattr(one, name) for one in found]))
        assert mean < 0.1 * (30 / rows) ** 0.5, name
    raw = [psi(draw(rng, rows), REFERENCE) for _ in range(50)]
    assert rows > 30 or np.mean(raw) > 0.3, "what would be shown else"


def test_a_change_has_the_size_that_it_has() -> None:
    weights = np.linspace(0.5, 1.5, BINS)
    p, q = weights / weights.sum(), np.full(BINS, 1.0 / BINS)
    exact = float(((p - q) * np.log(p / q)).sum())
    rng = np.random.default_rng(2)
    found = [effect_sizes(draw(rng, 400, weights), REFERENCE, ordered=True) for _ in range(200)]
    assert np.mean([one.psi for one in found if one]) == pytest.approx(exact, rel=0.15)
    distance = float(np.abs(np.cumsum(p) - np.cumsum(q)).max())
    assert np.mean([one.ks for one in found if one]) == pytest.approx(distance, abs=0.05)


def test_nulls_are_their_own_effect_and_move_no_other() -> None:
    window = np.array([600, *[25] * BINS], np.int64)
    found = effect_sizes(window, REFERENCE, ordered=False)
    assert found is not None
    assert (found.rows, found.nulls, found.ks) == (1_000, pytest.approx(0.6), None)
    assert found.psi < 0.01
    only = effect_sizes(np.array([9, *[0] * BINS], np.int64), REFERENCE, ordered=True)
    assert only is not None
    assert (only.nulls, only.psi) == (1.0, 0.0)
    assert effect_sizes(np.zeros(BINS + 1, np.int64), REFERENCE, ordered=True) is None


@given(
    st.lists(st.tuples(st.floats(0, 50), st.booleans()), max_size=300),
    st.integers(1, 60),
)
def test_a_shorter_series_keeps_every_alarm_and_the_highest_point(
    points: list[tuple[float, bool]], most: int
) -> None:
    heights, keep = [h for h, _ in points], [k for _, k in points]
    chosen = decimate(heights, keep, most)
    assert chosen == sorted(set(chosen))
    assert {i for i, kept in enumerate(keep) if kept} <= set(chosen)
    assert len(chosen) <= max(most, sum(keep) + 1)
    if points:
        assert max(heights[i] for i in chosen) == max(heights)
