"""The recorder's process: it gives way while little waits, and takes its share when much does."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from windvane.apps.recorder import __main__ as program


class FakeRecorder:
    """Says how much waits, notes how nice each step's thread is, and stops the program last."""

    def __init__(self, *waiting: int) -> None:
        self._waiting = list(waiting)
        self.niceness: list[int] = []

    def waiting_bytes(self) -> int:
        return self._waiting.pop(0)

    def step(self, rounds: int) -> int:
        assert rounds == 1
        self.niceness.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        if not self._waiting:
            signal.raise_signal(signal.SIGTERM)
        return 1


def test_its_steps_give_way_until_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    full = 1_000_000_000
    recorder = FakeRecorder(0, full // 5, full // 5, full // 2, full // 5)
    given: Any = SimpleNamespace(spool_max_bytes=full, recorder_every_s=0.0)
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
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert recorder.niceness == [own, 17, 17, own, 17], "the first imports, so it does not give way"
    assert own < 17


_STARVED = """
import threading
from types import SimpleNamespace
from windvane.apps.recorder import __main__ as program

class Starved:
    steps = 0

    def waiting_bytes(self):
        return 0

    def step(self, rounds):
        self.steps += 1
        if self.steps > 1:
            print("in a step", flush=True)
            threading.Event().wait()
        return 1

program._END_WITHIN_S = 0.1
program.wiring.settings = lambda: SimpleNamespace(spool_max_bytes=1, recorder_every_s=0.0)
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
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "in the middle of a step" in said
