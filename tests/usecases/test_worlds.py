"""Tests that begin alike begin with copies of one state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from once import Once
from usecases.harness import START, WINDOW_S, Harness
from usecases.worlds import Worlds

taken: list[str] = []


def first(harness: Harness) -> None:
    taken.append("first")
    harness.traffic(0)
    harness.judge()


def second(harness: Harness) -> None:
    taken.append("second")
    harness.put("2")


@pytest.fixture
def fresh(worlds: Worlds, tmp_path: Path) -> Worlds:
    taken.clear()
    return replace(worlds, once=Once(tmp_path / "once"))


def test_each_step_is_taken_once_and_its_state_is_copied(fresh: Worlds) -> None:
    for _ in range(2):
        with fresh.after(first, second) as harness:
            assert harness.live.champion == "2"
            assert harness.clock.at == harness.judged_until == START + WINDOW_S
            harness.put("1")
    with fresh.after(first) as harness:
        assert harness.live.champion == "1"
    assert taken == ["first", "second"]


def test_steps_that_cannot_be_told_apart_are_refused(fresh: Worlds) -> None:
    with pytest.raises(ValueError, match="two functions may have one"), fresh.after(lambda _: None):
        pass
