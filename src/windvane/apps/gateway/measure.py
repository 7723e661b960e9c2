"""Measure one version as a gateway's worker would run it, in a process of its own.

What starts it gives the number of a socket, and an order on it: see `windvane.ports.measuring`.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from windvane.apps.gateway import wiring
from windvane.apps.gateway.answers import NEWEST
from windvane.apps.gateway.protocols.native import NativeCodec
from windvane.apps.gateway.step_clock import StepClock, TimedCodec, TimedRuntime, TimedSpool
from windvane.core.errors import WindvaneError
from windvane.core.execution import latency_of
from windvane.core.routing import KeyEntry, ModelRoute, RoutingTable, VersionEntry
from windvane.core.signature import FeatureType
from windvane.core.task import make_task
from windvane.inference.batching import execute
from windvane.inference.engine import Engine
from windvane.inference.request import InferenceRequest
from windvane.inference.snapshot import take_snapshot
from windvane.ports.measuring import (
    MOST_EXECUTIONS,
    Executions,
    MeasureCommand,
    MeasureOrder,
    MeasureReply,
    MeasureRound,
    NotMeasured,
    Started,
    StepTimes,
)
from windvane.ports.message_line import LENGTH_BYTES, framed
from windvane.ports.runtime import CannotLoad, Predictor, RemotePredictor, UnencodableRow

_commands = msgspec.msgpack.Decoder(MeasureCommand)
_WARM_UPS = 50
_WARM_UP_S = 0.5
_WARM_REQUESTS = 200
_WARM_SHARE = 0.2
_PARTS = 10
_MOST_SENT = 256 << 20  # bytes of bodies: each is in an event on the disk
_DEADLINE_S = 60.0
_KEY = b"wv_measure"  # of a table that lives in this process only
_CREDENTIAL = b"Bearer " + _KEY


class Bench:
    """A loaded version and rows that it takes."""

    def __init__(self, order: MeasureOrder) -> None:
        before = _resident()
        self._task = make_task(order.contract.task)
        runtime = wiring.runtimes(wiring.settings(), threads=order.threads)
        artifact = wiring.artifacts().open(order.artifact, order.manifest)
        found = runtime.load(artifact, order.contract, trusted=order.trusted)
        if isinstance(found, RemotePredictor):
            raise CannotLoad("another server executes it: its time is not spent here")
        self._predictor: Predictor = found
        self._rows = takeable(found.encode, order.rows)
        self._at = 0
        until = time.perf_counter() + _WARM_UP_S
        for _ in range(_WARM_UPS):
            self._execute(1)
            if time.perf_counter() > until:
                break
        apart = found.memory if found.blocking else 0
        self.memory = max(0, _resident() - before) + apart

    def round(self, batch: int, within_s: float) -> list[float]:
        """Seconds of each execution of ``batch`` rows."""
        seconds: list[float] = []
        until = time.perf_counter() + within_s
        while not seconds or (len(seconds) < MOST_EXECUTIONS and time.perf_counter() < until):
            seconds.append(self._execute(batch))
        return seconds

    def _execute(self, batch: int) -> float:
        held, at = self._rows, self._at
        rows = [held[(at + i) % len(held)] for i in range(batch)]
        self._at = (at + batch) % len(held)
        began = time.perf_counter()
        encode = self._predictor.encode
        outputs = execute(self._predictor, self._task, [encode(row) for row in rows])
        took = time.perf_counter() - began
        if isinstance(outputs, Exception):
            raise outputs
        return took


def takeable(
    encode: Callable[[Sequence[Any]], Sequence[Any]], rows: Sequence[Sequence[Any]]
) -> list[tuple[Any, ...]]:
    """The rows without those whose categories the version refuses. Raises UnencodableRow where
    none is left."""
    kept: list[tuple[Any, ...]] = []
    refused: UnencodableRow | None = None
    for row in rows:
        try:
            encode(row)
        except UnencodableRow as error:
            refused = error
        else:
            kept.append(tuple(row))
    if not kept:
        raise refused or UnencodableRow("there is no row to measure on")
    return kept


def measure_steps(order: MeasureOrder, within_s: float) -> StepTimes:
    """Requests of one row, one at a time, through the engine with all that a worker has but HTTP
    and tenants' limits; answers are not cached."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_steps(order, within_s, Path(folder)))


