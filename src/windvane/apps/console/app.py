"""The application: routes, error pages and security headers."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import anyio.to_thread
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import windvane
from windvane.apps.console.access import Guard, GuardedRoute, needs, public
from windvane.apps.console.acting import Acting, acting_pages, acting_router
from windvane.apps.console.admin import admin_router, users_router
from windvane.apps.console.alert_pages import alert_router
from windvane.apps.console.answering import (
    NoSuchName,
    NoSuchPage,
    PageFailed,
    ReadService,
    status_of,
)
from windvane.apps.console.api import ErrorOut, api_router
from windvane.apps.console.control_metrics import CONTROL, control_series
from windvane.apps.console.csv_routes import csv_router
from windvane.apps.console.curl import GatewayAddress
from windvane.apps.console.digest_pages import digest_router
from windvane.apps.console.drift_api import drift_api_router
from windvane.apps.console.drift_pages import DriftReader, drift_router
from windvane.apps.console.hashing import HashingThreads, TooManyAttempts
from windvane.apps.console.hosts import AllowedHosts, UnknownHost
from windvane.apps.console.installation import Installation
from windvane.apps.console.installation_pages import key_pages, limit_pages
from windvane.apps.console.log_api import log_router
from windvane.apps.console.log_explorer import LogExplorer
from windvane.apps.console.log_reads import LogReads
from windvane.apps.console.maintenance_pages import maintenance_router
from windvane.apps.console.memory import Memory
from windvane.apps.console.metrics import RECORDERS, recorder_series, render
from windvane.apps.console.model_api import model_api_router
from windvane.apps.console.model_pages import model_router
from windvane.apps.console.pages import page_router
from windvane.apps.console.postmortem_pages import postmortem_router
from windvane.apps.console.quality import QualityReader
from windvane.apps.console.quarantine_pages import quarantine_router
from windvane.apps.console.read_api import read_router
from windvane.apps.console.readiness import ReadinessService, ReadyOut
from windvane.apps.console.rendering import FOLDER, Pages
from windvane.apps.console.rollout_pages import rollout_api_router, rollout_router
from windvane.apps.console.signing_in import STATUSES, SignInWays, sign_in_path, sign_in_router
from windvane.apps.console.silence_pages import silence_router
from windvane.apps.console.user_pages import user_pages
from windvane.apps.console.visiting import BoundedBodies
from windvane.core.alerting.updates import UpdatePolicy
from windvane.core.authorization import Action
from windvane.core.errors import WindvaneError
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, StoreUnavailable, Tx
from windvane.ports.event_log import EventLog
from windvane.ports.metrics import MetricsBoard, Series
from windvane.ports.routing_feed import RoutingFeed
from windvane.usecases.actions import ServingChecks
from windvane.usecases.broken_versions import broken_versions
from windvane.usecases.manage_users import admins_by_group
from windvane.usecases.read_settings import Retention
from windvane.usecases.recorded_until import EXPIRE_AFTER_S

_log = logging.getLogger(__name__)
_METRICS_LAST_S = 120.0

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; object-src 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class SecureHeaders:
    """Adds ``HEADERS`` to every response, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._raw = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._raw]
            await send(message)

        await self._app(scope, receive, sending if scope["type"] == "http" else send)


