"""Rows that are told apart from earlier ones by how their features go together, and by nothing
else."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import scipy.signal

from windvane.core.drift import (
    FOLDS,
    TOLD_APART,
    DependenceFacts,
    DependencePolicy,
    DomainReading,
    ScoredRows,
    judge_dependence,
    rank_scores,
    tell_apart,
)
from windvane.core.verdict import Outcome, ShiftState, Verdict

Rows = np.ndarray
Draw = Callable[[np.random.Generator, int, int], Rows]
Fault = Callable[[np.random.Generator, Rows], Rows]
POLICY = DependencePolicy(20_000.0, 400)
DAY = 2_000
LEARNED = 20


def wander(rng: np.random.Generator, rows: int, columns: int, past: float) -> Rows:
    """Normal rows in the order of their time, each like the one before it."""
    x = rng.standard_normal((rows, columns))
    x[1:] *= np.sqrt(1.0 - past**2)
    return scipy.signal.lfilter([1.0], [1.0, -past], x, axis=0)


def draw(rng: np.random.Generator, rows: int, features: int, past: float = 0.0) -> Rows:
    """Half of the features share a factor."""
    x = wander(rng, rows, features, past)
    half = features // 2
    x[:, :half] = 0.6 * wander(rng, rows, 1, past) + 0.8 * x[:, :half]
    return x


def day_and_night(rng: np.random.Generator, rows: int, features: int, weather: float = 0.3) -> Rows:
    """The hour drives the level of half of them, and each day has a weather of its own."""
    hour = np.sin(2.0 * np.pi * np.arange(rows) / rows)[:, None]
    x = wander(rng, rows, features, 0.9)
    half = features // 2
    x[:, :half] += 1.5 * hour
    return x + weather * rng.standard_normal((1, features)) * hour


def joined_wrongly(rng: np.random.Generator, x: Rows) -> Rows:
    x[:, 0] = rng.permutation(x[:, 0])
    return x


def xor(rng: np.random.Generator, x: Rows) -> Rows:
    """The sign of one is that of the other two's product: no two of the three tell."""
    del rng
    a, b, c = x.shape[1] - np.array([1, 2, 3])
    x[:, a] = np.abs(x[:, a]) * np.sign(x[:, b] * x[:, c])
    return x


def weak_pairs(rng: np.random.Generator, x: Rows) -> Rows:
    """Twenty pairs of features that had nothing to do with each other have a correlation of .15."""
    del rng
    cov = np.eye(x.shape[1])
    first = x.shape[1] // 2
    pairs = np.random.default_rng(4)
    free = [(i, j) for i in range(first, len(cov)) for j in range(i + 1, len(cov))]
    for i, j in pairs.choice(np.array(free), 20, replace=False):
        cov[i, j] = cov[j, i] = 0.15 * pairs.choice([-1.0, 1.0])
    x[:, first:] = (x @ np.linalg.cholesky(cov).T)[:, first:]
    return x


def changed_margins(rng: np.random.Generator, x: Rows) -> Rows:
    """Another level, another scale, other units, some nulls, and one that stands still."""
    x = x * 7.0 + 100.0
    x[:, 1] = np.exp(x[:, 1] / 7.0)
    x[rng.random(len(x)) < 0.3, 2] = np.nan
    x[:, 3] = 5.0
    return x


