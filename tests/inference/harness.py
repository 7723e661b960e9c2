"""One gateway worker in this process: real steps and limits, every other port a fake that
records, fails or blocks when it is told to."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from windvane.adapters.shared_memory import SharedLimiter
from windvane.apps.gateway.http_head import RequestHead
from windvane.apps.gateway.http_protocol import BodySink
from windvane.apps.gateway.worker import GatewayWorker
from windvane.core.admission import Limit, RateLimitDecision
from windvane.core.routing import (
    CLIENT_SCOPES,
    KeyEntry,
    ModelRoute,
    RoutingTable,
    Scope,
    TenantLimit,
    VersionEntry,
)
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract, TaskSpec, make_task
from windvane.inference.access import Authenticator
from windvane.inference.batching import NextTickBatcher
from windvane.inference.cache import AnswerCache
from windvane.inference.engine import Services
from windvane.inference.events import EventWriter
from windvane.inference.instrumentation import Instrumentation
from windvane.inference.low_priority_queue import LowPriorityQueue
from windvane.inference.metrics import Metrics
from windvane.inference.model_cache import ModelCache
from windvane.inference.model_queue import ModelQueue
from windvane.ports.events import EVENTS
from windvane.ports.identity import BadToken, Identity
from windvane.ports.metrics import Series
from windvane.ports.spool import SpoolFull

MODEL = "late"
SCHEMA = (
    FeatureSpec("x", "order", FeatureType.NUMBER, low=0.0, high=1_000.0),
    FeatureSpec("n", "order", FeatureType.INTEGER, nullable=True),
    FeatureSpec("kind", "order", FeatureType.CATEGORY, known=("van", "bike")),
)
CONTRACT = Contract(SCHEMA, TaskSpec("regression"))
"""Any number may be answered, so that answers tell versions apart."""
TASK = make_task(CONTRACT.task)
ALL_SCOPES = tuple(scope.value for scope in Scope)
WITHIN_S = 20.0


class FakePredictor:
    """Answers ``offset`` + x / 1000, or what ``gives(rows)`` has, also while it is warmed up.
    ``fails(row)`` true: the whole execution raises. ``hold`` keeps an execution until
    ``let_go``; ``started`` says that one has begun."""

    def __init__(self, offset: float = 0.0, *, blocking: bool = False, memory: int = 100) -> None:
        self.offset = offset
        self.blocking = blocking
        self.memory = memory
        self.batches: list[list[Any]] = []
        self.fails: Callable[[Any], bool] = lambda _row: False
        self.answers: Callable[[Any], float] = lambda row: self.offset + row[0] / 1_000
        self.gives: Callable[[Sequence[Sequence[Any]]], list[Any]] | None = None
        self.encodes: Callable[[Sequence[Any]], Sequence[Any]] = lambda values: tuple(values)
        self.released = threading.Event()
        self.released.set()
        self.started = threading.Event()
        self.closed = 0
        self.warm_ups = 0

    def hold(self) -> None:
        self.released.clear()
        self.started.clear()

    def let_go(self) -> None:
        self.released.set()

    def encode(self, values: Sequence[Any]) -> Sequence[Any]:
        return tuple(values) if _loading() else self.encodes(values)

    def predict(self, rows: Sequence[Sequence[Any]]) -> Any:
        if _loading():
            self.warm_ups += 1
            return self.gives(rows) if self.gives else [np.zeros(len(rows))]
        self.batches.append([row[0] for row in rows])
        self.started.set()
        assert self.released.wait(WITHIN_S), "nobody let the predictor go"
        if any(self.fails(row) for row in rows):
            raise RuntimeError("the model broke")
        if self.gives:
            return self.gives(rows)
        return [np.array([self.answers(row) for row in rows], np.float64)]

    def close(self) -> None:
        self.closed += 1


def _loading() -> bool:
    """Whether the cache is warming a version up, which it does on a thread of its own."""
    return threading.current_thread().name.startswith("loader")


@dataclass
class FakeArtifact:
    name: str
    manifest: str
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.files)

    def read(self, name: str) -> bytes:
        return self.files[name]


class FakeArtifacts:
    """``files`` are those of every version."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def open(self, artifact: str, manifest: str) -> Any:
        return FakeArtifact(artifact, manifest, self.files)

    def seal(self, folder: Any) -> str:
        raise NotImplementedError


