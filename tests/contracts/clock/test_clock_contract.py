"""Clocks: the system's, and the driven one that every process of a machine agrees on."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.adapters.clock import DrivenClock, SystemClock, open_clock

CHILD = """
import sys
from pathlib import Path
from windvane.adapters.clock import DrivenClock
clock = DrivenClock(Path(sys.argv[1]))
for line in sys.stdin:
    if line.strip() != "now":
        clock.move_to(float(line))
    print(repr(clock.now()), flush=True)
"""


def test_the_system_clock_is_the_walls() -> None:
    before = time.time()
    clock = SystemClock()
    assert before <= clock.now() <= time.time()
    assert before <= clock.wall() <= time.time()


@given(st.lists(st.floats(0, 4e9), min_size=1, max_size=20))
def test_business_time_never_goes_back(
    tmp_path_factory: pytest.TempPathFactory, moves: list[float]
) -> None:
    path = tmp_path_factory.getbasetemp() / "hypothesis.clock"
    driver = DrivenClock(path, start=0.0)
    reader = DrivenClock(path)
    highest = 0.0
    for move in moves:
        driver.move_to(move)
        highest = max(highest, move)
        assert driver.now() == reader.now() == highest


def test_two_processes_share_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "clock"
    clock = DrivenClock(path, start=100.0)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    try:

        def ask(said: str) -> float:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(said + "\n")
            child.stdin.flush()
            return float(child.stdout.readline())

        assert ask("now") == 100.0
        clock.move_to(160.5)
        assert ask("now") == 160.5
        assert ask("200.25") == 200.25
        assert clock.now() == 200.25
        assert ask("150.0") == 200.25
    finally:
        child.stdin.close()
        child.wait(timeout=20)
        child.stdout.close()
    assert child.returncode == 0


def test_leases_stay_on_the_wall(tmp_path: Path) -> None:
    clock = DrivenClock(tmp_path / "clock", start=5.0)
    assert abs(clock.wall() - time.time()) < 5.0
    assert clock.now() == 5.0


def test_open_clock(tmp_path: Path) -> None:
    assert isinstance(open_clock(""), SystemClock)
    DrivenClock(tmp_path / "clock", start=7.0)
    assert open_clock(str(tmp_path / "clock")).now() == 7.0
