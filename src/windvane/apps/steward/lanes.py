"""Threads that carry out effects, so that publishing never waits for notifying."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore
from windvane.usecases.deliver_effects import Lane, deliver_lane, fail_unknown

_log = logging.getLogger(__name__)
_LONGEST_WAIT_S = 30.0
_STOP_WITHIN_S = 5.0


class Lanes:
    """A thread a lane, each at work every ``every_s`` and as soon as it is woken."""

    def __init__(
        self, store: ControlStore, clock: Clock, lanes: Sequence[Lane], every_s: float
    ) -> None:
        self._store = store
        self._clock = clock
        self._every_s = every_s
        self._stopping = threading.Event()
        self._woken = {lane.name: threading.Event() for lane in lanes}
        self._threads = [
            threading.Thread(target=self._run, args=(lane,), name=f"lane-{lane.name}", daemon=True)
            for lane in lanes
        ]
        self._lanes = tuple(lanes)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There may be something to do now."""
        for woken in self._woken.values():
            woken.set()

    def stop(self) -> None:
        """Wait a little for what is under way; the rest is delivered by whoever comes next."""
        self._stopping.set()
        self.wake()
        for thread in self._threads:
            thread.join(_STOP_WITHIN_S)

    def _run(self, lane: Lane) -> None:
        failures = 0
        woken = self._woken[lane.name]
        while not self._stopping.is_set():
            woken.clear()
            try:
                while deliver_lane(self._store, self._clock, lane):
                    pass
                if lane is self._lanes[-1]:  # one of them looks after what none of them carries out
                    fail_unknown(self._store, self._clock, self._lanes)
                failures = 0
            except Exception:
                _log.exception("the lane %s failed; trying again", lane.name)
                failures += 1
            woken.wait(min(self._every_s * 2.0 ** min(failures, 6), _LONGEST_WAIT_S))
