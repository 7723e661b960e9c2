"""The recorder's process: it gives way while little waits, and takes its share when much does."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys

import pytest

from windvane.apps.recorder import __main__ as program
from windvane.usecases.read_settings import Settings
from windvane.usecases.record_events import BackgroundExecutor


class FakeRecorder:
    """Says how much waits before each step and each of its two pieces, notes under which policy
    each piece runs, and stops the program last."""

    def __init__(self, *waiting: int) -> None:
        self._waiting = list(waiting)
        self.policies: list[int] = []

    def waiting_bytes(self) -> int:
        return self._waiting.pop(0)

    def step(self, rounds: int, background: BackgroundExecutor) -> int:
        assert rounds == 1
        for _ in range(2):
            self.policies.append(background(lambda: os.sched_getscheduler(0)))
        if not self._waiting:
            signal.raise_signal(signal.SIGTERM)
        return 1


def test_its_steps_give_way_until_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    full = 1_000_000_000
    little, much = full // 5, full // 2
    recorder = FakeRecorder(0, *(little, little, little), *(little, little, much), little, much, 0)
    given = Settings(spool_max_bytes=full, recorder_every_s=0.0)
    monkeypatch.setattr(program.wiring, "start_logging", lambda _given: None)
    monkeypatch.setattr(program.wiring, "settings", lambda: given)
    monkeypatch.setattr(program.wiring, "recorder", lambda _given: recorder)
    before = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)}
    collected = gc.get_threshold()
    try:
        program.main()
    finally:
        gc.set_threshold(*collected)
        for name, handler in before.items():
            signal.signal(name, handler)
    own, calm = os.SCHED_OTHER, os.SCHED_IDLE
    first, *later = [recorder.policies[i : i + 2] for i in range(0, len(recorder.policies), 2)]
    assert first == [own, own], "the first imports, so it does not give way"
    assert later == [[calm, calm], [calm, own], [own, calm]], "each piece by what waits by then"
    assert os.sched_getscheduler(0) == own


_STARVED = """
import threading
from windvane.apps.recorder import __main__ as program
from windvane.usecases.read_settings import Settings

class Starved:
    steps = 0

    def waiting_bytes(self):
        return 0

    def step(self, rounds, background):
        self.steps += 1
        if self.steps > 1:
            print("in a step", flush=True)
            background(threading.Event().wait)
        return 1

program._END_WITHIN_S = 0.1
program.wiring.settings = lambda: Settings(spool_max_bytes=1, recorder_every_s=0.0)
program.wiring.recorder = lambda given: Starved()
program.main()
"""


def test_a_step_that_gets_no_time_does_not_keep_it_from_ending() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _STARVED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "in a step\n"
            process.terminate()
            _, message = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "in the middle of a step" in message
