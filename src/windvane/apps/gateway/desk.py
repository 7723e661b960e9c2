"""Where every request begins and ends, whichever way it takes: its name, its event, its counts,
its answer or refusal."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import os
import time
from collections.abc import Sequence

from windvane.apps.gateway.access import Standing, Way
from windvane.apps.gateway.answers import (
    VERSION_HEADERS,
    Header,
    answer_body,
    fill_template,
    limit_headers,
    refusal_body,
    refusal_headers,
    refusal_template,
)
from windvane.apps.gateway.later import Later
from windvane.apps.gateway.metrics import Metrics
from windvane.apps.gateway.patience import Patience
from windvane.apps.gateway.records import Records
from windvane.apps.gateway.refusals import GatewayError, Overloaded, RateLimited
from windvane.apps.gateway.steps import Context, Headers, Parts
from windvane.apps.gateway.telling import collect
from windvane.core.admission import FREE
from windvane.ports.events import Row

_log = logging.getLogger(__name__)
_MAX_ID = 128
_AT_A_TIME = 128


class Desk:
    """One worker's."""

    def __init__(self, parts: Parts, records: Records, metrics: Metrics) -> None:
        self._parts = parts
        self._records = records
        self._metrics = metrics
        self.later = Later()
        self.patience = Patience(self.later)
        self._used: list[Way] = []
        # Unique without asking the kernel for each: a random beginning and a count.
        self._ids = map(f"{os.urandom(9).hex()}{{:06x}}".format, itertools.count())

    def name(self, headers: Headers) -> str:
        """The id that the client gave its request, or a fresh one."""
        given = headers.get(b"x-request-id")
        if given and len(given) <= _MAX_ID and given.isascii():
            return given.decode("ascii")
        return next(self._ids)

    def give_back(self, context: Context) -> None:
        """The request holds no place any more, and what it counted is to be collected."""
        self._parts.under_way -= 1
        way = context.known
        if way is not None and not way.used:
            way.used = True
            self._used.append(way)
        if context.taken is not FREE:
            self._parts.limiter.release(context.taken)

    def event(self, context: Context) -> bytes:
        """The answered request's event, to be kept before the answer leaves."""
        context.latency_us = (time.monotonic_ns() - context.began_ns) // 1_000
        return self._records.predicted(context)

    def answer(self, context: Context) -> bytes:
        """Count the request, whose event is kept; the answer's body."""
        way, rows = context.way, context.rows
        way.ok += 1
        self._metrics.add_latency(context.name, context.latency_us)
        for row in rows:
            if (row.answered, row.arm) == way.pick:
                way.plain += 1
            else:
                self._count_row(context.name, row)
        return answer_body(context.api, context.request_id, context.name, rows)

    def headers(self, context: Context) -> Sequence[Header]:
        """What an answer says besides: the API's version if it was asked for, and limits."""
        extra: list[Header] = []
        if b"windvane-version" in context.headers:
            extra.append(VERSION_HEADERS[context.api])
        if context.taken is not FREE:
            extra += limit_headers(context.taken)
        return extra

    def refuse(
        self, error: Exception, request_id: str
    ) -> tuple[int, bytes, Sequence[Header], float]:
        """Count the refusal; its status, body and headers, and for how long it is to be held."""
        if not isinstance(error, GatewayError):
            _log.error("request %s failed", request_id, exc_info=error)
            error = GatewayError("the gateway failed")
        self._metrics.requests[error.model, error.tenant, error.code] += 1
        if error.key_id:
            self._records.denied(request_id, error)
        held_s = 0.0
        if isinstance(error, RateLimited | Overloaded):
            held_s = self.patience.hold_s(error.tenant, time.monotonic())
        return error.status, refusal_body(error, request_id), refusal_headers(error), held_s

    def stand(self, error: RateLimited, way: Way) -> None:
        """As long as it is certain that the way's next requests are refused alike, they need not
        be looked at. The whole seconds that a refusal tells are the same for all of them."""
        wait_s = error.taken.retry_after_s  # until the next place frees, too
        same_s = wait_s - (math.ceil(wait_s) - 1)
        way.standing = Standing(
            error.at + min(error.taken.certain_s, same_s),
            (error.model, error.tenant, error.code),
            error.status,
            refusal_template(error),
            refusal_headers(error),
        )

    def refuse_again(
        self, standing: Standing, request_id: str, now: float
    ) -> tuple[int, bytes, Sequence[Header], float]:
        """The same as `refuse`, of a refusal that stands."""
        self._metrics.requests[standing.labels] += 1
        held_s = self.patience.hold_s(standing.labels[1], now)
        body = fill_template(standing.template, request_id)
        return standing.status, body, standing.headers, held_s

    async def collect(self) -> None:
        """Move what was counted on the ways into the metrics, with a turn of the loop between
        some and the next: a busy worker has used thousands."""
        used = self._used
        for _ in range(0, len(used), _AT_A_TIME):
            collect(self._metrics, used[:_AT_A_TIME])
            del used[:_AT_A_TIME]
            await asyncio.sleep(0)

    def _count_row(self, name: str, row: Row) -> None:
        self._metrics.rows[name, row.answered, row.arm] += 1
        if row.answered != row.routed:
            self._metrics.fallbacks[name, row.routed] += 1