class FakeRuntime:
    """Gives the predictor laid out for an artifact (``make``: a fresh one); an exception in its
    place is raised. ``gate`` holds every load."""

    def __init__(self) -> None:
        self.predictors: dict[str, FakePredictor | Exception | Callable[[], FakePredictor]] = {}
        self.loads: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.loading = threading.Event()

    def load(self, artifact: Any, contract: Contract, *, trusted: bool) -> Any:
        self.loads.append(artifact.name)
        self.loading.set()
        assert self.gate.wait(WITHIN_S), "nobody opened the gate"
        found = self.predictors.get(artifact.name)
        if found is None:
            found = self.predictors[artifact.name] = FakePredictor(offset_of(artifact.name))
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, FakePredictor) else found()


class FakeFeed:
    def __init__(self) -> None:
        self.table: RoutingTable | None = None
        self.seen: int | None = None
        self.broken: Exception | None = None

    def publish(self, table: RoutingTable) -> bool:
        self.table = table
        return True

    def amend(self, change: Callable[[RoutingTable], RoutingTable]) -> bool:
        if self.table is not None:
            self.table = change(self.table)
        return self.table is not None

    def latest(self) -> RoutingTable | None:
        self.seen = self.table.seq if self.table else None
        if self.broken is not None:
            raise self.broken
        return self.table

    def last_seq(self) -> int | None:
        return None if self.table is None or self.broken else self.table.seq

    def changed(self) -> bool:
        return (self.table.seq if self.table else None) != self.seen


