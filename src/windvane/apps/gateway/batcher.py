"""Batching across requests: whatever arrived in this turn of the loop runs in the next.

No timer and no thread: an idle gateway answers at once, a busy one fills its batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from windvane.ports.runtime import Predictor

Encoded = Sequence[float]
_MAX_ROWS = 1_024


class NextTickBatcher:
    """Collects encoded rows by predictor and runs them at the next tick."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[Predictor, list[tuple[Encoded, asyncio.Future[float]]]]] = {}
        self._scheduled = False

    def submit(self, predictor: Predictor, row: Encoded) -> asyncio.Future[float]:
        """The row's output, in the next turn of the loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[float] = loop.create_future()
        held = self._waiting.get(id(predictor))
        if held is None:
            held = self._waiting[id(predictor)] = (predictor, [])
        held[1].append((row, future))
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._flush)
        return future

    def _flush(self) -> None:
        self._scheduled = False
        waiting, self._waiting = self._waiting, {}
        for predictor, rows in waiting.values():
            for at in range(0, len(rows), _MAX_ROWS):
                _run(predictor, rows[at : at + _MAX_ROWS])


def _run(predictor: Predictor, rows: list[tuple[Encoded, asyncio.Future[float]]]) -> None:
    """One execution; if it fails, each row by itself, so that one bad row hurts no other."""
    try:
        outputs = predictor.predict([row for row, _ in rows])
    except Exception as error:
        if len(rows) == 1:
            _settle(rows[0][1], error)
            return
        for row in rows:
            _run(predictor, [row])
        return
    for (_, future), output in zip(rows, outputs.tolist(), strict=True):
        if np.isfinite(output):
            _settle(future, output)
        else:
            _settle(future, ValueError(f"the version gave {output}"))


def _settle(future: asyncio.Future[float], result: float | Exception) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
