"""The part of the control API that gives tables in pages, for `windvane.read`.

Whoever has a role reads what it allows; a key with the scope ``read`` its own tenant's rows.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict

from windvane.apps.console.access import (
    GuardedRoute,
    find_model_subject,
    needs,
    require,
    sees,
    sees_all,
    visit_of,
)
from windvane.apps.console.answering import NotAllowed, TooManyReaders
from windvane.apps.console.api import ErrorOut
from windvane.core.authorization import Action, Principal
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, UnknownName
from windvane.ports.event_log import EventLog
from windvane.usecases.explore_log import record_viewed
from windvane.usecases.read_history import MOST_ROWS, History, Question
from windvane.usecases.read_model_file import read_model_file

_WITHIN_S = 30.0
_AT_ONCE = 2
_WAIT_S = 10.0
_LAST = 4_102_444_800.0


class SummaryOut(BaseModel):
    """A model and how much of it there is to read; times in seconds since the epoch."""

    model: str
    task: str
    versions: int
    champion: str
    predictions: int
    outcomes: int
    first: float | None
    last: float | None
    open_incidents: int


class PredictionRow(BaseModel):
    """One predicted row, with ``features.NAME`` and ``outputs.NAME``; ``version`` is the one that
    was to answer. Bytes are ``{"base64": …}``."""

    model_config = ConfigDict(extra="allow")
    ts: float
    tenant: str
    prediction_id: str
    request_id: str
    row: int
    unit: str
    version: str
    answered: str
    arm: str
    rollout: str
    latency_us: int
    flags: list[str] | None


class OutcomeRow(PredictionRow):
    """The same with what turned out to be true, the latest."""

    outcome: list[float]
    outcome_ts: float


class WindowRow(BaseModel):
    """Traffic of one window, version, arm and tenant."""

    model_config = ConfigDict(extra="allow")
    start: float
    version: str
    arm: str
    tenant: str
    rows: int
    requests: int
    p50_ms: float | None
    p99_ms: float | None


class DriftRow(BaseModel):
    """One stream of a feature in one look."""

    start: float
    against: str
    feature: str
    view: str
    kind: str
    e: float | None = None
    size: float
    material: float | None = None
    changed: float | None
    rows: int | None
    outcome: str
    code: str
    sentence: str


class DecisionRow(BaseModel):
    """A recorded decision, without its facts."""

    at: float
    id: str
    model: str
    judge: str
    subject: str
    action: str
    outcome: str
    code: str
    sentence: str
    policy_version: str
    effects: list[str]


class IncidentRow(BaseModel):
    """An incident, without its evidence."""

    opened_at: float
    closed_at: float | None
    id: str
    model: str
    cause: str
    kind: str
    severity: str
    title: str
    since: float
    owner: str
    runbook: str


class _Page(BaseModel):
    """``next``: give it as ``after`` for the following page, "" on the last. ``truncated``: older
    rows were left out."""

    next: str
    truncated: bool


class PredictionPage(_Page):
    rows: list[PredictionRow]


class OutcomePage(_Page):
    rows: list[OutcomeRow]


class WindowPage(_Page):
    rows: list[WindowRow]


class DriftPage(_Page):
    rows: list[DriftRow]


class DecisionPage(_Page):
    rows: list[DecisionRow]


class IncidentPage(_Page):
    rows: list[IncidentRow]


Name = Annotated[str, Query(max_length=128)]
Since = Annotated[float, Query(ge=0.0, le=_LAST)]
Until = Annotated[float, Query(ge=0.0, le=_LAST)]
After = Annotated[str, Query(max_length=1_000)]
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS)]


def read_router(store: ControlStore, log: EventLog, clock: Clock) -> APIRouter:
    problems = {status: {"model": ErrorOut} for status in (401, 403, 404, 422, 503)}
    router = APIRouter(
        prefix="/api/read", tags=["tables"], responses={**problems}, route_class=GuardedRoute
    )
    history = History(store, log, _WITHIN_S)
    free = threading.BoundedSemaphore(_AT_ONCE)

    @contextmanager
    def turn() -> Iterator[None]:
        """A few at once: rows are held in memory, and the log is read on the console's machine."""
        if not free.acquire(timeout=_WAIT_S):
            raise TooManyReaders(f"{_AT_ONCE} tables are being read, and {_AT_ONCE} may be")
        try:
            yield
        finally:
            free.release()

    def check(who: Principal, model: str, *actions: Action) -> None:
        """Raises NotAllowed, UnknownName."""
        with store.read() as tx:
            try:
                subject = find_model_subject(tx, model)
            except UnknownName:
                if sees_all(who):
                    raise
                raise NotAllowed(f"{who.actor} may not see a model of this name") from None
        for action in actions:
            require(who, action, subject)

    def own(who: Principal, tenant: str) -> str:
        """The tenant whose rows are read by a key of its own. Raises NotAllowed."""
        if tenant not in ("", who.tenant):
            raise NotAllowed(f"{who.actor} reads the rows of {who.tenant}, not of {tenant}")
        return who.tenant

    def seen_decisions(who: Principal, model: str) -> None:
        """Of all models at once only whoever sees all of them."""
        if model:
            check(who, model, Action.VIEW)
        elif not sees_all(who):
            raise NotAllowed(f"{who.actor} sees some models: name one")

    def page(table: str, asked: Question, after: str, limit: int) -> dict[str, Any]:
        with turn():
            found = history.page(table, asked, after, limit)
        rows = [{name: _plain(value) for name, value in row.items()} for row in found.rows]
        return {"rows": rows, "next": found.next, "truncated": found.truncated}

    def values(
        request: Request, table: str, asked: Question, after: str, limit: int
    ) -> dict[str, Any]:
        """A page with values of requests, which goes on record."""
        found = page(table, asked, after, limit)
        if found["rows"]:
            actor = visit_of(request).principal.actor
            record_viewed(store, clock, asked.model, actor, found["rows"])
        return found

    def of_tenant(
        request: Request, model: str, since: float, until: float, tenant: str, *actions: Action
    ) -> Question:
        who = visit_of(request).principal
        if who.tenant and not who.grants:
            mine = own(who, tenant)
            history.check_visible(model, mine)
            return Question(model, since, until, mine)
        check(who, model, *actions)
        return Question(model, since, until, tenant)

    @router.get("/models", summary="What there is to read")
    @needs(Action.VIEW, own_tenant=True)
    def models(request: Request) -> list[SummaryOut]:
        who = visit_of(request).principal
        with turn():
            found = history.models("" if who.grants else own(who, ""))
        if who.grants and not sees_all(who):
            with store.read() as tx:
                files = {m.name: read_model_file(m.text) for m in tx.models()}
            found = [one for one in found if sees(who, files[one.model])]
        names = SummaryOut.model_fields
        return [SummaryOut(**{name: getattr(one, name) for name in names}) for one in found]

    @router.get("/predictions", summary="Predicted rows in the order of their time")
    @needs(Action.VIEW, own_tenant=True)
    def predictions(
        request: Request, model: Name, since: Since = 0.0, until: Until = _LAST, tenant: Name = "",
        after: After = "", limit: Limit = 1_000,
    ) -> PredictionPage:  # fmt: skip
        asked = of_tenant(request, model, since, until, tenant, Action.VIEW, Action.SEE_VALUES)
        return PredictionPage(**values(request, "predictions", asked, after, limit))

    @router.get("/outcomes", summary="Predicted rows with a known outcome")
    @needs(Action.VIEW, own_tenant=True)
    def outcomes(
        request: Request, model: Name, since: Since = 0.0, until: Until = _LAST, tenant: Name = "",
        after: After = "", limit: Limit = 1_000,
    ) -> OutcomePage:  # fmt: skip
        asked = of_tenant(request, model, since, until, tenant, Action.VIEW, Action.SEE_VALUES)
        return OutcomePage(**values(request, "outcomes", asked, after, limit))

    @router.get("/windows", summary="Traffic by window, version, arm and tenant")
    @needs(Action.VIEW, own_tenant=True)
    def windows(
        request: Request, model: Name, since: Since = 0.0, until: Until = _LAST, tenant: Name = "",
        after: After = "", limit: Limit = 1_000,
    ) -> WindowPage:  # fmt: skip
        asked = of_tenant(request, model, since, until, tenant, Action.VIEW)
        return WindowPage(**page("windows", asked, after, limit))

    @router.get("/drift", summary="How far features moved, look by look")
    @needs(Action.VIEW)
    def drift(
        request: Request, model: Name, since: Since = 0.0, until: Until = _LAST, after: After = "",
        limit: Limit = 1_000,
    ) -> DriftPage:  # fmt: skip
        check(visit_of(request).principal, model, Action.VIEW)
        return DriftPage(**page("drift", Question(model, since, until), after, limit))

    @router.get("/decisions", summary="Decisions in the order of their time")
    @needs(Action.VIEW)
    def decisions(
        request: Request, model: Name = "", since: Since = 0.0, until: Until = _LAST,
        after: After = "",
        limit: Limit = 1_000,
    ) -> DecisionPage:  # fmt: skip
        seen_decisions(visit_of(request).principal, model)
        return DecisionPage(**page("decisions", Question(model, since, until), after, limit))

    @router.get("/incidents", summary="Incidents in the order of their time")
    @needs(Action.VIEW)
    def incidents(
        request: Request, model: Name = "", since: Since = 0.0, until: Until = _LAST,
        after: After = "",
        limit: Limit = 1_000,
    ) -> IncidentPage:  # fmt: skip
        seen_decisions(visit_of(request).principal, model)
        return IncidentPage(**page("incidents", Question(model, since, until), after, limit))

    del models, predictions, outcomes, windows, drift, decisions, incidents
    return router


def _plain(value: Any) -> Any:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
