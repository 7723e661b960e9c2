"""One gateway worker: it follows the routing table, keeps its versions loaded and its metrics
posted, and gives the transport what answers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Protocol

from windvane.apps.gateway.answers import Header
from windvane.apps.gateway.http_app import HttpApp
from windvane.apps.gateway.http_head import RequestHead
from windvane.apps.gateway.http_protocol import BodySink, Reply
from windvane.core.errors import WindvaneError
from windvane.core.health import (
    Dependency,
    Readiness,
    judge_routing_file,
    judge_served_versions,
    judge_shared,
    judge_spool,
    readiness,
)
from windvane.core.routing import RoutingTable
from windvane.inference.engine import Engine, Services
from windvane.inference.errors import NotReady
from windvane.inference.low_priority_queue import LowPriorityQueue
from windvane.inference.snapshot import ServedModel, Snapshot, take_snapshot
from windvane.ports.identity import TokenVerifier
from windvane.ports.metrics import MetricsBoard
from windvane.ports.routing_feed import RoutingFeed
from windvane.usecases.broken_versions import broken_versions

_log = logging.getLogger(__name__)

_FEED_EVERY_S = 0.1
_ESSENTIAL = ("spool",)  # what cannot be recorded is not answered
_RETRY_S = 1.0
_POST_EVERY_S = 1.0
_MOST_NAMED = 3
_TOKENS_AT_MOST_EVERY_S = 10.0
UNREADABLE_HINT = (
    "routing.json in the home is damaged or may not be read: a running steward writes it anew "
    "within seconds; `windvane doctor` says whether one runs"
)


class CannotTakeOver(WindvaneError):
    """This worker was to replace one that answers, and cannot load a version that it serves."""

    code: ClassVar[str] = "GAT-131"
    hint = (
        "put the version's files or libraries back, or deploy another one; `windvane stop` and "
        "`windvane up` go on without it"
    )


class Remote(Protocol):
    """What has to be reached before requests come, and let go of at the end. Neither call
    raises nor takes longer than a second where it cannot be reached."""

    async def open(self) -> None: ...
    async def aclose(self) -> None: ...


class GatewayWorker:
    """``app`` answers over HTTP; ``engine`` is what every transport uses."""

    def __init__(
        self,
        feed: RoutingFeed,
        services: Services,
        *,
        board: MetricsBoard | None = None,
        verifier: TokenVerifier | None = None,
        remotes: Sequence[Remote] = (),
        worker: str = "gateway-0",
        sync_every_s: float = 1.0,
        low_priority: LowPriorityQueue | None = None,
        events_max_age_s: float = math.inf,
        table_within_s: float | None = None,
        predecessor: str = "",
    ) -> None:
        """``table_within_s``: it starts only with a routing table, and waits so long for one (s);
        None where it may start without. ``predecessor``: the worker that it replaces, by the name
        that it posts under, which goes on answering where this one does not start; "" for none."""
        self._feed = feed
        self._services = services
        self._board = board
        self._verifier = verifier
        self._remotes = remotes
        self._worker = worker
        self._sync_every_s = sync_every_s
        self._live: Snapshot | None = None
        self._table: RoutingTable | None = None
        self._wanted: Snapshot | None = None  # what the feed says; models are adopted one by one
        self._filling: asyncio.Task[None] | None = None
        self._again_at = math.inf  # when a table that could not be taken up is tried again
        self._unreadable = ""  # why the feed could not be read, as it was logged
        self._table_within_s = table_within_s
        self._predecessor = predecessor
        self._tasks: list[asyncio.Task[None]] = []
        self.engine = Engine(services)
        self.app = HttpApp(self.engine, self._ready, low_priority, events_max_age_s)

    def on_head(self, head: RequestHead, reply: Reply) -> BodySink | None:
        return self.app.on_head(head, reply)

    def on_error(self, status: int, detail: str) -> tuple[Sequence[Header], bytes]:
        return self.app.on_error(status, detail)

    def defer(self, work: Callable[[], None]) -> None:
        self.app.defer(work)

    @property
    def draining(self) -> bool:
        """Set by the server when it stops."""
        return self.app.draining

    @draining.setter
    def draining(self, value: bool) -> None:
        self.app.draining = value

    def _ready(self) -> Mapping[str, Any]:
        if self._live is None:
            raise self._no_table("no routing table yet")
        found = self._dependencies(self._live)
        word = readiness(found, _ESSENTIAL)
        if word is Readiness.UNAVAILABLE:
            why = next(one for one in found if one.name in _ESSENTIAL and one.state == "down")
            raise NotReady(f"{why.code}: {why.why}", hint="`windvane doctor` says what is full")
        return {
            "status": word.value,
            "routing": self._live.seq,
            "models": len(self._live.models),
            "dependencies": [
                {"name": one.name, "state": one.state, "code": one.code, "why": one.why}
                for one in found
            ],
        }

    def _dependencies(self, live: Snapshot) -> list[Dependency]:
        services = self._services
        unreadable = "the routing file cannot be read: the table before it stays in use"
        broken = sum(handle.error is not None for handle in live.handles)
        found = [
            judge_routing_file(live.seq, None, unreadable if self._unreadable else ""),
            judge_served_versions(len(live.handles) - broken, broken),
            judge_spool(services.events.full),
            judge_shared("limits", services.limiter.degraded, "limits hold for this machine only"),
        ]
        if services.idempotency is not None:
            degraded = services.idempotency.store.degraded
            without = "a repeated request may be answered twice"
            found.append(judge_shared("idempotency", degraded, without))
        return found

    def _no_table(self, message: str) -> NotReady:
        return NotReady(message, hint=UNREADABLE_HINT if self._unreadable else None)

    async def start(self) -> None:
        """Raises NotReady where it needs a routing table and there is none in time, and
        CannotTakeOver."""
        metrics = self._services.instrumentation.metrics
        if self._board is not None:
            metrics.go_on_from(self._board.posted().get(self._worker, []))
        if self._verifier is not None:
            await asyncio.to_thread(self._verifier.refresh)
        for remote in self._remotes:
            await remote.open()
        await self._take_first()
        if self._filling is not None:
            await self._filling
        if self._predecessor:
            self._check_takes_over(self._predecessor)
        # Requests leave no cycles behind, so the collector need look but rarely.
        gc.collect()
        gc.freeze()
        gc.set_threshold(5_000, 50, 100)
        self._tasks = [
            asyncio.create_task(work)
            for work in (
                self._every(_FEED_EVERY_S, self.follow_feed),
                self._every(self._sync_every_s, self._sync),
                self._every(_POST_EVERY_S, self._post),
                self._every(_TOKENS_AT_MOST_EVERY_S, self._follow_tokens),
            )
        ]

    async def _take_first(self) -> None:
        if await self._taken_up() or self._table_within_s is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._table_within_s):
                while True:
                    await asyncio.sleep(_FEED_EVERY_S)
                    if await self._taken_up():
                        return
        why = self._unreadable or "there is none"
        raise self._no_table(f"no routing table within {self._table_within_s:g} s: {why}")

    def _check_takes_over(self, predecessor: str) -> None:
        """Raises CannotTakeOver. What the predecessor says that it cannot load either is nothing
        to wait for; of one that posts nothing, it counts that it may serve all."""
        handles = self._live.handles if self._live else ()
        already = broken_versions(self._board, predecessor)
        lost = [
            f"{handle.model} {handle.entry.version} ({_sentence(handle.error)})"
            for handle in handles
            if handle.error is not None and (handle.model, handle.entry.version) not in already
        ]
        if lost:
            more = f" and {len(lost) - _MOST_NAMED} more" if len(lost) > _MOST_NAMED else ""
            raise CannotTakeOver(
                f"{len(lost)} of {len(handles)} versions cannot be loaded, which {predecessor} "
                f"does not lack: {'; '.join(lost[:_MOST_NAMED])}{more}"
            )

    async def _taken_up(self) -> bool:
        try:
            await self._refresh()
        except Exception:  # not ready, and taken up once it can be
            _log.exception("the routing table cannot be taken up; it is tried again")
        return self._wanted is not None

    async def stop(self) -> None:
        filling = [self._filling] if self._filling is not None else []
        for task in [*self._tasks, *filling]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._post()
        metrics = self._services.instrumentation.metrics
        if self._board is not None:  # gauges of a worker that is gone would mislead
            metrics.gauges.clear()
            self._board.post(self._worker, metrics.series())
        self._services.events.close()
        await asyncio.to_thread(self.engine.close)
        await asyncio.to_thread(self._services.models.close)
        for remote in self._remotes:
            await remote.aclose()

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except Exception:
                _log.exception("%s failed; it is tried again", work.__name__)

    async def follow_feed(self) -> None:
        """Look whether there is a newer table, and take it up."""
        self._services.models.let_go()
        if self._feed.changed() or self._services.monotonic() >= self._again_at:
            await self._refresh()

    async def _refresh(self) -> None:
        """Load off the loop, then adopt; requests under way keep the snapshot they began with.

        Keys and limits hold at once, and so does every model whose versions are in memory: a
        rollback must not wait for as long as some other model takes to load.
        """
        self._again_at = self._services.monotonic() + _RETRY_S
        try:
            table = self._feed.latest()
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            if why != self._unreadable:  # once, however often it is tried
                _log.error("the routing table cannot be read: %s; it is tried again", why)
            self._unreadable = why
            if self._live is None:
                self._services.authenticator.not_ready_hint = UNREADABLE_HINT
            return
        self._unreadable = ""
        self._services.authenticator.not_ready_hint = None
        if table is not None and self._is_news(table):
            self._table = table
            models = self._services.models
            fresh = await asyncio.to_thread(take_snapshot, table, models, self._wanted)
            if self._filling is not None:
                self._filling.cancel()  # what is loading goes on loading
            self._wanted = fresh
            models.adopt_circuits(fresh.handles)
            first = self._live is None
            if not first:
                self._adopt()
            self._filling = asyncio.create_task(self._fill(fresh))
        self._again_at = math.inf

    def _is_news(self, table: RoutingTable) -> bool:
        """A later one, or the same with a rollback that the control database has not yet."""
        held = self._table
        return held is None or table.seq > held.seq or (table.seq == held.seq and table != held)

    async def _fill(self, fresh: Snapshot) -> None:
        models = self._services.models
        first = self._live is None
        await models.fill(fresh.handles, _nothing if first else self._adopt)
        if self._wanted is fresh:
            self._adopt()
            models.keep_only(fresh.handles)
            _log.info("routing table %d is in use", fresh.seq)

    def _adopt(self) -> None:
        """Take up what is wanted as far as it is in memory: each model by itself."""
        wanted, live = self._wanted, self._live
        if wanted is None:
            return
        adopted: dict[str, ServedModel] = {}
        whole = True
        for name, model in wanted.models.items():
            if self._services.models.settled(list(model.handles.values())):
                adopted[name] = model
                continue
            whole = False
            if live is not None and name in live.models:
                adopted[name] = live.models[name]
        seq = wanted.seq if whole or live is None else live.seq
        fresh = replace(wanted, seq=seq, models=adopted)
        if fresh != live:
            self._live = fresh
            self._services.authenticator.follow(fresh)

    async def _sync(self) -> None:
        await asyncio.to_thread(self._services.events.sync)

    async def _post(self) -> None:
        if self._board is not None:
            instrumentation = self._services.instrumentation
            await instrumentation.collect()
            self._set_gauges()
            await asyncio.to_thread(
                self._board.post, self._worker, instrumentation.metrics.series()
            )

    def _set_gauges(self) -> None:
        """The gauges, and the counters that others keep, before the metrics are posted."""
        services, metrics = self._services, self._services.instrumentation.metrics
        queues = services.models.queues
        metrics.counts["loads_total"][()] += services.models.loads
        metrics.counts["unloads_total"][()] += services.models.unloads
        services.models.loads = services.models.unloads = 0
        once = services.idempotency
        if once is not None:
            metrics.counts["idempotency_replays_total"][()] += once.replays
            metrics.counts["idempotency_failures_total"][()] += once.store.failures
            once.replays = once.store.failures = 0
            metrics.gauges["idempotency_degraded"] = {(): float(once.store.degraded)}
        if services.tracer is not None:
            metrics.counts["traces_dropped_total"][()] += services.tracer.take_dropped()
        metrics.gauges.update(
            routing_seq={(): float(self._live.seq if self._live else 0)},
            requests_under_way={(): float(services.under_way)},
            cache_bytes={(): float(services.cache.bytes)},
            models_loaded={(): float(len(queues))},
            model_bytes={(): float(services.models.held_bytes)},
            version_broken={
                (handle.model, handle.entry.version): 1.0
                for handle in (self._live.handles if self._live else ())
                if handle.error is not None
            },
            breaker_open={
                (queue.model, queue.version): 1.0
                for queue in queues
                if not queue.circuits.all_closed
            },
            limits_degraded={(): float(services.limiter.degraded)},
        )

    async def _follow_tokens(self) -> None:
        if self._verifier is not None and self._verifier.stale:
            await asyncio.to_thread(self._verifier.refresh)


def _sentence(error: Exception) -> str:
    return error.message if isinstance(error, WindvaneError) else repr(error)


def _nothing() -> None:
    pass
