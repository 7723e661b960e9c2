"""How large the log is and becomes, as JSON."""

from __future__ import annotations

import threading

from fastapi import APIRouter, Request
from pydantic import BaseModel

from windvane.apps.console.access import GuardedRoute, needs, sees, sees_all, visit_of
from windvane.apps.console.answering import TooManyReaders
from windvane.apps.console.api import ErrorOut
from windvane.core.authorization import Action
from windvane.core.health import TableGrowth
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore
from windvane.ports.event_log import EventLog
from windvane.usecases.forecast_log import forecast_log
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.read_settings import Retention


class GrowthOut(BaseModel):
    """A table, or a model's part of it: bytes now, bytes and rows that a day adds, and bytes where
    it levels off."""

    table: str
    model: str
    kept_days: float
    held_bytes: int
    bytes_a_day: float
    rows_a_day: float
    level_bytes: float


class LogSizeOut(BaseModel):
    """The log at the rate of the last ``measured_days``. ``full_in_days`` is null where its disk
    never is, or where it has none; ``code`` is "" where nothing is wrong."""

    tables: list[GrowthOut]
    models: list[GrowthOut]
    measured_days: float
    held_bytes: int
    bytes_a_day: float
    level_bytes: float
    level_in_days: float
    free_bytes: int | None
    full_in_days: int | None
    code: str
    why: str


def log_router(
    store: ControlStore, log: EventLog, clock: Clock, retention: Retention, warn_days: float
) -> APIRouter:
    router = APIRouter(
        prefix="/api",
        tags=["control"],
        responses={status: {"model": ErrorOut} for status in (401, 403, 503)},
        route_class=GuardedRoute,
    )
    turn = threading.Lock()

    @router.get("/log-size", summary="How large the log is and becomes, and when its disk is full")
    @needs(Action.VIEW)
    def log_size(request: Request) -> LogSizeOut:
        who = visit_of(request).principal
        if not turn.acquire(blocking=False):
            raise TooManyReaders("the log is being measured, by one at a time")
        try:
            found = forecast_log(store, log, clock.now(), retention, warn_days)
        finally:
            turn.release()
        models = found.models
        if not sees_all(who):
            with store.read() as tx:
                files = [read_model_file(model.text) for model in tx.models()]
            seen = {file.model for file in files if sees(who, file)}
            models = [one for one in models if one.model in seen]
        whole = {name: getattr(found, name) for name in LogSizeOut.model_fields}
        return LogSizeOut(
            **{**whole, "tables": [_out(t) for t in found.tables], "models": [*map(_out, models)]}
        )

    return router


def _out(one: TableGrowth) -> GrowthOut:
    return GrowthOut(**{name: getattr(one, name) for name in GrowthOut.model_fields})
