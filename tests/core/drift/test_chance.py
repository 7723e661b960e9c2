"""What chance gives, against drawing it."""

from __future__ import annotations

import numpy as np
import pytest

from windvane.core.drift.chance import js_chance, js_terms, psi_chance, psi_terms


@pytest.mark.parametrize("expected", [1e-4, 0.03, 0.5, 3.0, 40.0, 300.0, 5_000.0])
@pytest.mark.parametrize(("terms", "chance"), [(js_terms, js_chance), (psi_terms, psi_chance)])
def test_means_and_variances_are_those_of_drawn_counts(expected, terms, chance) -> None:
    drawn = np.random.default_rng(1).poisson(expected, 400_000).astype(float)
    found = terms(drawn, np.full_like(drawn, expected))
    mean, variance = chance(np.array([expected]))
    assert mean[0] == pytest.approx(found.mean(), rel=0.03, abs=2e-4)
    assert variance[0] == pytest.approx(found.var(), rel=0.06, abs=2e-3)


def test_many_rows_are_the_chi_squared_law() -> None:
    """Eight times the Jensen-Shannon divergence, and the stability index, are chi-squared."""
    assert 8.0 * js_chance(np.array([5_000.0]))[0][0] == pytest.approx(1.0, rel=0.01)
    assert psi_chance(np.array([5_000.0]))[0][0] == pytest.approx(1.0, rel=0.01)
