"""Looks that wait to be learned from."""

from __future__ import annotations

import numpy as np
from core.drift.streams import Rows, Watcher, layout_of, plus, trained

from windvane.core.drift import DriftPolicy
from windvane.core.drift.doubtful import MOST, Doubtful, hold_back, sift

SHAPE = (2, 5)
NONE = np.zeros(SHAPE, bool)
ALL = np.ones(SHAPE, bool)
FLAT = np.zeros(SHAPE)
PLACES = np.zeros(SHAPE, np.int64)


def only(axis: int, measure: int) -> np.ndarray:
    mask = NONE.copy()
    mask[axis, measure] = True
    return mask


def held(looks: int) -> Doubtful:
    out = Doubtful.empty()
    for i in range(looks):
        out = hold_back(out, only(1, 2), float(i), FLAT + i, FLAT, PLACES)
    return out


def test_what_was_healthy_is_learned_in_the_order_that_it_came() -> None:
    waiting, late = sift(held(3), ALL, NONE, ALL)
    assert len(waiting) == 0
    assert [at for at, _ in late.by_look()] == [0.0, 1.0, 2.0]
    assert late.left.tolist() == [0.0, 1.0, 2.0]


def test_what_an_alarm_is_open_of_is_dropped() -> None:
    waiting, late = sift(held(3), NONE, NONE, ALL)
    assert len(waiting) == len(late) == 0


def test_no_more_wait_than_a_few_and_the_first_is_learned_unless_there_is_much_evidence() -> None:
    waiting, late = sift(held(MOST + 1), NONE, ALL, ALL)
    assert (waiting.at.tolist(), late.at.tolist()) == ([1.0, 2.0, 3.0, 4.0], [0.0])
    waiting, late = sift(held(MOST + 1), NONE, ALL, NONE)
    assert (len(waiting), len(late)) == (MOST, 0)


def test_under_another_layout_axes_that_are_gone_wait_no_more() -> None:
    both = hold_back(held(1), only(0, 0), 1.0, FLAT, FLAT, PLACES)
    moved = both.onto({1: 0})
    assert (moved.axis.tolist(), moved.measure.tolist()) == ([0], [2])


def test_a_shift_from_the_first_window_on_is_found_though_few_are_known() -> None:
    """Of 1.5 deviations, with 75 windows of training: it was learned, and read as healthy."""
    for seed in range(4):
        rows = Rows(layout_of(1), seed=seed, rows=120)
        watcher = Watcher(rows, trained(rows, 75).cell, DriftPolicy(500_000.0), 75)
        opened = [at for at, alarm in watcher.play(5, plus(1.5)) if alarm.opened]
        assert opened
        assert min(opened) - 75 < 4
