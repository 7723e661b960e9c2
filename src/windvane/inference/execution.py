"""Route every row, answer what is cached, run the rest together, fall back where that fails."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from windvane.core.errors import WindvaneError
from windvane.core.execution import ALL_CLOSED, Circuit, may_try
from windvane.core.routing import (
    HURRIED,
    UNPAIRED,
    Arm,
    ModelRoute,
    choose,
    follow_rule,
    unit_of,
)
from windvane.core.task import OutputRow
from windvane.inference.access import ModelAccess
from windvane.inference.cache import cache_key
from windvane.inference.errors import DeadlinePassed, NoAnswer, NotServedHere
from windvane.inference.failures import describe
from windvane.inference.model_cache import ModelHandle
from windvane.inference.model_queue import ModelQueue
from windvane.inference.request import InferenceRequest, Route
from windvane.inference.tracing import trace_execution
from windvane.inference.waiting import OutputsWaiter

if TYPE_CHECKING:
    from windvane.inference.engine import Services

_UNFORESEEN = "RUN-103"
_TIMED_OUT = "RUN-108"
_FAILED = "failed"
_LOG_EVERY_S = 10.0
_MOST_LOGGED = 1_000
_WORTH_A_LOOK_S = 0.0001
_log = logging.getLogger(__name__)

RowResults = list[OutputRow | Exception | None]


class CircuitOpen(WindvaneError):
    """The version failed too often lately and is not tried for a while."""

    code: ClassVar[str] = "RUN-107"
    hint = "it is probed again by itself; the worker's log has the failures"


def not_served_here(route: ModelRoute) -> NotServedHere:
    """The error of a prediction that is asked of a model which is only watched."""
    return NotServedHere(f"{route.model} is served elsewhere, and watched here")


class Execution:
    """The steps between a validated request and its outputs."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._logged_at: dict[tuple[str, str, str], float] = {}

    async def run(self, request: InferenceRequest) -> None:
        """Fill in ``request.routes`` and ``request.outputs``. Raises NoAnswer, DeadlinePassed."""
        access, rows = request.access, request.rows
        route = access.decided
        queue = access.queue_of.queue
        if queue is not None and queue.elsewhere:
            raise not_served_here(route)
        if route.challenger is None and not route.optional:
            if queue is not None and len(rows) == 1 and not is_cached(route, queue):
                # The shortest case, which nearly all requests are: no list of picks, no groups.
                outputs: Any = None
                tenant = access.tenant
                if queue.circuits is ALL_CLOSED or self._may_try(queue, tenant):
                    queue.used = self._services.monotonic()
                    try:
                        encoded = queue.predictor.encode(rows[0])
                    except Exception as error:
                        outputs = error
                    else:
                        waiter = OutputsWaiter()
                        batcher = self._services.batcher
                        batcher.enlist(
                            waiter, queue, (encoded,), request.deadline, tenant, request.trace,
                            request.owed_at,
                        )  # fmt: skip
                        outputs = (await waiter)[0]
                        if request.trace is not None:
                            now_ns = self._services.monotonic_ns()
                            trace_execution(request.trace, now_ns, access.route.routed, [outputs])
                else:
                    outputs = _circuit_open(queue)
                if isinstance(outputs, tuple):
                    request.routes, request.outputs = [access.route], [outputs]
                    return
                results: RowResults = [outputs]
                await self._settle(request, [access.route], results, [False])
                return
            picks = [access.route] * len(rows)
        else:
            picks = [
                pick(route, unit_of(access.tenant, unit or f"{request.id}/{i}"), rows[i])
                for i, unit in enumerate(request.units)
            ]
            if request.trace is not None:
                request.trace.step("route", self._services.monotonic_ns())
        results = [None] * len(rows)
        keys: list[bytes] = []
        if is_cached(route, queue):
            keys = [
                cache_key(access.cached[one.routed], row)
                for one, row in zip(picks, rows, strict=True)
            ]
            await self._look_up(access, keys, results)
            if request.trace is not None:
                request.trace.step("cache", self._services.monotonic_ns())
        cached = [output is not None for output in results]
        if not all(cached):
            await self._execute(request, [one.routed for one in picks], results)
        if keys:
            self._keep(route.cache_ttl_s, keys, results, cached)
        await self._settle(request, picks, results, cached)

    async def _settle(
        self,
        request: InferenceRequest,
        picks: Sequence[Route],
        results: RowResults,
        cached: Sequence[bool],
    ) -> None:
        """Rows that have no outputs fall back, together; then every row has its route."""
        routes: list[Route] = []
        failed: dict[int, Exception] = {}
        for i, (one, output) in enumerate(zip(picks, results, strict=True)):
            if isinstance(output, tuple):
                routes.append(one._replace(flags=(*one.flags, "cached")) if cached[i] else one)
            else:
                failed[i] = output if isinstance(output, Exception) else RuntimeError("no output")
                routes.append(one)
        if failed:
            await self._fall_back(request, picks, failed, routes, results)
        request.routes = routes
        request.outputs = results  # pyright: ignore[reportAttributeAccessIssue]

    async def _look_up(self, access: ModelAccess, keys: list[bytes], results: RowResults) -> None:
        """This worker's own cache, then the one that is shared."""
        services = self._services
        now = services.monotonic()
        hits = shared = 0
        for i, key in enumerate(keys):
            held = services.cache.get(key, now)
            if held is not None:
                results[i] = held
                hits += 1
        if services.shared is not None and hits < len(keys):
            missing = [i for i, output in enumerate(results) if output is None]
            kept = await services.shared.get_many([keys[i] for i in missing])
            checked = access.model.task
            for i, held in zip(missing, kept, strict=True):
                if held is not None and len(held) == len(checked.outputs):
                    results[i] = held
                    shared += 1
        access.hits += hits
        access.shared_hits += shared
        access.misses += len(keys) - hits - shared

    def _keep(
        self, ttl_s: float, keys: list[bytes], results: RowResults, cached: Sequence[bool]
    ) -> None:
        services = self._services
        until = services.monotonic() + ttl_s
        fresh = {
            key: output
            for key, output, was_there in zip(keys, results, cached, strict=True)
            if isinstance(output, tuple) and not was_there
        }
        for key, output in fresh.items():
            services.cache.put(key, output, until)
        if services.shared is not None and fresh:
            services.shared.put_many(fresh, ttl_s)

    async def _execute(
        self, request: InferenceRequest, versions: Sequence[str], results: RowResults
    ) -> None:
        """Fill in every output that is None; all versions of the request run at once."""
        groups: dict[str, list[int]] = {}
        for i, version in enumerate(versions):
            if results[i] is None:
                groups.setdefault(version, []).append(i)
        began_ns = None if request.trace is None else request.trace.at_ns
        waiting = [
            (version, places, waiter)
            for version, mine in groups.items()
            for places, waiter in await self._submit(request, version, mine, results)
        ]
        for version, places, waiter in waiting:
            outputs = await waiter
            for i, output in zip(places, outputs, strict=True):
                results[i] = output
            if request.trace is not None:
                now_ns = self._services.monotonic_ns()
                trace_execution(request.trace, now_ns, version, outputs, began_ns)

    async def _submit(
        self, request: InferenceRequest, version: str, mine: Sequence[int], results: RowResults
    ) -> list[tuple[list[int], OutputsWaiter]]:
        """Hand the rows at ``mine`` to the version; rows that cannot go get their exception."""
        handle = request.access.model.handles[version]
        ready = handle.queue if handle.queue is not None else await self._bring(request, handle)
        tenant = request.access.tenant
        if isinstance(ready, ModelQueue) and not self._may_try(ready, tenant):
            ready = _circuit_open(ready)
        if isinstance(ready, Exception):
            for i in mine:
                results[i] = ready
            return []
        ready.used = self._services.monotonic()
        encode, values = ready.predictor.encode, request.rows
        places: list[int] = []
        rows: list[Sequence[Any]] = []
        for i in mine:
            try:
                rows.append(encode(values[i]))
            except Exception as error:
                results[i] = error
            else:
                places.append(i)
        if not rows:
            return []
        waiter = OutputsWaiter()
        self._services.batcher.enlist(
            waiter, ready, rows, request.deadline, tenant, request.trace, request.owed_at
        )
        return [(places, waiter)]

    async def _bring(
        self, request: InferenceRequest, handle: ModelHandle
    ) -> ModelQueue | Exception:
        """A version that is not in memory: load it now if that can be done in time."""
        services = self._services
        version = handle.entry.version

        async def load() -> None:
            await services.models.bring(handle)
            while handle.queue is None and handle.error is None:  # unloaded before our turn
                await services.models.bring(handle)

        loading = asyncio.ensure_future(load())
        left = max(0.0, request.deadline - services.monotonic())
        await asyncio.wait([loading], timeout=left)
        if not loading.done():
            loading.cancel()
            return TimeoutError(f"version {version} is still being loaded")
        if handle.queue is not None:
            return handle.queue
        return handle.error or TimeoutError(f"version {version} is not loaded")

    def _may_try(self, queue: ModelQueue, tenant: str) -> bool:
        if queue.circuits is ALL_CLOSED:
            return True
        now = self._services.monotonic()
        may, queue.circuits = may_try(queue.circuits, tenant, now, queue.circuit)
        return may

    async def _fall_back(
        self,
        request: InferenceRequest,
        picks: Sequence[Route],
        failed: dict[int, Exception],
        routes: list[Route],
        results: RowResults,
    ) -> None:
        """What answers everyone else, then the chain, then a champion that another version stands
        in for, each for all rows that still have no answer; then the rule and the constant. Flags
        say why."""
        route = request.access.decided
        flags = {
            i: [*picks[i].flags, _FAILED if request.owes(error) else HURRIED, code_of(error)]
            for i, error in failed.items()
        }
        for i, error in failed.items():
            self.log_failure(request, picks[i].routed, error)
        waiting = list(failed)
        first = route.standing_in or route.champion
        versions = dict.fromkeys([first, *route.chain, route.champion])
        lacking = {i: lacks(route, request.rows[i]) for i in failed} if route.optional else {}
        # Who needs no feature that a row lacks is asked first.
        for short, version in itertools.product((False, True) if lacking else (False,), versions):
            # Out of time: only what costs none can still help.
            if not waiting or self._services.monotonic() >= request.deadline:
                break
            mine = [i for i in waiting if picks[i].routed != version]
            if lacking:
                needs = route.needs(version)
                mine = [i for i in mine if short != needs.isdisjoint(lacking[i])]
            if not mine:
                continue
            for i in mine:
                results[i] = None
            asked = [version] * len(results)
            began_ns = None if request.trace is None else request.trace.at_ns
            await self._execute(request, asked, results)
            if request.trace is not None:
                now_ns, attributes = self._services.monotonic_ns(), {"windvane.version": version}
                request.trace.step("fall_back", now_ns, attributes, began_ns=began_ns)
            for i in mine:
                if isinstance(results[i], tuple):
                    marks = (*flags[i], *(["feature_null"] if short else []), "fallback")
                    routes[i] = Route(picks[i].routed, version, picks[i].arm, marks)
                    waiting.remove(i)
                else:
                    flags[i].append(f"failed:{version}")
        names = request.access.model.contract.names
        for i in waiting:
            row = dict(zip(names, request.rows[i], strict=True))
            ruled = follow_rule(route.rule, row) if route.rule else None
            how = "rule" if ruled is not None else "constant"
            given = ruled if ruled is not None else route.constant
            if given is None:
                raise _unanswered(request, picks, failed, i)
            results[i] = tuple(given)
            routes[i] = Route(picks[i].routed, "", picks[i].arm, (*flags[i], how))

    def log_failure(self, request: InferenceRequest, version: str, failure: Exception) -> None:
        """Each kind of failure of a version once in a while: a flood says no more than the
        first."""
        code, model = code_of(failure), request.model
        now = self._services.monotonic()
        if len(self._logged_at) > _MOST_LOGGED:
            self._logged_at.clear()
        if now - self._logged_at.get((model, version, code), float("-inf")) >= _LOG_EVERY_S:
            self._logged_at[model, version, code] = now
            _log.warning(
                "model %s version %s failed: %s %s", model, version, code, describe(failure),
                extra=request.named,
            )  # fmt: skip


