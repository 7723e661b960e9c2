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
from concurrent.futures import ThreadPoolExecutor

from windvane.apps.recorder import wiring

_log = logging.getLogger(__name__)
_LONGEST_WAIT_S = 30.0
_MUCH_BYTES = 4 << 20
_CALM_NICENESS = 17
_URGENT = 0.25  # of what may wait before requests are refused


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s recorder %(levelname)s %(message)s")
    # Batches are tens of thousands of small objects that all go again, and no cycles.
    gc.set_threshold(200_000, 50, 100)
    given = wiring.settings()
    stopping = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopping.set())
    recorder = None
    failures = waiting = 0
    calm = ThreadPoolExecutor(1, "calm", give_way)
    while not stopping.is_set():
        try:
            recorder = recorder or wiring.recorder(given)
            waiting = recorder.waiting_bytes()
            if waiting > given.spool_max_bytes * _URGENT:
                recorder.step(rounds=1)
            else:
                calm.submit(recorder.step, rounds=1).result()
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


def give_way() -> None:
    """From now on this thread runs when hardly anybody else wants to."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _CALM_NICENESS)


if __name__ == "__main__":
    main()