def scored(x: Rows) -> ScoredRows:
    columns = [[None if np.isnan(v) else float(v) for v in column] for column in x.T]
    scores = np.stack([rank_scores(column, names=False) for column in columns], axis=1)
    folds = (np.arange(len(x)) * FOLDS // len(x)).astype(np.int8)
    return ScoredRows(scores, folds, np.zeros_like(folds))


def names(features: int) -> list[str]:
    return [f"f{i}" for i in range(features)]


def past_of(rng: np.random.Generator, features: int, of: Draw = draw) -> ScoredRows:
    past = ScoredRows.none(features)
    for _ in range(14):
        past = past.with_block(scored(of(rng, DAY, features)))
    return past


@pytest.mark.parametrize(
    ("fault", "features", "least", "guilty"),
    [
        (joined_wrongly, 32, 0.60, {"f0"}),
        (xor, 32, 0.65, {"f29", "f30", "f31"}),
        (weak_pairs, 32, 0.57, {f"f{i}" for i in range(16, 32)}),
        (joined_wrongly, 4, 0.57, {"f0", "f1"}),
        (xor, 4, 0.65, {"f1", "f2", "f3"}),
    ],
)
def test_a_change_of_what_goes_together_is_told_and_by_which_features(
    fault: Fault, features: int, least: float, guilty: set[str]
) -> None:
    rng = np.random.default_rng(11)
    past = past_of(rng, features)
    found = tell_apart(scored(fault(rng, draw(rng, DAY, features))), past, names(features))
    assert found is not None
    assert found.value > least
    assert found.features[0][0] in guilty
    carried = sum(share for name, share in found.features if name in guilty)
    assert carried > 0.5 * sum(share for _, share in found.features)


def test_what_became_of_features_by_themselves_says_nothing() -> None:
    rng = np.random.default_rng(12)
    past = past_of(rng, 12)
    areas: list[float] = []
    for _ in range(6):
        found = tell_apart(scored(changed_margins(rng, draw(rng, DAY, 12))), past, names(12))
        assert found is not None
        areas.append(found.value)
    assert np.mean(areas) == pytest.approx(0.5, abs=0.02)


def test_neighbours_in_time_do_not_leak_and_no_hour_is_on_one_side_only() -> None:
    rng = np.random.default_rng(13)
    of = partial(day_and_night, weather=0.0)
    past = past_of(rng, 12, of)
    found = [tell_apart(scored(of(rng, DAY, 12)), past, names(12)) for _ in range(8)]
    areas = [one.value for one in found if one is not None]
    assert len(areas) == 8
    assert np.mean(areas) == pytest.approx(0.5, abs=0.04)


def test_too_few_earlier_rows_or_features_tell_nothing() -> None:
    rng = np.random.default_rng(14)
    now = scored(draw(rng, DAY, 4))
    few = ScoredRows.none(4).with_block(now).with_block(now).with_block(now)
    assert few.rows == 300
    assert tell_apart(now, few, names(4)) is None
    still = scored(np.ones((DAY, 4)))
    assert tell_apart(still, few.with_block(now), names(4)) is None
    assert tell_apart(now, few.with_block(now), names(4)) is not None


def test_rows_of_one_part_of_the_time_tell_nothing() -> None:
    rng = np.random.default_rng(15)
    now = scored(draw(rng, DAY, 4))
    past = past_of(rng, 4)
    first = now.folds == 0
    one = ScoredRows(now.scores[first], now.folds[first], now.blocks[first])
    assert tell_apart(one, past, names(4)) is None


def test_what_is_kept_of_the_past_is_bounded_and_the_same_when_read_again() -> None:
    rng = np.random.default_rng(16)
    past = ScoredRows.none(32)
    for _ in range(20):
        past = past.with_block(scored(draw(rng, DAY, 32)))
    assert past.rows == 1_400
    assert np.bincount(past.blocks).tolist() == [100] * 14
    assert np.bincount(past.folds).tolist() == [280] * FOLDS
    packed = past.pack()
    assert len(packed) < 60_000
    again = ScoredRows.unpack(packed, 32)
    for one, other in ((again.scores, past.scores), (again.folds, past.folds)):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    assert np.array_equal(again.blocks, past.blocks)
    assert ScoredRows.unpack(packed, 31).rows == 0
    assert ScoredRows.unpack(None, 32).rows == 0


def test_ranks_of_names_are_in_their_own_order_and_nulls_have_none() -> None:
    scores = rank_scores(["b", "a", None, "b", "c"], names=True).tolist()
    assert scores[2] == -128
    assert scores[1] < scores[0] == scores[3] < scores[4]
    assert rank_scores([None, 3, 3], names=False).tolist() == [-128] * 3
    assert rank_scores([], names=False).tolist() == []


def play(
    days: int,
    of: Draw,
    features: int,
    *,
    seed: int,
    fault: Fault | None = None,
    first: int = LEARNED,
    until: int = 10**9,
) -> list[Verdict]:
    """Days through the judge, the past kept as the monitor keeps it; a fault after those that are
    learned."""
    rng = np.random.default_rng(seed)
    past = ScoredRows.none(features)
    held: dict[str, ShiftState] = {}
    out: list[Verdict] = []
    for day in range(days):
        x = of(rng, DAY, features)
        if fault is not None and first <= day < until:
            x = fault(rng, x)
        now = scored(x)
        domain = tell_apart(now, past, names(features))
        facts = DependenceFacts(float(day), DAY, (), held, domain)
        verdict, after = judge_dependence(facts, POLICY, 0.0)
        held = dict(after)
        if not any(state.alarmed for state in held.values()):
            past = past.with_block(now)
        out.append(verdict)
    return out


@pytest.mark.parametrize("of", [draw, partial(draw, past=0.9), day_and_night])
def test_healthy_days_of_rows_that_depend_on_each_other_raise_no_alarm(of: Draw) -> None:
    said = [v for seed in range(3) for v in play(40, of, 8, seed=seed)]
    assert not [v for v in said if v.outcome is Outcome.FAIL]
    judged = [v for v in said if v.code != "DRI-221"]
    assert len(judged) == 3 * (40 - 18)
    assert sum(v.code == "DRI-220" for v in judged) > 0.95 * len(judged)


@pytest.mark.parametrize(
    ("of", "fault", "learned", "days"),
    [
        (draw, joined_wrongly, 20, 2),
        (partial(draw, past=0.9), joined_wrongly, 34, 4),
        (partial(draw, past=0.9), xor, 34, 4),
        (draw, weak_pairs, 34, 3),
    ],
)
def test_a_change_is_found_in_days(of: Draw, fault: Fault, learned: int, days: int) -> None:
    said = play(learned + days, of, 32, seed=4, fault=fault, first=learned)
    assert not [v for v in said[:learned] if v.outcome is Outcome.FAIL]
    last = said[-1]
    assert (last.outcome, last.code) == (Outcome.FAIL, "DRI-223")
    assert last.sentence.startswith("rows told apart from earlier ones with AUC 0.")


def test_an_alarm_ends_and_a_day_that_is_less_easily_told_apart_is_none() -> None:
    said = play(54, draw, 8, seed=5, fault=xor, first=34, until=39)
    failed = [i for i, v in enumerate(said) if v.outcome is Outcome.FAIL]
    assert failed == list(range(failed[0], failed[-1] + 1))
    assert 34 <= failed[0] <= 37
    assert 38 <= failed[-1] <= 46
    held: dict[str, ShiftState] = {}
    for day in range(30):
        area = 0.55 + 0.01 * (day % 3) if day < 20 else 0.5
        reading = DomainReading(area, 0.01, 1_400)
        facts = DependenceFacts(float(day), DAY, (), held, reading)
        verdict, after = judge_dependence(facts, POLICY, 0.0)
        held = dict(after)
        assert verdict.outcome is not Outcome.FAIL
    assert held[TOLD_APART].level.blocks > 20


def test_what_was_found_and_cannot_be_told_any_more_is_no_pass() -> None:
    held = {TOLD_APART: ShiftState(alarmed=True, fault=0.2)}
    verdict, after = judge_dependence(DependenceFacts(0.0, DAY, (), held), POLICY, 0.0)
    assert (verdict.outcome, verdict.code) == (Outcome.HOLD, "DRI-222")
    assert verdict.sentence.startswith("all features together: too few earlier rows")
    assert after[TOLD_APART].alarmed


def test_one_long_name_takes_no_memory_in_the_rows_of_others() -> None:
    """2,000 rows as wide as the longest would be half a gigabyte."""
    names = [*(["dl", "aa"] * 999), "x" * 65_536]
    tracemalloc.start()
    scores = rank_scores(names, names=True)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4_000_000
    assert len(set(scores.tolist())) == 3
    assert scores[0] > scores[1]
