"""What may still come counts neither for nor against; fast labels are no sample of all."""

from __future__ import annotations

import numpy as np
import pytest

from windvane.core.outcomes import DELAY_EDGES, LabelCohort, delay_curve

DAY = 86_400.0


def cohorts(
    ages: list[float], delays_of: tuple[float, float], share: float, rows: int = 2_000
) -> list[LabelCohort]:
    """``share`` of the rows are labelled after a lognormal delay (median s, log deviation), as far
    as they are old enough."""
    rng = np.random.default_rng(5)
    out: list[LabelCohort] = []
    for age in ages:
        delays = rng.lognormal(np.log(delays_of[0]), delays_of[1], rows)
        came = delays[(rng.random(rows) < share) & (delays < age)]
        bins = np.searchsorted(DELAY_EDGES, came, side="left")
        counts = np.bincount(bins, minlength=len(DELAY_EDGES) + 1)
        out.append(LabelCohort(age, rows, tuple(counts.tolist())))
    return out


def test_young_cohorts_do_not_hide_the_slow_labels() -> None:
    """A naive share over all cohorts says that 57% have labels; 80% get one."""
    found = cohorts([DAY * (i + 0.5) for i in range(14)], (2 * DAY, 0.7), 0.8)
    curve = delay_curve(found)
    assert curve.coverage == pytest.approx(0.8, abs=0.03)
    assert curve.share_by(2.1 * DAY) == pytest.approx(0.4, abs=0.1)
    mature = curve.mature_after_s
    assert mature is not None
    assert 4 * DAY < mature < 12 * DAY


def test_it_is_told_only_where_enough_labels_came() -> None:
    assert delay_curve([]).mature_after_s is None
    assert delay_curve(cohorts([DAY], (10.0, 0.1), 0.02)).mature_after_s is None
    quick = delay_curve(cohorts([DAY, 2 * DAY], (10.0, 0.1), 0.9)).mature_after_s
    assert quick is not None
    assert quick < 20.0


def test_the_edges_are_four_a_decade() -> None:
    assert DELAY_EDGES[:5] == (1.0, 1.77828, 3.16228, 5.62341, 10.0)
    assert DELAY_EDGES[-1] > 365 * DAY
