"""How far evidence climbs in healthy windows, and what that takes off it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from core.drift.streams import Rows, Watcher, layout_of, nulls, plus, stuck, trained

from windvane.core.drift import DriftPolicy
from windvane.core.drift.excursions import Excursions, count_excursions, discount
from windvane.core.verdict import e_values

A = 1_000_000.0
ONE = np.ones(1, bool)
HELD_WINDOWS = 2_500
HELD = 60


def followed(log_e: np.ndarray) -> Excursions:
    held = Excursions.empty((1,))
    for value in log_e:
        held = count_excursions(held, np.array([value]), ONE)
    return held


def test_evidence_that_holds_given_the_past_is_taken_whole() -> None:
    rng = np.random.default_rng(1)
    taken = [discount(followed(np.log(e_values(rng.random(3_000)))))[0] for _ in range(10)]
    assert np.mean(taken) > 0.97


def test_evidence_that_is_repeated_is_taken_once() -> None:
    """Each p-value stands for ten windows."""
    rng = np.random.default_rng(2)
    held = followed(np.log(np.repeat(e_values(rng.random(600)), 10)))
    assert discount(held)[0] < 0.3


def test_one_fault_however_long_takes_little() -> None:
    rng = np.random.default_rng(3)
    log_e = np.log(e_values(rng.random(3_000)))
    before = discount(followed(log_e))[0]
    log_e[1_000:2_000] = 3.0
    after = discount(followed(log_e))[0]
    assert 0.5 * before < after < before


def test_what_an_alarm_was_open_of_teaches_nothing() -> None:
    """Though the alarm closes long before its evidence is gone."""
    rng = np.random.default_rng(4)
    held = followed(np.log(e_values(rng.random(1_000))))
    taught = discount(held)[0]
    for log_e, learn in [(3.0, ONE), *[(3.0, ~ONE)] * 5, *[(-0.5, ~ONE)] * 3, *[(-0.5, ONE)] * 50]:
        held = count_excursions(held, np.array([log_e]), learn)
    assert discount(held)[0] == taught


@pytest.mark.parametrize("seed", [11, 12])
def test_faults_that_were_found_do_not_hide_the_next(seed: int) -> None:
    """Of 600 windows of training: one deviation is found as soon after four incidents."""
    rows = Rows(layout_of(1), seed=seed)
    watcher = Watcher(rows, trained(rows, 600).cell, DriftPolicy(A), 600)
    for _ in range(4):
        watcher.play(15, plus(1.5))
        watcher.play(60)
    assert not watcher.cell.alarmed
    began = watcher.at
    opened = [at for at, alarm in watcher.play(8, plus(1.0)) if alarm.opened]
    assert opened
    assert min(opened) - began < 5


def test_faults_that_training_left_out_do_not_hide_the_next() -> None:
    rows = Rows(layout_of(1), seed=3)
    for fault in (plus(0.6), nulls(0.2)):
        broken = {i: fault for begin in (300, 500, 700) for i in range(begin, begin + 10)}
        base = trained(rows, 1_000, fault=broken)
        assert base.left_out["x0"] >= 20
        assert discount(base.cell.excursions).min() > 0.8


def held_watcher(seed: int) -> Watcher:
    rows = Rows(layout_of(1), seed=seed, rows=100, held=HELD)
    return Watcher(rows, trained(rows, HELD_WINDOWS).cell, DriftPolicy(A), HELD_WINDOWS)


def test_values_that_are_held_for_an_hour_alarm_a_third_as_often() -> None:
    """As a detector that takes each window to be new given the past: that opened 21 alarms in
    these four streams of fifty hours."""
    found = [held_watcher(seed).play(50 * HELD) for seed in range(4)]
    assert sum(alarm.opened for one in found for _, alarm in one) <= 21 / 3


def test_a_fault_of_held_values_is_found_within_the_hour() -> None:
    watcher = held_watcher(0)
    watcher.play(30)
    for fault, windows in (
        (nulls(0.5), 2),
        (nulls(0.1), 6),
        (plus(3.0), HELD),
        (stuck(0.05), HELD),
    ):
        one = replace(watcher, rows=deepcopy(watcher.rows), alarms=[])
        assert any(alarm.opened for _, alarm in one.play(windows, fault))
