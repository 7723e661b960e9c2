"""What goes together, and whether it still does, whatever the features are by themselves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from windvane.core.drift import (
    DependenceFacts,
    DependencePolicy,
    PairReading,
    association,
    group_bins,
    judge_dependence,
)
from windvane.core.verdict import Level, Outcome, ShiftState, Verdict

POLICY = DependencePolicy(20_000.0, 400)


def pair(rng: np.random.Generator, rows: int, rho: float, shift: float = 0.0) -> np.ndarray:
    """Groups of two normal features, cut at the quartiles of unshifted ones."""
    x = rng.standard_normal((rows, 2))
    x[:, 1] = rho * x[:, 0] + np.sqrt(1.0 - rho**2) * x[:, 1]
    return np.searchsorted([-0.674, 0.0, 0.674], x + shift)


def test_bins_of_a_number_are_quarters_and_names_by_how_frequent_they_are() -> None:
    assert group_bins(np.array([9, 5, 5, 5, 5, 5, 5, 5, 5]), ordered=True).tolist() == [
        -1, 0, 0, 1, 1, 2, 2, 3, 3,
    ]  # fmt: skip
    names = group_bins(np.array([9, 1, 50, 2, 30, 40, 3]), ordered=False)
    assert names.tolist() == [-1, 4, 0, 4, 2, 1, 3]
    assert group_bins(np.array([9, 0, 0]), ordered=True).tolist() == [-1, -1, -1]


@pytest.mark.parametrize("shift", [0.0, 0.5, -0.8])
def test_the_association_says_nothing_of_the_features_alone(shift: float) -> None:
    rng = np.random.default_rng(5)
    found = [association(*pair(rng, 4_000, rho, shift).T) for rho in (0.0, 0.6)]
    assert found[0] == pytest.approx(0.0, abs=0.08)
    assert found[1] == pytest.approx(0.32, abs=0.03)


def test_a_feature_that_hardly_varies_says_nothing() -> None:
    rng = np.random.default_rng(6)
    one = np.zeros(1_000, np.int64)
    one[:20] = 1
    assert association(one, rng.integers(0, 4, 1_000)) is None
    assert association(np.full(50, -1), rng.integers(0, 4, 50)) is None


def play(
    blocks: int, rho_of: Mapping[int, float], *, seed: int = 1, wander: float = 0.03
) -> list[Verdict]:
    """Blocks of 2,000 rows whose correlation wanders a little, as days do."""
    rng = np.random.default_rng(seed)
    held: Mapping[str, ShiftState] = {}
    out: list[Verdict] = []
    for block in range(blocks):
        rho = rho_of.get(block, 0.6) + rng.normal(0.0, wander)
        value = association(*pair(rng, 2_000, rho, rng.normal(0.0, 0.3)).T)
        assert value is not None
        readings = (PairReading("a", "b", value, 0.022),)
        verdict, held = judge_dependence(
            DependenceFacts(float(block), 2_000, readings, held), POLICY, 0.0
        )
        out.append(verdict)
    return out


def test_healthy_blocks_raise_no_alarm() -> None:
    said = [v for seed in range(40) for v in play(60, {}, seed=seed)]
    assert not [v for v in said if v.outcome is Outcome.FAIL]
    judged = [v for v in said if v.code != "DRI-221"]
    assert len(judged) == 40 * (60 - 14)
    assert sum(v.code == "DRI-220" for v in judged) > 0.95 * len(judged)


def test_what_no_longer_goes_together_is_found_and_ends() -> None:
    broken = dict.fromkeys(range(20, 30), 0.0)
    said = play(50, broken)
    failed = [i for i, v in enumerate(said) if v.outcome is Outcome.FAIL]
    assert failed[0] in (20, 21, 22)
    assert failed == list(range(failed[0], failed[-1] + 1))
    assert 29 <= failed[-1] <= 34
    assert said[failed[0]].sentence.startswith("association of a and b 0.0")
    assert [v.outcome for v in said[:14]] == [Outcome.HOLD] * 14


def test_a_weekend_that_is_another_is_no_alarm_whatever_day_it_began() -> None:
    for began in range(7):
        weekend = {i: 0.2 for i in range(90) if (i + began) % 7 in (5, 6)}
        assert not [v for v in play(90, weekend, seed=began) if v.outcome is Outcome.FAIL]


def test_what_was_found_and_cannot_be_measured_is_no_pass() -> None:
    broken = ShiftState(Level(20.0, 0.5, 0.01), Level(20.0, 0.5, 0.01), alarmed=True, fault=-0.4)
    held = {
        "a and b": broken,
        "c and d": ShiftState(Level(20.0, 0.5, 0.01), Level(20.0, 0.5, 0.01)),
    }
    readings = (PairReading("c", "d", 0.5, 0.022),)
    verdict, after = judge_dependence(DependenceFacts(0.0, 2_000, readings, held), POLICY, 0.0)
    assert (verdict.outcome, verdict.code) == (Outcome.HOLD, "DRI-222")
    assert after["a and b"].alarmed


def test_too_few_rows_are_no_block() -> None:
    facts = DependenceFacts(0.0, 399, (), {})
    verdict, after = judge_dependence(facts, POLICY, 0.0)
    assert (verdict.outcome, verdict.code, verdict.missing) == (
        Outcome.HOLD, "DRI-221", "1 more rows",
    )  # fmt: skip
    assert after == {}
