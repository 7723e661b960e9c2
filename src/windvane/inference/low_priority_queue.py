"""Work that gives way: a little of it in each turn of the event loop, so that what came in
meanwhile is served before the rest."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable

_log = logging.getLogger(__name__)
_IN_A_TURN = 2


class LowPriorityQueue:
    """First in, first out. It bounds nothing: whoever puts work here has no more than so much."""

    def __init__(self) -> None:
        self._work: deque[Callable[[], None]] = deque()

    def put(self, work: Iterable[Callable[[], None]]) -> None:
        if not self._work:
            asyncio.get_running_loop().call_soon(self._turn)
        self._work.extend(work)

    def _turn(self) -> None:
        work = self._work
        now = [work.popleft() for _ in range(min(_IN_A_TURN, len(work)))]
        if work:
            asyncio.get_running_loop().call_soon(self._turn)
        for piece in now:
            try:
                piece()
            except Exception:
                _log.exception("the work beside it goes on")