async def _steps(order: MeasureOrder, within_s: float, folder: Path) -> StepTimes:
    clock = StepClock()
    settings = wiring.settings()
    runtime = TimedRuntime(wiring.runtimes(settings, threads=order.threads), clock)
    services = wiring.services_alone(settings, runtime, folder, lambda s: TimedSpool(s, clock))
    engine = Engine(services)
    codec = TimedCodec(NativeCodec(NEWEST), clock)
    try:
        snapshot = take_snapshot(_table(order), services.models, None)
        await services.models.fill(snapshot.handles)
        services.authenticator.follow(snapshot)
        handle = snapshot.handles[0]
        if handle.queue is None:
            raise handle.error or CannotLoad(f"version {order.version} did not load")
        rows = takeable(handle.queue.predictor.encode, order.rows)
        bodies = [_body(order, row) for row in rows]
        timed: list[StepClock] = []
        began, sent = time.perf_counter(), 0
        for i in range(_WARM_REQUESTS + MOST_EXECUTIONS):
            body = bodies[i % len(bodies)]
            clock.start()
            request = InferenceRequest(
                services.new_id(), order.model, _CREDENTIAL, codec, services.monotonic_ns(),
                _DEADLINE_S,
            )  # fmt: skip
            limited = engine.begin(request)
            if limited is not None:
                await limited
            clock.mark("begun")
            await engine.finish(request, body)
            clock.mark("finished")
            # The first ones warm up, as long as that does not take up the time that there is.
            if i >= _WARM_REQUESTS or time.perf_counter() - began > _WARM_SHARE * within_s:
                timed.append(clock.copy())
            sent += len(body)
            if timed and (time.perf_counter() - began > within_s or sent > _MOST_SENT):
                break
    finally:
        services.events.close()
        services.models.close()
    steps = [one.steps() for one in timed]
    totals = [one.total() for one in timed]
    every = max(1, len(totals) // _PARTS)
    return StepTimes(
        latency_of([totals[i : i + every] for i in range(0, len(totals), every)]),
        {name: float(np.median([one[name] for one in steps])) for name in steps[0]},
    )


def _table(order: MeasureOrder) -> RoutingTable:
    """The version alone, for one key."""
    entry = VersionEntry(order.version, order.artifact, order.manifest, order.trusted)
    route = ModelRoute(order.model, order.contract, "", _DEADLINE_S, (entry,), order.version)
    key = KeyEntry(hashlib.sha256(_KEY).hexdigest(), "default", "measure")
    return RoutingTable(1, {order.model: route}, (key,))


def _body(order: MeasureOrder, row: Sequence[Any]) -> bytes:
    """A request of one row as a client would send it."""
    features: dict[str, Any] = {}
    for spec, value in zip(order.contract.features, row, strict=True):
        given = value
        if value is not None and spec.type is FeatureType.DATETIME:
            given = dt.datetime.fromtimestamp(value, dt.UTC).isoformat()
        elif isinstance(value, bytes):
            given = base64.b64encode(value).decode()
        features[spec.name] = given
    return msgspec.json.encode({"instances": [{"features": features}]})


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    with socket.socket(fileno=int(sys.argv[1])) as line:
        ordered: MeasureOrder | None = None
        bench: Bench | None = None
        while (body := _receive(line)) is not None:
            command = _commands.decode(body)
            reply: MeasureReply
            try:
                if isinstance(command, MeasureOrder):
                    ordered = command
                    bench = None if command.requests else Bench(command)
                    reply = Started(bench.memory if bench else 0)
                elif isinstance(command, MeasureRound):
                    assert bench is not None
                    reply = Executions(bench.round(command.batch, command.within_s))
                else:
                    assert ordered is not None
                    reply = measure_steps(ordered, command.within_s)
            except WindvaneError as error:
                reply = NotMeasured(error.message)
            except Exception as error:  # whatever a library may raise
                reply = NotMeasured(f"{type(error).__name__}: {str(error)[:300]}")
            line.sendall(framed(msgspec.msgpack.encode(reply)))
    return 0


def _receive(line: socket.socket) -> bytes | None:
    """The next message; None once nobody is at the other end."""
    head = _exactly(line, LENGTH_BYTES)
    return None if head is None else _exactly(line, int.from_bytes(head, "big"))


def _exactly(line: socket.socket, size: int) -> bytes | None:
    found = bytearray()
    while len(found) < size:
        part = line.recv(min(size - len(found), 1 << 20))
        if not part:
            return None
        found += part
    return bytes(found)


if __name__ == "__main__":
    sys.exit(main())
