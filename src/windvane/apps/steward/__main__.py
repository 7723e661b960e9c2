"""Run a steward."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time

from windvane.apps.steward import wiring
from windvane.apps.steward.background import BackgroundThread
from windvane.apps.steward.lease_keeper import LeaseKeeper

_log = logging.getLogger(__name__)
_LONGEST_WAIT_S = 30.0
_REST = 3.0  # turns' worth of rest after each: with hundreds of models a quarter of a core


def main() -> None:
    os.umask(0o077)  # what people sent is for this user alone
    given = wiring.settings()
    wiring.start_logging(given)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    stopping = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopping.set())
    store = lanes = steward = keeper = None
    upkeep = BackgroundThread("log-upkeep")
    failures = 0
    while not stopping.is_set():
        began = time.monotonic()
        try:
            if steward is None:
                store = wiring.store(given)
                lanes = wiring.lanes(given, store)
                steward = wiring.steward(given, store, lanes.wake, upkeep)
                lanes.start()
                keeper = LeaseKeeper(steward.extend_leases, steward.renew_every_s)
                keeper.start()
            steward.turn()
            failures = 0
        except Exception:
            _log.exception("turn failed; trying again")
            failures += 1
        rest_s = _REST * (time.monotonic() - began)
        pause_s = given.steward_every_s * 2.0 ** min(failures, 6)
        pause_s = min(max(pause_s, rest_s), _LONGEST_WAIT_S)
        try:
            if steward is None:
                stopping.wait(pause_s)
            else:
                steward.rest(pause_s, stopping.wait)
        except Exception:
            _log.exception("the leases were not renewed between turns; trying again")
            stopping.wait(given.steward_every_s)
    if lanes is not None:
        lanes.stop()
    upkeep.stop()
    if keeper is not None:
        keeper.stop()
    if steward is not None:
        try:
            steward.stop()
        except Exception:
            _log.exception("the leases were not given up; they end by themselves")


if __name__ == "__main__":
    main()
