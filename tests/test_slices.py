"""Tests that take turns: each is in one slice, and every few commits all were run."""

from __future__ import annotations

from pathlib import Path

import pytest
from slices import SLICES, chosen_slice, count_commits, in_slice


def test_slices_are_the_whole_and_do_not_overlap() -> None:
    names = [f"tests/t.py::test_{i}" for i in range(17)]
    parts = [in_slice(names[::-1], place) for place in range(SLICES)]
    assert sorted(name for part in parts for name in part) == sorted(names)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_following_commits_take_all_of_them() -> None:
    assert {chosen_slice("auto", commits) for commits in range(7, 7 + SLICES)} == set(range(SLICES))


def test_one_may_be_asked_for_and_all() -> None:
    assert chosen_slice("all", 5) is None
    assert chosen_slice("1", 5) == 1
    with pytest.raises(ValueError, match="invalid literal"):
        chosen_slice("some", 5)


def test_commits_are_counted(tmp_path: Path) -> None:
    assert count_commits(Path(__file__).parent) > 0
    assert count_commits(tmp_path) == 0
