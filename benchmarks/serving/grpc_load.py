"""gRPC calls as fast as they are answered: each of so many on each connection is followed by the
next one as soon as it is answered. Bodies are sent and answers taken as bytes.

``grpc_load.py PORT FILE START SECONDS CONNECTIONS UNDER_WAY METHOD``: FILE as cycle.lua describes
it, with messages instead of requests; the metadata is JSON in BENCH_METADATA. Prints one line of
name=value.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

_CALL_WITHIN_S = 20.0


def bodies(path: Path, start: int) -> Iterator[bytes]:
    """From number ``start`` on, and from the first again after the last; without end."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
        at, skipped = 0, 0
        while True:
            size = int.from_bytes(held[at : at + 4], "little")
            if skipped < start:
                skipped += 1
            else:
                yield held[at + 4 : at + 4 + size]
            at += 4 + size
            if at >= len(held):
                at = 0


class Client:
    """Its calls share what is counted."""

    def __init__(self, source: Iterator[bytes], until: float, metadata: tuple[Any, ...]) -> None:
        self._source = source
        self._until = until
        self._metadata = metadata
        self.latencies: list[float] = []
        self.not_ok = 0
        self.broken = 0

    async def call_on(self, method: Any) -> None:
        """One call after another until the time is over."""
        while (began := time.perf_counter()) < self._until:
            body = next(self._source)
            try:
                await method(body, metadata=self._metadata, timeout=_CALL_WITHIN_S)
            except grpc.aio.AioRpcError as error:
                if error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
                    self.broken += 1
                    continue
                self.not_ok += 1
            self.latencies.append(time.perf_counter() - began)


def line(latencies: list[float], seconds: float, not_ok: int, broken: int) -> str:
    """As cycle.lua prints it: p50, p99 and the longest in microseconds."""
    ordered = sorted(latencies)

    def quantile(q: float) -> float:
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))] * 1e6 if ordered else -1.0

    return (
        f"answered={len(ordered)} seconds={seconds:.6f} not_2xx={not_ok} broken={broken} "
        f"p50_us={quantile(0.5):.0f} p99_us={quantile(0.99):.0f} max_us={quantile(1.0):.0f}"
    )


async def main() -> None:
    port, file, start, seconds, connections, under_way, method = sys.argv[1:]
    metadata = tuple(json.loads(os.environ.get("BENCH_METADATA", "{}")).items())
    # Without a pool of its own all channels would share one connection.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    channels = [
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)
        for _ in range(int(connections))
    ]
    await asyncio.wait_for(asyncio.gather(*(c.channel_ready() for c in channels)), _CALL_WITHIN_S)
    began = time.perf_counter()
    client = Client(bodies(Path(file), int(start)), began + float(seconds), metadata)
    methods = [channel.unary_unary(method) for channel in channels]
    await asyncio.gather(*(client.call_on(m) for m in methods for _ in range(int(under_way))))
    lasted = time.perf_counter() - began
    print(line(client.latencies, lasted, client.not_ok, client.broken))
    for channel in channels:
        await channel.close()


if __name__ == "__main__":
    asyncio.run(main())
