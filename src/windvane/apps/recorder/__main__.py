"""Run this machine's recorder.

Where processors are short, answers come first: it works on a thread that everyone else precedes,
and on one that takes its share only once much waits to be recorded. (A process may give way
further, but never take that back; its threads have each their own niceness.)
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import threading
from concurrent.futures import Executor, ThreadPoolExecutor, wait

from windvane.apps.recorder import wiring
from windvane.usecases.record_events import Recorder

_log = logging.getLogger(__name__)
_LONGEST_WAIT_S = 30.0
_MUCH_BYTES = 4 << 20
_CALM_NICENESS = 17
_URGENT = 0.25  # of what may wait before requests are refused
_END_WITHIN_S = 5.0


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s recorder %(levelname)s %(message)s")
    # Batches are tens of thousands of small objects that all go again, and no cycles.
    gc.set_threshold(200_000, 50, 100)
    given = wiring.settings()
    stopping = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopping.set())
    recorder, warm = None, False
    failures = waiting = 0
    calm = ThreadPoolExecutor(1, "calm", give_way)
    while not stopping.is_set():
        try:
            recorder = recorder or wiring.recorder(given)
            waiting = recorder.waiting_bytes()
            # The first that records anything imports for half a second: a minute for who gives way.
            if not warm or waiting > given.spool_max_bytes * _URGENT:
                warm = recorder.step(rounds=1) > 0 or warm
            else:
                _step_calmly(recorder, calm, stopping)
            failures = 0
        except Exception:
            # What was read stays in the spool; a fresh recorder starts from the marks.
            _log.exception("step failed; trying again")
            recorder = None
            failures += 1
        if failures or waiting < _MUCH_BYTES:  # else there is more already
            pause_s = given.recorder_every_s * 2.0 ** min(failures, 5)
            stopping.wait(min(pause_s, _LONGEST_WAIT_S))
    calm.shutdown()


def _step_calmly(recorder: Recorder, calm: Executor, stopping: threading.Event) -> None:
    """One step on the thread that gives way. Where nobody leaves it any time, the process ends in
    the middle of it: as after SIGKILL, what it had not recorded is read again."""
    step = calm.submit(recorder.step, rounds=1)
    while not step.done():
        wait((step,), _END_WITHIN_S)
        if stopping.is_set() and wait((step,), _END_WITHIN_S).not_done:
            _log.warning("ended in the middle of a step; what it did not record is read again")
            os._exit(0)
    step.result()


def give_way() -> None:
    """From now on this thread runs when hardly anybody else wants to."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _CALM_NICENESS)


if __name__ == "__main__":
    main()