class KnownHosts:
    """Refuses what is asked under a name that is not the console's, in the words of an API."""

    def __init__(self, app: ASGIApp, hosts: AllowedHosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._hosts.check([value for name, value in scope["headers"] if name == b"host"])
            except UnknownHost as error:
                problem = ErrorOut.of(error)
                status = HTTPStatus.MISDIRECTED_REQUEST
                await JSONResponse(problem.model_dump(), status)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def make_app(
    store: ControlStore,
    clock: Clock,
    *,
    feed: RoutingFeed | None = None,
    board: MetricsBoard | None = None,
    disk: Callable[[], int] | None = None,
    hosts: AllowedHosts | None = None,
    log: EventLog | None = None,
    retention: Retention | None = None,
    disk_warning_days: float = 14.0,
    expire_after_s: float = EXPIRE_AFTER_S,
    updates: UpdatePolicy | None = None,
    ways: SignInWays | None = None,
    open_metrics: bool = False,
    gateway: GatewayAddress | None = None,
    checks: ServingChecks | None = None,
    close: Callable[[], None] = lambda: None,
) -> FastAPI:
    """The console over ``store``; ``close`` is called when it stops.

    ``feed`` hears at once of what the control API changes; ``board`` has the gateway's metrics;
    ``disk`` says how many bytes are free on the fullest disk; ``hosts`` are the names that it
    answers under, those of a loopback address by default; ``log`` is what `windvane.read` reads,
    kept for ``retention``; ``disk_warning_days`` before its disk is full is a warning.
    ``expire_after_s``: after which time a spool that nobody sees is taken for gone.
    ``updates``: how often an incident wants one. ``ways`` are those to sign in, without which API
    keys alone are taken. With ``open_metrics``
    strangers may read the metrics. ``gateway`` is where the commands that pages show lead to;
    ``checks`` are what is asked of this machine before a version goes live.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        yield
        log_reads.close()
        close()

    app = FastAPI(
        title="Windvane control API",
        version=windvane.__version__,
        description=(
            "What is deployed, what was seen, decided and told; and the tenants' keys and limits."
        ),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    updates = updates or UpdatePolicy()
    reads, pages, memory = ReadService(store), Pages(), Memory(expire_after_s, board)
    ready = ReadinessService(reads, clock, log, feed, disk)
    log_reads = LogReads()
    quality = None if log is None else QualityReader(log, log_reads)
    explorer = None if log is None else LogExplorer(store, log, clock, log_reads)
    ways = ways or SignInWays()
    app.state.guard = Guard(store, reads, clock, ways.cookies, ways.limits)
    acting = Acting(store, clock, feed, checks or ServingChecks())
    app.include_router(acting_router(acting))  # before routes that end in a path
    app.include_router(api_router(reads, clock, memory, updates))
    hashing = HashingThreads()
    installation = Installation(
        store, clock, feed, ways.hasher, hashing, admins_elsewhere=admins_by_group(ways.roles)
    )
    app.include_router(admin_router(installation, reads, store, clock))
    app.include_router(users_router(installation, reads))
    if log is not None:
        app.include_router(read_router(store, log, clock))
        app.include_router(
            log_router(store, log, clock, retention or Retention(), disk_warning_days)
        )
    if quality is not None and explorer is not None:
        app.include_router(model_api_router(reads, clock, memory, quality, explorer))
    app.include_router(sign_in_router(store, reads, clock, pages, ways, hashing))
    app.include_router(acting_pages(acting, reads, clock, pages))
    for made in (key_pages, limit_pages, user_pages):
        app.include_router(made(installation, reads, clock, pages))
    app.include_router(silence_router(reads, clock, pages))
    app.include_router(maintenance_router(store, reads, clock, pages))
    app.include_router(alert_router(reads, clock, pages))
    app.include_router(rollout_router(reads, clock, pages))
    app.include_router(rollout_api_router(reads))
    app.include_router(digest_router(reads, clock, pages, expire_after_s))
    app.include_router(postmortem_router(reads, clock, pages))
    app.include_router(quarantine_router(store, reads, clock, pages))
    app.include_router(page_router(reads, clock, pages, memory, ready, updates))
    address = gateway or GatewayAddress()
    app.include_router(model_router(reads, clock, pages, memory, quality, address, explorer))
    drift = DriftReader(reads, clock, memory)
    app.include_router(drift_api_router(drift))
    app.include_router(drift_router(drift, clock, pages))  # before CSV's any table
    app.include_router(csv_router(reads, clock, memory, quality, explorer))
    app.include_router(
        _health_router(
            reads,
            ready,
            board,
            clock,
            expire_after_s,
            open_metrics=open_metrics,
            retention=retention,
        )
    )
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    known = hosts or AllowedHosts("127.0.0.1")
    app.add_middleware(BoundedBodies)  # pyright: ignore[reportArgumentType]
    app.add_middleware(KnownHosts, hosts=known)  # pyright: ignore[reportArgumentType]
    app.add_middleware(SecureHeaders)  # pyright: ignore[reportArgumentType]

    def failed(request: Request, status: HTTPStatus, error: WindvaneError) -> Response:
        problem = ErrorOut.of(error)
        path = request.url.path
        if path.startswith(("/api/", "/readyz", "/metrics")):
            headers = {"Cache-Control": "no-store"}
            if status == HTTPStatus.UNAUTHORIZED:
                headers["WWW-Authenticate"] = "Bearer"
            if isinstance(error, TooManyAttempts):
                headers["Retry-After"] = str(max(1, round(error.wait_s)))
            return JSONResponse(problem.model_dump(), status, headers)
        if status == HTTPStatus.UNAUTHORIZED and request.method == "GET":
            where = f"{path}?{request.url.query}" if request.url.query else path
            return _to_sign_in(request, sign_in_path(where))
        return pages.page(
            request,
            "failed.html",
            title=status.phrase,
            now=None,
            status=status,
            problem=problem,
            number=int(status),
            near=error.path if isinstance(error, NoSuchName) else "",
        )

    @app.exception_handler(WindvaneError)
    async def ours(request: Request, error: WindvaneError) -> Response:
        status = status_of(error, STATUSES)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.warning("%s: %s", request.url.path, error)
        return failed(request, status, error)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        message = f"{request.method} {request.url.path}: {error.detail}"
        return failed(request, HTTPStatus(error.status_code), NoSuchPage(message))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        message = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return failed(request, HTTPStatus.UNPROCESSABLE_ENTITY, NoSuchPage(message))

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> Response:
        """The server logs the trace; this answer is made outside of every middleware."""
        message = f"{type(error).__name__} while making {request.url.path}"
        response = failed(request, HTTPStatus.INTERNAL_SERVER_ERROR, PageFailed(message))
        response.headers.update(HEADERS)
        return response

    del ours, http, invalid, unforeseen
    return app


def _health_router(
    reads: ReadService,
    ready: ReadinessService,
    board: MetricsBoard | None,
    clock: Clock,
    expire_after_s: float,
    *,
    open_metrics: bool,
    retention: Retention | None,
) -> APIRouter:
    """What supervisors and Prometheus ask, and the schema of it all."""
    router = APIRouter(tags=["health"], route_class=GuardedRoute)

    @router.get("/healthz", summary="Whether this process answers")
    @public
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", summary="Whether the console can answer, and what it depends on")
    @public
    async def readyz(response: Response) -> ReadyOut:
        response.headers["Cache-Control"] = "no-store"
        response.status_code, out = await ready.look()
        return out

    held: list[tuple[float, list[Series], list[Series]]] = []

    @router.get("/metrics", summary="The gateways' metrics as one, and the recorders'")
    @(public if open_metrics else needs(Action.VIEW))
    async def metrics() -> PlainTextResponse:
        posted = await anyio.to_thread.run_sync(board.posted) if board is not None else {}
        now, wall = clock.now(), clock.wall()
        damaged = await ready.damaged_files()

        def read(tx: Tx) -> tuple[list[Series], list[Series]]:
            control = control_series(
                tx, now, wall, expire_after_s,
                damaged_files=damaged, broken=broken_versions(board), retention=retention,
            )  # fmt: skip
            counted = recorder_series(tx.counts())
            held[:] = [(wall, counted, control)]  # also of a look that is late by then
            return counted, control

        try:
            counted, control = await reads.ask_shared("metrics", read)
        except StoreUnavailable as error:
            counted, control = _lately(held, wall)
            what = "from before" if control else "left out"
            _log.warning("/metrics: what the control database says is %s: %s", what, error)
        text = render({**posted, RECORDERS: counted, CONTROL: control})
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    @router.get("/api/openapi.json", include_in_schema=False)
    @needs(Action.VIEW)
    def schema(request: Request) -> JSONResponse:
        return JSONResponse(request.app.openapi())

    del healthz, readyz, metrics, schema
    return router


def _lately(
    held: list[tuple[float, list[Series], list[Series]]], wall: float
) -> tuple[list[Series], list[Series]]:
    """What was read last, if that is not long ago: a database that is slow once is no reason for
    alerts to lose their series."""
    for at, counted, control in held:
        if 0.0 <= wall - at <= _METRICS_LAST_S:
            return counted, control
    return [], []


def _to_sign_in(request: Request, url: str) -> Response:
    """A poll of htmx has to leave its page, which a redirect of its own would not do."""
    headers = {"Cache-Control": "no-store"}
    if request.headers.get("HX-Request") == "true":
        return Response(status_code=HTTPStatus.NO_CONTENT, headers={**headers, "HX-Redirect": url})
    return RedirectResponse(url, HTTPStatus.SEE_OTHER, headers)
