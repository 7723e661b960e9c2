"""Reading request bodies within a bound of bytes and of time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from windvane.apps.gateway.refusals import BodyTooLarge, BodyTooSlow

Receive = Callable[[], Awaitable[dict[str, Any]]]
_LOOK_EVERY_S = 1.0


class BodyReader:
    """One sweep a second cancels readers that are late: a timer for each request would cost
    more than everything else here."""

    def __init__(self, max_bytes: int, deadline_s: float) -> None:
        self.max_bytes = max_bytes
        self._deadline_s = deadline_s
        self._reading: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()

    async def read(self, receive: Receive) -> bytes:
        """The whole body; raises BodyTooLarge, BodyTooSlow."""
        task = asyncio.current_task()
        assert task is not None
        self._reading[task] = time.monotonic()
        parts: list[bytes] = []
        size = 0
        try:
            while True:
                message = await receive()
                part: bytes = message.get("body", b"")
                size += len(part)
                if size > self.max_bytes:
                    raise BodyTooLarge(f"over {self.max_bytes:,} bytes")
                if message["type"] == "http.disconnect":
                    raise BodyTooSlow("the client went away")
                if not message.get("more_body"):
                    return b"".join([*parts, part]) if parts else part
                parts.append(part)
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            self._late.discard(task)
            task.uncancel()
            raise BodyTooSlow(f"no whole body within {self._deadline_s:.0f} s") from None
        finally:
            del self._reading[task]

    async def watch(self) -> None:
        """Until cancelled: end those that take too long."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            begun_before = time.monotonic() - self._deadline_s
            for task in [t for t, began in self._reading.items() if began < begun_before]:
                self._late.add(task)
                task.cancel()
