"""Replaying flights as real requests, on a clock that waits for the work done in it."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from windvane.apps.demo.flights import Flight
from windvane.apps.demo.plan import Request, is_garbage, request_for

_SLICE_S = 900.0
_AT_ONCE = 32
_OUTCOMES_EVERY_S = 3 * 3600.0
_JUDGED_WITHIN_S = 60.0
_TRIES = 5


class Movable(Protocol):
    """A clock that the replay moves."""

    def move_to(self, now: float) -> None: ...


@dataclass
class ClientCounts:
    """What the client saw."""

    acknowledged: int = 0
    refused: int = 0
    failed: int = 0
    outcomes: int = 0
    by_version: Counter[str] = field(default_factory=Counter[str])
    faults: Counter[str] = field(default_factory=Counter[str])
    refusal_codes: Counter[str] = field(default_factory=Counter[str])
    refused_tenants: Counter[str] = field(default_factory=Counter[str])
    slipped: int = 0
    latencies_ms: list[float] = field(default_factory=list[float])


@dataclass(slots=True)
class Moment:
    """An answered request, for questions such as "how many until it was noticed"."""

    asked_at: float
    fault: str
    tenant: str
    version: str
    routed_bad: bool


class FlightReplay:
    """Sends flights in time order; the clock moves from slice to slice."""

    def __init__(
        self,
        url: str,
        model: str,
        keys: dict[str, str],
        clock: Movable,
        judged_until: Callable[[], float],
        window_s: float,
    ) -> None:
        self._url = url
        self._model = model
        self._keys = keys
        self._clock = clock
        self._judged_until = judged_until
        self._window_s = window_s
        self._due: list[tuple[float, Flight]] = []
        self.seen = ClientCounts()
        self.moments: list[Moment] = []

    async def run(self, flights: Sequence[Flight], on_window: Callable[[float], None]) -> None:
        """FlightReplay all; ``on_window`` is called after each window that was judged."""
        timeout = aiohttp.ClientTimeout(total=20)
        connector = aiohttp.TCPConnector(limit=_AT_ONCE)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            at = 0
            now = flights[0].asked_at // self._window_s * self._window_s
            window_end = now + self._window_s
            self._clock.move_to(now)
            while at < len(flights) or self._due:
                until = now + _SLICE_S
                first = at
                while at < len(flights) and flights[at].asked_at < until:
                    at += 1
                await self._predict(session, flights[first:at])
                now = until
                self._clock.move_to(now)
                if now >= window_end:
                    await self._send_outcomes(session, now)
                    await self._wait_for_verdict(window_end)
                    on_window(window_end)
                    window_end += self._window_s
                if at >= len(flights) and now > flights[-1].asked_at + 86400.0:
                    break

    async def _predict(self, session: aiohttp.ClientSession, flights: Sequence[Flight]) -> None:
        requests = [request_for(flight) for flight in flights]
        for i in range(0, len(requests), _AT_ONCE):
            await asyncio.gather(*(self._ask(session, r) for r in requests[i : i + _AT_ONCE]))

    async def _ask(self, session: aiohttp.ClientSession, request: Request) -> None:
        flight = request.flight
        body = {"instances": [{"features": request.features, "unit": flight.unit}]}
        headers = {
            "Authorization": f"Bearer {self._keys[flight.carrier]}",
            "X-Request-Id": f"flight-{flight.id}",
            "Idempotency-Key": f"flight-{flight.id}",
        }
        began = time.perf_counter()
        url = f"{self._url}/v1/models/{self._model}/predict"
        status, answer = await _post(session, url, body, headers)
        seen = self.seen
        seen.latencies_ms.append((time.perf_counter() - began) * 1e3)
        if request.fault:
            seen.faults[request.fault] += 1
        if status == 200:
            seen.acknowledged += 1
            seen.slipped += is_garbage(request)
            row = answer["predictions"][0]
            version = row["version"] or "constant"
            seen.by_version[version] += 1
            bad = row["arm"] == "challenger"
            self.moments.append(
                Moment(flight.asked_at, request.fault, flight.carrier, version, bad)
            )
            if flight.landed_at is not None and flight.late is not None:
                self._due.append((flight.landed_at, flight))
        elif 400 <= status < 500:
            seen.refused += 1
            seen.refusal_codes[answer["error"].get("problems", [{}])[0].get("code", "?")] += 1
            seen.refused_tenants[flight.carrier] += 1
            self.moments.append(Moment(flight.asked_at, "refused", flight.carrier, "", False))
        else:
            seen.failed += 1

    async def _send_outcomes(self, session: aiohttp.ClientSession, now: float) -> None:
        """Each tenant reports its flights that have landed by now."""
        landed = [f for when, f in self._due if when <= now]
        self._due = [(when, f) for when, f in self._due if when > now]
        tenants: dict[str, list[dict[str, Any]]] = {}
        for flight in landed:
            outcome = {"request_id": f"flight-{flight.id}", "value": float(flight.late or 0)}
            tenants.setdefault(flight.carrier, []).append(outcome)
        for tenant, outcomes in tenants.items():
            headers = {"Authorization": f"Bearer {self._keys[tenant]}"}
            body = {"model": self._model, "outcomes": outcomes}
            url = f"{self._url}/v1/outcomes"
            status, _ = await _post(session, url, body, headers)
            if status == 202:
                self.seen.outcomes += len(outcomes)
            else:
                self.seen.failed += 1

    async def _wait_for_verdict(self, end: float) -> None:
        """Hours pass between two windows in the world; here the clock waits instead."""
        deadline = time.monotonic() + _JUDGED_WITHIN_S
        while self._judged_until() < end:
            if time.monotonic() > deadline:
                seen = self.seen
                message = f"{seen.acknowledged:,} requests were answered, {seen.refused:,} refused"
                raise TimeoutError(f"the window that ended at {end:.0f} was not judged: {message}")
            await asyncio.sleep(0.01)


async def _post(
    session: aiohttp.ClientSession, url: str, body: dict[str, Any], headers: dict[str, str]
) -> tuple[int, Any]:
    """Status and answer. A connection that broke is tried again: what a request or an outcome
    is known by goes with it, so that it counts once."""
    for attempt in range(_TRIES):
        try:
            async with session.post(url, json=body, headers=headers) as response:
                return response.status, await response.json()
        except aiohttp.ClientConnectionError:
            if attempt == _TRIES - 1:
                raise
            await asyncio.sleep(random.uniform(0.05, 0.2) * 2**attempt)
    raise AssertionError("unreachable")
