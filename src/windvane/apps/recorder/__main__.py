"""Run this machine's recorder.

Where processors are short, answers come first: it works on a thread that everyone else precedes,
and on one that takes its share only once much waits to be recorded. (A process may give way
further, but never take that back; its threads have each their own policy.) What others wait for, a
transaction of the store, never gives way.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from windvane.apps.recorder import wiring
from windvane.usecases.read_settings import Settings
from windvane.usecases.record_events import BackgroundExecutor, Recorder, at_once

T = TypeVar("T")

_log = logging.getLogger(__name__)
_LONGEST_WAIT_S = 30.0
_MUCH_BYTES = 4 << 20
_URGENT = 0.25  # of what may wait before requests are refused
_END_WITHIN_S = 5.0


def main() -> None:
    os.umask(0o077)  # what people sent is for this user alone
    spare_collections()
    given = wiring.settings()
    wiring.start_logging(given)
    stopping = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopping.set())
    calm = _Calm(stopping)
    recorder, warm = None, False
    failures = waiting = 0
    while not stopping.is_set():
        try:
            recorder = recorder or wiring.recorder(given)
            waiting = recorder.waiting_bytes()
            # The first that records anything imports for half a second: a minute for who gives way.
            background = calm.unless_urgent(recorder, given) if warm else at_once
            warm = recorder.step(1, background) > 0 or warm
            failures = 0
        except Exception:
            # What was read stays in the spool; a fresh recorder starts from the checkpoints.
            _log.exception("step failed; trying again")
            recorder = None
            failures += 1
        if failures or waiting < _MUCH_BYTES:  # else there is more already
            pause_s = given.recorder_every_s * 2.0 ** min(failures, 5)
            stopping.wait(min(pause_s, _LONGEST_WAIT_S))
    calm.end()
    try:
        if recorder is not None:
            recorder.finish()
    except Exception:
        _log.exception("the log was not brought up to date; that is done at the next start")


def spare_collections() -> None:
    """Batches are tens of thousands of small objects that all go again, and no cycles."""
    gc.set_threshold(200_000, 50, 100)


class _Calm:
    """A thread that runs work when hardly anybody else wants the processor."""

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._thread = ThreadPoolExecutor(1, "calm", give_way)

    def unless_urgent(self, recorder: Recorder, given: Settings) -> BackgroundExecutor:
        """A piece of a step runs there, or at once if too much waits by then."""
        urgent_bytes = given.spool_max_bytes * _URGENT

        def background(work: Callable[[], T]) -> T:
            return work() if recorder.waiting_bytes() > urgent_bytes else self._run(work)

        return background

    def _run(self, work: Callable[[], T]) -> T:
        """Where nobody leaves it any time, the process ends in the middle of it: as after
        SIGKILL, what it had not recorded is read again."""
        done = self._thread.submit(work)
        while not done.done():
            wait((done,), _END_WITHIN_S)
            if self._stopping.is_set() and wait((done,), _END_WITHIN_S).not_done:
                _log.warning("ended in the middle of a step; what it did not record is read again")
                os._exit(0)
        return done.result()

    def end(self) -> None:
        self._thread.shutdown()


def give_way() -> None:
    """From now on this thread runs when hardly anybody else wants to; Linux alone can say so."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


if __name__ == "__main__":
    main()
