"""Run this machine's recorder."""

from __future__ import annotations

import gc
import logging
import signal
import threading

from windvane.apps.recorder import wiring

_log = logging.getLogger(__name__)
_LONGEST_WAIT_S = 30.0
_MANY = 20_000


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s recorder %(levelname)s %(message)s")
    # Batches are tens of thousands of small objects that all go again, and no cycles.
    gc.set_threshold(200_000, 50, 100)
    given = wiring.settings()
    stopping = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopping.set())
    recorder = None
    failures = recorded = 0
    while not stopping.is_set():
        try:
            recorder = recorder or wiring.recorder(given)
            recorded = recorder.step()
            failures = 0
        except Exception:
            # What was read stays in the spool; a fresh recorder starts from the marks.
            _log.exception("step failed; trying again")
            recorder = None
            failures += 1
        if failures or recorded < _MANY:  # else there is more already
            pause_s = given.recorder_every_s * 2.0 ** min(failures, 5)
            stopping.wait(min(pause_s, _LONGEST_WAIT_S))


if __name__ == "__main__":
    main()
