"""The part of the control API that gives tables in pages, for `windvane.read`.

A key with the scope ``admin`` reads everything; one with ``read`` what is its own tenant's.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict

from windvane.apps.console.answering import NotAllowed, TooManyReaders
from windvane.apps.console.api import ErrorOut
from windvane.apps.console.keys import key_check
from windvane.core.routing import KeyEntry, Scope
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore
from windvane.ports.event_log import EventLog
from windvane.usecases.read_history import MOST_ROWS, History, Question

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
    p: float
    size: float
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
    router = APIRouter(prefix="/api/read", tags=["tables"], responses={**problems})
    history = History(store, log, _WITHIN_S)
    free = threading.BoundedSemaphore(_AT_ONCE)
    known = Depends(key_check(store, clock))

    @contextmanager
    def turn() -> Iterator[None]:
        """A few at once: rows are held in memory, and the log is read on the console's machine."""
        if not free.acquire(timeout=_WAIT_S):
            raise TooManyReaders(f"{_AT_ONCE} tables are being read, and {_AT_ONCE} may be")
        try:
            yield
        finally:
            free.release()

    def own(who: KeyEntry, tenant: str) -> str:
        """The tenant that is read, "" for all. Raises NotAllowed."""
        if Scope.ADMIN in who.scopes:
            return tenant
        if Scope.READ not in who.scopes or tenant not in ("", who.tenant):
            raise NotAllowed(f"key {who.id} of {who.tenant} has {', '.join(who.scopes)}")
        return who.tenant

    def admin(who: KeyEntry) -> None:
        if Scope.ADMIN not in who.scopes:
            raise NotAllowed(f"key {who.id} has {', '.join(who.scopes)}; admin is needed")

    def page(table: str, asked: Question, after: str, limit: int) -> dict[str, Any]:
        with turn():
            found = history.page(table, asked, after, limit)
        rows = [{name: _plain(value) for name, value in row.items()} for row in found.rows]
        return {"rows": rows, "next": found.next, "truncated": found.truncated}

    def of_tenant(who: KeyEntry, model: str, since: float, until: float, tenant: str) -> Question:
        mine = own(who, tenant)
        if Scope.ADMIN not in who.scopes:
            history.check_visible(model, mine)
        return Question(model, since, until, mine)

    @router.get("/models", summary="What there is to read")
    def models(who: KeyEntry = known) -> list[SummaryOut]:
        mine = own(who, "")
        with turn():
            found = history.models(mine)
        names = SummaryOut.model_fields
        return [SummaryOut(**{name: getattr(one, name) for name in names}) for one in found]

    @router.get("/predictions", summary="Predicted rows in the order of their time")
    def predictions(
        model: Name, since: Since = 0.0, until: Until = _LAST, tenant: Name = "",
        after: After = "", limit: Limit = 1_000, who: KeyEntry = known,
    ) -> PredictionPage:  # fmt: skip
        asked = of_tenant(who, model, since, until, tenant)
        return PredictionPage(**page("predictions", asked, after, limit))

    @router.get("/outcomes", summary="Predicted rows with a known outcome")
    def outcomes(
        model: Name, since: Since = 0.0, until: Until = _LAST, tenant: Name = "",
        after: After = "", limit: Limit = 1_000, who: KeyEntry = known,
    ) -> OutcomePage:  # fmt: skip
        asked = of_tenant(who, model, since, until, tenant)
        return OutcomePage(**page("outcomes", asked, after, limit))

    @router.get("/windows", summary="Traffic by window, version, arm and tenant")
    def windows(
        model: Name, since: Since = 0.0, until: Until = _LAST, tenant: Name = "",
        after: After = "", limit: Limit = 1_000, who: KeyEntry = known,
    ) -> WindowPage:  # fmt: skip
        asked = of_tenant(who, model, since, until, tenant)
        return WindowPage(**page("windows", asked, after, limit))

    @router.get("/drift", summary="How far features moved, look by look")
    def drift(
        model: Name, since: Since = 0.0, until: Until = _LAST, after: After = "",
        limit: Limit = 1_000, who: KeyEntry = known,
    ) -> DriftPage:  # fmt: skip
        admin(who)
        return DriftPage(**page("drift", Question(model, since, until), after, limit))

    @router.get("/decisions", summary="Decisions in the order of their time")
    def decisions(
        model: Name = "", since: Since = 0.0, until: Until = _LAST, after: After = "",
        limit: Limit = 1_000, who: KeyEntry = known,
    ) -> DecisionPage:  # fmt: skip
        admin(who)
        return DecisionPage(**page("decisions", Question(model, since, until), after, limit))

    @router.get("/incidents", summary="Incidents in the order of their time")
    def incidents(
        model: Name = "", since: Since = 0.0, until: Until = _LAST, after: After = "",
        limit: Limit = 1_000, who: KeyEntry = known,
    ) -> IncidentPage:  # fmt: skip
        admin(who)
        return IncidentPage(**page("incidents", Question(model, since, until), after, limit))

    del models, predictions, outcomes, windows, drift, decisions, incidents
    return router


def _plain(value: Any) -> Any:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