def _circuit_open(queue: ModelQueue) -> CircuitOpen:
    alone = queue.circuits.version.circuit is Circuit.CLOSED
    whose = " for rows of this tenant" if alone else ""
    return CircuitOpen(f"version {queue.version} failed too often{whose} and is not tried")


def pick(route: ModelRoute, unit: str, row: Sequence[Any]) -> Route:
    """The version and the arm of a unit. A row that lacks an added feature which its version
    needs goes to a live version that does not, if there is one. What is drawn for the challenger
    where the champion would not answer, and the other way round, is evidence of neither."""
    version, arm = choose(route, unit)
    flags = ("stand_in",) if arm is Arm.FALLBACK else ()
    if arm is Arm.CHALLENGER and route.standing_in:
        flags = (UNPAIRED,)
    if route.optional:
        missing = lacks(route, row)
        if missing and not missing.isdisjoint(route.needs(version)):
            for other in dict.fromkeys([route.champion, *route.chain]):
                if missing.isdisjoint(route.needs(other)):
                    # It was drawn for another version: evidence of neither arm.
                    return Route(other, other, Arm.FALLBACK.value, (*flags, "lacks_feature"))
            flags = (*flags, "feature_null")
        elif missing and route.challenger and not missing.isdisjoint(route.needs(route.challenger)):
            flags = (*flags, UNPAIRED)
    return Route(version, version, arm.value, flags)