class FakeSpool:
    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.full = False
        self.closed = False

    def append(self, *payloads: bytes) -> None:
        if self.full:
            raise SpoolFull("no room")
        self.payloads += payloads

    def sync(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    @property
    def events(self) -> list[Any]:
        return [EVENTS.decode(payload) for payload in self.payloads]


class FakeBoard:
    def __init__(self) -> None:
        self.held: dict[str, list[Series]] = {}

    def post(self, worker: str, series: Sequence[Series]) -> None:
        self.held[worker] = list(series)

    def posted(self, within_s: float = float("inf")) -> dict[str, list[Series]]:
        del within_s
        return dict(self.held)


@dataclass
class FakeClock:
    at: float = 1_700_000_000.0

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.at


class FakeMonotonic:
    """The machine's clock, which a test may set ahead."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s

    def ns(self) -> int:
        return time.monotonic_ns() + round(self.ahead_s * 1e9)


class FixedMonotonic:
    """Stands still at ``at`` seconds."""

    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at

    def ns(self) -> int:
        return round(self.at * 1e9)


class FakeVerifier:
    """Tokens are words; ``known`` says whom each names."""

    def __init__(self, **known: Identity) -> None:
        self.known = known
        self.stale = False
        self.refreshed = 0

    def verify(self, token: bytes, now: float) -> Identity:
        found = self.known.get(token.decode())
        if found is None:
            raise BadToken("the signature does not fit")
        if now >= found.expires_at:
            raise BadToken("the token has expired")
        return found

    def refresh(self) -> None:
        self.refreshed += 1


class CountingLimiter:
    """The real one, which also says what is held now. With ``afar`` it has to be waited for,
    as one on another machine, until that is set."""

    def __init__(self) -> None:
        self.afar: asyncio.Event | None = None
        self.asked: list[float] = []
        self.real = SharedLimiter(None, 0, solo=True)
        self.held = 0
        self.taken = 0

    @property
    def at_once(self) -> bool:
        return self.real.at_once

    @property
    def degraded(self) -> bool:
        return self.real.degraded

    def acquire(
        self, limits: Sequence[Limit], now: float
    ) -> RateLimitDecision | Awaitable[RateLimitDecision]:
        self.asked.append(now)
        return self._acquire(limits, now) if self.afar is None else self._later(limits, now)

    async def _later(self, limits: Sequence[Limit], now: float) -> RateLimitDecision:
        assert self.afar is not None
        await self.afar.wait()
        return self._acquire(limits, now)

    def _acquire(self, limits: Sequence[Limit], now: float) -> RateLimitDecision:
        taken = self.real.acquire(limits, now)
        if taken.admitted:
            self.held += 1
            self.taken += 1
        return taken

    def release(self, decision: RateLimitDecision) -> None:
        self.held -= 1
        self.real.release(decision)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.json["predictions"]


@dataclass
class OpenRequest:
    """``sink`` takes the body; it is None where the head was refused."""

    sink: BodySink | None
    answered: asyncio.Future[Answer]


def offset_of(artifact: str) -> float:
    """Tells models and versions apart: ``late/2`` answers with 2 and a little."""
    model, version = artifact.rsplit("/", 1)
    return int(version) + (0 if model == MODEL else len(model) * 100)


def entry(model: str, version: str, **changed: Any) -> VersionEntry:
    artifact = f"{model}/{version}"
    manifest = hashlib.sha256(artifact.encode()).hexdigest()
    return VersionEntry(**{
        "version": version, "artifact": artifact, "manifest": manifest, **changed
    })  # fmt: skip


def route(
    model: str = MODEL, versions: Sequence[str] = ("1",), champion: str = "1", **changed: Any
) -> ModelRoute:
    made = ModelRoute(
        model=model, contract=CONTRACT, outcome="late", deadline_s=5.0,
        versions=tuple(entry(model, version) for version in versions), champion=champion,
        cache_all=True,
    )  # fmt: skip
    return replace(made, **changed)


def key(secret: str, tenant: str, *scopes: str, **changed: Any) -> KeyEntry:
    digest = hashlib.sha256(f"wv_{secret}".encode()).hexdigest()
    given = scopes or CLIENT_SCOPES
    return KeyEntry(**{
        "digest": digest, "tenant": tenant, "id": secret, "scopes": given, **changed
    })  # fmt: skip


ACME, BOLT = key("acme", "acme", *ALL_SCOPES), key("bolt", "bolt", *ALL_SCOPES)


def features(x: float = 1.0, n: int | None = 2, kind: str = "van") -> dict[str, Any]:
    return {"x": x, "n": n, "kind": kind}


def body(*rows: Mapping[str, Any] | float, units: Sequence[str] = ()) -> bytes:
    given = [row if isinstance(row, Mapping) else features(float(row)) for row in rows]
    instances: list[dict[str, Any]] = [{"features": row} for row in given]
    for instance, unit in zip(instances, units, strict=False):
        instance["unit"] = unit
    return json.dumps({"instances": instances}).encode()


@dataclass
class Harness:
    """A worker and its fakes; ``publish`` hands it a routing table as the feed would. Requests
    come as the transport hands them over: a head, then the whole body."""

    max_rows: int = 100
    max_under_way: int = 100
    max_deadline_s: float = 60.0
    cache_bytes: int = 1 << 20
    budget: int = 1 << 30
    max_body: int = 1 << 16
    verifier: FakeVerifier | None = None
    shared: Any = None
    idempotency: Any = None
    events_max_age_s: float = 3_600.0
    seq: int = 0
    runtime: FakeRuntime = field(default_factory=FakeRuntime)
    artifacts: FakeArtifacts = field(default_factory=FakeArtifacts)
    feed: FakeFeed = field(default_factory=FakeFeed)
    spool: FakeSpool = field(default_factory=FakeSpool)
    board: FakeBoard = field(default_factory=FakeBoard)
    clock: FakeClock = field(default_factory=FakeClock)
    limiter: CountingLimiter = field(default_factory=CountingLimiter)
    ticks: Any = field(default_factory=FakeMonotonic)

    def __post_init__(self) -> None:
        instrumentation = Instrumentation(Metrics(), self.ticks, jitter=lambda: 0.0)
        self.low_priority = LowPriorityQueue()
        self.services = Services(
            authenticator=Authenticator(self.verifier),
            limiter=self.limiter,
            batcher=NextTickBatcher(
                instrumentation.executed, low_priority=self.low_priority, monotonic=self.ticks
            ),
            models=ModelCache(self.runtime, self.artifacts, self.budget, monotonic=self.ticks),
            cache=AnswerCache(self.cache_bytes),
            shared=self.shared,
            events=EventWriter(self.spool, self.clock, self.ticks),
            instrumentation=instrumentation,
            clock=self.clock,
            max_rows=self.max_rows,
            max_body_bytes=self.max_body,
            max_under_way=self.max_under_way,
            max_deadline_s=self.max_deadline_s,
            idempotency=self.idempotency,
            monotonic=self.ticks,
            monotonic_ns=self.ticks.ns,
        )
        self.worker = GatewayWorker(
            self.feed, self.services, board=self.board, verifier=self.verifier,
            low_priority=self.low_priority, events_max_age_s=self.events_max_age_s,
        )  # fmt: skip
        self.app = self.worker.app
        self.metrics = instrumentation.metrics

    @property
    def queues(self) -> list[ModelQueue]:
        return self.services.models.queues

    def hold(self, version: str = "1", model: str = MODEL) -> FakePredictor:
        """Executions of the version run on a thread from now on, and end when it is let go."""
        for queue in self.queues:
            if (queue.model, queue.version) == (model, version):
                queue.threaded = True
        predictor = self.predictor(version, model)
        predictor.hold()
        return predictor

    async def post_metrics(self) -> None:
        await self.worker._post()

    def predictor(self, version: str = "1", model: str = MODEL) -> FakePredictor:
        """What answers for the version; made before it is loaded if need be."""
        name = f"{model}/{version}"
        found = self.runtime.predictors.get(name)
        if found is None:
            found = self.runtime.predictors[name] = FakePredictor(offset_of(name))
        assert isinstance(found, FakePredictor)
        return found

    def table(
        self,
        *routes: ModelRoute,
        keys: Sequence[KeyEntry] = (ACME, BOLT),
        limits: Sequence[TenantLimit] = (),
    ) -> RoutingTable:
        self.seq += 1
        models = {r.model: r for r in routes or (route(),)}
        return RoutingTable(self.seq, models, tuple(keys), tuple(limits))

    async def follow_feed(self) -> None:
        """Look at the feed, and wait until what it says is in use."""
        await self.worker.follow_feed()
        filling = self.worker._filling
        if filling is not None and not filling.done():
            await asyncio.wait([filling])

    async def publish(self, *routes: ModelRoute, **more: Any) -> None:
        self.feed.publish(self.table(*routes, **more))
        await self.follow_feed()

    def open(
        self,
        method: str,
        path: str,
        *,
        auth: str = "Bearer wv_acme",
        headers: Mapping[str, str] | None = None,
    ) -> OpenRequest:
        """A request whose head is there and whose body is not."""
        raw = {b"authorization": auth.encode()} if auth else {}
        raw |= {k.lower().encode(): v.encode("latin-1") for k, v in (headers or {}).items()}
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def reply(status: int, extra: Sequence[tuple[bytes, bytes]], said: bytes) -> None:
            heads = {k.decode(): v.decode("latin-1") for k, v in extra}
            if not answered.cancelled():
                answered.set_result(Answer(status, heads, bytes(said)))

        head = RequestHead(method, path, b"", raw, self.ticks.ns())
        return OpenRequest(self.app.on_head(head, reply), answered)

    async def call(self, method: str, path: str, given: bytes = b"", **more: Any) -> Answer:
        """The answer to a whole request."""
        request = self.open(method, path, **more)
        if request.sink is not None:
            request.sink.on_body(given)
        return await request.answered

    async def predict(
        self, *rows: Mapping[str, Any] | float, model: str = MODEL, units: Sequence[str] = (),
        **more: Any,
    ) -> Answer:  # fmt: skip
        given = body(*(rows or (1.0,)), units=units)
        return await self.call("POST", f"/v1/models/{model}/predict", given, **more)

    @property
    def tenants(self) -> set[str]:
        """Whose keys the worker takes now."""
        live = self.worker._live
        return {entry.tenant for entry in live.keys.values()} if live else set()

    async def close(self) -> None:
        await asyncio.to_thread(self.services.models.close)
        self.limiter.real.close()


def run(
    story: Callable[[Harness], Awaitable[None]],
    *,
    loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
    **settings: Any,
) -> None:
    """The story on a fresh worker, within a deadline."""

    async def told() -> None:
        harness = Harness(**settings)
        try:
            async with asyncio.timeout(WITHIN_S):
                await story(harness)
        finally:
            for found in harness.runtime.predictors.values():
                if isinstance(found, FakePredictor):
                    found.let_go()
            harness.runtime.gate.set()
            await harness.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(told())


async def until(done: Callable[[], Any]) -> None:
    """Turn the loop until ``done``; ``run`` bounds it."""
    while not done():  # noqa: ASYNC110 - nothing that is waited for here has an event
        await asyncio.sleep(0)
