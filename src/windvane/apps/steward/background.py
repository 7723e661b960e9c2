"""Work that takes as long as it takes, beside the turns."""

from __future__ import annotations

import threading
from collections.abc import Callable

_STOP_WITHIN_S = 5.0


class BackgroundThread:
    """One piece of work at a time; what is asked for meanwhile is left out, and asked for again."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None

    def __call__(self, work: Callable[[], None]) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        self._thread = threading.Thread(target=work, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wait a little for what is under way; nothing is half done where it is cut off."""
        if self._thread is not None:
            self._thread.join(_STOP_WITHIN_S)
