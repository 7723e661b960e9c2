"""A run takes one slice of the tests that take turns: which one goes by how many states the
branch has had, merges counted once."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

SLICES = 4
ALL = "all"
AUTO = "auto"


def chosen_slice(asked: str, commits: int) -> int | None:
    """Which slice is run: "auto" goes by the number of commits, "all" is None. Raises
    ValueError."""
    if asked == ALL:
        return None
    return commits % SLICES if asked == AUTO else int(asked) % SLICES


def in_slice(names: Sequence[str], place: int) -> set[str]:
    """The names of one slice; by order, so that slices differ in size by one at most."""
    return set(sorted(names)[place::SLICES])


def count_commits(folder: Path) -> int:
    """0 where there is no repository."""
    done = subprocess.run(
        ["git", "rev-list", "--count", "--first-parent", "HEAD"],
        cwd=folder, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return int(done.stdout) if done.returncode == 0 else 0
