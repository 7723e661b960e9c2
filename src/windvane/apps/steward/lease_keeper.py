"""Leases are held while a turn takes longer than they last."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from windvane.ports.leases import LeaseLost

_log = logging.getLogger(__name__)
_STOP_WITHIN_S = 5.0


class LeaseKeeper:
    """A thread that calls ``extend`` every ``every_s``."""

    def __init__(self, extend: Callable[[], None], every_s: float) -> None:
        self._extend = extend
        self._every_s = every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self.keep, args=(self._stopping.wait,), name="lease-keeper", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(_STOP_WITHIN_S)

    def keep(self, wait: Callable[[float], object]) -> None:
        """Until ``wait``, which is given seconds, says that it is over."""
        while not wait(self._every_s):
            try:
                self._extend()
            except LeaseLost:
                pass  # the turn finds out by its token
            except Exception:
                _log.exception("the leases were not renewed within a turn; trying again")
