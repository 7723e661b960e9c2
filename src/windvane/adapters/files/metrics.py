"""The metrics board as a folder with one small file a worker."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from windvane.ports.metrics import Series

_log = logging.getLogger(__name__)
_SUFFIX = ".metrics"


class FileMetricsBoard:
    """Files are replaced whole, so a reader sees an old post or a new one, never half."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(list[Series])

    def post(self, worker: str, series: Sequence[Series]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = self._folder / f".{worker}.new"
        fresh.write_bytes(self._encoder.encode(series))
        fresh.replace(self._folder / f"{worker}{_SUFFIX}")

    def posted_at(self) -> dict[str, float]:
        """When each worker posted last, in seconds of this machine's clock."""
        out: dict[str, float] = {}
        for path in self._folder.glob(f"*{_SUFFIX}"):
            try:
                out[path.name.removesuffix(_SUFFIX)] = path.stat().st_mtime
            except OSError:
                continue
        return out

    def posted(self, within_s: float = math.inf) -> dict[str, list[Series]]:
        out: dict[str, list[Series]] = {}
        since = time.time() - within_s
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            try:
                if path.stat().st_mtime < since:
                    continue
                out[path.name.removesuffix(_SUFFIX)] = self._decoder.decode(path.read_bytes())
            except (OSError, msgspec.MsgspecError):
                _log.warning("the metrics of %s cannot be read", path.name)
        return out