def lacks(route: ModelRoute, row: Sequence[Any]) -> frozenset[str]:
    """The added features that a row does not have."""
    return frozenset(name for name, at in route.optional if row[at] is None)


def is_cached(route: ModelRoute, queue: ModelQueue | None) -> bool:
    """Whether answers are looked for in the cache: not while a challenger is measured, for both
    arms answer in the same way; and, unless the model's file wants it, not where the version
    takes hardly longer than a look."""
    if route.challenger or route.cache_ttl_s <= 0.0:
        return False
    return route.cache_all or queue is None or queue.row_s > _WORTH_A_LOOK_S


def _unanswered(
    request: InferenceRequest, picks: Sequence[Route], failed: dict[int, Exception], at: int
) -> NoAnswer:
    """The error of the row ``at``, which nobody could answer: so the request has no answer, and
    whichever version ``failed`` on a row that it owed one is to be held to that."""
    one, failure = picks[at], failed[at]
    rejection = DeadlinePassed if isinstance(failure, TimeoutError) else NoAnswer
    message = str(failure)[:300]
    error = rejection(f"version {one.routed} failed ({message}) and no fallback could answer")
    error.owed = request.owes(failure)
    if error.owed:
        error.routed, error.arm = one.routed, one.arm
    error.owing = [
        (picks[i].arm, request.units[i])
        for i, why in failed.items()
        if request.owes(why) and UNPAIRED not in picks[i].flags
    ]
    return error


def code_of(failure: Exception) -> str:
    if isinstance(failure, WindvaneError):
        return failure.code
    return _TIMED_OUT if isinstance(failure, TimeoutError) else _UNFORESEEN
