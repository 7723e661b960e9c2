"""The engine: the one way from a request to its response, for every transport.

`begin` has only what a transport knows before the body: it authenticates, finds the model,
limits and admits, so that a request can be refused early. `finish` does the rest. A gateway, a
batch scorer and a stream consumer all call these two.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from windvane.core.admission import FREE, RateLimitDecision
from windvane.core.routing import Scope
from windvane.inference.access import Authenticator, CachedRejection, Principal
from windvane.inference.batching import NextTickBatcher
from windvane.inference.cache import AnswerCache
from windvane.inference.cascade import Cascade
from windvane.inference.comparing import Comparing
from windvane.inference.errors import (
    Forbidden,
    InternalError,
    Overloaded,
    RateLimited,
    Rejection,
)
from windvane.inference.events import EventWriter
from windvane.inference.execution import Execution, not_served_here
from windvane.inference.explaining import Explaining, check_size
from windvane.inference.failures import describe, frames_of
from windvane.inference.idempotency import Idempotency
from windvane.inference.instrumentation import Instrumentation
from windvane.inference.model_cache import ModelCache
from windvane.inference.request import InferenceRequest, InferenceResponse
from windvane.ports.clock import Clock
from windvane.ports.limits import Limiter
from windvane.ports.shared_cache import SharedCache
from windvane.ports.tracing import Tracer

_log = logging.getLogger(__name__)
_RETRY_WHEN_FULL_S = 1.0
_HEADROOM = 0.7
_NOBODY: Mapping[int, InferenceRequest] = {}
_WAY_BACK = 0.02  # of the time: an answer that leaves at the deadline comes after it


def unique_ids() -> Callable[[], str]:
    """Unique without asking the kernel for each: a random beginning and a count."""
    numbers = map(f"{os.urandom(9).hex()}{{:06x}}".format, itertools.count())
    return numbers.__next__


@dataclass(slots=True)
class Services:
    """What the engine works with: one worker's authenticator, limiter, caches and batcher, and
    its bounds. ``monotonic`` is seconds, ``monotonic_ns`` the same clock in nanoseconds. Transports
    ask ``tracer`` which requests are traced, and tell it when those are answered."""

    authenticator: Authenticator
    limiter: Limiter
    batcher: NextTickBatcher
    models: ModelCache
    cache: AnswerCache
    shared: SharedCache | None
    events: EventWriter
    instrumentation: Instrumentation
    clock: Clock
    max_rows: int
    max_body_bytes: int
    max_under_way: int
    max_deadline_s: float
    idempotency: Idempotency | None = None
    tracer: Tracer | None = None
    monotonic: Callable[[], float] = time.monotonic
    monotonic_ns: Callable[[], int] = time.monotonic_ns
    under_way: int = 0
    new_id: Callable[[], str] = field(default_factory=unique_ids)


class Engine:
    """One worker's."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._execution = Execution(services)
        self._cascade = Cascade(services, self._execution)
        self._explaining = Explaining(services)
        self._comparing = Comparing(services)
        services.batcher.on_begin = services.events.hold
        services.batcher.on_end = services.events.commit

    def close(self) -> None:
        """Wait for the explanations that are under way; before the versions are unloaded."""
        self._comparing.close()
        self._explaining.close()

    async def predict(self, request: InferenceRequest, body: bytes) -> InferenceResponse:
        """Both phases, for a request that is there as a whole.

        Raises Rejection. Whatever happens, nothing of the request stays held.
        """
        pending = self.begin(request)
        if pending is not None:
            await pending
        return await self.finish(request, body)

    def begin(self, request: InferenceRequest) -> Awaitable[None] | None:
        """Authenticate, find the model, limit, admit; what is given is to be awaited, where a
        limiter has to be asked afar. Raises Rejection, and nothing is held then; otherwise
        exactly one of ``finish`` and ``abandon`` has to follow."""
        services = self.services
        try:
            principal = self.authenticate(request, Scope.PREDICT)
            access = request.access = principal.access(request.model)
            rejection = access.rejection
            if rejection is not None:
                if services.monotonic() < rejection.until:
                    raise rejection.error.with_traceback(None)
                access.rejection = None
        except Exception as error:
            raise self._as_rejection(request, error)  # noqa: B904 - it says its own cause
        services.under_way += 1
        try:
            limited = self._limit(request)
            if limited is not None:
                return self._begin_afar(request, limited)
            self._admit(request)
        except BaseException as error:
            raise self._not_begun(request, error)  # noqa: B904
        return None

    async def _begin_afar(self, request: InferenceRequest, limited: Awaitable[None]) -> None:
        try:
            await limited
            self._admit(request)
        except BaseException as error:
            raise self._not_begun(request, error)  # noqa: B904

    def _not_begun(self, request: InferenceRequest, error: BaseException) -> BaseException:
        self._release(request)
        return self._as_rejection(request, error) if isinstance(error, Exception) else error

    def finish(
        self, request: InferenceRequest, body: bytes
    ) -> Coroutine[Any, Any, InferenceResponse]:
        """Decode, route, validate, execute, fall back, record, encode. Raises Rejection."""
        request.body = body
        if request.trace is not None:
            request.trace.step("read_body", self.services.monotonic_ns())
        if request.idempotency_key and self.services.idempotency is not None:
            idempotency = self.services.idempotency
            return idempotency.to_its_end(self._answer_once(request, idempotency))
        return self._answer(request)

    async def _answer(self, request: InferenceRequest) -> InferenceResponse:
        services = self.services
        try:
            inputs = request.codec.decode(request.body, request.access.model, services.max_rows)
            request.rows, request.units, request.explain = inputs
            if request.explain:
                check_size(request)
            if request.trace is not None:
                request.trace.step("decode", services.monotonic_ns())
            # A later step joins features here, for rows that name an entity.
            await self._execution.run(request)
            if request.access.model.task.flagged:
                self._flag(request)
            response = InferenceResponse(request)
            cascade = request.access.model.route.cascade
            others: Mapping[int, InferenceRequest] = _NOBODY
            if cascade is not None:
                began_ns = 0 if request.trace is None else request.trace.at_ns
                others = await self._cascade.refine(request, response, cascade)
                if request.trace is not None:
                    now_ns = services.monotonic_ns()
                    request.trace.step("cascade", now_ns, began_ns=began_ns)
            request.latency_us = (services.monotonic_ns() - request.began_ns) // 1_000
            if request.explain:  # its time is not the version's
                response.explanations = await self._explaining.explain(request, others)
                if request.trace is not None:
                    request.trace.step("explain", services.monotonic_ns())
            response.body = request.codec.encode(response)  # or there is nothing to record
            if request.trace is not None:
                request.trace.step("encode", services.monotonic_ns())
            not_kept = await services.events.keep_prediction(request, *others.values())
            if not_kept is not None:
                raise not_kept
            if request.trace is not None:
                request.trace.step("record", services.monotonic_ns())
            services.instrumentation.answered(request)
            for other in others.values():
                services.instrumentation.answered(other)
            share = request.access.decided.compared_share
            if share:
                self._comparing.offer(request, share)
        except Exception as error:
            raise self._as_rejection(request, error)  # noqa: B904
        finally:
            self._release(request)
        return response

    def _flag(self, request: InferenceRequest) -> None:
        """Say of each row what its task finds odd about its outputs."""
        flags = request.access.model.task.flags
        for i, outputs in enumerate(request.outputs):
            found = flags(outputs)
            if found:
                route = request.routes[i]
                request.routes[i] = route._replace(flags=(*route.flags, *found))
                self.services.instrumentation.flagged(request.model, route.answered, found)

    async def _answer_once(
        self, request: InferenceRequest, idempotency: Idempotency
    ) -> InferenceResponse:
        """A replay goes no further than its key; a first request gives its place back itself."""
        began = False

        async def answer(first: InferenceRequest) -> InferenceResponse:
            nonlocal began
            began = True
            return await self._answer(first)

        try:
            return await idempotency.once(request, answer)
        except Exception as error:
            if began:
                raise
            raise self._as_rejection(request, error)  # noqa: B904
        finally:
            if not began:
                self._release(request)

    def abandon(self, request: InferenceRequest) -> None:
        """The client went away between the phases."""
        self._release(request)

    def failed(self, request: InferenceRequest, error: Exception) -> Rejection:
        """Count and record what became of the request; the error that its client is told."""
        if isinstance(error, Rejection):
            rejection = error
        else:
            _log.error(
                "request %s failed: %s\n%s", request.id, describe(error), frames_of(error),
                extra=request.named,
            )  # fmt: skip
            rejection = InternalError("the gateway failed")
        services = self.services
        services.events.rejected(request, rejection)
        services.instrumentation.rejected(rejection)
        if rejection.key_id:
            services.events.denied(request.id, rejection)
        return rejection

    def _as_rejection(self, request: InferenceRequest, error: Exception) -> Rejection:
        """As ``failed``, with its cause: a rejection has none, for an error that is its own
        cause is a cycle, of which a flood of rejections would leave one each."""
        rejection = self.failed(request, error)
        if rejection is not error:
            rejection.__cause__ = error
        return rejection

    def authenticate(self, request: InferenceRequest, scope: Scope) -> Principal:
        """The key's hash, or the token's signature, names the tenant; nothing else can."""
        services = self.services
        wall = services.clock.wall()
        try:
            principal = services.authenticator.authenticate(request.credential, scope, wall)
        except Rejection as error:
            if error.key_id and services.authenticator.knows(request.model):
                error.model = request.model
            raise
        request.principal = principal
        return principal

    def authenticate_reader(self, request: InferenceRequest) -> Principal:
        """For who wants to know of a model: a key that may read, or one that may predict."""
        try:
            return self.authenticate(request, Scope.READ)
        except Forbidden:
            return self.authenticate(request, Scope.PREDICT)

    @asynccontextmanager
    async def limit(self, request: InferenceRequest) -> AsyncGenerator[None, None]:
        """Hold the request's place under its tenant's limits, of what is no prediction. Raises
        RateLimited."""
        limited = self._limit(request)
        if limited is not None:
            await limited
        try:
            yield
        finally:
            self._give_back(request)

    def _limit(self, request: InferenceRequest) -> Awaitable[None] | None:
        """The tenant's windows and caps: a place in all of them, or none. What is given is to be
        awaited, where the limiter has to be asked afar."""
        limits = request.access.limits
        if not limits:
            return None
        now = self.services.monotonic()
        decision = self.services.limiter.acquire(limits, now)
        if not isinstance(decision, RateLimitDecision):
            return self._limit_afar(request, decision, now)
        self._decide(request, decision, now)
        return None

    async def _limit_afar(
        self, request: InferenceRequest, asked: Awaitable[RateLimitDecision], now: float
    ) -> None:
        self._decide(request, await asyncio.ensure_future(asked), now)

    def _decide(self, request: InferenceRequest, decision: RateLimitDecision, now: float) -> None:
        if decision.admitted:
            request.decision = decision
            return
        access = request.access
        error = RateLimited(_limit_message(decision), decision, now)
        error.tenant, error.model = access.tenant, request.model
        if decision.certain_s:
            access.rejection = CachedRejection(now + _certain_for_s(decision), error)
        raise error

    def _admit(self, request: InferenceRequest) -> None:
        """Let in only what can be answered in time: an early no is cheaper for both sides."""
        services = self.services
        access = request.access
        queue = access.queue_of.queue
        if queue is not None and queue.elsewhere:
            raise not_served_here(access.model.route)
        timeout_s = access.model.route.deadline_s
        began = request.began_ns * 1e-9
        request.deadline = request.owed_at = began + (1.0 - _WAY_BACK) * timeout_s
        if request.timeout_s is not None:
            timeout_s = min(request.timeout_s, services.max_deadline_s)
            request.deadline = began + (1.0 - _WAY_BACK) * timeout_s
        if services.under_way > services.max_under_way:
            sides = f"{services.under_way:,} requests are under way"
            raise Overloaded(f"{sides}, {services.max_under_way:,} allowed", _RETRY_WHEN_FULL_S)
        if queue is not None and queue.apart:
            wait_s = queue.wait_s()
            # Some room is left: what is let in to the brim is late as soon as one batch is.
            # Whoever finds nobody before it can only be late by itself.
            if wait_s and wait_s + queue.row_s > _HEADROOM * timeout_s:
                turn, deadline = wait_s * 1e3, timeout_s * 1e3
                sides = f"a turn comes in {turn:.0f} ms, the deadline in {deadline:.0f}"
                raise Overloaded(sides, wait_s - _HEADROOM * timeout_s + queue.row_s)
        if request.trace is not None:
            request.trace.step("admit", services.monotonic_ns())

    def _release(self, request: InferenceRequest) -> None:
        """The request holds no place any more, and what it counted is to be collected."""
        services = self.services
        services.under_way -= 1
        access = request.known
        if access is not None and not access.used:
            access.used = True
            services.instrumentation.used(access)
        self._give_back(request)

    def _give_back(self, request: InferenceRequest) -> None:
        if request.decision is not FREE:
            self.services.limiter.release(request.decision)
            request.decision = FREE


def _certain_for_s(decision: RateLimitDecision) -> float:
    """For how long every request under these limits is refused with the same words: nothing
    but time frees a place, and the whole seconds that a refusal tells stay the same."""
    wait_s = decision.retry_after_s  # until the next place frees, too
    return min(decision.certain_s, wait_s - (math.ceil(wait_s) - 1))


def _limit_message(decision: RateLimitDecision) -> str:
    limit = decision.limit
    assert limit is not None
    on = " on this model" if "/" in limit.name else ""
    bounds: list[str] = []
    if limit.rate:
        bounds.append(f"{limit.rate:,} requests in {limit.per_s:g} s")
    if limit.concurrent:
        bounds.append(f"{limit.concurrent:,} at one time")
    return f"the limit{on} is reached: {' and '.join(bounds)} allowed"
